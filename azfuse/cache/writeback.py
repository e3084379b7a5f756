"""Writing: what is dirty is uploaded in time, never dropped, and held against a bound.

A flush makes one pass (`upload.py`). Bytes written while it runs wait for the
next. What fails stays dirty and is tried again: by the next fsync or close, and
in the background with growing pauses. With a delay (`-o writeback`) a close only
waits until everything is in the journal, and the upload follows.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import BLOCK_SIZE, FileContent
from azfuse.cache.journal import Journal, Record
from azfuse.cache.remote import RemoteFile
from azfuse.cache.transfers import Transfers
from azfuse.cache.upload import Upload
from azfuse.rest.errors import AzureFilesError, ErrorCode, ServiceError

log = logging.getLogger(__name__)

#: A file with this many dirty bytes is uploaded while the program still writes. Below it,
#: everything waits for close, when the final length is known and costs no extra request.
STREAM_BYTES: Final = 64 * 1024 * 1024
#: A file with more dirty bytes than this is uploaded at close even with a delay: the bytes
#: would take about as long to the disk, and the upload is not held up by latency.
MOST_JOURNALED: Final = 64 * 1024 * 1024
#: With more files than this waiting, a close waits for the share even with a delay.
MOST_PENDING: Final = 20_000
#: A record with this many bytes more than twice what is dirty is written anew.
SLACK_BYTES: Final = 16 * 1024 * 1024
#: Pauses between background tries after failures, in seconds: doubling, up to the second.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
#: Least time between two looks at what is due, in seconds.
_LOOK_PAUSE: Final = 0.05

UPLOAD_ERRORS = (AzureFilesError, OSError)


class CachedFile:
    """A file's content and where it lives on the share, with the state of its uploads."""

    __slots__ = (
        "__weakref__", "content", "due", "error", "failures", "kept_cuts", "lock", "record",
        "remote", "retry_at", "scratch",
    )  # fmt: skip

    def __init__(self, content: FileContent, remote: RemoteFile) -> None:
        self.content = content
        self.remote = remote
        #: Held across the requests of an upload, and by a rename of the file.
        self.lock = trio.Lock()
        #: Monotonic time from which it is uploaded in the background.
        self.due = 0.0
        self.failures = 0
        #: Why the last upload failed, None if it did not.
        self.error: AzureFilesError | OSError | None = None
        self.retry_at = 0.0
        #: Unlinked while open: its bytes go to the share only for want of memory.
        self.scratch = False
        #: The file's record in the journal, if it has one.
        self.record: Record | None = None
        #: The cuts that were made when the record was last written, -1 where it may be incomplete.
        self.kept_cuts = -1


#: A file that could not be uploaded, and why.
Failure = tuple[CachedFile, AzureFilesError | OSError]


class WriteBack:
    """Uploads for all files of a mount."""

    def __init__(
        self,
        cache: BlockCache,
        nursery: trio.Nursery,
        transfers: Transfers,
        clock: Callable[[], float],
        dirty_expire: float,
        journal: Journal,
        delay: float | None = None,
    ) -> None:
        """*dirty_expire* and *delay* are seconds; without a *delay* a close waits for the share."""
        self._cache = cache
        self._nursery = nursery
        self._transfers = transfers
        self._clock = clock
        self._dirty_expire = dirty_expire
        self._journal = journal
        self._delay = delay
        self._stream_bytes = min(STREAM_BYTES, max(cache.dirty_limit // 2, BLOCK_SIZE))
        self._pending: dict[CachedFile, None] = {}
        #: Those of them whose last upload has failed.
        self._failing: dict[CachedFile, None] = {}
        self._uploading: set[CachedFile] = set()
        #: So few at once that whoever asks in the foreground never queues behind hundreds.
        self._background = trio.CapacityLimiter(transfers.large)
        #: Uploads under way, in the background or for who waits, and how those before ended.
        self._running = 0
        self._uploads = 0
        self._failed = 0
        self._progress = trio.Event()
        self._news = trio.Event()
        self._next_look = 0.0
        self._last_error: AzureFilesError | OSError | None = None

    @property
    def pending(self) -> tuple[CachedFile, ...]:
        """The files whose content or attributes the share does not have yet."""
        return tuple(self._pending)

    @property
    def delays(self) -> bool:
        """True if a close need not wait for the share."""
        return self._delay is not None

    def note(self, file: CachedFile) -> None:
        """Take notice that *file* was written, truncated, created or has attributes to send."""
        if file not in self._pending:
            self._pending[file] = None
            self._schedule(file, self._dirty_expire)
        streaming = file.content.dirty_bytes >= self._stream_bytes and not file.scratch
        if streaming or self._cache.over_dirty:
            self._start(file, final=False)

    def forget(self, file: CachedFile) -> None:
        """Drop what is dirty: the file was unlinked, or was gone from the share."""
        self._pending.pop(file, None)
        self._failing.pop(file, None)
        self._cache.discard(file.content)
        self._strike_out(file)
        self._signal()

    def room_made(self) -> None:
        """Try soon again what the share had no room for: something of it was removed."""
        for file in self._failing:
            error = file.error
            full = ErrorCode.SHARE_SIZE_LIMIT_REACHED
            if isinstance(error, ServiceError) and error.code == full:
                file.retry_at = min(file.retry_at, self._clock() + FIRST_PAUSE)
                self._schedule(file, file.retry_at - self._clock())

    async def throttle(self) -> None:
        """Wait while too much is dirty. Raises the error of the last upload if all have failed."""
        while self._cache.over_dirty:
            for file in self._pending:
                self._start(file, final=False)
            if not self._uploading and self._last_error is not None:
                raise self._last_error
            await self._progress.wait()

    async def hand_over(self, file: CachedFile) -> bool:
        """Let the journal have what a close would wait for; say whether that will do.

        Not without a delay, nor for very much data, nor where the disk refuses it.
        """
        if self._delay is None or file.scratch:
            return False
        if file.content.dirty_bytes > MOST_JOURNALED or len(self._pending) > MOST_PENDING:
            return False
        if file in self._pending:
            try:
                await self.keep(file)
            except OSError as error:
                log.warning("uploading at once instead: %s", error.strerror)
                return False
            self._schedule(file, self._delay)
        return True

    async def keep(self, file: CachedFile) -> None:
        """Put everything written so far into the journal; return when it would survive a crash.

        Raises OSError.
        """
        content, before = file.content, file.record
        record = self._record_of(file)
        if record is None:
            return
        cuts = content.truncations
        whole = (
            before is None
            or file.kept_cuts != cuts
            or self._journal.bytes_of(before.id) > 2 * content.dirty_bytes + SLACK_BYTES
        )
        runs = content.to_journal(everything=whole)
        nothing_new = not whole and not runs
        if before is not None and nothing_new and replace(record, moment=before.moment) == before:
            return
        file.record, file.kept_cuts = record, -1
        await self._journal.put(record, runs, replace=whole)
        if file.record is record:  # else another one is on its way, and may yet fail
            file.kept_cuts = cuts

    async def settled(self) -> None:
        """Return when `forget` and `renote` would not be undone by the end of this process."""
        await self._journal.settled()

    def restored(self, file: CachedFile, record: Record | None) -> None:
        """Take notice of a file that was brought back from its *record* in the journal."""
        if record is not None:
            file.record = record
        self._cache.touch(file.content, list(file.content.blocks))
        self._pending[file] = None
        self._schedule(file, 0.0)

    def renote(self, file: CachedFile) -> None:
        """Have the journal note anew where *file* is and what programs set of it."""
        if file.record is None:
            return
        record = self._record_of(file)
        if record is None:
            self._strike_out(file)
        else:
            # The lengths stay: they belong to the bytes that were kept with them.
            file.record = replace(file.record, note=record.note, moment=record.moment)
            self._journal.note(file.record)

    async def flush(self, file: CachedFile, *, final: bool = True) -> None:
        """Bring everything written so far to the share; return when it is there.

        With *final* False only whole blocks are sent, for a file that is still
        being written. Raises what the service or the connection raised; what was
        not sent stays dirty.
        """
        await self._flush(file, final=final)
        # A record of what was there before would be put over it after a crash.
        await self._journal.settled(durable=True)

    async def _flush(self, file: CachedFile, *, final: bool) -> None:
        async with file.lock:
            if file not in self._pending:
                return
            before = file.record
            self._running += 1
            try:
                await self._upload(file, final=final)
            except UPLOAD_ERRORS as error:
                self._failed += 1
                file.error = error
                file.failures += 1
                if file in self._pending:  # else it was unlinked meanwhile
                    self._failing[file] = None
                pause = min(FIRST_PAUSE * 2 ** min(file.failures - 1, 10), LONGEST_PAUSE)
                file.retry_at = self._clock() + pause
                if file.due > file.retry_at:
                    self._schedule(file, pause)
                self._last_error = error
                raise
            else:
                self._uploads += 1
                file.error = None
                self._failing.pop(file, None)
                file.failures = 0
                file.retry_at = 0.0
                self._last_error = None
                # Only a final pass has sent the attributes too.
                if final and not file.content.changed:
                    self._pending.pop(file, None)
                    self._strike_out(file)
                else:
                    self._schedule(file, self._dirty_expire)
                    if final:
                        await self._outdated(file, before)
            finally:
                self._running -= 1
                self._signal()

    async def run(self) -> None:
        """Upload in the background what is due. Runs until cancelled."""
        while True:
            self._news = trio.Event()
            now = self._clock()
            self._next_look = now + LONGEST_PAUSE
            for file in self.pending:
                if file.scratch or file in self._uploading:
                    continue
                due = max(file.due, file.retry_at)
                if due <= now:
                    self._start(file, final=True)
                else:
                    self._next_look = min(self._next_look, due)
            with trio.move_on_after(self._next_look - now):
                await self._news.wait()
            await trio.sleep(_LOOK_PAUSE)

    async def flush_all(self, files: Iterable[CachedFile]) -> list[Failure]:
        """Flush many files side by side; return those that failed, with the errors."""
        failed: list[Failure] = []

        async def attempt(file: CachedFile) -> None:
            try:
                await self._flush(file, final=True)
            except UPLOAD_ERRORS as error:
                failed.append((file, error))

        async with trio.open_nursery() as nursery:
            for file in files:
                nursery.start_soon(attempt, file)
        await self._journal.settled(durable=True)
        return failed

    async def drain(self) -> list[Failure]:
        """Upload everything; return the files that could not be uploaded, with the errors."""
        failed: list[Failure] = []
        while waiting := [
            file
            for file in self._pending
            if not file.scratch and all(file is not other for other, _ in failed)
        ]:
            failed += await self.flush_all(waiting)
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

    def _schedule(self, file: CachedFile, delay: float) -> None:
        """Have *file* uploaded in *delay* seconds, whatever was said before."""
        file.due = self._clock() + delay
        if max(file.due, file.retry_at) < self._next_look:
            self._news.set()

    def _start(self, file: CachedFile, *, final: bool) -> None:
        if file not in self._uploading and file.retry_at <= self._clock():
            self._uploading.add(file)
            self._nursery.start_soon(self._in_background, file, final)

    async def _in_background(self, file: CachedFile, final: bool) -> None:
        try:
            async with self._background:
                await self._flush(file, final=final)
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
            if file in self._pending and max(file.due, file.retry_at) < self._next_look:
                self._news.set()

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

    # -- the journal --------------------------------------------------------------------

    def _record_of(self, file: CachedFile) -> Record | None:
        """Return the record of *file* as it is to be now, None where it is not worth one."""
        content, note = file.content, file.remote.note()
        if note is None:
            return None
        number = file.record.id if file.record is not None else self._journal.new_id()
        # The share's file may be longer also because it was given room ahead.
        end = min(content.remote_end, content.size)
        return Record(number, note, content.size, end, end != content.remote_size, time.time())

    async def _outdated(self, file: CachedFile, before: Record | None) -> None:
        """See to the record after an upload during which programs wrote more.

        What it was at the beginning, *before*, the share has, or something newer. Put
        over that after a crash, it would undo what an fsync has waited for.
        """
        if file.record is before:
            self._strike_out(file)
        elif file.record is not None:
            file.kept_cuts = -1
            await self.keep(file)

    def _strike_out(self, file: CachedFile) -> None:
        if file.record is not None:
            self._journal.forget(file.record.id)
            file.record = None
