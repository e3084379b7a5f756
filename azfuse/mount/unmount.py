"""Taking a mount away, from outside or as a last resort."""

import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Final

from azfuse.mount.errors import MountError, PlaceError
from azfuse.mount.mountpoint import MOUNT_TYPE, absolute, mounted_here
from azfuse.mount.progress import Progress
from azfuse.mount.registry import Record, Registry

log = logging.getLogger(__name__)

#: fusermount3 does nothing slow; one that takes this many seconds hangs.
_FUSERMOUNT_TIMEOUT: Final = 20.0
_POLL_INTERVAL: Final = 0.05


def fusermount(mount_point: Path, *, lazy: bool) -> str:
    """Unmount and return what fusermount3 complains of, empty where all went well."""
    flags = "-uz" if lazy else "-u"
    try:
        done = subprocess.run(
            ["fusermount3", flags, "--", str(mount_point)],
            capture_output=True,
            text=True,
            timeout=_FUSERMOUNT_TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        return "fusermount3 is missing: install it with apt-get install fuse3"
    except subprocess.TimeoutExpired:
        return "fusermount3 hangs"
    if done.returncode == 0:
        return ""
    return done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"


def detach_device(mount_point: Path, device: int) -> None:
    """Make sure that the mount with *device* is gone from *mount_point*."""
    mount = mounted_here(mount_point)
    if mount is None or mount.device != device:
        return
    if complaint := fusermount(mount_point, lazy=True):
        log.error("%s stays mounted: %s", mount_point, complaint)


def clear_dead_mount(text: str) -> None:
    """Take away what a killed process of this user has left mounted on *text*, if it has."""
    mount_point = absolute(text)
    mount = mounted_here(mount_point)
    if mount is None or mount.kind != MOUNT_TYPE:
        return
    record = Registry().find(str(mount_point))
    if record is not None and not record.alive:
        detach_device(mount_point, mount.device)


def unmount(text: str, *, lazy: bool, timeout: float) -> None:
    """Unmount and wait until the process behind it has saved everything.

    Raises UsageError where nothing of ours is mounted, MountError where it is in
    use, or where data was not saved (in time).
    """
    mount_point = absolute(text)
    registry = Registry()
    record = registry.find(str(mount_point))
    mount = mounted_here(mount_point)
    if mount is not None and mount.kind != MOUNT_TYPE:
        raise PlaceError(f"{mount_point} is a mount of type {mount.kind}, not of azfuse")
    if mount is None and record is None:
        raise PlaceError(f"{mount_point} is not mounted")
    if mount is not None and (complaint := fusermount(mount_point, lazy=lazy)):
        raise MountError(_explain(mount_point, complaint))
    deadline = time.monotonic() + timeout
    # Those whose place it had taken may have more to save than the newest.
    for each in [] if record is None else [record, *registry.replaced(str(mount_point))]:
        _wait(registry, each, deadline, lazy=lazy)


def _explain(mount_point: Path, complaint: str) -> str:
    if "busy" in complaint:
        return (
            f"{mount_point} is in use: close the files and leave the directories in it "
            f"(fuser -vm {mount_point} names the programs), or use --lazy"
        )
    return f"{mount_point} cannot be unmounted: {complaint}"


def _wait(registry: Registry, record: Record, deadline: float, *, lazy: bool) -> None:
    with Progress(record) as progress:
        while record.alive:
            if time.monotonic() >= deadline:
                why = "programs still use it" if lazy else "data is still being saved"
                raise MountError(
                    f"{record.mount_point} is unmounted but its process {record.pid} goes on: {why}"
                )
            progress.show()
            time.sleep(_POLL_INTERVAL)
    last = registry.latest(record)
    if last is None:
        return
    registry.remove(last)
    if last.state == "failed":
        raise MountError(f"{record.mount_point}: {last.message} (log: {last.log})")
    if last.state == "saving":
        raise MountError(
            f"{record.mount_point}: its process {record.pid} died before it had saved everything "
            f"(log: {last.log})"
        )
