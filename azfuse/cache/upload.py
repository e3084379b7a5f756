"""One upload of one file: create it, set its length, put its dirty ranges, settle the rest."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import BLOCK_SIZE, Chunk, FileContent
from azfuse.cache.remote import RemoteFile
from azfuse.cache.segments import GATHER_LIMIT, Buffer
from azfuse.cache.transfers import Transfers
from azfuse.rest.errors import AzureFilesError, ServiceError, UnsupportedByVersion
from azfuse.rest.models import Body
from azfuse.rest.wire import MAX_FILE_BYTES, time_of_etag

#: The first length that a file which is uploaded while it grows is given ahead of its data;
#: each further one is sixteen times as long. The last upload sets the true length.
FIRST_ALLOCATION: Final = 1024**3
#: Small segments are sent in pieces of about this size.
JOIN_BYTES: Final = 512 * 1024


class Upload:
    """Brings what is dirty in *content* to *remote*, in as few requests as the bytes allow.

    With *final* False only whole blocks are sent, with room ahead, for a file that
    is still being written. *progress* is called whenever something became clean.
    """

    def __init__(
        self,
        cache: BlockCache,
        transfers: Transfers,
        content: FileContent,
        remote: RemoteFile,
        progress: Callable[[], None],
        *,
        final: bool,
    ) -> None:
        self._cache = cache
        self._transfers = transfers
        self._content = content
        self._remote = remote
        self._progress = progress
        self._final = final
        self._changes = 0
        self._created = self._leased = False
        self._writes = content.writes

    @property
    def _alone(self) -> bool:
        """True if nobody else can write meanwhile: we hold the lease, or just created the file."""
        return self._created or self._leased

    async def run(self) -> None:
        """Send everything. Raises the first error; what was not acknowledged stays dirty."""
        try:
            if self._remote.exists:
                await self._take_lease()
                await self._resize()
            else:
                await self._create()
                if not self._final:
                    await self._take_lease()
            chunks = self._take(whole_only=not self._final)
            if not chunks and not self._final and self._cache.over_dirty:
                chunks = self._take(whole_only=False)
            await self._put(chunks)
        finally:
            if self._changes and not self._leased:
                # Others may have written before a change of ours, and its ETag hides it.
                self._content.doubt_holes()
                if self._changes + self._created > 1:
                    self._content.exact = False
        if self._final:
            await self._remote.settle()

    def _take(self, *, whole_only: bool) -> list[Chunk]:
        """Take what is dirty; zeros over holes only if the holes can be relied on.

        In a file that was just created they can for what was written before that.
        Under a lease they can once a request since then has shown that it is ours
        still; that request moves the time of the file, too.
        """
        content = self._content
        holes = self._leased or (self._created and content.writes == self._writes)
        chunks = content.take(whole_only=whole_only, holes=holes)
        shown = self._created or self._changes or any(chunk.how != "skip" for chunk in chunks)
        if chunks and not shown:
            for chunk in chunks:
                content.put_back(chunk)
            chunks = content.take(whole_only=whole_only)
        return chunks

    async def _take_lease(self) -> None:
        """Take the file's lease if this upload should have it."""
        content = self._content
        etag = await self._remote.lease(content.count_chunks(), growing=not self._final)
        if etag is None:
            return
        self._leased = True
        if etag != content.etag:
            # Somebody wrote before we had the lease: what was cached is out of date.
            self._cache.touch(content, content.forget_clean())
            content.etag = etag

    async def _create(self) -> None:
        content, remote = self._content, self._remote
        size = content.lowest = self._length()
        head = content.take_head() if remote.takes_body else None
        try:
            if head is None:
                etag = await remote.create(size, None, 0)
            else:
                async with self._transfers.place(head.length):
                    etag = await remote.create(size, body_of(head), head.length)
                content.sent(head)
                self._touch(head)
        except UnsupportedByVersion:
            # The service turned out to be older than believed: content goes by itself.
            etag = await remote.create(size, None, 0)
        finally:
            if head is not None:
                content.put_back(head)
        self._created = True
        content.etag = etag
        content.own_changes += 1
        content.created(size)

    async def _resize(self) -> None:
        """Give the file its length on the share, without what was cut off."""
        content = self._content
        while content.must_clear():  # again if a program cut more off meanwhile
            cuts, end = content.truncations, content.remote_end
            await self._set_length(end)
            content.resized(end, cuts)
        cuts, size = content.truncations, self._length()
        if size != content.remote_size:
            try:
                await self._set_length(size)
            except ServiceError:
                if size <= content.size:
                    raise
                # Room ahead of the data was refused; the data itself may still fit.
                size = content.size
                await self._set_length(size)
        content.resized(size, cuts)

    async def _set_length(self, size: int) -> None:
        try:
            self._changed(await self._remote.resize(size))
            self._content.ends_in_holes(size)
        except BaseException:
            # It may have happened all the same.
            self._content.doubt_size()
            raise

    def _length(self) -> int:
        """Return the length to give the file: its own, or room ahead while it still grows."""
        content = self._content
        if self._final:
            return content.size
        if content.size <= content.remote_size:
            return content.remote_size
        room = FIRST_ALLOCATION
        while room < content.size:
            room *= 16
        return min(room, MAX_FILE_BYTES)

    async def _put(self, chunks: list[Chunk]) -> None:
        """Bring all *chunks* to the share in parallel; raise the first error after all have ended.

        The list is emptied. Zeros that the share has already count as sent once the others are.
        """
        content = self._content
        errors: list[AzureFilesError | OSError] = []

        async def put(chunk: Chunk) -> None:
            try:
                async with self._transfers.place(0 if chunk.how == "clear" else chunk.length):
                    etag = await self._send(chunk)
                self._changed(etag)
                content.sent(chunk)
                self._touch(chunk)
                self._progress()
            except (AzureFilesError, OSError) as error:
                errors.append(error)
            finally:
                content.put_back(chunk)

        there = [chunk for chunk in chunks if chunk.how == "skip"]
        travelling = deque(chunk for chunk in chunks if chunk.how != "skip")
        # What was sent may be evicted, while the last of many chunks is still on its way: it
        # must not be held here.
        chunks.clear()
        try:
            if len(travelling) == 1:
                await put(travelling.popleft())
            elif travelling:
                async with trio.open_nursery() as nursery:
                    while travelling:
                        nursery.start_soon(put, travelling.popleft())
            if errors:
                raise errors[0]
            for chunk in there:
                content.sent(chunk)
            self._touch(*there)
        finally:
            for chunk in there:
                content.put_back(chunk)

    async def _send(self, chunk: Chunk) -> str:
        if chunk.how == "clear":
            return await self._remote.clear_range(chunk.start, chunk.length)
        return await self._remote.put_range(chunk.start, chunk.length, body_of(chunk))

    def _touch(self, *chunks: Chunk) -> None:
        blocks = {
            index
            for chunk in chunks
            for index in range(chunk.start // BLOCK_SIZE, (chunk.end - 1) // BLOCK_SIZE + 1)
        }
        self._cache.touch(self._content, sorted(blocks))
        self._cache.evict()

    def _changed(self, etag: str) -> None:
        """Bind the content to the ETag of a change of ours; of parallel ones the latest counts.

        Unless we are alone somebody else may have written before this change: then
        the new ETag does not vouch for what was cached before it.
        """
        content = self._content
        self._changes += 1
        if not self._alone and (content.cached or self._changes > 1):
            content.continuous = False
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
