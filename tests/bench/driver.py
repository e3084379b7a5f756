"""The process behind a mount: started, measured, and ended however it behaves."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azfuse.mount.mountpoint import mounted_here

#: Seconds in which a mount must come up.
START_LIMIT = 60
#: Seconds that a process gets to end after it was told to, and the kernel to let go.
_END_LIMIT = 10
_TICKS = os.sysconf("SC_CLK_TCK")


class DriverError(Exception):
    """A driver did not mount, or did not end well; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process and its children have used so far."""

    cpu_seconds: float = 0.0
    #: Peak of resident memory (VmHWM), the sum over those that live.
    peak_bytes: int = 0
    #: Resident memory now.
    rss_bytes: int = 0


class Driver:
    """A mount and the process that serves it."""

    def __init__(
        self, words: Sequence[str | Path], point: Path, directory: Path, env: Mapping[str, str]
    ) -> None:
        """Start *words*, which are to mount *point* and then to send READY=1 to systemd."""
        self.point = point
        self._log = directory / "driver.log"
        point.mkdir(exist_ok=True)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(directory / "notify")
        self._notices.bind(address)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "RCLONE_"))}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                env={**clean, "NOTIFY_SOCKET": address, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Return when it says that the mount works. Raises DriverError if it does not."""
        deadline = time.monotonic() + START_LIMIT
        end = os.pidfd_open(self._process.pid)
        try:
            while (left := deadline - time.monotonic()) > 0:
                readable, _, _ = select.select([self._notices.fileno(), end], [], [], left)
                if self._notices.fileno() in readable:
                    if b"READY=1" in self._notices.recv(4096):
                        return
                elif readable:
                    raise DriverError(f"does not mount: {self.last_words()}")
        finally:
            os.close(end)
        raise DriverError(f"does not mount within {START_LIMIT} s: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last line that it printed."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    @property
    def running(self) -> bool:
        """Say whether the process lives."""
        return self._process.poll() is None

    def spent(self) -> Spent:
        """Return what it has used so far, its children included."""
        cpu, peak, rss = 0.0, 0, 0
        for pid in _family(self._process.pid):
            with contextlib.suppress(OSError):  # it may end at any moment
                cpu += sum(int(field) for field in _stat(pid)[11:15]) / _TICKS
                status = Path(f"/proc/{pid}/status").read_text()
                fields = dict(line.split(":", 1) for line in status.splitlines())
                peak += _kib(fields.get("VmHWM"))
                rss += _kib(fields.get("VmRSS"))
        return Spent(cpu, peak, rss)

    def unmount(self, limit: float) -> None:
        """Unmount, and wait until everything is saved. Raises DriverError after *limit* seconds."""
        deadline = time.monotonic() + limit
        try:
            while self.running and time.monotonic() < deadline:
                done = _fusermount("-u", self.point)
                if done == 0:
                    self._process.wait(max(0.1, deadline - time.monotonic()))
                elif mounted_here(self.point) is None:
                    # It has taken the mount away itself and is about to end.
                    self._process.wait(max(0.1, deadline - time.monotonic()))
                else:
                    time.sleep(0.1)
            if self.running:
                raise DriverError(f"could not be unmounted within {limit:.0f} s")
        except subprocess.TimeoutExpired:
            raise DriverError(f"did not end within {limit:.0f} s of its unmount") from None
        finally:
            self.destroy()
        if self._process.returncode:
            raise DriverError(f"ended with {self._process.returncode}: {self.last_words()}")

    def destroy(self) -> None:
        """End it and take the mount away, whatever state both are in. Does nothing twice."""
        if self.running:
            # Its end closes /dev/fuse, so that whoever waits for an answer gets an error.
            self._process.send_signal(signal.SIGKILL)
            try:
                self._process.wait(_END_LIMIT)
            except subprocess.TimeoutExpired:
                _abort(self.point)
                self._process.wait(_END_LIMIT)
        for _ in range(3):
            if mounted_here(self.point) is None:
                break
            _fusermount("-uz", self.point)
        self._notices.close()


def _fusermount(how: str, point: Path) -> int:
    done = subprocess.run(
        ["fusermount3", how, str(point)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.returncode


def _abort(point: Path) -> None:
    """Have the kernel give up on everything that was asked of a mount (root, fusectl mounted)."""
    mount = mounted_here(point)
    if mount is not None:
        path = Path(f"/sys/fs/fuse/connections/{os.minor(mount.device)}/abort")
        with contextlib.suppress(OSError):
            path.write_text("1")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; the name may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _family(pid: int) -> list[int]:
    """Return *pid* and the processes that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(path.name))[1]), []).append(int(path.name))
    found, position = [pid], 0
    while position < len(found):
        found += children.get(found[position], ())
        position += 1
    return found


def _kib(text: str | None) -> int:
    """Read `  1234 kB`; 0 for what a process that is ending no longer says."""
    return int(text.split()[0]) * 1024 if text else 0
