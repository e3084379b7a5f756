"""Reading files: Get File, to a reader's taste or straight into a buffer."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from azfuse.rest.errors import ErrorCode, InvalidResponse, ServiceError, ServiceUnavailable
from azfuse.rest.exchange import Call, Exchange
from azfuse.rest.headers import lease_header, parse_content_range, parse_file_properties
from azfuse.rest.models import FileProperties
from azfuse.rest.resource import Resource
from azfuse.rest.retry import TryFailed
from azfuse.rest.wire import MAX_RANGE_BYTES, format_range

_OPERATION: Final = "GetFile"


class Download:
    """An answer of Get File: `length` bytes from `offset`, which is where the answer begins."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.properties: FileProperties = parse_file_properties(exchange)
        self.offset = _first_byte(exchange)
        self.length: int = exchange.content_length or 0

    async def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes, once.

        Raises ServiceUnavailable where it is cut short. It is not asked for
        again: only the reader knows whether bytes of a newer state would fit.
        """
        try:
            async with aclosing(self._exchange.iter_bytes()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except TryFailed as failure:
            raise ServiceUnavailable(f"{_OPERATION}: {failure}") from failure


def _first_byte(exchange: Exchange) -> int:
    span = parse_content_range(exchange)
    return 0 if span is None else span[0]


class _Filling:
    """A buffer on its way to being full, over as many tries as it takes."""

    def __init__(self, buffer: memoryview, offset: int) -> None:
        self._buffer = buffer
        self._offset = offset
        self._etag = ""
        self.received = 0

    @property
    def next_range(self) -> str:
        """Return the range that is still missing."""
        return format_range(self._offset + self.received, len(self._buffer) - self.received)

    @property
    def missing(self) -> int:
        """Return the number of bytes that are still missing."""
        return len(self._buffer) - self.received

    def start_over(self) -> None:
        """Forget what was received: it was of another state of the file."""
        self._etag = ""
        self.received = 0

    async def consume(self, exchange: Exchange) -> FileProperties:
        """Take one answer. Raises TryFailed where the next try has to bring the rest."""
        properties = parse_file_properties(exchange)
        if self.received and properties.etag != self._etag:
            self.start_over()
            raise TryFailed("the file changed between two tries", connected=True, uncertain=False)
        expected = self._offset + self.received
        if _first_byte(exchange) != expected:
            raise InvalidResponse(
                f"{_OPERATION}: bytes from {_first_byte(exchange)} instead of {expected}"
            )
        self._etag = properties.etag
        # Only a service that took no notice of the range may have more than was asked for.
        if exchange.status != 200 and (exchange.content_length or 0) > self.missing:
            raise InvalidResponse(f"{_OPERATION}: more bytes than asked for")
        async with aclosing(exchange.fill(self._buffer[self.received :])) as counts:
            async for count in counts:
                self.received += count
        return properties


class FileReading(Resource):
    """Get File and Get File Properties."""

    @asynccontextmanager
    async def get_file(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        lease_id: str | None = None,
        range_md5: bool = False,
    ) -> AsyncIterator[Download]:
        """Get File, the whole or a range, as a body to be read within the context.

        The range is clipped to the file. Raises ServiceError InvalidRange where
        it begins at the end or past it, and ValueError for *range_md5* with more
        than 4 MiB or an open end.
        """
        if offset < 0 or (length is not None and length < 1):
            raise ValueError(f"not a range of a file: {length} bytes from {offset}")
        headers = lease_header(lease_id)
        if length is not None:
            headers["x-ms-range"] = format_range(offset, length)
        elif offset:
            headers["x-ms-range"] = f"bytes={offset}-"
        if range_md5:
            if length is None or length > MAX_RANGE_BYTES:
                raise ValueError(f"a range with MD5 has at most {MAX_RANGE_BYTES} bytes")
            headers["x-ms-range-get-content-md5"] = "true"

        def build(version: str) -> Call:
            return self._call(_OPERATION, "GET", path, version, headers=headers)

        async with self.transport.open(build) as exchange:
            yield Download(exchange)

    async def read_file_into(
        self, path: str, buffer: memoryview, *, offset: int, lease_id: str | None = None
    ) -> tuple[FileProperties, int]:
        """Get File: fill *buffer* with the bytes from *offset*; return how many there were.

        Fewer than the buffer holds means the end of the file. Reading at the end
        or past it costs a second request, Get File Properties, as the refusal
        says nothing but the size. All bytes are of one state of the file, the
        one that the properties tell: a body that is cut short is continued only
        under the same ETag, else read anew. What is in the buffer after an
        exception is undefined.
        """
        if offset < 0 or not buffer:
            raise ValueError(f"not a range of a file: {len(buffer)} bytes from {offset}")
        filling = _Filling(buffer.cast("B"), offset)

        def build(version: str) -> Call:
            return self._call(
                _OPERATION,
                "GET",
                path,
                version,
                headers={"x-ms-range": filling.next_range, **lease_header(lease_id)},
                answer_length=filling.missing,
            )

        while True:
            try:
                return await self.transport.receive(build, filling.consume), filling.received
            except ServiceError as error:
                if error.code != ErrorCode.INVALID_RANGE:
                    raise
            filling.start_over()
            properties = await self.get_file_properties(path, lease_id=lease_id)
            if properties.size <= offset:
                return properties, 0
            # The file grew, or shrank under a body that was cut: read what there is now.

    async def get_file_properties(
        self, path: str, *, lease_id: str | None = None
    ) -> FileProperties:
        """Get File Properties. Metadata comes with it."""

        def build(version: str) -> Call:
            headers = lease_header(lease_id)
            return self._call("GetFileProperties", "HEAD", path, version, headers=headers)

        exchange, _ = await self.transport.request(build)
        return parse_file_properties(exchange)
