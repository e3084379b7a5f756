"""Writing: dirty bytes reach the share in few, parallel requests, and are never dropped.

A flush makes one pass: create the file if it is new, set its length, put the
dirty ranges side by side, send what was set of its attributes. Bytes written
while it runs wait for the next pass. What fails stays dirty and is tried again:
by the next fsync or close, and in the background with growing pauses.
"""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import BLOCK_SIZE, Chunk, FileContent
from azfuse.cache.remote import RemoteFile
from azfuse.cache.segments import GATHER_LIMIT, Buffer
from azfuse.rest.errors import AzureFilesError, ServiceError, UnsupportedByVersion
from azfuse.rest.models import Body
from azfuse.rest.wire import MAX_FILE_BYTES, time_of_etag

log = logging.getLogger(__name__)

#: A file with this many dirty bytes is uploaded while the program still writes. Below it,
#: everything waits for close, when the final length is known and costs no extra request.
STREAM_BYTES: Final = 64 * 1024 * 1024
#: The first length that a file which is uploaded while it grows is given ahead of its data;
#: each further one is sixteen times as long. The last flush sets the true length.
FIRST_ALLOCATION: Final = 1024**3
#: Small segments are sent in pieces of about this size.
JOIN_BYTES: Final = 512 * 1024
#: Pauses between background tries after failures, in seconds: doubling, up to the second.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0

UPLOAD_ERRORS = (AzureFilesError, OSError)


class CachedFile:
    """A file's content and where it lives on the share, with the state of its uploads."""

    __slots__ = (
        "__weakref__",
        "content",
        "dirty_since",
        "failures",
        "lock",
        "remote",
        "retry_at",
        "scratch",
    )

    def __init__(self, content: FileContent, remote: RemoteFile) -> None:
        self.content = content
        self.remote = remote
        #: Held across the requests of an upload, and by a rename of the file.
        self.lock = trio.Lock()
        self.dirty_since = 0.0
        self.failures = 0
        self.retry_at = 0.0
        #: Unlinked while open: its bytes go to the share only for want of memory.
        self.scratch = False


class WriteBack:
    """Uploads for all files of a mount."""

    def __init__(
        self,
        cache: BlockCache,
        nursery: trio.Nursery,
        transfers: trio.CapacityLimiter,
        clock: Callable[[], float],
        dirty_expire: float,
    ) -> None:
        self._cache = cache
        self._nursery = nursery
        self._transfers = transfers
        self._clock = clock
        self._dirty_expire = dirty_expire
        self._stream_bytes = min(STREAM_BYTES, max(cache.dirty_limit // 2, BLOCK_SIZE))
        self._pending: dict[CachedFile, None] = {}
        self._uploading: set[CachedFile] = set()
        self._progress = trio.Event()
        self._news = trio.Event()
        self._last_error: AzureFilesError | OSError | None = None

    @property
    def pending(self) -> tuple[CachedFile, ...]:
        """The files whose content or attributes the share does not have yet."""
        return tuple(self._pending)

    def note(self, file: CachedFile) -> None:
        """Take notice that *file* was written, truncated, created or has attributes to send."""
        if file not in self._pending:
            self._pending[file] = None
            file.dirty_since = self._clock()
            self._news.set()
        streaming = file.content.dirty_bytes >= self._stream_bytes and not file.scratch
        if streaming or self._cache.over_dirty:
            self._start(file, final=False)

    def forget(self, file: CachedFile) -> None:
        """Drop what is dirty: the file was unlinked, or was gone from the share."""
        self._pending.pop(file, None)
        self._cache.discard(file.content)
        self._signal()

    async def throttle(self) -> None:
        """Wait while too much is dirty. Raises the error of the last upload if all have failed."""
        while self._cache.over_dirty:
            for file in self._pending:
                self._start(file, final=False)
            if not self._uploading and self._last_error is not None:
                raise self._last_error
            await self._progress.wait()

    async def flush(self, file: CachedFile, *, final: bool = True) -> None:
        """Bring everything written so far to the share; return when it is there.

        With *final* False only whole blocks are sent, for a file that is still
        being written. Raises what the service or the connection raised; what was
        not sent stays dirty.
        """
        async with file.lock:
            if file not in self._pending:
                return
            try:
                await self._upload(file, final)
            except UPLOAD_ERRORS as error:
                file.failures += 1
                pause = min(FIRST_PAUSE * 2 ** min(file.failures - 1, 10), LONGEST_PAUSE)
                file.retry_at = self._clock() + pause
                self._last_error = error
                raise
            else:
                file.failures = 0
                file.retry_at = 0.0
                file.dirty_since = self._clock()
                self._last_error = None
                # Only a final pass has sent the attributes too.
                if final and not file.content.changed:
                    self._pending.pop(file, None)
            finally:
                self._signal()

    async def run(self) -> None:
        """Upload in the background what has been dirty for too long. Runs until cancelled."""
        while True:
            if not self._pending:
                self._news = trio.Event()
                await self._news.wait()
            await trio.sleep(min(1.0, self._dirty_expire))
            now = self._clock()
            for file in self.pending:
                if (
                    not file.scratch
                    and file.dirty_since + self._dirty_expire <= now
                    and file.retry_at <= now
                ):
                    self._start(file, final=True)

    async def drain(self) -> list[tuple[CachedFile, BaseException]]:
        """Upload everything; return the files that could not be uploaded, with the errors."""
        failed: list[tuple[CachedFile, BaseException]] = []

        async def attempt(file: CachedFile) -> None:
            try:
                await self.flush(file)
            except UPLOAD_ERRORS as error:
                failed.append((file, error))

        while waiting := [
            file
            for file in self._pending
            if not file.scratch and all(file is not other for other, _ in failed)
        ]:
            async with trio.open_nursery() as nursery:
                for file in waiting:
                    nursery.start_soon(attempt, file)
        return failed

    # -- in the background --------------------------------------------------------------

    def _start(self, file: CachedFile, *, final: bool) -> None:
        if file not in self._uploading and file.retry_at <= self._clock():
            self._uploading.add(file)
            self._nursery.start_soon(self._in_background, file, final)

    async def _in_background(self, file: CachedFile, final: bool) -> None:
        try:
            await self.flush(file, final=final)
        except UPLOAD_ERRORS as error:
            level = logging.WARNING if file.failures == 1 else logging.DEBUG
            log.log(
                level,
                "%d dirty bytes could not be uploaded, will try again: %s",
                file.content.dirty_bytes,
                error,
            )
        finally:
            self._uploading.discard(file)
            self._signal()

    def _signal(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    # -- one pass -----------------------------------------------------------------------

    async def _upload(self, file: CachedFile, final: bool) -> None:
        content, remote = file.content, file.remote
        had_clean = content.cached
        created = not remote.exists
        requests = 0
        if created:
            await self._create(file, final)
        leased = await self._lease(file, created and final, final)
        if not created:
            requests += await self._resize(file, final)
        chunks = content.take(whole_only=not final)
        if not chunks and not final and self._cache.over_dirty:
            chunks = content.take()
        await self._put(file, chunks)
        requests += len(chunks)
        if requests and not (created or leased) and (requests > 1 or had_clean):
            # Somebody else may have written between our requests; see FileContent.
            content.continuous = False
        if final:
            await remote.settle()

    async def _lease(self, file: CachedFile, unknown: bool, final: bool) -> bool:
        """Take the file's lease if this upload should have it; say whether we hold it.

        A file that is *unknown* to others, because this very pass created it, needs none.
        """
        if unknown:
            return False
        content = file.content
        etag = await file.remote.lease(content.count_chunks(), growing=not final)
        if etag is None:
            return False
        if etag != content.etag:
            # Somebody wrote before we had the lease: what was cached is out of date.
            self._cache.touch(content, content.forget_clean())
            content.etag = etag
        return True

    async def _create(self, file: CachedFile, final: bool) -> None:
        content, remote = file.content, file.remote
        cuts, size = content.truncations, self._length(content, final)
        head = content.take_head() if remote.takes_body else None
        try:
            if head is None:
                etag = await remote.create(size, None, 0)
            else:
                async with self._transfers:
                    etag = await remote.create(size, body_of(head), head.length)
                content.sent(head)
                self._touch(content, head)
        except UnsupportedByVersion:
            # The service turned out to be older than believed: content goes by itself.
            etag = await remote.create(size, None, 0)
        finally:
            if head is not None:
                content.put_back(head)
        content.etag = etag
        content.own_changes += 1
        content.resized(size, cuts)

    async def _resize(self, file: CachedFile, final: bool) -> int:
        """Give the file its length on the share; return the number of requests that took."""
        content = file.content
        requests = 0
        while content.must_clear():  # again if a program cut more off meanwhile
            cuts, end = content.truncations, content.remote_end
            self._changed(content, await file.remote.resize(end))
            content.resized(end, cuts)
            requests += 1
        cuts, size = content.truncations, self._length(content, final)
        if size != content.remote_size:
            size = await self._set_length(file, size)
            requests += 1
        content.resized(size, cuts)
        return requests

    async def _set_length(self, file: CachedFile, size: int) -> int:
        """Set the file's length to *size*; return what it was set to."""
        try:
            self._changed(file.content, await file.remote.resize(size))
        except ServiceError:
            if size <= file.content.size:
                raise
            # Room ahead of the data was refused; the data itself may still fit.
            size = file.content.size
            self._changed(file.content, await file.remote.resize(size))
        return size

    @staticmethod
    def _length(content: FileContent, final: bool) -> int:
        """Return the length to give the file: its own, or room ahead while it still grows."""
        if final:
            return content.size
        if content.size <= content.remote_size:
            return content.remote_size
        room = FIRST_ALLOCATION
        while room < content.size:
            room *= 16
        return min(room, MAX_FILE_BYTES)

    async def _put(self, file: CachedFile, chunks: list[Chunk]) -> None:
        """Put all *chunks* in parallel; raise the first error after all have ended."""
        errors: list[BaseException] = []

        async def put(chunk: Chunk) -> None:
            content = file.content
            try:
                async with self._transfers:
                    etag = await file.remote.put_range(chunk.start, chunk.length, body_of(chunk))
                content.sent(chunk)
                self._changed(content, etag)
                self._touch(content, chunk)
                self._signal()
            except UPLOAD_ERRORS as error:
                errors.append(error)
            finally:
                content.put_back(chunk)

        if len(chunks) == 1:
            await put(chunks[0])
        elif chunks:
            async with trio.open_nursery() as nursery:
                for chunk in chunks:
                    nursery.start_soon(put, chunk)
        if errors:
            raise errors[0]

    def _touch(self, content: FileContent, chunk: Chunk) -> None:
        self._cache.touch(
            content, range(chunk.start // BLOCK_SIZE, (chunk.end - 1) // BLOCK_SIZE + 1)
        )
        self._cache.evict()

    @staticmethod
    def _changed(content: FileContent, etag: str) -> None:
        """Bind the content to the ETag of a change of ours; of parallel ones the latest counts."""
        content.own_changes += 1
        if (time_of_etag(etag) or 0) >= (time_of_etag(content.etag or "") or 0):
            content.etag = etag


def body_of(chunk: Chunk) -> Body:
    """Return the bytes of *chunk* as a request body, without joining its segments."""
    if len(chunk.segments) == 1 and isinstance(chunk.segments[0].data, bytes):
        return chunk.segments[0].data

    async def pieces() -> AsyncIterator[bytes | memoryview]:
        small: list[Buffer] = []
        gathered = 0
        for segment in chunk.segments:
            if len(segment.data) > GATHER_LIMIT:
                if small:
                    yield b"".join(small)
                    small, gathered = [], 0
                yield memoryview(segment.data)
                continue
            # Joining thousands of small pieces is cheaper than sending each by itself.
            small.append(segment.data)
            gathered += len(segment.data)
            if gathered >= JOIN_BYTES:
                yield b"".join(small)
                small, gathered = [], 0
        if small:
            yield b"".join(small)

    return pieces
