"""What the demo stands on: an emulator, a mount, and programs run with their output shown."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click

from azfuse.mount.errors import MountError
from azfuse.mount.mountpoint import MOUNT_TYPE, check_machine, mounted_here
from azfuse.mount.unmount import fusermount
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT

SHARE: Final = "demo"
#: No program of the demo takes this many seconds unless something hangs.
_PROGRAM_TIMEOUT: Final = 300
_START_TIMEOUT: Final = 30
#: Lines of a program's output that are shown.
_LINES_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests by operation, and bytes of their bodies to and from the service."""

    requests: Counter[str]
    bytes_up: int
    bytes_down: int


class Stage:
    """The demo's place: a temporary directory with `data`, `local` and the mounted `share`.

    A context manager; at its end nothing is left, however the demo ended.
    """

    def __init__(self, size: int, *, mount_options: str = "") -> None:
        self.size = size
        self._mount_options = mount_options
        self.checks = 0
        #: Why steps were left out.
        self.skipped: list[str] = []
        self.root = Path()
        self.share = Path()
        self.endpoint = ""
        self._port = 0
        self._emulator: subprocess.Popen[bytes] | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        check_machine(allow_other=False)
        with ExitStack() as stack:
            self.root = Path(tempfile.mkdtemp(prefix="azfuse-demo-"))
            stack.callback(self._remove)
            for name in ("data", "local", "share", "home"):
                (self.root / name).mkdir()
            self.share = self.root / "share"
            stack.callback(self.stop_emulator)
            self.start_emulator()
            # Before the mount: an interrupted one must be taken away as well.
            stack.callback(self._clear_mount)
            self.mount()
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None and issubclass(exc_type, Exception):
            self._show_log()
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._closing.close()
        finally:
            signal.signal(signal.SIGINT, handler)

    def start_emulator(self) -> None:
        """Start the emulator, at the port it had before if it was stopped."""
        if not self._port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._port = probe.getsockname()[1]
            self.endpoint = f"http://127.0.0.1:{self._port}/{DEVELOPMENT_ACCOUNT}"
        data, port = str(self.root / "data"), str(self._port)
        words = ["emulator", "--data", data, "--port", port, "--create-share", SHARE]
        with (self.root / "emulator.log").open("ab") as log:
            self._emulator = subprocess.Popen(
                [sys.executable, "-m", "azfuse", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C must not take it from under the mount.
                start_new_session=True,
            )
        self._await_emulator(self._emulator)

    def stop_emulator(self) -> None:
        """Stop the emulator, if it runs."""
        process, self._emulator = self._emulator, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await_emulator(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        said = (self.root / "emulator.log").read_text(errors="replace").strip()
        raise MountError(f"the emulator did not start: {said.rpartition(chr(10))[2] or 'no word'}")

    def mount(self) -> None:
        """Mount the share as anyone would, with `azfuse mount`."""
        options = f"state-dir={self.root}/state,log-file={self.root}/mount.log"
        options += f",{self._mount_options}"
        self._azfuse("mount", f"{self.endpoint}/{SHARE}", str(self.share), "-o", options)

    def unmount(self) -> None:
        """Unmount, which waits until everything is saved."""
        self._azfuse("unmount", str(self.share))

    def _azfuse(self, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "azfuse", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROGRAM_TIMEOUT,
            # Not the person's own account, which the environment may name.
            env={name: text for name, text in os.environ.items() if not name.startswith("AZURE_")},
            check=False,
        )
        if done.returncode != 0:
            raise MountError(done.stderr.strip().removeprefix("azfuse: "))

    def _clear_mount(self) -> None:
        mount = mounted_here(self.share)
        if mount is None or mount.kind != MOUNT_TYPE:
            return
        try:
            self.unmount()
        except (MountError, ValueError, subprocess.TimeoutExpired) as error:
            click.echo(f"azfuse demo: {error}", err=True)
            fusermount(self.share, lazy=True)

    def _remove(self) -> None:
        if mounted_here(self.share) is not None:
            raise MountError(f"{self.share} could not be unmounted, so {self.root} is left there")
        shutil.rmtree(self.root)

    def _show_log(self) -> None:
        log = self.root / "mount.log"
        if log.exists():
            click.echo("The last lines of the mount's log:", err=True)
            for line in log.read_text(errors="replace").splitlines()[-20:]:
                click.echo(f"  {line}", err=True)

    def take_usage(self) -> Usage:
        """Return what the emulator was asked since the last time."""
        server = self.endpoint.rpartition("/")[0]
        url = f"{server}/-/admin/requests"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 # our own emulator
            counted = json.load(answer)
        reset = urllib.request.Request(url, method="DELETE")  # noqa: S310 # our own emulator
        with urllib.request.urlopen(reset, timeout=10):  # noqa: S310 # our own emulator
            return Usage(
                Counter({name: one["requests"] for name, one in counted["operations"].items()}),
                counted["bytes_in"],
                counted["bytes_out"],
            )

    def run(
        self, *words: str, cwd: str = "", given: str = "", quiet: bool = False, status: int = 0
    ) -> str:
        """Run a program in the stage (or in *cwd* of it), show it, and return its output.

        Raises MountError where it does not end with *status*.
        """
        where = f"{cwd}$" if cwd else "$"
        click.echo(f"   {where} {shlex.join(words)}{' < ...' if given else ''}")
        done = subprocess.run(
            words,
            cwd=self.root / cwd,
            env=self._environment(),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PROGRAM_TIMEOUT,
            check=False,
        )
        lines = done.stdout.splitlines()
        shown = [] if quiet and done.returncode == status else lines[:_LINES_SHOWN]
        for line in shown:
            click.echo(f"   {line}")
        if len(shown) < len(lines) and not quiet:
            click.echo(f"   ... ({len(lines) - len(shown)} more lines)")
        self.check(
            done.returncode == status, f"{words[0]} ended with status {done.returncode}", show=False
        )
        return done.stdout

    def _environment(self) -> Mapping[str, str]:
        """Make an environment in which the person's own settings change nothing."""
        name, mail = "Azfuse Demo", "demo@example.invalid"
        return {
            **os.environ,
            "HOME": str(self.root / "home"),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": mail,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": mail,
        }

    def check(self, holds: bool, what: str, *, show: bool = True) -> None:
        """Count a check. Raises MountError with *what* where it does not hold."""
        self.checks += 1
        if not holds:
            raise MountError(f"demo: a check failed: {what}")
        if show:
            click.echo(f"   checked: {what}")

    def available(self, programs: Sequence[str]) -> bool:
        """Say whether *programs* are installed; a step without them is skipped, and said so."""
        missing = [name for name in programs if shutil.which(name) is None]
        if missing:
            self.skipped.append(f"skipped for want of {', '.join(missing)}")
            click.echo(f"   skipped: {', '.join(missing)} not installed")
        return not missing
