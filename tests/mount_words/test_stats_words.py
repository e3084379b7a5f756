"""`azfuse stats`, `refresh` and a slow `unmount` as people use them, over the fake file system."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from azfuse.mount.control import socket_path
from azfuse.mount.mountpoint import mounted_here
from azfuse.mount.registry import Registry
from tests.mount_words.conftest import REPOSITORY, TIME_LIMIT, clean_environment, only_sentence
from tests.mount_words.test_daemon import mounted, source, wait_for

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse"),
]
__all__ = ["mounted", "source"]  # fixtures


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.master, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.mount_words.fake_azfuse", *words],
            cwd=REPOSITORY, env=clean_environment(COLUMNS="80", LINES="40"),
            stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True, preexec_fn=self._take,
        )  # fmt: skip
        os.close(terminal)
        self.shown = ""

    @staticmethod
    def _take() -> None:
        """In the child: be who Ctrl-C at this terminal is for."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + TIME_LIMIT
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.master], [], [], 1)[0]:
                self.shown += os.read(self.master, 65536).decode()

    def wait(self) -> int:
        with contextlib.suppress(OSError):  # EIO: the other end was closed
            while select.select([self.master], [], [], TIME_LIMIT)[0]:
                self.shown += os.read(self.master, 65536).decode()
        return self.process.wait(TIME_LIMIT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextlib.contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    command = Terminal(*words)
    try:
        yield command
    finally:
        command.close()


def test_figures_of_a_mount(azfuse, mounted, mount_point, source, tmp_path):
    record = mounted()
    answer = json.loads(azfuse("stats", str(mount_point), "--json").stdout)
    assert answer["mount"]["mountPoint"] == str(mount_point)
    assert (answer["mount"]["pid"], answer["mount"]["state"]) == (record.pid, "mounted")
    # Any path in it will do, there or not, and one that leads there.
    (tmp_path / "link").symlink_to(mount_point)
    for path in (mount_point / "no/such/path", tmp_path / "link"):
        assert f"pid {record.pid}, mounted for" in azfuse("stats", str(path)).stdout
    assert "USD an hour" in azfuse("stats", str(mount_point), "--cost").stdout
    cost = json.loads(azfuse("stats", str(mount_point), "--cost", "--json").stdout)["cost"]
    assert cost["total"] == 0
    assert azfuse("refresh", str(mount_point / "a/b")).stdout == (
        "forgot 1 entry and 3 B of content\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stats", "/proc"], "/proc is not in anything that azfuse has mounted"),
        (["stats", "/no/such/path"], "is not in anything"),
        (["stats", "/proc", "--prices", "/no/such/file"], "No such file or directory"),
        (["stats", "/proc", "--tier", "tepid"], "no prices of a tier 'tepid'"),
        (["stats", "--watch", "/proc"], "/proc is not in anything"),
        (["stats", "--html", "p.html", "--json"], "--html and --json exclude each other"),
        (["stats", "--html", "p.html", "--cost"], "--html and --cost exclude each other"),
        (["stats", "--html", "p.html", "--tier", "hot"], "--html and --tier exclude each other"),
        (["stats", "/proc", "--html", "p.html", "--watch"], "/proc is not in anything"),
        (["refresh", "/proc"], "is not in anything"),
        (["refresh"], "Missing argument"),
    ],
)
def test_wrong_words(azfuse, words, said):
    assert said in only_sentence(azfuse(*words), 2)


def test_an_interval_that_is_none(azfuse, mounted, mount_point):
    mounted()
    done = azfuse("stats", "--watch", "0", str(mount_point))
    assert "--watch 0: seconds are needed" in only_sentence(done, 2)


def test_a_process_that_does_not_answer(azfuse, mounted, mount_point):
    record = mounted()
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: not record.alive)
    for words in (["stats"], ["refresh"]):
        done = azfuse(*words, str(mount_point))
        assert f"the azfuse process {record.pid}" in only_sentence(done, 1)
    azfuse("unmount", str(mount_point))


def test_watching_on_a_terminal(mounted, mount_point):
    mounted()
    with terminal("stats", "--watch", "0.1", str(mount_point)) as watch:
        watch.read_until("REQUESTS/S")
        assert "\x1b[H\x1b[J" in watch.shown
        os.write(watch.master, b"\x03")
        assert watch.wait() == 0
        assert "interrupted" not in watch.shown
        assert "Traceback" not in watch.shown


def test_watching_elsewhere_until_it_is_unmounted(azfuse, mounted, mount_point):
    mounted()
    words = ["stats", "--watch", str(mount_point)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.mount_words.fake_azfuse", *words],
        cwd=REPOSITORY, env=clean_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "0 requests, up 0 B, down 0 B, dirty 0 B in 0 files, 0 retries" in line
            assert "\x1b" not in line
            azfuse("unmount", str(mount_point))
            out, err = process.communicate(timeout=TIME_LIMIT)
        finally:
            process.kill()
    assert (process.returncode, err) == (
        0,
        f"{mount_point} is unmounted, and everything is saved\n",
    )
    assert "Traceback" not in out


def test_a_service_that_takes_its_time_is_waited_for_visibly():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/devstoreaccount1"
        with terminal("share", "list", url) as command:
            command.read_until("waiting for account devstoreaccount1")
            os.write(command.master, b"\x03")
            assert command.wait() == 130
    assert "azfuse: interrupted" in command.shown


def test_a_mount_that_waits_shows_it(mount_point, state):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/devstoreaccount1/share"
        words = f"{state},mount-timeout=60"
        with terminal("mount", source, str(mount_point), "-o", words) as command:
            command.read_until("waiting for the service")
            os.write(command.master, b"\x03")
            assert command.wait() == 130
    assert "azfuse: interrupted" in command.shown
    assert mounted_here(mount_point) is None


def test_a_slow_unmount_shows_what_is_left(mounted, mount_point):
    record = mounted(FAKE_DRAIN="4", FAKE_DIRTY="5000000")
    with terminal("unmount", str(mount_point)) as unmount:
        unmount.read_until("saving: 1 file and 4.8 MiB left, 0 B/s")
        unmount.read_until("━━━")
        assert mounted_here(mount_point) is None
        assert unmount.wait() == 0
    # The line was taken away at the end.
    assert unmount.shown.endswith("\x1b[2K")
    assert not record.alive


@pytest.mark.long
def test_lines_where_there_is_no_terminal(azfuse, mounted, mount_point):
    mounted(FAKE_DRAIN="6", FAKE_DIRTY="5000000")
    done = azfuse("unmount", str(mount_point))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "saving: 1 file and 4.8 MiB left\n"


def test_the_socket_goes_with_the_mount(azfuse, mounted, mount_point):
    mounted()
    path = socket_path(Registry().directory, str(mount_point))
    assert path.is_socket()
    azfuse("unmount", str(mount_point))
    assert not path.exists()
