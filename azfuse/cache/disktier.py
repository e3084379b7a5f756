"""The second tier of the block cache: clean blocks on local disk, below those in memory.

Only whole blocks are kept: pieces of random reads would make many small files of
what a few requests bring again. A block is bound to the ETag that its bytes were
read or acknowledged under, and serves only content that is bound to the same one.
Whoever reads sees to it that this ETag was confirmed (`fuse/files.py`).

Blocks are written behind whoever read or wrote them. What waits is remembered by
its place only: a block that has left memory before its turn comes is not kept.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import trio

from azfuse.cache.content import BLOCK_SIZE, UNKNOWN, FileContent
from azfuse.cache.diskindex import is_busy
from azfuse.cache.diskstore import Block, BlockKey, Counts, DiskStore

log = logging.getLogger(__name__)

#: Blocks that wait to be written; further ones are not kept.
MOST_WAITING: Final = 4096
#: Bytes and blocks written at once: one entry in the index's log for all of them.
BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_BLOCKS: Final = 64
#: Threads that read, or write.
THREADS: Final = 4
#: Seconds at the end of a mount in which what still waits is written.
LAST_WORDS: Final = 5.0

_ERRORS = (OSError, sqlite3.Error)

T = TypeVar("T")


@dataclass(slots=True)
class _Known:
    """The blocks on disk of a file as it is under *etag*, as far as we know."""

    etag: str
    numbers: set[int] = field(default_factory=set)


class DiskTier:
    """Blocks of one share's files on disk. A failing disk switches it off; reading goes on."""

    def __init__(self, directory: Path, capacity: int, share: str) -> None:
        """*directory* was made by `prepare_directory`; *share* tells shares apart in it."""
        self._directory = directory
        self._capacity = capacity
        self._share = share
        self._store: DiskStore | None = None
        self._failed = False
        self._known: WeakKeyDictionary[FileContent, _Known] = WeakKeyDictionary()
        self._waiting: dict[tuple[FileContent, int], str] = {}
        self._news = trio.Event()
        self._threads = trio.CapacityLimiter(THREADS)
        self._hits = self._misses = self._passed_over = 0
        self._bytes_read = self._bytes_written = 0
        self._counts = Counts()
        self._usage = (0, 0)

    @property
    def on(self) -> bool:
        """True while blocks are kept and found."""
        return self._store is not None and not self._failed

    async def open(self) -> None:
        """Open the directory; where that fails, the tier stays off and the log says why."""
        try:
            self._store = await self._in_thread(
                lambda: DiskStore(self._directory, self._capacity, self._counts)
            )
            self._usage = await self._in_thread(self._store.usage)
        except _ERRORS as error:
            self._fail(error)

    async def run(self) -> None:
        """Write what waits. Runs until cancelled."""
        await self._call(lambda store: store.sweep())
        while True:
            while self._waiting and self.on:
                # What was taken off the list is written, even if the mount ends just now.
                with trio.CancelScope(shield=True):
                    await self._write_batch()
                await trio.lowlevel.checkpoint()
            self._news = trio.Event()
            await self._news.wait()

    async def close(self) -> None:
        """Write what waits, as far as that takes no long time, and let go of the directory."""
        end = trio.current_time() + LAST_WORDS
        while self._waiting and self.on and trio.current_time() < end:
            await self._write_batch()
        store, self._store = self._store, None
        if store is not None:
            try:
                await self._in_thread(store.close)
            except _ERRORS as error:
                log.debug("the disk cache was not closed well: %s", error)

    # -- reading ------------------------------------------------------------------------

    async def learn(self, content: FileContent, file_id: int) -> None:
        """Find out which blocks of *content*, under its ETag, are on disk; once an ETag."""
        etag = content.etag
        if etag is None or not file_id or not self.on or not content.remote_end:
            return
        known = self._known.get(content)
        if known is not None and known.etag == etag:
            return
        numbers = await self._call(lambda store: store.numbers(self._file(file_id), etag))
        if content.etag == etag:
            self._known[content] = _Known(etag, numbers or set())

    def has(self, content: FileContent, number: int) -> bool:
        """Say if block *number* of *content* seems to be on disk."""
        known = self._current(content)
        return known is not None and number in known.numbers

    def has_any(self, content: FileContent) -> bool:
        """Say if any block of *content* seems to be on disk."""
        known = self._current(content)
        return known is not None and bool(known.numbers)

    async def load(self, content: FileContent, file_id: int, number: int) -> memoryview | None:
        """Return block *number* of *content*, or None: then `has` no longer says it is there."""
        etag, length = content.etag, _length_of(content, number)
        if etag is not None and length > 0:
            key = BlockKey(self._file(file_id), number, etag)
            # Made here: what threads allocate, each for itself, is not given back to the others.
            buffer = memoryview(bytearray(length))
            if await self._call(lambda store: store.load(key, buffer)):
                self._hits += 1
                self._bytes_read += length
                return buffer
        known = self._known.get(content)
        if known is not None:
            known.numbers.discard(number)
        return None

    def missed(self) -> None:
        """Count a block that had to be asked for."""
        self._misses += self.on

    def _current(self, content: FileContent) -> _Known | None:
        """Return what is known of *content* if that may serve it.

        While something is not uploaded yet its ETag is not confirmed at open.
        """
        known = self._known.get(content)
        if known is None or known.etag != content.etag or not self.on:
            return None
        return known if content.continuous and not content.changed else None

    # -- writing ------------------------------------------------------------------------

    def offer(self, content: FileContent, file_id: int, number: int) -> None:
        """Have block *number* of *content* written to disk if it may be kept."""
        if not file_id or not self.on or self.has(content, number):
            return
        if not _may_be_kept(content, number):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._passed_over += 1
            return
        self._waiting[content, number] = self._file(file_id)
        self._news.set()

    async def _write_batch(self) -> None:
        """Write some of what waits; what has left memory meanwhile, or changed, is passed over."""
        blocks: list[Block] = []
        contents: list[FileContent] = []
        length = 0
        while self._waiting and length < BATCH_BYTES and len(blocks) < BATCH_BLOCKS:
            (content, number), file = next(iter(self._waiting.items()))
            del self._waiting[content, number]
            if content.etag is None or not _may_be_kept(content, number):
                self._passed_over += 1
                continue
            parts = [segment.view(segment.start, segment.end)
                     for segment in content.blocks[number].segments]  # fmt: skip
            blocks.append(Block(BlockKey(file, number, content.etag), parts))
            contents.append(content)
            length += blocks[-1].length
        if not blocks:
            return
        new = await self._call(lambda store: store.store(blocks))
        if new is None:
            return
        self._bytes_written += sum(block.length for block in new)
        for content, block in zip(contents, blocks, strict=True):
            known = self._known.get(content)
            if known is not None and known.etag == block.key.etag:
                known.numbers.add(block.key.number)
        self._usage = await self._call(lambda store: store.usage()) or self._usage

    # -- on the side --------------------------------------------------------------------

    def stats(self) -> dict[str, int | bool]:
        """Return the counters since the mount began, and what is on disk. Bytes are payload."""
        blocks, used = self._usage
        return {
            "on": self.on,
            "hits": self._hits,
            "misses": self._misses,
            "bytesRead": self._bytes_read,
            "bytesWritten": self._bytes_written,
            "evicted": self._counts.evicted,
            "corrupt": self._counts.corrupt,
            "passedOver": self._passed_over,
            "waiting": len(self._waiting),
            "blocks": blocks,
            "usedBytes": used,
            "capacityBytes": self._capacity,
        }

    def _file(self, file_id: int) -> str:
        return f"{self._share}/{file_id:x}"

    async def _call(self, work: Callable[[DiskStore], T]) -> T | None:
        """Have a thread do *work*; None where that fails, or the tier is off."""
        store = self._store
        if store is None or self._failed:
            return None
        try:
            return await self._in_thread(lambda: work(store))
        except _ERRORS as error:
            if is_busy(error):
                log.debug("the disk cache is busy: %s", error)
            elif not self._failed:
                self._fail(error)
            return None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._threads)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self._waiting.clear()
        log.warning("the disk cache in %s is switched off: %s", self._directory, error)


def _may_be_kept(content: FileContent, number: int) -> bool:
    """Say if block *number* is known as a whole, just as the share has it under the ETag."""
    block = content.blocks.get(number)
    if block is None or block.dirty_bytes or content.etag is None or not content.continuous:
        return False
    if content.remote_size == UNKNOWN or content.remote_end != content.remote_size:
        return False
    if block.total_bytes != _length_of(content, number):
        return False
    return content.exact or not any(segment.uploaded for segment in block.segments)


def _length_of(content: FileContent, number: int) -> int:
    return min((number + 1) * BLOCK_SIZE, content.remote_end) - number * BLOCK_SIZE
