"""A Debian tree booted: systemd as process 1 in namespaces of its own, and commands run in it.

The kernel is this machine's. Processes, mounts, network, control groups and names are the booted
system's own, and end with it.
"""

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.system import debian

#: Seconds after which a command, a boot or an end is stuck.
PATIENCE = 60
#: Pause between two looks at what cannot be waited for.
_POLL_INTERVAL = 0.05
_numbers = itertools.count()

_NAMESPACES = (
    "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--ipc", "--uts", "--net",
    "--propagation", "private",
)  # fmt: skip
#: Into a control group below our own, in a view of them all that need not be mounted before.
_ENTER_GROUP = f"""
cgroups=$1 name=$2; shift 2
mount -t cgroup2 cgroup2 "$cgroups"
mkdir "$cgroups/$name"
echo $$ > "$cgroups/$name/cgroup.procs"
umount "$cgroups"
exec unshare {" ".join(_NAMESPACES)} sh -ec "$@"
"""
_LEAVE_GROUP = """
mount -t cgroup2 cgroup2 "$1"
find "$1/$2" -depth -type d -exec rmdir {} +
"""
#: What a container has to offer (systemd.io/CONTAINER_INTERFACE). /proc/sys is the real
#: machine's, and so read-only.
_BOOT = """
mount --bind "$1" "$1"
cd "$1"
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mknod -m 666 dev/fuse c 10 229
mknod -m 600 dev/autofs c 10 235
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mkdir -p oldroot
pivot_root . oldroot
exec chroot . sh -ec 'umount -l /oldroot
exec env -i container=azfuse-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd'
"""


def why_not() -> str | None:
    """Return why nothing can be booted here, or None."""
    if reason := debian.why_not():
        return reason
    kinds = Path("/proc/filesystems").read_text().split()
    absent = [kind for kind in ("cgroup2", "autofs", "fuse") if kind not in kinds]
    if absent:
        return f"not in this kernel: {', '.join(absent)}"
    # A container may have a root that may not do this.
    probe = ["unshare", *_NAMESPACES, "mount", "-t", "cgroup2", "cgroup2", "/proc"]
    refused = subprocess.run(
        probe, capture_output=True, text=True, timeout=PATIENCE, check=False
    ).stderr
    return f"no namespaces to boot in: {refused.strip()}" if refused else None


class Machine:
    """A booted tree; may be shut down and booted again."""

    def __init__(self, root: Path, directory: Path) -> None:
        """*root* is the tree, *directory* an empty one for what is needed beside it."""
        self.root = root
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self._group = f"azfuse-test-{os.getpid()}-{next(_numbers)}"

    def boot(self, *, wait: bool = True) -> None:
        """Start systemd; with *wait*, return when nothing is left to start, else when it answers.

        Raises AssertionError where it does not come to that.
        """
        with (self._directory / "console.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--cgroup", "--propagation", "private", "sh", "-ec",
                 _ENTER_GROUP, "sh", self._directory, self._group, _BOOT, "sh", self.root],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, text=True,
            )  # fmt: skip
        self.wait_until(lambda: self._answers())
        if wait:
            self.run("systemctl", "is-system-running", "--wait", check=False)

    def _answers(self) -> bool:
        assert self._process is not None
        ended = self._process.poll() is not None
        console = (self._directory / "console.log").read_text(errors="replace")
        assert not ended, f"it did not boot: {console}"
        return (
            self._first_process() is not None
            and self.run("systemctl", "list-jobs", check=False).returncode == 0
        )

    def _first_process(self, pid: int | None = None) -> str | None:
        if pid is None:
            assert self._process is not None
            pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return children[0] if children else None

    def run(
        self,
        *words: str | Path,
        check: bool = True,
        timeout: float = PATIENCE,
        user: str | None = None,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, as root or *user*, and return what it said."""
        first = self._first_process()
        assert first is not None
        enter = ["nsenter", "--target", first, "--all", "--root", "--wd", "env", "-i",
                 "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]  # fmt: skip
        if user is not None:
            uid = self.run("id", "-u", user).stdout.strip()
            enter += [f"XDG_RUNTIME_DIR=/run/user/{uid}", "runuser", "-u", user, "--"]
        done = subprocess.run(
            [*enter, *words], input=stdin, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(
                f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def run_beside(self, *words: str | Path, stdin: str = "") -> str:
        """Run a command of this machine in the network of the other, and return what it printed."""
        first = self._first_process()
        assert first is not None
        done = subprocess.run(
            ["nsenter", "--target", first, "--net", *words], input=stdin, capture_output=True,
            text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done
        return done.stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine, which need not be booted."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def run_offline(self, *words: str) -> None:
        """Run a command in the tree of a machine that is switched off."""
        subprocess.run(
            ["chroot", self.root, *words], capture_output=True, timeout=PATIENCE, check=True
        )

    def shell(self, script: str, *words: str, timeout: float = PATIENCE) -> str:
        """Run a shell script in the machine and return what it printed."""
        return self.run("sh", "-euc", script, "sh", *words, timeout=timeout).stdout

    def show(self, unit: str, name: str, *, user: str | None = None) -> str:
        """Return a property of a unit, as `systemctl show` has it."""
        words = ["--user"] if user else []
        said = self.run("systemctl", *words, "show", "--value", f"--property={name}", unit,
                        user=user)  # fmt: skip
        return said.stdout.strip()

    def kinds(self, point: str) -> list[str]:
        """Return the types of what is mounted on *point*, the lowest first, without a look at it.

        Even findmnt(8) looks, and what is looked at is not idle.
        """
        lines = self.run("cat", "/proc/self/mountinfo").stdout.splitlines()
        fields = [line.split(" ") for line in lines]
        return [words[words.index("-") + 1] for words in fields if words[4] == point]

    def journal(self, *words: str) -> str:
        """Return what the journal has of this boot, one message a line, without dates."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--boot", "--output=cat", "--no-pager", *words).stdout

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds. Raises AssertionError where it does not come to that."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(_POLL_INTERVAL)

    def shut_down(self, limit: float = PATIENCE) -> None:
        """Power off as an administrator would. Raises AssertionError where that hangs."""
        assert self._process is not None
        self.run("systemctl", "poweroff", "--no-block")
        try:
            self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError("the machine did not shut down") from None
        finally:
            self.pull_plug()

    def pull_plug(self) -> None:
        """End everything in the machine at once, if it still runs."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            # Killed like that it takes all others along, and unshare waits until they are gone.
            first = self._first_process(process.pid)
            os.kill(int(first) if first else process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
        subprocess.run(
            ["unshare", "--mount", "--cgroup", "--propagation", "private", "sh", "-ec",
             _LEAVE_GROUP, "sh", self._directory, self._group],
            timeout=PATIENCE, check=True,
        )  # fmt: skip

    def old_journal(self, lines: int) -> str:
        """Return the end of the journal of a machine that runs no more."""
        said = subprocess.run(
            ["chroot", self.root, "journalctl", "--no-pager", f"--lines={lines}"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        return said.stdout + said.stderr


@contextmanager
def machine_of(trees: Sequence[Path], directory: Path) -> Iterator[Machine]:
    """Yield a machine, not booted, over *trees*, which do not change.

    What it still runs is ended with the block, and the end of its journal is printed: a test that
    fails shows that.
    """
    (directory / "aside").mkdir()
    with debian.layered(trees, directory) as root:
        machine = Machine(root, directory / "aside")
        try:
            yield machine
        finally:
            machine.pull_plug()
            print(machine.old_journal(100))
