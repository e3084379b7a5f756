"""Byte streams over TCP and TLS that read straight into a buffer.

trio's own SSLStream hands out one 16 KiB record a call; here OpenSSL decrypts
into the caller's buffer from 256 KiB reads, in half the time. One task uses a
stream at a time: HTTP/1.1 sends, then receives.
"""

import socket
import ssl
from contextlib import suppress
from typing import Final, Protocol, cast

import trio

#: Bytes of one read of the socket. Encrypted data comes in records of at most 16 KiB.
_READ_BYTES: Final = 256 * 1024
#: Linux: how much may wait in the socket unsent. trio's 16 KiB costs a wakeup for each.
_NOT_SENT_LOW_WATER: Final = 1024 * 1024


class ByteStream(Protocol):
    """Either kind of stream. Raises OSError where the connection breaks."""

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of *data*."""

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte, 0 at the end of the stream."""

    def readable(self) -> bool:
        """Say whether something, an end perhaps, has come already."""

    def close(self) -> None:
        """Close at once and without farewell. Does not checkpoint."""


class TcpStream:
    """A TCP connection."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.socket = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError, AttributeError):  # A kernel without it is slower, no more.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_LOW_WATER)

    @classmethod
    async def connect(cls, host: str, port: int) -> "TcpStream":
        """Connect to whichever address of *host* answers first. Raises OSError."""
        stream = await trio.open_tcp_stream(host, port)
        return cls(stream.socket)

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of *data*."""
        sent = await self.socket.send(data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(view):
                sent += await self.socket.send(view[sent:])

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive at least one byte, 0 at the end of the stream."""
        return await self.socket.recv_into(buffer)

    def readable(self) -> bool:
        """Say whether something, an end perhaps, has come already."""
        return self.socket.is_readable()

    def close(self) -> None:
        """Close at once. Does not checkpoint."""
        self.socket.close()


class TlsStream:
    """TLS over a TCP connection."""

    def __init__(self, tcp: TcpStream, context: ssl.SSLContext, host: str) -> None:
        self._tcp = tcp
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._encrypted = memoryview(bytearray(_READ_BYTES))

    async def handshake(self) -> None:
        """Agree on keys. Raises ssl.SSLError and OSError."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise ConnectionResetError("closed during the TLS handshake") from None
            else:
                await self._flush()
                return

    async def send_all(self, data: bytes | memoryview) -> None:
        """Encrypt and send all of *data*."""
        self._tls.write(data)
        await self._flush()

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive and decrypt at least one byte, 0 at the end of the stream.

        Takes what is there already, up to the whole buffer, before it waits.
        """
        while True:
            try:
                return self._read(buffer)
            except ssl.SSLWantReadError:
                # OpenSSL may want to say something first: new keys, for one.
                await self._flush()
                if not await self._fill():
                    return 0

    def _read(self, buffer: memoryview) -> int:
        """Decrypt into *buffer* what has come. Raises SSLWantReadError where that is nothing."""
        got = 0
        while got < len(buffer):
            try:
                read = cast("int", self._tls.read(len(buffer) - got, buffer[got:]))
            except ssl.SSLWantReadError:
                if not got:
                    raise
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break
            if not read:
                break
            got += read
        return got

    async def _fill(self) -> bool:
        """Take more from the socket; False at its end."""
        count = await self._tcp.receive_into(self._encrypted)
        if not count:
            self._incoming.write_eof()
            return False
        self._incoming.write(self._encrypted[:count])
        return True

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._tcp.send_all(self._outgoing.read())

    def readable(self) -> bool:
        """Say whether something, an end perhaps, has come already.

        Session tickets come unasked after the handshake; they say nothing of the connection.
        """
        return self._tcp.readable()

    def close(self) -> None:
        """Close at once. Does not checkpoint."""
        self._tcp.close()
