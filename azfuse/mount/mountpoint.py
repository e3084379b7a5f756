"""The mount point and what the machine must offer, checked before anything is begun."""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from azfuse.mount.errors import MountError, PlaceError, UsageError

FUSE_DEVICE: Final = Path("/dev/fuse")
FUSE_CONF: Final = Path("/etc/fuse.conf")
#: Links behind each other that are followed, as by the kernel.
_MOST_LINKS: Final = 40
MOUNT_TYPE: Final = "fuse.azfuse"


@dataclass(frozen=True, slots=True)
class KernelMount:
    """One line of /proc/self/mountinfo."""

    mount_point: str
    kind: str
    source: str
    #: Device number, as st_dev has it.
    device: int
    #: Of this mount and of the file system behind it, such as `ro` and `nosuid`.
    options: frozenset[str]


def kernel_mounts() -> Iterator[KernelMount]:
    """Yield every mount that this process sees, without touching any of them."""
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        kind, source, of_all = after.split(" ")[:3]
        _, _, numbers, _, mount_point, of_this, *_ = before.split(" ")
        major, minor = (int(number) for number in numbers.split(":"))
        device = os.makedev(major, minor)
        options = frozenset((*of_this.split(","), *of_all.split(",")))
        yield KernelMount(_unescape(mount_point), kind, _unescape(source), device, options)


def _unescape(text: str) -> str:
    r"""Undo the kernel's `\040` for blanks and the like."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def mounted_here(mount_point: Path) -> KernelMount | None:
    """Return the topmost mount on exactly *mount_point*."""
    found = [mount for mount in kernel_mounts() if mount.mount_point == str(mount_point)]
    return found[-1] if found else None


def absolute(text: str) -> Path:
    """Make a mount point absolute without touching it: it may hang.

    Its parent is resolved, which is on another file system, and so is it if it is a link.
    """
    path = Path(os.path.abspath(text))  # noqa: PTH100 # Path.absolute keeps ".."
    path = Path(os.path.realpath(path.parent)) / path.name
    for _ in range(_MOST_LINKS):
        if mounted_here(path) is not None or not path.is_symlink():
            break
        target = path.parent / path.readlink()
        path = Path(os.path.realpath(target.parent)) / target.name
    return path


def check_mount_point(text: str) -> Path:
    """Return the mount point as an absolute path without symbolic links.

    Raises UsageError; PlaceError where it is not as it must be.
    """
    if not text:
        raise UsageError("the mount point must be named")
    path = absolute(text)
    if path == Path("/"):
        raise PlaceError("the root directory cannot be mounted over")
    mount = mounted_here(path)
    if mount is not None and mount.kind == MOUNT_TYPE:
        raise PlaceError(
            f"{path} is already mounted ({mount.source}): run azfuse unmount {path} first"
        )
    try:
        status = path.stat()
        path = path.resolve(strict=True)
    except FileNotFoundError:
        raise PlaceError(f"mount point {path} does not exist: run mkdir -p {path}") from None
    except NotADirectoryError:
        raise PlaceError(f"mount point {path} is inside something that is no directory") from None
    except OSError as error:
        raise PlaceError(f"mount point {path} cannot be used: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise PlaceError(f"mount point {path} is not a directory")
    if not os.access(path, os.W_OK):
        raise PlaceError(f"mount point {path} must be a directory that you may write to")
    return path


def check_machine(*, allow_other: bool) -> None:
    """Check that FUSE can be used here by this user. Raises MountError."""
    if not FUSE_DEVICE.exists():
        raise MountError(
            "/dev/fuse is missing: run modprobe fuse as root, or start the container with "
            "--device /dev/fuse --cap-add SYS_ADMIN"
        )
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise MountError(
            f"/dev/fuse cannot be opened ({error.strerror}): run as root, or allow it with "
            "chmod 666 /dev/fuse"
        ) from None
    if shutil.which("fusermount3") is None:
        raise MountError("fusermount3 is missing: install it with apt-get install fuse3")
    if allow_other and os.geteuid() != 0 and not _user_allow_other():
        raise MountError(
            f"allow_other needs a line user_allow_other in {FUSE_CONF} (or run as root)"
        )


def _user_allow_other() -> bool:
    try:
        lines = FUSE_CONF.read_text().splitlines()
    except OSError:
        return False
    return "user_allow_other" in {line.strip() for line in lines}
