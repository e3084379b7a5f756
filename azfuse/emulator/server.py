"""The emulator on a port: uvicorn, and the two things that ASGI cannot say.

Header names keep the letter case they are written in, in both directions, because metadata names
are given back as they were written; and a connection can be reset.
"""

import asyncio
import errno
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from azfuse.emulator.app import HEADER_NAME, RESET, Emulator
from azfuse.emulator.request import WRITTEN_NAMES
from azfuse.rest.wire import MAX_RANGE_BYTES

if TYPE_CHECKING:
    from azfuse.emulator.tls import Certificate

#: Bytes up to which an answer is put together into one packet.
_JOINED: Final = 16 * 1024
#: Nodes of deleted shares collected at a time.
_COLLECT: Final = 250
#: Bytes of a body that are read before the handler asks for them; uvicorn itself reads 64 KiB.
_READ_AHEAD: Final = 2 * MAX_RANGE_BYTES


class CannotListen(Exception):  # noqa: N818 (it says what happened)
    """The address cannot be listened on; the message is one sentence for the user."""


class WrittenName(bytes):
    """A header name that keeps its letter case where uvicorn lower-cases it."""

    __slots__ = ()

    def lower(self) -> bytes:
        """Return the name as it is."""
        return self


class JoiningTransport:
    """A transport that sends the head of an answer and a short body in one packet.

    uvicorn writes them one after the other, which costs a system call and wakes the client twice.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or keep the head of an answer until its body or the loop's next turn comes."""
        head, self._head = self._head, b""
        if not head and len(data) < _JOINED and data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)
        elif len(data) < _JOINED:
            self._transport.write(head + data)
        else:
            self._transport.write(head)
            self._transport.write(data)

    def close(self) -> None:
        """Write what is kept and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class Protocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with names as they were written, and a way to reset."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start a connection."""
        joining: Any = JoiningTransport(transport, self.loop)
        super().connection_made(joining)

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self.written_names: dict[str, str] = {}
        extensions: Any = {
            WRITTEN_NAMES: self.written_names,
            HEADER_NAME: WrittenName,
            RESET: self.reset,
        }
        self.scope["extensions"] = extensions

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and remember how the names of metadata are written."""
        lowered = name.lower()
        if name != lowered and lowered.startswith(b"x-ms-meta-"):
            self.written_names[lowered.decode("latin-1")] = name.decode("latin-1")
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; a whole range is read without stopping the client."""
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > _READ_AHEAD:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def reset(self) -> None:
        """Send a TCP reset and forget the connection."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            # Lingering for 0 seconds makes the kernel send RST instead of FIN.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.cycle is not None:
            # The answer counts as given, or uvicorn would complain and send a 500.
            self.cycle.response_started = True
            self.cycle.response_complete = True
        self.transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 picks a free one. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle off only where the protocol is named; with it an answer of two pieces
    # waits 40 ms for the acknowledgement of the first.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"port {port} on {host} is in use by another program") from error
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    except (OverflowError, UnicodeError) as error:
        sock.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {error}") from error
    sock.setblocking(False)
    return sock


def serve(
    app: Emulator,
    sock: socket.socket,
    ready: Callable[[], None],
    certificate: "Certificate | None" = None,
) -> None:
    """Answer requests on *sock* until SIGTERM or SIGINT; call *ready* once they are answered.

    Over TLS if there is a *certificate*.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate.chain if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    app.collects = False
    asyncio.run(_Server(config, app, ready).serve([sock]))


class _Server(uvicorn.Server):
    """uvicorn, saying when it listens, and ending quietly on a signal."""

    def __init__(self, config: uvicorn.Config, app: Emulator, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer requests, then say so."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Collect some of what deleted shares held: ten times a second, a few milliseconds each."""
        self._app.collect(_COLLECT)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; uvicorn itself would raise them again at the end."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._stop)
        yield

    def _stop(self) -> None:
        # A second signal does not wait for requests under way.
        self.force_exit = self.should_exit
        self.should_exit = True
