"""Reading: what is missing is fetched, once, in parallel, and ahead of who reads on."""

import logging
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import BLOCK_SIZE, FileContent
from azfuse.cache.counters import ReadCounters
from azfuse.cache.disktier import DiskTier
from azfuse.cache.metadata import Facts
from azfuse.cache.readahead import Readahead
from azfuse.cache.remote import RemoteFile
from azfuse.cache.transfers import Transfers
from azfuse.rest.errors import AzureFilesError

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Fetch:
    """A download under way of `[start, end)`. `done` is set when it ended, well or not."""

    start: int
    end: int
    done: trio.Event = field(default_factory=trio.Event)


class Reader:
    """Fetches for all files of a mount."""

    def __init__(
        self,
        cache: BlockCache,
        nursery: trio.Nursery,
        transfers: Transfers,
        disk: DiskTier | None = None,
    ) -> None:
        """*disk* is asked before the share, if there is such a tier."""
        self._disk = disk
        self._cache = cache
        self._nursery = nursery
        self._transfers = transfers
        self.counters = ReadCounters()
        self._under_way: WeakKeyDictionary[FileContent, list[_Fetch]] = WeakKeyDictionary()

    async def read(
        self,
        content: FileContent,
        remote: RemoteFile,
        readahead: Readahead,
        offset: int,
        length: int,
    ) -> bytes | memoryview:
        """Return up to *length* bytes from *offset*: fewer only at the end of the file.

        Raises what Get File raises.
        """
        end = min(offset + length, content.size)
        if offset >= end:
            return b""
        if self._disk is not None:
            await self._disk.learn(content, remote.file_id)
        readahead.note(offset, end, content.size)
        self._start_ahead(content, remote, readahead, end)
        gap = content.first_gap(offset, end)
        self._count_missing(content, gap, end)
        while gap is not None:
            start, stop = readahead.wanted(*gap, content.remote_end)
            await self._fetch_or_wait(content, remote, gap[0], start, stop)
            end = min(end, content.size)
            if offset >= end:
                return b""
            gap = content.first_gap(offset, end)
        first, last = offset // BLOCK_SIZE, (end - 1) // BLOCK_SIZE
        self._cache.touch(content, range(first, last + 1))
        self._count_read(content, first, last, end - offset)
        result = content.read(offset, end)
        self._cache.evict()
        return result

    async def has_any(self, content: FileContent, remote: RemoteFile) -> bool:
        """Say if anything of *content* can be read here without asking the share for bytes."""
        if content.cached or self._disk is None:
            return content.cached
        await self._disk.learn(content, remote.file_id)
        return self._disk.has_any(content)

    def keep(self, content: FileContent, remote: RemoteFile) -> None:
        """Have what was uploaded of *content* kept on disk, as far as it may be."""
        if self._disk is not None and remote.exists:
            for index in content.blocks:
                self._disk.offer(content, remote.file_id, index)

    def _count_missing(self, content: FileContent, gap: tuple[int, int] | None, end: int) -> None:
        """Count what a read up to *end* will have to wait for, from its first *gap* on."""
        counters = self.counters
        if gap is None:
            counters.hits += 1
        while gap is not None:
            counters.bytes_missed += gap[1] - gap[0]
            gap = content.first_gap(gap[1], end)

    def _count_read(self, content: FileContent, first: int, last: int, length: int) -> None:
        """Count a read of *length* bytes that lie in the blocks from *first* to *last*."""
        counters = self.counters
        counters.reads += 1
        counters.bytes_read += length
        for index in range(first, last + 1):
            block = content.blocks.get(index)
            if block is not None and block.ahead_bytes:
                counters.bytes_ahead_used += block.ahead_bytes
                block.ahead_bytes = 0

    def stats(self) -> dict[str, int]:
        """Return what was read, where it came from, and what reading ahead was worth."""
        counters = self.counters
        unread = self._cache.unread_ahead
        return {
            "reads": counters.reads,
            "readsFromMemory": counters.hits,
            "bytesRead": counters.bytes_read,
            "bytesMissed": counters.bytes_missed,
            "fetches": counters.fetches,
            "bytesFetched": counters.bytes_fetched,
            "bytesAhead": counters.bytes_ahead,
            "bytesAheadUsed": counters.bytes_ahead_used,
            "bytesAheadWasted": max(0, counters.bytes_ahead - counters.bytes_ahead_used - unread),
        }

    def _start_ahead(
        self, content: FileContent, remote: RemoteFile, readahead: Readahead, end: int
    ) -> None:
        for index in readahead.ahead(end, content.remote_end):
            start = index * BLOCK_SIZE
            stop = min(start + BLOCK_SIZE, content.remote_end)
            gap = content.first_gap(max(start, end), stop)
            if gap is None or self._covering(content, gap[0]) is not None:
                continue
            fetch = self._announce(content, *self._widened(content, *gap))
            self._nursery.start_soon(self._fetch_ahead, content, remote, fetch)

    async def _fetch_ahead(self, content: FileContent, remote: RemoteFile, fetch: _Fetch) -> None:
        try:
            await self._fetch(content, remote, fetch, ahead=True)
        except (AzureFilesError, OSError) as error:
            # Whoever wants these bytes asks for them again and is told then.
            log.debug("read-ahead of %d bytes failed: %s", fetch.end - fetch.start, error)

    async def _fetch_or_wait(
        self, content: FileContent, remote: RemoteFile, wanted: int, start: int, end: int
    ) -> None:
        under_way = self._covering(content, wanted)
        if under_way is not None:
            await under_way.done.wait()
            return
        start, end = self._widened(content, start, end)
        for other in self._under_way.get(content, ()):
            if wanted < other.start < end:
                end = other.start
        await self._fetch(content, remote, self._announce(content, start, end))

    def _widened(self, content: FileContent, start: int, end: int) -> tuple[int, int]:
        """Return the whole block around `[start, end)` where it comes as a whole from disk."""
        index = start // BLOCK_SIZE
        if self._disk is None or not self._disk.has(content, index):
            return start, end
        return index * BLOCK_SIZE, min((index + 1) * BLOCK_SIZE, content.remote_end)

    def _covering(self, content: FileContent, offset: int) -> _Fetch | None:
        for fetch in self._under_way.get(content, ()):
            if fetch.start <= offset < fetch.end:
                return fetch
        return None

    def _announce(self, content: FileContent, start: int, end: int) -> _Fetch:
        fetch = _Fetch(start, end)
        self._under_way.setdefault(content, []).append(fetch)
        return fetch

    async def _fetch(
        self, content: FileContent, remote: RemoteFile, fetch: _Fetch, *, ahead: bool = False
    ) -> None:
        index = fetch.start // BLOCK_SIZE
        try:
            if self._disk is not None:
                if self._disk.has(content, index):
                    # If it is not there after all, whoever wants it finds it missing still.
                    await self._load(self._disk, content, remote, index)
                    return
                self._disk.missed()
            length = fetch.end - fetch.start
            async with self._transfers.place(length):
                with self._cache.room_for(length):
                    epoch, own = content.epoch, content.own_changes
                    buffer = memoryview(bytearray(length))
                    facts, received = await remote.read_into(buffer, fetch.start)
            self.counters.fetches += 1
            self.counters.bytes_fetched += received
            self.counters.bytes_ahead += received if ahead else 0
            if epoch == content.epoch:
                touched = self._accept(content, facts, own, fetch.start, buffer[:received])
                if received < len(buffer):
                    content.ends_at(fetch.start + received)
                if ahead and (block := content.blocks.get(index)) is not None:
                    block.ahead_bytes += received
                self._cache.touch(content, touched)
                if self._disk is not None:
                    self._disk.offer(content, remote.file_id, index)
                self._cache.evict()
        finally:
            self._under_way[content].remove(fetch)
            fetch.done.set()

    async def _load(
        self, disk: DiskTier, content: FileContent, remote: RemoteFile, index: int
    ) -> None:
        """Take block *index* from disk."""
        epoch, etag = content.epoch, content.etag
        data = await disk.load(content, remote.file_id, index)
        if data is not None and epoch == content.epoch and etag == content.etag:
            self._cache.touch(content, content.fill(index * BLOCK_SIZE, data))
            self._cache.evict()

    @staticmethod
    def _accept(
        content: FileContent, facts: Facts, own: int, start: int, data: memoryview
    ) -> list[int]:
        """Keep what was downloaded; drop what it shows to be out of date."""
        touched: list[int] = []
        if facts.etag != content.etag:
            if content.changed or own != content.own_changes:
                # Some of these ETags are our own doing. Whether all are cannot be told,
                # so nothing of this is believed past the next open.
                content.continuous = False
            else:
                touched = content.adopt(facts.size, facts.etag)
        return touched + content.fill(start, data)
