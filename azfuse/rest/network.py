"""An httpx transport over trio: HTTP/1.1 to one host, for bodies of megabytes.

h11 reads and writes the heads. Bodies of known length pass it by: pieces go to
the socket as they are, and come from it straight into the reader's buffer. A
small request takes a quarter of the time that httpx's own transport takes.
How many connections there are is up to the caller; idle ones are kept.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol, cast, runtime_checkable

import h11
import httpx
import trio

from azfuse.rest.streams import ByteStream, TcpStream, TlsStream

#: Seconds after which an idle connection is not used again. Shorter than the load balancers of
#: the service keep them, so that a request seldom meets a connection that is being closed.
KEEP_ALIVE: Final = 60.0
#: Bytes of one read where no buffer of the reader is filled.
_CHUNK_BYTES: Final = 64 * 1024
#: Largest head of an answer: metadata alone may have 8 KiB.
_HEAD_BYTES: Final = 256 * 1024
#: Statuses whose answers have no body whatever their headers say.
_BODILESS: Final = frozenset({204, 304})


@runtime_checkable
class ReadsInto(Protocol):
    """A response body that can fill a buffer without a copy between."""

    async def read_into(self, buffer: memoryview) -> int:
        """Read at least one byte, 0 at the end. Raises httpx.TransportError."""


_BROKEN: Final[dict[type[httpx.TimeoutException], type[httpx.NetworkError]]] = {
    httpx.ConnectTimeout: httpx.ConnectError,
    httpx.ReadTimeout: httpx.ReadError,
    httpx.WriteTimeout: httpx.WriteError,
}


@contextmanager
def _translated(timeout: float, late: type[httpx.TimeoutException]) -> Iterator[None]:
    """Bound an exchange with the socket to *timeout* seconds, and turn errors into httpx's."""
    try:
        with trio.fail_after(timeout):
            yield
    except trio.TooSlowError as error:
        raise late(f"nothing for {timeout} s") from error
    except (OSError, trio.ClosedResourceError) as error:
        raise _BROKEN[late](f"{type(error).__name__}: {error}") from error
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error


class _Connection:
    """One connection and the exchange on it."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.idle_since = 0.0
        #: The present request went out whole.
        self.sent = False
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, request: httpx.Request) -> None:
        """Send head and body. Raises httpx.TransportError."""
        timeout = request.extensions["timeout"]["write"]
        self.sent = False
        try:
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
            head = self._http.send(
                h11.Request(
                    method=request.method,
                    target=request.url.raw_path,
                    headers=request.headers.raw,
                )
            )
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        body = cast("httpx.AsyncByteStream", request.stream)
        pending = head or b""
        async for piece in body:
            with _translated(timeout, httpx.WriteTimeout):
                if len(piece) <= _CHUNK_BYTES:
                    # One packet, not two, for what is small.
                    await self.stream.send_all(pending + piece)
                else:
                    if pending:
                        await self.stream.send_all(pending)
                    await self.stream.send_all(piece)
            pending = b""
        if pending:
            with _translated(timeout, httpx.WriteTimeout):
                await self.stream.send_all(pending)
        self.sent = True

    async def receive_head(self, timeout: float) -> h11.Response:
        """Receive the head of the answer. Raises httpx.TransportError."""
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while True:
            with _translated(timeout, httpx.ReadTimeout):
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    return event
                if event is h11.NEED_DATA:
                    count = await self.stream.receive_into(buffer)
                    if not count:
                        raise httpx.RemoteProtocolError("closed before an answer")
                    self._http.receive_data(bytes(buffer[:count]))

    @property
    def http(self) -> h11.Connection:
        """Return the parser of the present exchange."""
        return self._http

    def young(self) -> bool:
        """Say whether the service will not have closed an idle connection for its age."""
        return trio.current_time() - self.idle_since < KEEP_ALIVE

    def usable(self) -> bool:
        """Say whether an idle connection may be used again: young, and nothing heard of its end."""
        return self.young() and not self.stream.readable()


class _Body(httpx.AsyncByteStream):
    """The body of an answer; gives its connection back when it is closed."""

    def __init__(
        self,
        network: "Network",
        connection: _Connection,
        request: httpx.Request,
        head: h11.Response,
    ) -> None:
        self._network = network
        self._connection = connection
        self._timeout = request.extensions["timeout"]["read"]
        headers = dict(head.headers)
        self._reusable = (
            connection.sent
            and head.http_version == b"1.1"
            and b"close" not in headers.get(b"connection", b"").lower()
        )
        #: Bytes to come where that is known, None where h11 finds the end.
        self._left: int | None = None
        if request.method == "HEAD" or head.status_code in _BODILESS:
            self._left = 0
        elif b"transfer-encoding" not in headers and b"content-length" in headers:
            self._left = int(headers[b"content-length"])
        #: Bytes that came with the head.
        self._ahead = memoryview(b"")
        if self._left is not None:
            self._ahead = memoryview(connection.http.trailing_data[0])
            # More than the body: whose bytes are these? No further answer is read after them.
            self._reusable &= len(self._ahead) <= self._left
            self._ahead = self._ahead[: self._left]
        self._ended = self._left == 0

    async def read_into(self, buffer: memoryview) -> int:
        """Read at least one byte, 0 at the end. Raises httpx.TransportError."""
        if self._left is None:
            return await self._read_parsed(buffer)
        buffer = buffer[: self._left]
        if not buffer:
            return 0
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
        else:
            with _translated(self._timeout, httpx.ReadTimeout):
                count = await self._connection.stream.receive_into(buffer)
            if not count:
                raise httpx.RemoteProtocolError(f"closed with {self._left} bytes to come")
        self._left -= count
        self._ended = self._left == 0
        return count

    async def _read_parsed(self, buffer: memoryview) -> int:
        """Read a chunked body, or one that ends with the connection, through h11."""
        http = self._connection.http
        while not self._ended:
            if self._ahead:
                count = min(len(buffer), len(self._ahead))
                buffer[:count] = self._ahead[:count]
                self._ahead = self._ahead[count:]
                return count
            with _translated(self._timeout, httpx.ReadTimeout):
                event = http.next_event()
                if event is h11.NEED_DATA:
                    scratch = memoryview(bytearray(_CHUNK_BYTES))
                    count = await self._connection.stream.receive_into(scratch)
                    http.receive_data(bytes(scratch[:count]))
                elif isinstance(event, h11.Data):
                    self._ahead = memoryview(event.data)
                else:
                    self._ended = True
                    self._reusable &= http.their_state is h11.DONE
        return 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._ended:
            buffer = bytearray(min(_CHUNK_BYTES, self._left or _CHUNK_BYTES))
            count = await self.read_into(memoryview(buffer))
            if count:
                yield bytes(buffer) if count == len(buffer) else bytes(buffer[:count])

    async def aclose(self) -> None:
        """Give the connection back, or close it where something of the answer is left."""
        connection, ended = self._connection, self._ended and self._reusable
        self._reusable = False  # Closing twice must not give it back twice.
        self._network.give_back(connection, reusable=ended)


class Network(httpx.AsyncBaseTransport):
    """Connections to the one host of *origin*, over TLS where *context* is given."""

    def __init__(self, origin: httpx.URL, context: ssl.SSLContext | None) -> None:
        self._host = origin.host
        self._port = origin.port or (80 if context is None else 443)
        self._context = context
        self._idle: list[_Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* and return the head of its answer. Raises httpx.TransportError."""
        connection = self._take() or await self._connect(request.extensions["timeout"]["connect"])
        timeout = request.extensions["timeout"]["read"]
        try:
            with suppress(httpx.WriteError):
                # Who refuses a body may answer and close before all of it was sent. Without
                # an answer the reading tells that the connection is lost.
                await connection.send(request)
            head = await connection.receive_head(timeout)
            body = _Body(self, connection, request, head)
        except BaseException:
            connection.stream.close()
            raise
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=body)

    def give_back(self, connection: _Connection, *, reusable: bool) -> None:
        """Take a connection that is done with an exchange. Does not checkpoint."""
        if reusable:
            connection.idle_since = trio.current_time()
            self._idle.append(connection)
        else:
            connection.stream.close()
        # The first is the one idle longest: after a burst nobody would come for it.
        while self._idle and not self._idle[0].young():
            self._idle.pop(0).stream.close()

    def _take(self) -> _Connection | None:
        """Return the good connection that was used last; close the bad ones met on the way."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.stream.close()
        return None

    async def _connect(self, timeout: float) -> _Connection:
        with _translated(timeout, httpx.ConnectTimeout):
            tcp = await TcpStream.connect(self._host, self._port)
            if self._context is None:
                return _Connection(tcp)
            try:
                tls = TlsStream(tcp, self._context, self._host)
                await tls.handshake()
            except BaseException:
                tcp.close()
                raise
            return _Connection(tls)

    async def aclose(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.stream.close()
        self._idle.clear()
