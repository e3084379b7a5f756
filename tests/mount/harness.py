"""Real mounts of an emulator in a process of its own, and programs on them.

A hung mount blocks whoever touches it beyond the reach of signals. So every
mount has a time limit: when it is over its daemon is killed, the kernel gives
up on what was asked of it, and the test fails instead of hanging.
"""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from azure.storage.fileshare import ShareClient

from azfuse.mount.ask import ask, find_mount
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY

#: Seconds after which a process that starts or ends is stuck.
PATIENCE = 40
#: Seconds that one mount may live.
MOUNT_LIMIT = 100

_TROUBLE = re.compile(r"^(Traceback|\S+ \S+ azfuse\[\d+\]: (WARNING|ERROR|CRITICAL))", re.MULTILINE)


def run(
    args: Sequence[str | Path],
    cwd: Path | None = None,
    timeout: float = PATIENCE,
    *,
    check: bool = True,
    user: int | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it said."""
    done = subprocess.run(
        args,
        cwd=cwd,
        timeout=timeout,
        user=user,
        env=None if env is None else {**os.environ, **env},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{args} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def let_others_in(directory: Path) -> None:
    """Let other users get to *directory*, which is below that of all temporary files."""
    for path in (directory, *directory.parents):
        if path == Path(tempfile.gettempdir()):
            break
        path.chmod(0o755)


def python(code: str, *args: str | Path, cwd: Path | None = None, user: int | None = None) -> str:
    """Run Python code in a process of its own and return what it printed."""
    return run([sys.executable, "-c", code, *args], cwd, user=user).stdout


class Emulator:
    """`azfuse emulator` on a directory; keeps its port when it is started again."""

    def __init__(self, directory: Path, *options: str) -> None:
        """*options* are further words of its command line."""
        self.directory = directory
        self.port = 0
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/{DEVELOPMENT_ACCOUNT}"

    def start(self) -> None:
        with (self.directory / "emulator.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "azfuse", "emulator", "--data", self.directory / "data",
                 "--port", str(self.port), *self._options],
                stdout=subprocess.PIPE, stderr=log, text=True,
                # Its own session: Ctrl-C must not take it from under the mounts.
                start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if readable else ""
        match = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if match is None:
            self.stop()
            raise AssertionError(f"the emulator did not start: {line}{self.log}")
        self.port = int(match[1])

    def assert_alive(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"the emulator ended: {self.log}"

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()

    @property
    def log(self) -> str:
        return (self.directory / "emulator.log").read_text(errors="replace")

    def _admin(self, method: str, what: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/-/admin/{what}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def faults(self, **settings: object) -> None:
        """Put these faults in force instead of those before (azfuse/emulator/faults.py)."""
        self._admin("PUT", "faults", settings)

    def faults_applied(self) -> int:
        """Return how many requests the faults in force have met."""
        return sum(rule["applied"] for rule in self._admin("GET", "faults")["rules"])

    def totals(self) -> tuple[Counter[str], int, int]:
        """Return requests by operation, and the bytes of bodies in and out, since the start."""
        answer = self._admin("GET", "requests")
        requests = {name: entry["requests"] for name, entry in answer["operations"].items()}
        return Counter(requests), answer["bytes_in"], answer["bytes_out"]

    @contextmanager
    def counting(self) -> Iterator["Usage"]:
        """Count what the service is asked while the block runs."""
        usage = Usage()
        before = self.totals()
        yield usage
        after = self.totals()
        usage.requests.update(after[0] - before[0])
        usage.bytes_in, usage.bytes_out = after[1] - before[1], after[2] - before[2]


class Usage:
    """What `Emulator.counting` found, once its block has ended."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.bytes_in = self.bytes_out = 0

    def __repr__(self) -> str:
        return f"{dict(self.requests)}, {self.bytes_in} bytes in, {self.bytes_out} out"


class Share:
    """A share of the emulator, also as the official SDK sees it."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator = emulator
        self.name = name
        self.sdk = ShareClient(emulator.endpoint, name, credential=DEVELOPMENT_KEY, retry_total=0)

    @property
    def source(self) -> str:
        return f"{self.emulator.endpoint}/{self.name}"

    def read(self, path: str) -> bytes:
        """Return a file's content as the share has it, past every cache of ours."""
        return self.sdk.get_file_client(path).download_file().readall()

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        return self.sdk.get_file_client(path).download_file(offset, length).readall()

    def write(self, path: str, content: bytes) -> None:
        self.sdk.get_file_client(path).upload_file(content)

    def names(self, directory: str = "") -> set[str]:
        return {entry["name"] for entry in self.sdk.list_directories_and_files(directory)}

    def properties(self, path: str):
        return self.sdk.get_file_client(path).get_file_properties()


class Mount:
    """One `azfuse mount -f`. `expected` lists patterns that its log may hold as warnings."""

    def __init__(
        self,
        source: str,
        point: Path,
        state: Path,
        options: str,
        env: Mapping[str, str],
        limit: float,
    ) -> None:
        self.path = point
        self.expected: list[str] = []
        self.exit_code = 0
        self._log = state / f"{point.name}.log"
        point.mkdir(exist_ok=True)
        words = ["mount", source, str(point), "-f", "-o", f"state-dir={state}/state"]
        if options:
            words += ["-o", options]
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"\0azfuse-test-{os.getpid()}-{id(self)}"
        self._notices.bind(address)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AZURE_STORAGE_")}
        environ |= {"NOTIFY_SOCKET": "@" + address[1:], "XDG_RUNTIME_DIR": str(state), **env}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "azfuse", *words],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.timed_out = False
        self.said = ""
        self._watchdog = threading.Timer(limit, self._too_long)
        self._watchdog.daemon = True
        self._watchdog.start()

    def wait_until_ready(self) -> None:
        """Return when the daemon says READY=1. Raises AssertionError if it ends instead."""
        end = os.pidfd_open(self.process.pid)
        try:
            while True:
                readable, _, _ = select.select([self._notices.fileno(), end], [], [], PATIENCE)
                if self._notices.fileno() in readable:
                    if b"READY=1" in self._notices.recv(4096):
                        return
                else:
                    raise AssertionError(f"the mount did not come up: {self.log}")
        finally:
            os.close(end)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ask(self, what: str, **details: Any) -> Any:
        """Ask the daemon at its control socket. From here: a child would close, and so flush,
        what the test has open."""
        with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=str(self.path.parent)):
            return ask(find_mount(str(self.path)).record, what, **details)

    def kill(self) -> None:
        """End the daemon as a crash would."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._detach()
        self.exit_code = -signal.SIGKILL

    def unmount(self) -> None:
        """Unmount, wait until everything is saved, and look at what the daemon left behind."""
        try:
            if self.process.poll() is None:
                self.said = run(["fusermount3", "-u", self.path], check=False).stderr
                try:
                    self.process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self._too_long()
                    self.process.wait(PATIENCE)
        finally:
            self._watchdog.cancel()
            self._notices.close()
            self._detach()

    def check(self) -> None:
        """Raise AssertionError if the daemon did not end as it should, or complained."""
        assert not self.timed_out, f"hung and killed: {self.said}{self.log}"
        assert self.process.returncode == self.exit_code, self.log
        for line in self.log.splitlines():
            if _TROUBLE.match(line):
                assert any(re.search(pattern, line) for pattern in self.expected), self.log

    def _too_long(self) -> None:
        self.timed_out = True
        # The log gets what every task is doing, for whoever must find out why.
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.process.send_signal(signal.SIGUSR1)
            self.process.wait(3)
        self.process.kill()

    def _detach(self) -> None:
        mounts = Path("/proc/mounts").read_text()
        if str(self.path) in {line.split()[1] for line in mounts.splitlines()}:
            run(["fusermount3", "-uz", self.path], check=False)


def errno_of(call, *args, **kwargs) -> int:
    """Return the errno that *call* fails with, 0 if it does not."""
    try:
        call(*args, **kwargs)
    except OSError as error:
        return error.errno or -1
    return 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds. Raises AssertionError where it does not come to that."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
