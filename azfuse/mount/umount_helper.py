"""`umount.azfuse`: what umount(8) calls for our mounts, so that it returns when all is saved.

It does so under the name `umount.fuse.azfuse`, and only where it has looked up the type of the
mount: for one with words that mount(8) keeps to itself, such as `_netdev`.
"""

import ctypes
import getopt
import math
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from azfuse import __version__
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.mountpoint import MOUNT_TYPE, absolute, mounted_here
from azfuse.mount.unmount import fusermount, unmount

# The exit codes of umount(8).
_USAGE: Final = 1
_FAILURE: Final = 32
_SYNOPSIS: Final = "usage: umount.azfuse DIR [-flnrvV]"
_MNT_FORCE: Final = 1  # umount2(2)
_MNT_DETACH: Final = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Unmount as `umount.azfuse DIR [-flnrvV] [-t type]` and exit.

    Waits for as long as it takes until everything is on the share; -l and -f wait for
    nothing: the process behind the mount goes on alone.
    """
    sys.exit(_main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: Sequence[str]) -> int:
    try:
        _umount(arguments)
    except (getopt.GetoptError, UsageError) as error:
        return _complain(error, _USAGE)
    except MountError as error:
        return _complain(error, _FAILURE)
    except KeyboardInterrupt:
        return _complain("interrupted; what is not saved yet goes on being saved", _FAILURE)
    return 0


def _umount(arguments: Sequence[str]) -> None:
    found, words = getopt.gnu_getopt(list(arguments), "flnrvVhN:t:", ["help", "version"])
    flags = {name for name, _ in found}
    if flags & {"-V", "--version"}:
        print(f"umount.azfuse {__version__}")  # noqa: T201 # what it is asked for
        return
    if flags & {"-h", "--help"}:
        print(_SYNOPSIS)  # noqa: T201 # what it is asked for
        return
    if "-N" in flags:
        raise UsageError("azfuse unmounts in the caller's namespace only: -N cannot be used")
    if len(words) != 1:
        raise UsageError(_SYNOPSIS)
    if flags & {"-f", "-l"}:
        _detach(absolute(words[0]), flags)
    else:
        unmount(words[0], lazy=False, timeout=math.inf)
    if "-v" in flags:
        print(f"umount.azfuse: {words[0]} unmounted")  # noqa: T201 # what -v asks for


def _detach(point: Path, flags: Collection[str]) -> None:
    """Take the mount away whatever uses it; with -f also from a process that hangs."""
    mount = mounted_here(point)
    if mount is None or mount.kind != MOUNT_TYPE:
        raise UsageError(f"azfuse has nothing mounted on {point}")
    if os.geteuid() != 0:
        if complaint := fusermount(point, lazy=True):
            raise MountError(f"{point} cannot be unmounted: {complaint}")
        return
    how = (_MNT_FORCE if "-f" in flags else 0) | (_MNT_DETACH if "-l" in flags else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), how) != 0:
        raise MountError(f"{point} cannot be unmounted: {os.strerror(ctypes.get_errno())}")


def _complain(what: object, status: int) -> int:
    print(f"umount.azfuse: {what}", file=sys.stderr)  # noqa: T201 # the one line of a failure
    return status
