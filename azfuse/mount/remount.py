"""`-o remount`: make a mount read-only or writable, and change the kernel's flags, as it runs.

What the process behind the mount decides itself (caches, owners, leases ...) stays as
it was: words that say otherwise are refused by name.
"""

import ctypes
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from azfuse.mount.ask import ask
from azfuse.mount.choice import choose
from azfuse.mount.errors import MountError, PlaceError, UsageError
from azfuse.mount.mountpoint import MOUNT_TYPE, KernelMount, absolute, mounted_here
from azfuse.mount.options import MountOptions, parse_options
from azfuse.mount.registry import Registry
from azfuse.mount.source import parse_source

#: Seconds that a mount may take to upload what it has, or what an earlier one left.
_SETTLE_TIMEOUT: Final = 3600.0
_MS_RDONLY: Final = 1  # all of them: linux/mount.h
_MS_REMOUNT: Final = 32
#: What a word decides (see options) -> flag of mount(2), and how the kernel shows it.
_FLAGS: Final = {
    "suid": (2, "nosuid"),
    "dev": (4, "nodev"),
    "exec": (8, "noexec"),
    "sync": (16, "sync"),
    "dirsync": (128, "dirsync"),
    "atime": (1024, "noatime"),
}
#: Fields of MountOptions that may change, beside what `_FLAGS` has.
_CHANGEABLE: Final = frozenset({"read_only", *_FLAGS})
#: These speak of the source, of credentials that are in use, or of how a mount is begun.
_NOT_COMPARED: Final = frozenset({"username", "credentials", "foreground"})


def remount(
    source_text: str,
    mount_point_text: str | None,
    option_texts: Sequence[str],
    environ: Mapping[str, str],
    *,
    sloppy: bool = False,
    config_file: Path | None = None,
    fake: bool = False,
) -> None:
    """Change the mount on *mount_point_text* as the words say; *fake* only checks them.

    To become read-only takes until everything is on the share. Raises UsageError where
    there is no such mount, or where a word cannot be had while it runs; MountError
    where it fails: files are open for writing, uploads fail, the caller may not.
    """
    choice = choose(
        source_text, mount_point_text, option_texts, environ, config_file=config_file, sloppy=sloppy
    )
    if choice.mount_point is None:
        raise UsageError("Missing argument 'MOUNTPOINT'.")
    # Not `choice.options`: what files and environment say was said when the mount was made.
    options = parse_options(option_texts, sloppy=sloppy)
    point = absolute(choice.mount_point)
    mount = mounted_here(point)
    if mount is None or mount.kind != MOUNT_TYPE:
        raise PlaceError(f"{point} cannot be remounted: azfuse has nothing mounted there")
    if parse_source(choice.source) != parse_source(mount.source):
        raise UsageError(f"{point} cannot be remounted: it is {mount.source}, not {choice.source}")
    record = Registry().find(str(point))
    if record is None:
        raise MountError(f"{point} cannot be remounted: it was not mounted by this user")
    _check_rest(options, ask(record, "options"))
    flags = _flags(options, mount)
    if fake:
        return
    if not flags & _MS_RDONLY:
        ask(record, "allow-writing", _SETTLE_TIMEOUT)
    _change(point, mount, flags)
    if flags & _MS_RDONLY:
        ask(record, "settle", _SETTLE_TIMEOUT)


def _check_rest(options: MountOptions, current: Mapping[str, str]) -> None:
    """Compare what was said and cannot change with what is. Raises UsageError."""
    for field, text in sorted(options.texts().items()):
        if field in options.given - _CHANGEABLE - _NOT_COMPARED and text != current.get(field):
            raise UsageError(
                f"option {field.replace('_', '-')} cannot change while it is mounted "
                f"({_shown(current.get(field))}): unmount it and mount it again"
            )


def _shown(text: str | None) -> str:
    return "it was not given" if text in (None, "None") else f"it is {text}"


def _flags(options: MountOptions, mount: KernelMount) -> int:
    """Return the flags of mount(2): what was said, else what is."""
    read_only = options.read_only if "read_only" in options.given else "ro" in mount.options
    flags = _MS_RDONLY if read_only else 0
    for thing, (flag, word) in _FLAGS.items():
        shown = options.fuse_words if thing in options.given else mount.options
        if word in shown:
            flags |= flag
    return flags


def _change(point: Path, mount: KernelMount, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    names = [os.fsencode(text) for text in (mount.source, str(point), mount.kind)]
    if libc.mount(*names, ctypes.c_ulong(_MS_REMOUNT | flags), None) == 0:
        return
    number = ctypes.get_errno()
    if number == errno.EBUSY:
        raise MountError(
            f"{point} cannot become read-only: files in it are open for writing "
            f"(fuser -vm {point} names the programs)"
        )
    if number == errno.EPERM:
        raise MountError(f"{point} cannot be remounted: only root may do that")
    raise MountError(f"{point} cannot be remounted: {os.strerror(number)}")
