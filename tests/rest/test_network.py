"""Our HTTP transport against a real socket: framing, reuse, loss, time-outs, TLS."""

import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from azfuse.rest.network import Network

pytestmark = pytest.mark.anyio

TIMEOUT = {"connect": 5.0, "read": 0.5, "write": 0.5, "pool": None}
OK = b"HTTP/1.1 200 OK\r\nETag: x\r\nX-Ms-Meta-Foo: bar\r\n"
Peer = Callable[["Server", trio.abc.Stream], Awaitable[None]]


class Server:
    """Counts connections, notes requests, and leaves each connection to *peer*."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.connections = 0
        self.requests: list[bytes] = []
        self.bodies: list[bytes] = []

    async def handle(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        try:
            await self.peer(self, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            await trio.aclose_forcefully(stream)

    def handler(self, context: ssl.SSLContext | None) -> Any:
        async def handle(stream: trio.SocketStream) -> None:
            if context is None:
                await self.handle(stream)
                return
            tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            try:
                await tls.do_handshake()
            except trio.BrokenResourceError:
                return
            await self.handle(tls)

        return handle

    async def request(self, stream: trio.abc.Stream, *, body: bool = True) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            got = await stream.receive_some()
            if not got:
                raise trio.BrokenResourceError
            data += got
        head, _, rest = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        parts = [rest]
        while body and length > sum(map(len, parts)):
            parts.append(bytes(await stream.receive_some()))
        self.requests.append(head)
        self.bodies.append(b"".join(parts))
        return head


@asynccontextmanager
async def serving(peer: Peer, context: ssl.SSLContext | None = None):
    server = Server(peer)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, server.handler(context), 0)
        yield server, listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class Bytes(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def __aiter__(self):
        return self

    async def __anext__(self) -> bytes:
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


def request(port: int, method: str = "GET", *pieces: bytes, scheme: str = "http") -> httpx.Request:
    headers = {"host": "localhost"}
    if pieces:
        headers["content-length"] = str(sum(map(len, pieces)))
    return httpx.Request(
        method,
        f"{scheme}://localhost:{port}/a%20b?c=d",
        headers=headers,
        stream=Bytes(*pieces),
        extensions={"timeout": TIMEOUT},
    )


def network(port: int, context: ssl.SSLContext | None = None) -> Network:
    return Network(httpx.URL(f"http://localhost:{port}"), context)


async def exchange(transport: Network, sent: httpx.Request) -> tuple[int, bytes]:
    response = await transport.handle_async_request(sent)
    try:
        return response.status_code, b"".join([chunk async for chunk in response.stream])  # type: ignore[union-attr]
    finally:
        await response.aclose()


def answering(*answers: bytes) -> Peer:
    async def peer(server: Server, stream: trio.abc.Stream) -> None:
        for answer in answers:
            await server.request(stream)
            await stream.send_all(answer)
        await server.request(stream)  # until the client goes

    return peer


async def test_framings_share_a_connection():
    answers = [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Content-Length: 77\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]
    async with serving(answering(*answers)) as (server, port), network(port) as transport:
        assert await exchange(transport, request(port)) == (200, b"hello")
        assert await exchange(transport, request(port)) == (200, b"abcde")
        assert await exchange(transport, request(port)) == (200, b"")
        assert await exchange(transport, request(port, "HEAD")) == (200, b"")
        assert await exchange(transport, request(port, "DELETE")) == (204, b"")
        assert await exchange(transport, request(port)) == (200, b"")
        assert server.connections == 1
        assert server.requests[0].startswith(b"GET /a%20b?c=d HTTP/1.1\r\n")


async def test_head_keeps_letter_case():
    async with (
        serving(answering(OK + b"Content-Length: 0\r\n\r\n")) as (_, port),
        network(port) as transport,
    ):
        response = await transport.handle_async_request(request(port))
        assert (b"X-Ms-Meta-Foo", b"bar") in response.headers.raw
        await response.aclose()


async def test_body_until_close():
    async def peer(server, stream):
        await server.request(stream)
        await stream.send_all(OK + b"\r\nsome")
        await stream.send_all(b"thing")

    async with serving(peer) as (server, port), network(port) as transport:
        for _ in range(2):
            assert await exchange(transport, request(port)) == (200, b"something")
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Content-Length: 1\r\n\r\nxSURPLUS",
    ],
)
async def test_connections_that_are_not_used_again(answer):
    async with serving(answering(answer, answer)) as (server, port), network(port) as transport:
        for _ in range(2):
            assert await exchange(transport, request(port)) == (200, b"x")
        assert server.connections == 2


async def test_idle_connection_that_was_closed_is_not_used():
    async def peer(server, stream):
        await server.request(stream)
        await stream.send_all(OK + b"Content-Length: 1\r\n\r\nx")

    async with serving(peer) as (server, port), network(port) as transport:
        for _ in range(3):
            assert await exchange(transport, request(port)) == (200, b"x")
            await trio.sleep(0.02)
        assert server.connections == 3


async def test_bodies_go_up_whole():
    pieces: list[Any] = [b"x" * 10, memoryview(b"y" * 300_000), b"z" * 70_000]
    async with (
        serving(answering(OK + b"Content-Length: 0\r\n\r\n")) as (server, port),
        network(port) as transport,
    ):
        assert await exchange(transport, request(port, "PUT", *pieces)) == (200, b"")
        assert server.bodies == [b"".join(pieces)]


async def test_refusal_before_the_body_is_sent():
    async def peer(server, stream):
        await server.request(stream, body=False)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        with trio.move_on_after(1):
            async for _ in stream:
                pass

    async with serving(peer) as (_, port), network(port) as transport:
        status, body = await exchange(transport, request(port, "PUT", b"x" * 8_000_000))
        assert (status, body) == (413, b"no")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200", httpx.RemoteProtocolError),
        (b"nonsense\r\n\r\n", httpx.RemoteProtocolError),
        (OK + b"Content-Length: 10\r\n\r\nabc", httpx.RemoteProtocolError),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab", httpx.RemoteProtocolError),
    ],
)
async def test_lost(answer, error):
    async def peer(server, stream):
        await server.request(stream)
        await stream.send_all(answer)

    async with serving(peer) as (_, port), network(port) as transport:
        with pytest.raises(error):
            await exchange(transport, request(port))


@pytest.mark.parametrize("answer", [b"", OK + b"Content-Length: 10\r\n\r\nabc"])
async def test_silence(answer):
    async def peer(server, stream):
        await server.request(stream)
        await stream.send_all(answer)
        await trio.sleep_forever()

    async with serving(peer) as (_, port), network(port) as transport:
        with pytest.raises(httpx.ReadTimeout):
            await exchange(transport, request(port))


async def test_peer_that_does_not_read():
    async def peer(server, stream):
        await trio.sleep_forever()

    async with serving(peer) as (_, port), network(port) as transport:
        with pytest.raises((httpx.WriteTimeout, httpx.ReadTimeout)):
            await exchange(transport, request(port, "PUT", b"x" * 30_000_000))


async def test_nobody_there():
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with network(port) as transport:
        with pytest.raises(httpx.ConnectError):
            await exchange(transport, request(port))
    async with Network(httpx.URL("http://name.invalid"), None) as transport:
        with pytest.raises(httpx.ConnectError):
            await exchange(transport, request(80))


async def test_reading_into_a_buffer():
    body = bytes(range(256)) * 4096
    answers = [OK + b"Content-Length: %d\r\n\r\n" % len(body) + body] * 2
    async with serving(answering(*answers)) as (server, port), network(port) as transport:
        response = await transport.handle_async_request(request(port))
        buffer = memoryview(bytearray(len(body) + 10))
        filled = 0
        while count := await response.stream.read_into(buffer[filled:]):  # type: ignore[union-attr]
            filled += count
        await response.aclose()
        assert buffer[:filled] == body
        assert await exchange(transport, request(port)) == (200, body)
        assert server.connections == 1


async def test_body_given_up_half_read():
    answers = [OK + b"Content-Length: 100000\r\n\r\n" + bytes(100000)] * 2
    async with serving(answering(*answers)) as (server, port), network(port) as transport:
        response = await transport.handle_async_request(request(port))
        await response.stream.read_into(memoryview(bytearray(10)))  # type: ignore[union-attr]
        await response.aclose()
        assert (await exchange(transport, request(port)))[0] == 200
        assert server.connections == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


async def test_tls(certificate):
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    body = bytes(range(256)) * 8192
    up = bytes(3_000_000)
    answers = [OK + b"Content-Length: %d\r\n\r\n" % len(body) + body] * 4
    async with (
        serving(answering(*answers), served) as (server, port),
        network(port, trusting) as transport,
    ):
        for _ in range(3):
            got = await exchange(transport, request(port, "PUT", up, scheme="https"))
            assert got == (200, body)
        assert server.connections == 1
        assert server.bodies == [up] * 3
    async with (
        serving(answering(), served) as (_, port),
        network(port, ssl.create_default_context()) as transport,
    ):
        with pytest.raises(httpx.ConnectError) as caught:
            await exchange(transport, request(port, scheme="https"))
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_tls_that_is_cut(certificate):
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    async def peer(server, stream):
        await server.request(stream)
        await stream.send_all(OK + b"Content-Length: 10\r\n\r\nabc")

    async with (
        serving(peer, served) as (_, port),
        network(port, trusting) as transport,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await exchange(transport, request(port, scheme="https"))


async def test_connections_that_idle_too_long_are_closed(monkeypatch):
    answers = [OK + b"Content-Length: 1\r\n\r\nx"] * 3
    async with serving(answering(*answers)) as (server, port), network(port) as transport:
        responses = [await transport.handle_async_request(request(port)) for _ in range(2)]
        for response in responses:
            assert b"".join([chunk async for chunk in response.stream]) == b"x"  # type: ignore[union-attr]
        await responses[0].aclose()
        monkeypatch.setattr("azfuse.rest.network.KEEP_ALIVE", 0.05)
        await trio.sleep(0.1)
        await responses[1].aclose()
        assert len(transport._idle) == 1
        assert server.connections == 2
        assert await exchange(transport, request(port)) == (200, b"x")
        assert server.connections == 2
