"""The tier on disk beside a reader: when the share is not asked, and when the disk fails.

That nothing wrong is ever read from it is for `test_transfers.py`.
"""

import errno
import logging
import os
import sqlite3

import pytest
import trio

from azfuse.cache import disktier
from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import BLOCK_SIZE, FileContent
from azfuse.cache.diskstore import prepare_directory
from azfuse.cache.disktier import DiskTier
from azfuse.cache.readahead import Readahead
from azfuse.cache.reader import Reader
from azfuse.cache.transfers import Transfers
from tests.unit.test_transfers import FakeRemote

SIZE = 3 * BLOCK_SIZE + 17
CAPACITY = 16 * BLOCK_SIZE
SHARE = "share"


class Remote(FakeRemote):
    """A file whose requests are answered at once, and counted."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, takes_body=True)
        self.freely = True
        self.gets = 0

    async def read_into(self, buffer, offset):
        self.gets += 1
        return await super().read_into(buffer, offset)


class Mounted:
    """What a mount has for one file."""

    def __init__(self, nursery: trio.Nursery, remote: Remote, tier: DiskTier) -> None:
        self.remote = remote
        self.tier = tier
        cache = BlockCache(CAPACITY, lambda content: None)
        self.reader = Reader(cache, nursery, Transfers(8), tier)
        self.content = FileContent(len(remote.data), remote.etag)

    async def read(self, offset: int = 0, length: int = SIZE) -> bytes:
        readahead = Readahead(4 * BLOCK_SIZE)
        result = b""
        while len(result) < length:
            part = await self.reader.read(
                self.content, self.remote, readahead, offset + len(result),
                min(length - len(result), 128 * 1024),
            )  # fmt: skip
            if not part:
                break
            result += part
        return result


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "cache"
    prepare_directory(path)
    return path


def mounted(directory, remote, play, *, share=SHARE) -> dict[str, int | bool]:
    """Run `play(mounted)` as one mount does; return the tier's counters at the end."""
    tier = DiskTier(directory, CAPACITY, share)

    async def main() -> None:
        with trio.fail_after(30):
            await tier.open()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tier.run)
                await play(Mounted(nursery, remote, tier))
                nursery.cancel_scope.cancel()
            await tier.close()

    trio.run(main)
    return tier.stats()


async def read_all(mount: Mounted) -> None:
    assert await mount.read() == bytes(mount.remote.data)


@pytest.fixture
def remote():
    return Remote(os.urandom(SIZE))


def test_what_one_mount_has_read_the_next_does_not_ask_for(directory, remote):
    stats = mounted(directory, remote, read_all)
    assert remote.gets == 4
    assert (stats["hits"], stats["misses"], stats["bytesWritten"]) == (0, 4, SIZE)
    stats = mounted(directory, remote, read_all)
    assert remote.gets == 4
    assert (stats["hits"], stats["misses"], stats["bytesRead"]) == (4, 0, SIZE)
    assert stats["bytesWritten"] == 0


def test_a_page_at_random_comes_from_disk_too(directory, remote):
    mounted(directory, remote, read_all)

    async def read_a_page(mount):
        offset = 2 * BLOCK_SIZE + 4096
        assert await mount.read(offset, 4096) == remote.data[offset : offset + 4096]

    mounted(directory, remote, read_a_page)
    assert remote.gets == 4


def test_pieces_of_blocks_are_not_kept(directory, remote):
    async def read_here_and_there(mount):
        for offset in (BLOCK_SIZE, 3 * BLOCK_SIZE - 4096, 2 * BLOCK_SIZE + 8192):
            await mount.read(offset, 4096)

    assert mounted(directory, remote, read_here_and_there)["bytesWritten"] == 0


def test_another_state_of_the_file_is_asked_for(directory, remote):
    mounted(directory, remote, read_all)
    remote.data[:] = os.urandom(SIZE)
    remote.changed()
    mounted(directory, remote, read_all)
    assert remote.gets == 8


def test_shares_do_not_mix(directory, remote):
    mounted(directory, remote, read_all)
    other = Remote(os.urandom(SIZE))
    mounted(directory, other, read_all, share="another")
    mounted(directory, remote, read_all)
    assert (remote.gets, other.gets) == (4, 4)


def test_a_damaged_block_is_asked_for_again(directory, remote, caplog):
    mounted(directory, remote, read_all)
    path = max(directory.glob("??/*"), key=lambda path: path.stat().st_size)
    path.write_bytes(os.urandom(BLOCK_SIZE))
    stats = mounted(directory, remote, read_all)
    assert remote.gets == 5
    assert stats["corrupt"] == 1
    assert len(caplog.records) == 1
    mounted(directory, remote, read_all)
    assert remote.gets == 5


def test_a_full_disk_switches_the_tier_off(directory, remote, caplog, monkeypatch):
    mounted(directory, remote, read_all)
    remote.changed()

    def full(descriptor, parts):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def read_on(mount):
        await read_all(mount)
        await mount.tier.close()  # writes what waits
        assert not mount.tier.on
        mount.content = FileContent(SIZE, remote.etag)
        await read_all(mount)

    monkeypatch.setattr(os, "writev", full)
    stats = mounted(directory, remote, read_on)
    assert not stats["on"]
    assert remote.gets == 12
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "switched off" in caplog.text


def test_a_directory_that_cannot_be_used_leaves_the_mount_without(directory, remote, caplog):
    (directory / "lock").mkdir()
    assert not mounted(directory, remote, read_all)["on"]
    assert remote.gets == 4
    assert len(caplog.records) == 1


def test_another_mount_that_holds_the_index_is_not_waited_for_long(
    directory, remote, caplog, monkeypatch
):
    monkeypatch.setattr("azfuse.cache.diskindex._PATIENCE", 0)
    other: list[sqlite3.Connection] = []

    async def read_meanwhile(mount):
        other.append(sqlite3.connect(directory / "index.sqlite", isolation_level=None))
        other[0].execute("BEGIN IMMEDIATE")
        await read_all(mount)

    try:
        stats = mounted(directory, remote, read_meanwhile)
    finally:
        other[0].close()
    assert stats["on"] is False  # the mount has ended
    assert stats["bytesWritten"] == 0
    assert not caplog.records


def test_what_waits_too_long_is_passed_over(directory, remote, monkeypatch):
    monkeypatch.setattr(disktier, "MOST_WAITING", 2)

    async def offer(mount):
        data = memoryview(bytes(remote.data))
        mount.content.fill(0, data)
        for number in range(4):
            mount.tier.offer(mount.content, 1, number)

    stats = mounted(directory, remote, offer)
    assert stats["passedOver"] == 2
    assert stats["bytesWritten"] == 2 * BLOCK_SIZE
