"""A mount namespace for one test: an administrator's machine, or another user's."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mount.harness import PATIENCE

#: A user that no machine has.
USER = 54321

# Ends when its standard input does. $1 is a directory of the test, $2 that of our scripts, $3
# further work.
_SET_UP = """
set -e
umount -a -l -t fuse.azfuse  # what others have mounted would live as long as this copy of it
mount -t tmpfs -o mode=0755 tmpfs "$1/upper"
mkdir "$1/upper/over" "$1/upper/work"
for helper in mount umount; do  # as `make install` makes them
    ln -s "$2/$helper.azfuse" "$1/upper/over/$helper.azfuse"
    ln -s "$2/$helper.azfuse" "$1/upper/over/$helper.fuse.azfuse"
done
mount -t overlay -o "lowerdir=/usr/sbin,upperdir=$1/upper/over,workdir=$1/upper/work" x /usr/sbin
mkdir -p /run/mount /run/azfuse
mount -t tmpfs tmpfs /run/mount
mount -t tmpfs -o mode=0700 tmpfs /run/azfuse
mount -t tmpfs tmpfs /mnt
mkdir /mnt/share
cd "$1/upper"
eval "$3"
cd /
echo ready
exec cat
"""


class Shell:
    """A shell of root in the namespace; what every script needs is in variables."""

    def __init__(self, pid: int, directory: Path, variables: Mapping[str, str]) -> None:
        self._pid = pid
        self.fstab = directory / "fstab"
        self.point = Path("/mnt/share")  # others can get there
        self._variables = {"MNT": str(self.point), "LIBMOUNT_FSTAB": str(self.fstab), **variables}

    def __call__(self, script: str, *, status: int = 0, **variables: str) -> str:
        """Run *script*; return what it printed, on both outputs."""
        return self._run(["sh", "-c", script], status, variables)

    def user(self, script: str, *, status: int = 0, **variables: str) -> str:
        """Run *script* as USER, without any privilege."""
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        return self._run([*become, "sh", "-c", script], status, {"HOME": "/mnt/home", **variables})

    def _run(self, words: list[str], status: int, variables: Mapping[str, str]) -> str:
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin"
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), "-m", *words],
            env={**os.environ, "PATH": path, **self._variables, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout}"
        return done.stdout


@contextmanager
def namespace(directory: Path, variables: Mapping[str, str], further: str = "") -> Iterator[Shell]:
    """Make a namespace with our helper in /sbin, and nothing of this machine's /run.

    *further* is shell for its set-up, run in a directory of the namespace. Whatever is
    still mounted at the end is unmounted.
    """
    (directory / "upper").mkdir()
    scripts = sysconfig.get_path("scripts")
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private",
         "sh", "-c", _SET_UP, "sh", directory, scripts, further],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as keeper:  # fmt: skip
        try:
            assert keeper.stdout is not None
            if keeper.stdout.readline() != "ready\n":
                assert keeper.stderr is not None
                pytest.skip(f"no namespace with an overlay can be had: {keeper.stderr.read()}")
            shell = Shell(keeper.pid, directory, variables)
            try:
                yield shell
            finally:
                shell('azfuse unmount --all --timeout 30 || umount -l "$MNT" || true')
        finally:
            keeper.terminate()


def reachable_by_all(*paths: str) -> str:
    """Return shell for the set-up that lets others get to *paths* (the interpreter, say)."""
    lines = []
    for number, path in enumerate(map(Path, paths)):
        closed = [p for p in reversed(path.parents) if not p.stat().st_mode & 0o001]
        if closed:
            lines += [
                f"mkdir keep{number}; mount --bind '{path}' keep{number}",
                f"mountpoint -q '{closed[0]}' || mount -t tmpfs -o mode=0755 tmpfs '{closed[0]}'",
                f"mkdir -p '{path}'; mount --bind keep{number} '{path}'",
            ]
    return "\n".join(lines)
