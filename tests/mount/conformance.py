"""Small programs of system calls, run in any directory by any user; what they say is compared.

A program is a list of steps, a step a tuple: the name of a call below, then its arguments.
`as_user(USER, step)` is a step of somebody else than root. The answer to a step is what the
call returns, the name of its errno where it fails, or for `look` and `moved` what is so of
an entry.
"""

import errno
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Step = tuple[Any, ...]
Program = Sequence[Step]

#: Seconds for a step in another process.
LIMIT: Final = 60
#: What the clock must move by for a change to show in the times of any file system, nanoseconds.
_TICK: Final = 12_000_000


@dataclass(frozen=True)
class User:
    """Somebody else than root."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def as_user(user: User, *step: Any) -> Step:
    """Return *step* as *user* does it."""
    return "as", user, step


# -- calls --------------------------------------------------------------------------------


def _open(path: str, flags: int, mode: int = 0o644) -> None:
    os.close(os.open(path, flags | os.O_NONBLOCK, mode))


def _write(path: str, data: str, flags: int = 0) -> int:
    descriptor = os.open(path, os.O_WRONLY | flags)
    try:
        return os.write(descriptor, data.encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    return Path(path).read_text(errors="replace")


def _mknod(path: str, kind: str, mode: int = 0o644) -> None:
    if kind == "socket":
        os.mknod(path, stat.S_IFSOCK | mode)
    elif kind == "fifo":
        os.mkfifo(path, mode)
    else:
        letter = stat.S_IFBLK if kind == "block" else stat.S_IFCHR
        os.mknod(path, letter | mode, os.makedev(1, 7))


def _ftruncate(path: str, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _after_unlink(path: str, mode: int) -> tuple[int, ...]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.unlink(path)
        os.fchmod(descriptor, mode)
        os.write(descriptor, b"after")
        status = os.fstat(descriptor)
        return stat.S_IMODE(status.st_mode), status.st_size, status.st_nlink
    finally:
        os.close(descriptor)


def _bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def _look(path: str) -> tuple[Any, ...]:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    directory = kind == stat.S_IFDIR
    return (
        stat.filemode(status.st_mode),
        status.st_uid,
        status.st_gid,
        None if directory else status.st_size,
        None if directory else status.st_nlink,
        status.st_rdev,
    )


def _set_times(path: str, *times: int) -> tuple[int, int]:
    os.utime(path, ns=(times[0], times[1]))
    status = os.stat(path)
    return status.st_atime_ns, status.st_mtime_ns


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "open": _open,
    "write": _write,
    "read": _read,
    "mkdir": os.mkdir,
    "rmdir": os.rmdir,
    "unlink": os.unlink,
    "rename": os.rename,
    "link": lambda old, new: os.link(old, new, follow_symlinks=False),
    "symlink": os.symlink,
    "readlink": os.readlink,
    "mknod": _mknod,
    "bind": _bind,
    "chmod": os.chmod,
    "chown": os.chown,
    "lchown": os.lchown,
    "truncate": os.truncate,
    "ftruncate": _ftruncate,
    "touch": os.utime,
    "set-times": _set_times,
    "access": os.access,
    "list": lambda path: sorted(os.listdir(path)),
    "after-unlink": _after_unlink,
    "set-xattr": lambda path, name, value: os.setxattr(path, name, value.encode()),
    "umask": os.umask,
    "look": _look,
}


class Place:
    """A directory where programs run; remembers the times that entries had."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._times: dict[str, tuple[int, int]] = {}

    def run(self, program: Program) -> list[Any]:
        """Run *program* here and return the answers to its steps."""
        self._root.mkdir()
        self._root.chmod(0o777)
        before = Path.cwd()
        mask = os.umask(0)
        os.chdir(self._root)
        try:
            return [_plain(self._answer(step)) for step in program]
        finally:
            os.umask(mask)
            os.chdir(before)

    def _answer(self, step: Step) -> Any:
        name, *arguments = step
        if name == "note":
            self._note(arguments)
            return None
        if name == "moved":
            return self._moved(*arguments)
        if name == "moved-from":
            old, new = arguments
            return None if os.path.lexists(old) else self._moved(new, old)
        if name == "as":
            user, inner = arguments
            return _in_child(user, inner)
        return _call(name, arguments)

    def _note(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._times[path] = _times(path)
        until = time.time_ns() + _TICK
        while time.time_ns() < until:
            pass

    def _moved(self, path: str, was: str | None = None) -> list[str] | str:
        """Say which times of *path* are not what `note` saw, of it or of what *was* there."""
        try:
            now = _times(path)
        except OSError as error:
            return _name_of(error)
        before = self._times[was or path]
        return [name for name, a, b in zip(("mtime", "ctime"), before, now, strict=True) if a != b]


def _times(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_mtime_ns, status.st_ctime_ns


def _call(name: str, arguments: Sequence[Any]) -> Any:
    try:
        return _CALLS[name](*arguments)
    except OSError as error:
        return _name_of(error)


def _name_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


def _plain(answer: Any) -> Any:
    return json.loads(json.dumps(answer))


def _in_child(user: User, step: Step) -> Any:
    """Run one step in a process of *user*."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(LIMIT)
            os.setgroups(user.groups)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            os.write(writer, json.dumps(_call(step[0], step[1:])).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        with os.fdopen(reader) as answer:
            said = answer.read()
    finally:
        os.waitpid(child, 0)
    return json.loads(said)


@contextmanager
def named(program: Program, here: list[Any], there: list[Any]) -> Iterator[None]:
    """Show *program* with both answers where the block fails."""
    try:
        yield
    except AssertionError:
        lines = [
            f"{'  ' if a == b else '! '}{step!r}: mount {a!r}, disk {b!r}"
            for step, a, b in zip(program, here, there, strict=True)
        ]
        raise AssertionError("\n".join(lines)) from None
