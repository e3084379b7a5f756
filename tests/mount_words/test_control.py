"""The control socket: answers those who may ask, and outlives those who do not behave."""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from azfuse.mount import control
from azfuse.mount.ask import ask
from azfuse.mount.control import ControlError, ControlServer, socket_path
from azfuse.mount.errors import MountError
from azfuse.mount.registry import Record, Registry, start_time

TIME_LIMIT = 30


async def echo(request: Mapping[str, Any]) -> object:
    return request


async def refuse(request: Mapping[str, Any]) -> object:
    raise ControlError("not today")


async def break_down(request: Mapping[str, Any]) -> object:
    raise RuntimeError("broken on purpose")


async def much(request: Mapping[str, Any]) -> object:
    return "x" * 16 * 1024 * 1024


ANSWERS = {"echo": echo, "refuse": refuse, "break": break_down, "much": much}


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    with trio.fail_after(TIME_LIMIT):
        async with trio.open_nursery() as nursery:
            await nursery.start(ControlServer(path, ANSWERS).run)
            yield
            nursery.cancel_scope.cancel()


async def connect(path: Path) -> trio.SocketStream:
    with control.reachable(path) as address:
        return await trio.open_unix_socket(address)


async def say(path: Path, data: bytes) -> Any:
    """Send *data* and return what is answered, None where nothing is."""
    async with await connect(path) as stream:
        await stream.send_all(data)
        await stream.send_eof()
        received = b""
        while chunk := await stream.receive_some(65536):
            received += chunk
    return json.loads(received) if received else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Longer than the address of a socket may be."""
    directory = tmp_path / ("long" * 40)
    directory.mkdir()
    return directory / "control.sock"


def test_answers(path):
    async def main():
        async with serving(path):
            assert path.stat().st_mode & 0o777 == 0o600
            question = {"ask": "echo", "path": "a\udcffb"}
            assert await say(path, json.dumps(question).encode() + b"\n") == {"answer": question}
            assert await say(path, b'{"ask": "refuse"}\n') == {"error": "not today"}
            # Without the newline, at the end of what is sent.
            assert await say(path, b'{"ask": "refuse"}') == {"error": "not today"}
        assert list(path.parent.iterdir()) == []

    trio.run(main)


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xfe\n",
        b"[1, 2]\n",
        b'"echo"\n',
        b'{"ask": null}\n',
        b'{"ask": ["echo"]}\n',
        b'{"ask": "no such"}\n',
        b"[" * 50_000 + b"\n",
        b"1" * 10_000 + b"\n",
        b'{"ask": "echo", "path": "' + b"x" * control.MAX_REQUEST + b'"}\n',
    ],
)
def test_what_is_not_understood(path, request_line):
    async def main():
        async with serving(path):
            assert await say(path, request_line) == {"error": "the request was not understood"}
            assert "answer" in await say(path, b'{"ask": "echo"}\n')

    trio.run(main)


def test_a_question_that_breaks_is_answered_too(path, caplog):
    async def main():
        async with serving(path):
            answer = await say(path, b'{"ask": "break"}\n')
            assert answer == {"error": "internal error, RuntimeError: broken on purpose"}

    trio.run(main)
    assert "break: unexpected error" in caplog.text


def test_clients_that_do_not_behave(path, monkeypatch):
    """Silent ones, endless ones, those who do not listen, those who go away: many at once."""
    monkeypatch.setattr(control, "CLIENT_TIMEOUT", 0.2)

    async def send(stream: trio.SocketStream, data: bytes) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # thrown out already
            await stream.send_all(data)

    async def flood(stream: trio.SocketStream) -> None:
        await send(stream, b"x" * 64 * control.MAX_REQUEST)

    async def main():
        async with serving(path), trio.open_nursery() as nursery:
            streams = [await connect(path) for _ in range(2 * control.MAX_CLIENTS)]
            for stream in streams[::4]:
                await send(stream, b'{"ask": "much"}\n')
            for stream in streams[1::4]:
                nursery.start_soon(flood, stream)
            for stream in streams[2::4]:
                await send(stream, b'{"ask": "much"}\n')
                await stream.aclose()
            assert await say(path, b'{"ask": "refuse"}\n') == {"error": "not today"}
            for stream in streams:
                await stream.aclose()

    trio.run(main)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_other_users_are_refused(path, caplog, monkeypatch):
    monkeypatch.chdir(path.parent)

    async def main():
        async with serving(path):
            for directory in (path.parent, *path.parent.parents[:3]):
                directory.chmod(0o755)
            path.chmod(0o666)
            with socket.socket(socket.AF_UNIX) as client:
                os.seteuid(65534)
                try:
                    client.connect(path.name)
                finally:
                    os.seteuid(0)
                client.settimeout(TIME_LIMIT)
                assert await trio.to_thread.run_sync(client.recv, 1) == b""

    trio.run(main)
    assert "user 65534 was refused" in caplog.text


def test_a_newer_socket_stays(path):
    async def main():
        async with serving(path):
            async with serving(path):  # takes the place
                assert "answer" in await say(path, b'{"ask": "echo"}\n')
            path.touch()
        assert path.exists()

    trio.run(main)


def test_a_socket_that_cannot_be_made_is_no_end(tmp_path, caplog):
    async def main():
        async with serving(tmp_path / "missing" / "control.sock"):
            pass

    trio.run(main)
    assert "no control socket" in caplog.text


# -- the asking side -----------------------------------------------------------------------


@pytest.fixture
def record(tmp_path, monkeypatch) -> Record:
    monkeypatch.setattr("azfuse.mount.registry.runtime_dir", lambda: tmp_path)
    return Record("/m n", "acct/share", os.getpid(), start_time(os.getpid()), log="the log")


def test_a_process_that_has_died(record):
    with subprocess.Popen(["true"]) as process:
        dead = Record("/m n", "acct/share", process.pid, 1, log="the log")
    with pytest.raises(MountError, match=r"has died \(log: the log\)"):
        ask(dead, "stats")


def test_no_socket(record):
    with pytest.raises(MountError, match="does not answer: No such file"):
        ask(record, "stats")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "the connection was closed"),
        (b"hello\n", "does not answer: Expecting value"),
        (b"[]\n", "does not answer"),
        (b"{}\n", "does not answer"),
        (b'{"error": "not today"}\n', "/m n: not today"),
        (None, "nothing came|timed out"),
    ],
)
def test_strange_answers(record, answer, said):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(Registry().directory, record.mount_point)))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                if answer is not None:
                    connection.sendall(answer)
                else:
                    connection.recv(1)  # until the client has had enough

        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, serve)
                with pytest.raises(MountError, match=said):
                    await trio.to_thread.run_sync(lambda: ask(record, "stats", timeout=0.5))

        trio.run(main)
