"""The control socket of a mount: questions about it and requests to it, from the same machine.

One request a connection: a line of JSON such as `{"ask": "stats"}`, answered with one
line, `{"answer": ...}` or `{"error": "one sentence"}`. The socket lies in the runtime
directory, named after the mount point, and lives from the moment the mount is made
until everything is saved. Whoever connects is served beside the file system, not in
front of it: lengths, times and numbers are bounded.
"""

import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from azfuse.mount.registry import record_id

log = logging.getLogger(__name__)

#: Longest request in bytes: a path of 4096 bytes, each escaped, fits twice.
MAX_REQUEST: Final = 64 * 1024
#: Connections served at once; further ones wait in the kernel's queue.
MAX_CLIENTS: Final = 16
#: Seconds that a client may take to send its request, and again to take the answer.
CLIENT_TIMEOUT: Final = 5.0
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid

#: Answers one kind of request: takes the request, returns what JSON can say.
#: Raises ControlError for what cannot be done.
Answer = Callable[[Mapping[str, Any]], Awaitable[object]]


class ControlError(Exception):
    """A request that cannot be carried out: its text is the sentence that the client gets."""


def socket_path(directory: Path, mount_point: str) -> Path:
    """Return where the control socket of the mount on *mount_point* is."""
    return directory / f"{record_id(mount_point)}.sock"


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield an address for the socket *path* that is short enough, however long the path is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


class ControlServer:
    """Answers requests on a Unix socket."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        """*answers* are looked up by the word that a request has under `ask`."""
        self._path = path
        self._answers = answers

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once clients can connect.

        A socket that cannot be made is logged: the mount works without it.
        """
        try:
            listener = self._listen()
        except OSError as error:
            log.warning("no control socket, so azfuse stats and refresh will not work: %s", error)
            task_status.started()
            return
        ours = self._path.stat()
        try:
            task_status.started()
            await self._accept(trio.socket.from_stdlib_socket(listener))
        finally:
            listener.close()
            self._remove(ours)

    def _listen(self) -> socket.socket:
        """Make the socket, in place of what an earlier mount may have left."""
        unready = self._path.with_suffix(f".{os.getpid()}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            unready.unlink(missing_ok=True)
            with reachable(unready) as address:
                listener.bind(address)
            unready.chmod(0o600)
            listener.listen(MAX_CLIENTS)
            unready.replace(self._path)
        except BaseException:
            listener.close()
            raise
        return listener

    def _remove(self, ours: os.stat_result) -> None:
        """Take the socket away, unless a newer mount has put its own there."""
        try:
            if os.path.samestat(ours, self._path.stat()):
                self._path.unlink()
        except FileNotFoundError:
            return

    async def _accept(self, listener: trio.socket.SocketType) -> None:
        places = trio.Semaphore(MAX_CLIENTS)
        async with trio.open_nursery() as nursery:
            while True:
                await places.acquire()
                try:
                    connection, _ = await listener.accept()
                except OSError as error:
                    # Out of descriptors, say: whoever holds them gives them back some time.
                    log.warning("a client of the control socket was not let in: %s", error)
                    await trio.sleep(CLIENT_TIMEOUT)
                    places.release()
                    continue
                nursery.start_soon(self._serve, connection, places)

    async def _serve(self, connection: trio.socket.SocketType, places: trio.Semaphore) -> None:
        try:
            async with trio.SocketStream(connection) as stream:
                await self._converse(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            log.debug("a client of the control socket went away: %s", error)
        finally:
            places.release()

    async def _converse(self, stream: trio.SocketStream) -> None:
        peer = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(peer)
        if uid not in (0, os.geteuid()):
            log.warning("user %d was refused at the control socket", uid)
            return
        with trio.move_on_after(CLIENT_TIMEOUT) as reading:
            line = await _read_line(stream)
        if reading.cancelled_caught:
            return
        reply = json.dumps(await self._reply(line)).encode() + b"\n"
        with trio.move_on_after(CLIENT_TIMEOUT):
            await stream.send_all(reply)

    async def _reply(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            answer = self._answers[request["ask"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": "the request was not understood"}
        try:
            return {"answer": await answer(request)}
        except ControlError as error:
            return {"error": str(error)}
        except Exception as error:  # a question must not end the mount
            log.exception("%s: unexpected error", request["ask"])
            return {"error": f"internal error, {type(error).__name__}: {error}"}


async def _read_line(stream: trio.SocketStream) -> bytes:
    """Return what comes until a newline, the end or the bound."""
    received = bytearray()
    while b"\n" not in received and len(received) <= MAX_REQUEST:
        chunk = await stream.receive_some(MAX_REQUEST)
        if not chunk:
            break
        received += chunk
    return bytes(received[: MAX_REQUEST + 1]).partition(b"\n")[0]
