"""Writing: what is dirty is uploaded in time, never dropped, and held against a bound.

A flush makes one pass (`upload.py`). Bytes written while it runs wait for the
next. What fails stays dirty and is tried again: by the next fsync or close, and
in the background with growing pauses.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import BLOCK_SIZE, FileContent
from azfuse.cache.remote import RemoteFile
from azfuse.cache.upload import Upload
from azfuse.rest.errors import AzureFilesError

log = logging.getLogger(__name__)

#: A file with this many dirty bytes is uploaded while the program still writes. Below it,
#: everything waits for close, when the final length is known and costs no extra request.
STREAM_BYTES: Final = 64 * 1024 * 1024
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
        "error",
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
        #: Why the last upload failed, None if it did not.
        self.error: AzureFilesError | OSError | None = None
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
        #: Uploads under way, in the background or for who waits, and how those before ended.
        self._running = 0
        self._uploads = 0
        self._failed = 0
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
            self._running += 1
            try:
                await self._upload(file, final=final)
            except UPLOAD_ERRORS as error:
                self._failed += 1
                file.error = error
                file.failures += 1
                pause = min(FIRST_PAUSE * 2 ** min(file.failures - 1, 10), LONGEST_PAUSE)
                file.retry_at = self._clock() + pause
                self._last_error = error
                raise
            else:
                self._uploads += 1
                file.error = None
                file.failures = 0
                file.retry_at = 0.0
                file.dirty_since = self._clock()
                self._last_error = None
                # Only a final pass has sent the attributes too.
                if final and not file.content.changed:
                    self._pending.pop(file, None)
            finally:
                self._running -= 1
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

    def stats(self) -> dict[str, object]:
        """Return what is dirty and what became of uploads."""
        return {
            "dirtyBytes": self._cache.dirty,
            "dirtyLimitBytes": self._cache.dirty_limit,
            "dirtyFiles": len(self._pending),
            "uploadsInFlight": self._running,
            "uploads": self._uploads,
            "failedUploads": self._failed,
        }

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

    async def _upload(self, file: CachedFile, *, final: bool) -> None:
        content = file.content
        while True:
            cuts = content.truncations
            await Upload(
                self._cache, self._transfers, content, file.remote, self._signal, final=final
            ).run()
            # A cut while it ran has kept bytes back that were written before.
            if not final or cuts == content.truncations:
                return
