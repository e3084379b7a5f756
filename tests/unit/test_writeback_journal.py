"""Write-back and the journal together: a crash at any moment, and what comes back after it."""

import errno
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import FileContent
from azfuse.cache.journal import Journal, Record
from azfuse.cache.transfers import Transfers
from azfuse.cache.writeback import CachedFile, WriteBack
from tests.unit.test_transfers import FakeRemote


class Remote(FakeRemote):
    """A file that the journal may keep. Requests go through at once unless `freely` is off."""

    def __init__(self, data: bytes | None) -> None:
        super().__init__(data, takes_body=False)
        self.freely = True

    def note(self) -> str:  # type: ignore[override]
        return "note"


class Machine:
    """A mount with one file, on a disk of its own."""

    def __init__(self, journal: Journal, writeback: WriteBack, remote: Remote) -> None:
        self.journal = journal
        self.writeback = writeback
        self.remote = remote
        size = len(remote.data)
        self.file = CachedFile(FileContent(size, remote.etag), remote)

    def write(self, offset: int, data: bytes) -> None:
        self.file.content.write(offset, data)
        self.writeback.note(self.file)

    def truncate(self, size: int) -> None:
        self.file.content.truncate(size)
        self.writeback.note(self.file)

    async def close(self) -> None:
        assert await self.writeback.hand_over(self.file)


@asynccontextmanager
async def machine(path: Path, data: bytes | None = b"") -> AsyncIterator[Machine]:
    journal = Journal(path, "one")
    async with journal.running(), trio.open_nursery() as nursery:
        cache = BlockCache(1 << 30, lambda content: None)
        limiter = Transfers(8)
        writeback = WriteBack(
            cache, nursery, limiter, trio.current_time, 3600.0, journal, delay=3600.0
        )
        yield Machine(journal, writeback, Remote(data))
        nursery.cancel_scope.cancel()


async def after_crash(path: Path, share: bytes | bytearray) -> bytes:
    """Return what the next mount makes of the file, if the driver ended this very moment."""
    journal = Journal(path, "next")
    content = FileContent(len(share), "etag")
    for record in await journal.left_behind(lambda owner: False):
        # A look, not a takeover: the mount of the test is still running.
        with sqlite3.connect(path) as database:
            runs = database.execute(
                "SELECT start, data FROM runs WHERE record = ? ORDER BY number", (record.id,)
            ).fetchall()
        database.close()
        content.restore(record.size, record.remote_end, runs, cut=record.cut)
    result = bytearray(content.size)
    known = min(content.remote_end, content.size)
    result[:known] = share[:known].ljust(known, b"\0")
    for block in content.blocks.values():
        for segment in block.segments:
            result[segment.start : segment.end] = segment.data
    return bytes(result)


@pytest.mark.anyio
async def test_an_older_record_does_not_undo_an_fsync(tmp_path):
    async with machine(tmp_path / "journal") as here:
        here.write(0, b"old")
        await here.close()
        here.write(0, b"new")
        await here.writeback.flush(here.file)
        # The very moment that fsync returned.
        assert await after_crash(tmp_path / "journal", here.remote.data) == b"new"


@pytest.mark.anyio
async def test_nor_where_somebody_wrote_while_it_was_uploaded(tmp_path):
    async with machine(tmp_path / "journal") as here:
        here.write(0, b"old")
        await here.close()
        here.write(0, b"new")
        here.remote.freely = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.writeback.flush, here.file)
            await trio.testing.wait_all_tasks_blocked()
            here.write(5, b"later")
            here.remote.freely = True
            for waiting in here.remote.waiting:
                waiting.event.set()
        assert here.file.content.changed
        assert (await after_crash(tmp_path / "journal", here.remote.data))[:3] == b"new"


@pytest.mark.anyio
async def test_a_close_during_an_upload_is_kept(tmp_path):
    async with machine(tmp_path / "journal") as here:
        here.write(0, b"old")
        await here.close()
        here.remote.freely = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.writeback.flush, here.file)
            await trio.testing.wait_all_tasks_blocked()
            here.write(0, b"later")
            await here.close()
            here.remote.freely = True
            for waiting in here.remote.waiting:
                waiting.event.set()
        assert await after_crash(tmp_path / "journal", here.remote.data) == b"later"
        await here.writeback.flush(here.file)
        assert here.remote.data == b"later"
        assert here.journal.records == 0


@pytest.mark.anyio
async def test_a_close_that_the_disk_refused_is_made_good_by_the_next(tmp_path, monkeypatch):
    """Two closes wait for the disk; only the second is refused, and a third one comes."""
    async with machine(tmp_path / "journal") as here:
        journal, commit = here.journal, here.journal._commit
        results: list[object] = []
        gate = trio.Event()

        def refusing(transaction):
            trio.from_thread.run(gate.wait)
            if results:
                raise OSError(errno.ENOSPC, "full")
            results.append(transaction)
            commit(transaction)

        async def refused() -> None:
            assert not await here.writeback.hand_over(here.file)

        monkeypatch.setattr(journal, "_commit", refusing)
        here.write(0, b"first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.close)
            await trio.testing.wait_all_tasks_blocked()
            here.write(5, b" second")
            nursery.start_soon(refused)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        monkeypatch.setattr(journal, "_commit", commit)
        here.write(12, b" third")
        await here.close()
        assert await after_crash(tmp_path / "journal", b"") == b"first second third"


@pytest.mark.anyio
async def test_a_note_after_a_growing_cut_does_not_hide_the_length(tmp_path):
    async with machine(tmp_path / "journal") as here:
        here.write(0, b"abc")
        await here.close()
        here.truncate(10)
        here.writeback.renote(here.file)
        await here.close()
        assert await after_crash(tmp_path / "journal", b"") == b"abc" + bytes(7)


@pytest.mark.anyio
async def test_room_ahead_is_not_part_of_the_file(tmp_path):
    async with machine(tmp_path / "journal") as here:
        here.write(0, b"abcdef")
        here.file.content.resized(100, here.file.content.truncations)  # as a streaming upload
        await here.close()
        assert await after_crash(tmp_path / "journal", bytes(100)) == b"abcdef"


@pytest.mark.anyio
async def test_a_note_makes_no_record_without_its_bytes(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    async with machine(path) as here:
        journal, commit, failures = here.journal, here.journal._commit, [1]
        gate = trio.Event()

        def failing(transaction):
            trio.from_thread.run(gate.wait)
            if failures:
                failures.pop()
                raise OSError(errno.ENOSPC, "full")
            commit(transaction)

        monkeypatch.setattr(journal, "_commit", failing)
        record = Record(1, "note", 5, 0, cut=False, moment=1.0)

        async def refused() -> None:
            with pytest.raises(OSError, match="cannot be written"):
                await journal.put(record, [(0, b"bytes")], replace=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            await trio.testing.wait_all_tasks_blocked()
            journal.note(record)
            gate.set()
        await journal.settled()
    assert await Journal(path, "two").left_behind(lambda owner: False) == []


@pytest.mark.anyio
async def test_what_was_forgotten_while_the_disk_refused_goes_later(tmp_path, monkeypatch, caplog):
    path = tmp_path / "journal"
    async with machine(path) as here:
        journal, commit = here.journal, here.journal._commit
        await journal.put(Record(1, "", 5, 0, cut=False, moment=1.0), [(0, b"x")], replace=True)

        def refusing(transaction):
            del transaction
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(journal, "_commit", refusing)
        journal.forget(1)
        await journal.settled()
        assert "cannot be written" in caplog.text
        monkeypatch.setattr(journal, "_commit", commit)
        await journal.put(Record(2, "", 5, 0, cut=False, moment=1.0), [(0, b"x")], replace=True)
    left = await Journal(path, "two").left_behind(lambda owner: False)
    assert [record.id for record in left] == [2]


@pytest.mark.anyio
async def test_one_of_two_mounts_that_begin_together_takes_a_record_up(tmp_path):
    path = tmp_path / "journal"
    async with machine(path) as here:
        here.write(0, b"data")
        await here.close()
    two, three = Journal(path, "two"), Journal(path, "three")
    (record,) = await two.left_behind(lambda owner: False)
    assert await three.left_behind(lambda owner: False) == [record]
    assert await two.take_over(record.id) == [(0, b"data")]
    with pytest.raises(OSError, match="another mount"):
        await three.take_over(record.id)


@pytest.mark.anyio
async def test_a_put_whose_waiter_was_cancelled_is_forgotten_like_others(tmp_path):
    path = tmp_path / "journal"
    async with machine(path) as here:
        with trio.CancelScope() as scope:
            scope.cancel()
            await here.journal.put(
                Record(1, "", 5, 0, cut=False, moment=1.0), [(0, b"x")], replace=True
            )
        assert scope.cancelled_caught
        here.journal.forget(1)
    assert await Journal(path, "two").left_behind(lambda owner: False) == []
