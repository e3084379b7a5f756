"""`umount.azfuse`: what umount(8) calls for our mounts, so that it returns when all is saved.

It does so under the name `umount.fuse.azfuse`, and only where it has looked up the type of the
mount: for one with words that mount(8) keeps to itself, such as `_netdev`.
"""

import ctypes
import math
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from azfuse.mount.errors import MountError, PlaceError
from azfuse.mount.helper_words import Helper
from azfuse.mount.mountpoint import MOUNT_TYPE, absolute, mounted_here
from azfuse.mount.unmount import fusermount, unmount

_MNT_FORCE: Final = 1  # umount2(2)
_MNT_DETACH: Final = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Unmount as `umount.azfuse DIR [-flnrvV] [-t type]` and exit.

    Waits for as long as it takes until everything is on the share; -l and -f wait for
    nothing: the process behind the mount goes on alone.
    """
    sys.exit(_HELPER.run(arguments))


def _umount(flags: Collection[str], texts: list[str], words: list[str]) -> None:
    del texts
    (directory,) = words
    if {"-f", "-l"} & set(flags):
        _detach(absolute(directory), flags)
    else:
        unmount(directory, lazy=False, timeout=math.inf)
    if "-v" in flags:
        _HELPER.say(f"{directory} unmounted")


def _detach(point: Path, flags: Collection[str]) -> None:
    """Take the mount away whatever uses it; with -f also from a process that hangs."""
    mount = mounted_here(point)
    if mount is None or mount.kind != MOUNT_TYPE:
        raise PlaceError(f"azfuse has nothing mounted on {point}")
    if os.geteuid() != 0:
        if complaint := fusermount(point, lazy=True):
            raise MountError(f"{point} cannot be unmounted: {complaint}")
        return
    how = (_MNT_FORCE if "-f" in flags else 0) | (_MNT_DETACH if "-l" in flags else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), how) != 0:
        raise MountError(f"{point} cannot be unmounted: {os.strerror(ctypes.get_errno())}")


_HELPER: Final = Helper("umount.azfuse", "umount.azfuse DIR [-flnrvV]", "flnr", 1, _umount)
