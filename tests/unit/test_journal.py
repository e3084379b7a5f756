"""The journal over a real database, and content that comes back from it."""

import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from azfuse.cache.content import FileContent
from azfuse.cache.journal import Journal, Record


@asynccontextmanager
async def running(path: Path, owner: str) -> AsyncIterator[Journal]:
    journal = Journal(path, owner)
    async with journal.running():
        yield journal


def record(number: int, note: str = "note", moment: float = 1.0) -> Record:
    return Record(number, note, 10, 5, cut=True, moment=moment)


def nobody(owner: str) -> bool:
    del owner
    return False


@pytest.mark.anyio
async def test_what_was_put_is_there_after_a_crash(tmp_path):
    path = tmp_path / "journal"
    async with running(path, "one") as journal:
        await journal.put(record(1), [(0, b"abc"), (7, bytearray(b"de"))], replace=True)
        await journal.put(record(1, "moved"), [(1, memoryview(b"XY"))], replace=False)
        assert (journal.records, journal.kept_bytes) == (1, 7)
        # Another process looks while the first is still there: as good as killed.
        other = Journal(path, "two")
        (found,) = await other.left_behind(nobody)
        assert found == record(1, "moved")
        assert await other.take_over(1) == [(0, b"abc"), (7, b"de"), (1, b"XY")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.anyio
async def test_records_of_the_living_and_ones_own_are_left_alone(tmp_path):
    async with running(tmp_path / "journal", "one") as journal:
        await journal.put(record(1), [(0, b"abc")], replace=True)
        other = Journal(tmp_path / "journal", "two")
        assert await other.left_behind(lambda owner: owner == "one") == []
        assert await journal.left_behind(nobody) == []


@pytest.mark.anyio
async def test_the_oldest_comes_first_and_who_takes_over_owns(tmp_path):
    async with running(tmp_path / "journal", "one") as journal:
        await journal.put(record(1, moment=2.0), [], replace=True)
        await journal.put(record(2, moment=1.0), [], replace=True)
    async with running(tmp_path / "journal", "two") as journal:
        assert [found.id for found in await journal.left_behind(nobody)] == [2, 1]
        await journal.take_over(2)
        assert [found.id for found in await journal.left_behind(nobody)] == [1]
        journal.forget(2)
    async with running(tmp_path / "journal", "three") as journal:
        assert [found.id for found in await journal.left_behind(nobody)] == [1]


@pytest.mark.anyio
async def test_a_record_that_is_forgotten_leaves_nothing(tmp_path):
    path = tmp_path / "journal"
    async with running(path, "one") as journal:
        await journal.put(record(1), [(0, bytes(1_000_000))], replace=True)
        journal.forget(1)
        journal.note(record(1, "too late"))
        assert journal.stats() == {"files": 0, "bytes": 0}
    assert await Journal(path, "two").left_behind(nobody) == []
    assert path.stat().st_size < 100_000


@pytest.mark.anyio
async def test_what_nobody_waits_for_is_written_when_it_ends(tmp_path):
    async with running(tmp_path / "journal", "one") as journal:
        await journal.put(record(1), [(0, b"abc")], replace=True)
        journal.note(record(1, "moved"))
    (found,) = await Journal(tmp_path / "journal", "two").left_behind(nobody)
    assert found.note == "moved"


@pytest.mark.anyio
async def test_an_end_by_cancellation_still_keeps_what_is_put_on_the_way_out(tmp_path):
    """A background task broke: what the drain then cannot upload is to be kept all the same."""
    with trio.CancelScope() as everything:
        async with running(tmp_path / "journal", "one") as journal:
            everything.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True), trio.fail_after(5):
                    await trio.testing.wait_all_tasks_blocked()
                    await journal.put(record(1), [(0, b"abc")], replace=True)
    (found,) = await Journal(tmp_path / "journal", "two").left_behind(nobody)
    assert found == record(1)


@pytest.mark.anyio
async def test_many_who_wait_share_a_transaction(tmp_path, monkeypatch):
    async with running(tmp_path / "journal", "one") as journal:
        commits: list[object] = []
        commit = journal._commit

        def counted(transaction: Any) -> None:
            commits.append(transaction)
            commit(transaction)

        monkeypatch.setattr(journal, "_commit", counted)
        async with trio.open_nursery() as nursery:
            for number in range(1, 101):

                async def put(number: int = number) -> None:
                    await journal.put(record(number), [(0, b"x")], replace=True)

                nursery.start_soon(put)
        assert journal.records == 100
        assert len(commits) <= 3


@pytest.mark.anyio
async def test_damaged_runs_are_left_out_and_logged(tmp_path, caplog):
    path = tmp_path / "journal"
    async with running(path, "one") as journal:
        await journal.put(record(1), [(0, b"abc"), (5, b"good")], replace=True)
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE runs SET data = ? WHERE start = 0", (b"abX",))
    database.close()
    other = Journal(path, "two")
    assert await other.left_behind(nobody) == [record(1)]
    assert await other.take_over(1) == [(5, b"good")]
    assert "3 bytes at 0 are lost" in caplog.text


@pytest.mark.anyio
async def test_a_disk_that_refuses_is_an_error_for_all_who_wait(tmp_path):
    (tmp_path / "journal").mkdir()
    async with running(tmp_path / "journal", "one") as journal:
        for _ in range(2):
            with pytest.raises(OSError, match="the journal cannot be written"):
                await journal.put(record(1), [(0, b"x")], replace=True)


LONGEST = 64
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, LONGEST), st.binary(min_size=1, max_size=20)),
        st.tuples(st.just("truncate"), st.integers(0, LONGEST)),
        st.tuples(st.just("upload")),
        st.tuples(st.just("keep")),
    ),
    max_size=20,
)


class Kept:
    """A file that is written, uploaded and kept by turns, as `WriteBack` does it."""

    def __init__(self, start: bytes) -> None:
        self.share = bytearray(start)
        self.content = FileContent(len(start), "etag")
        self.seen = bytearray(start)
        self.runs: list[tuple[int, bytes]] = []
        self.cuts = -1
        self.promised: tuple[bytes, int, int, bool] | None = None

    def write(self, offset: int, data: bytes) -> None:
        self.content.write(offset, data)
        end = offset + len(data)
        self.seen.extend(bytes(max(0, end - len(self.seen))))
        self.seen[offset:end] = data

    def truncate(self, size: int) -> None:
        self.content.truncate(size)
        del self.seen[size:]
        self.seen.extend(bytes(size - len(self.seen)))

    def upload(self) -> None:
        """Bring everything to the share: the record goes."""
        self.share = bytearray(self.seen)
        self.content = FileContent(len(self.seen), "etag")
        self.runs, self.cuts, self.promised = [], -1, None

    def keep(self) -> None:
        content = self.content
        if not content.changed:
            return
        whole = self.cuts != content.truncations
        new = [(start, bytes(data)) for start, data in content.to_journal(everything=whole)]
        self.runs = new if whole else self.runs + new
        self.cuts = content.truncations
        cut = content.remote_end != content.remote_size
        self.promised = (bytes(self.seen), content.size, content.remote_end, cut)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=LONGEST), steps)
def test_content_comes_back_as_it_was_kept(start, actions):
    file = Kept(start)
    for name, *args in actions:
        getattr(file, name)(*args)
    if file.promised is None:
        return
    seen, size, remote_end, cut = file.promised
    content = FileContent(len(file.share), "other")
    content.restore(size, remote_end, file.runs, cut=cut)
    result = bytearray(content.size)
    result[: content.remote_end] = file.share[: content.remote_end].ljust(content.remote_end, b"\0")
    for block in content.blocks.values():
        for segment in block.segments:
            result[segment.start : segment.end] = segment.view(segment.start, segment.end)
    assert bytes(result) == seen
