"""One request and its answer, between the operations and the HTTP client."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar, cast

import httpx
import trio

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.models import Body
from azfuse.rest.network import ReadsInto
from azfuse.rest.retry import TryFailed
from azfuse.rest.wire import METADATA_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azfuse.rest.counters import OperationCounters

T = TypeVar("T")

#: Largest piece of a body handed to the network at once: the write timeout is for one piece.
PIECE_BYTES: Final = 1024 * 1024
#: No answer that is read as a whole (listings, errors) is longer.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """One try of an operation, ready to be signed. Names of *headers* are in lower case."""

    operation: str
    method: str
    #: Encoded URL path.
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = b""
    body_length: int = 0
    #: Bytes of body that the answer may have, as far as known: it gets time for them.
    answer_length: int = 0
    #: False for what anyone may ask: no credentials go with it.
    authorized: bool = True


#: Makes the call of one try for a service version; called anew for every try.
Build = Callable[[str], Call]


class BodyStream(httpx.AsyncByteStream):
    """A request body in pieces. Raises ValueError where it is not *length* bytes long."""

    def __init__(self, body: Body, length: int, counters: "OperationCounters") -> None:
        self._body = body
        self._length = length
        self._counters = counters
        self._running: AsyncGenerator[bytes, None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._running = self._run()
        return self._running

    async def aclose(self) -> None:
        """End a body that was not sent to its end, and whatever makes it."""
        if self._running is not None:
            await self._running.aclose()

    async def _run(self) -> AsyncGenerator[bytes, None]:
        if isinstance(self._body, bytes):
            for piece in _pieces(self._body):
                yield piece
                self._counters.bytes_sent += len(piece)
            return
        sent = 0
        async with _closing(self._body()) as chunks:
            async for chunk in chunks:
                sent += len(chunk)
                if sent > self._length:
                    raise ValueError(f"the body is longer than the {self._length} bytes announced")
                for piece in _pieces(chunk):
                    yield piece
                    self._counters.bytes_sent += len(piece)
        if sent < self._length:
            raise ValueError(f"the body has {sent} bytes, not the {self._length} announced")


@asynccontextmanager
async def _closing(chunks: AsyncIterable[T]) -> AsyncIterator[AsyncIterable[T]]:
    """Close *chunks* at the end if it can be closed: trio wants generators closed at once."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _pieces(chunk: bytes | memoryview) -> "Iterator[bytes]":
    """Cut *chunk* without copying it.

    The type says bytes for httpx's sake, which only ever takes the length and
    hands the piece on; a memoryview does as well.
    """
    if len(chunk) <= PIECE_BYTES:
        if chunk:
            yield chunk  # type: ignore[misc]
        return
    view = memoryview(chunk)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]  # type: ignore[misc]


@contextmanager
def translated_errors() -> "Iterator[None]":
    """Turn what the HTTP client raises into TryFailed."""
    try:
        yield
    except (httpx.TransportError, trio.TooSlowError) as error:
        raise TryFailed.of_exception(error) from error


class Exchange:
    """The head of an answer, and a body still to be read."""

    __slots__ = (
        "_counters",
        "_has_body",
        "_response",
        "headers",
        "metadata",
        "operation",
        "status",
    )

    def __init__(self, call: Call, response: httpx.Response, counters: "OperationCounters") -> None:
        self.operation = call.operation
        self.status = response.status_code
        #: Header values by lower-cased name.
        self.headers: dict[str, str] = {}
        #: Metadata by name as written by the service.
        self.metadata: dict[str, str] = {}
        self._has_body = call.method != "HEAD"
        self._response = response
        self._counters = counters
        for raw_name, raw_value in response.headers.raw:
            name = raw_name.decode("latin-1")
            value = raw_value.decode("latin-1")
            lower = name.lower()
            self.headers[lower] = value
            if lower.startswith(METADATA_PREFIX):
                self.metadata[name[len(METADATA_PREFIX) :]] = value

    @property
    def content_length(self) -> int | None:
        """Return the announced length of the body, None where there is no (sane) one."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() else None

    async def iter_bytes(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises TryFailed where it is cut short."""
        received = 0
        # Not aiter_raw(): the stream itself costs three async generators less a chunk.
        body = cast("httpx.AsyncByteStream", self._response.stream)
        with translated_errors():
            async with _closing(aiter(body)) as chunks:
                async for chunk in chunks:
                    received += len(chunk)
                    self._counters.bytes_received += len(chunk)
                    yield chunk
        expected = self.content_length
        if self._has_body and expected is not None and received < expected:
            raise TryFailed(
                f"the body ended after {received} of {expected} bytes",
                connected=True,
                uncertain=True,
            )

    async def fill(self, buffer: memoryview) -> AsyncGenerator[int, None]:
        """Put the body into *buffer* as it comes; yield how many bytes came, until either ends.

        Raises TryFailed where the body is cut short.
        """
        body = self._response.stream
        filled = 0
        if isinstance(body, ReadsInto):
            while filled < len(buffer):
                with translated_errors():
                    count = await body.read_into(buffer[filled:])
                if not count:
                    return
                self._counters.bytes_received += count
                filled += count
                yield count
            return
        async with aclosing(self.iter_bytes()) as chunks:
            async for chunk in chunks:
                count = min(len(chunk), len(buffer) - filled)
                buffer[filled : filled + count] = chunk[:count]
                filled += count
                yield count

    async def read(self) -> bytes:
        """Return the whole body. Raises TryFailed, and InvalidResponse for an absurd length."""
        chunks: list[bytes] = []
        length = 0
        async with aclosing(self.iter_bytes()) as body:
            async for chunk in body:
                length += len(chunk)
                if length > MAX_ANSWER_BYTES:
                    raise InvalidResponse(f"{self.operation}: more than {MAX_ANSWER_BYTES} bytes")
                chunks.append(chunk)
        return b"".join(chunks)

    async def close(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        await self._response.aclose()
