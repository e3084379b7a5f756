"""Keeping what this process knows from other processes, and off the disk."""

import ctypes
import errno
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from azfuse.mount.errors import MountError

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
# Fields 50 and 51 of proc(5), /proc/PID/stat, counted from behind the name of the program.
_ENV_START: Final = 47
_ENV_END: Final = 48


def forbid_dumps() -> None:
    """Have this process and what it forks write no core, and hide its memory from its own user.

    prctl(2), PR_SET_DUMPABLE: core(5) is not written, whatever the limits and the
    core pattern are, and of /proc/PID `environ`, `mem` and `fd` are root's. Raises MountError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        reason = os.strerror(ctypes.get_errno() or errno.EPERM)
        raise MountError(f"core dumps, which would hold credentials, cannot be forbidden: {reason}")


def wipe_environment(names: Collection[str]) -> None:
    """Blot out the values of *names* where /proc/PID/environ shows what exec(2) was given.

    To be called when `os.environ` has let go of them: the C library then points to
    none of these bytes. Raises OSError where the kernel does not let us.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    if start >= end:
        return  # hidden by the kernel, or none
    wanted = {os.fsencode(name) for name in names}
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        memory.seek(start)
        position = start
        for entry in memory.read(end - start).split(b"\0"):
            name, equals, value = entry.partition(b"=")
            if equals and value and name in wanted:
                memory.seek(position + len(name) + 1)
                memory.write(bytes(len(value)))
            position += len(entry) + 1
