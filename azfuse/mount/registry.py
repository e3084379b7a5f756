"""The mounts of this user: who serves which mount point, and how the last one ended.

One small file a mount, in a directory that only this user may enter. The kernel
knows that something is mounted; this knows by whom, which outlives the mount
itself while unsaved data is still going up. Where a new mount takes the place of one
that has not come to its end, the older record makes room and is kept beside it.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from azfuse.mount.errors import MountError

State = Literal["mounted", "saving", "failed"]


@dataclass(frozen=True, slots=True)
class Record:
    """One mount.

    `started` is the kernel's start time of the process, so that a pid that was
    given to another process is not taken for ours.
    """

    mount_point: str
    source: str
    pid: int
    started: int
    state: State = "mounted"
    #: Why it failed, one sentence.
    message: str = ""
    #: Where its log goes.
    log: str = ""

    def is_of(self, other: "Record") -> bool:
        """Say whether both are of one process, in whatever state."""
        return (self.pid, self.started) == (other.pid, other.started)

    @property
    def alive(self) -> bool:
        """Say whether the process that serves it is still there."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int:
    """Return when *pid* was started (ticks since boot), 0 where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # The name in parentheses may hold anything, parentheses too.
    state, *fields = text.rpartition(")")[2].split()
    return 0 if state == "Z" else int(fields[18])


def runtime_dir() -> Path:
    """Return the directory of the records, made where it is missing. Raises MountError."""
    fallback = Path(f"/tmp/azfuse-{os.geteuid()}")  # noqa: S108 # checked below
    if os.geteuid() == 0:
        # Not XDG_RUNTIME_DIR: a login shell has one, systemd and cron have none.
        places = [Path("/run/azfuse"), fallback]
    else:
        base = os.environ.get("XDG_RUNTIME_DIR")
        places = [Path(base, "azfuse"), fallback] if base else [fallback]
    path = next((place for place in places if os.access(place.parent, os.W_OK)), fallback)
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise MountError(f"the runtime directory {path} belongs to somebody else")
        path.chmod(0o700)
    except OSError as error:
        raise MountError(f"the runtime directory {path}: {error.strerror}") from None
    return path


def record_id(mount_point: str) -> str:
    """Return a file name for a mount point."""
    return hashlib.sha256(os.fsencode(mount_point)).hexdigest()[:16]


class Registry:
    """The records in one directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or runtime_dir()

    def _path(self, mount_point: str) -> Path:
        return self.directory / f"{record_id(mount_point)}.json"

    def _aside(self, record: Record) -> Path:
        """Return where *record* is once a newer mount has taken its place."""
        return self.directory / f"{record_id(record.mount_point)}-{record.pid}.json"

    def _place(self, record: Record) -> Path:
        return (
            self._path(record.mount_point) if self._rival(record) is None else self._aside(record)
        )

    def _rival(self, record: Record) -> Record | None:
        """Return the record of another process, still alive, in the place of *record*."""
        found = self.find(record.mount_point)
        return found if found is not None and found.alive and not found.is_of(record) else None

    def write(self, record: Record) -> None:
        """Write *record*, of a mount that is new, in place of an older one of its mount point."""
        if older := self._rival(record):
            self._write(self._aside(older), older)
        self._write(self._path(record.mount_point), record)

    def _write(self, path: Path, record: Record) -> None:
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(asdict(record)))
        temporary.replace(path)

    def update(self, record: Record, state: State, message: str = "") -> Record:
        """Write *record* with another state and return it."""
        record = replace(record, state=state, message=message)
        self._write(self._place(record), record)
        return record

    def remove(self, record: Record) -> None:
        """Remove *record*, and leave that of a newer mount in its place alone."""
        for path in (self._aside(record), self._path(record.mount_point)):
            found = _read(path)
            if found is not None and found.is_of(record):
                path.unlink(missing_ok=True)

    def find(self, mount_point: str) -> Record | None:
        """Return the newest record of *mount_point*, whether or not its process is alive."""
        return _read(self._path(mount_point))

    def is_newest(self, record: Record) -> bool:
        """Say whether no newer mount has taken the place of *record*."""
        found = self.find(record.mount_point)
        return found is not None and found.is_of(record)

    def latest(self, record: Record) -> Record | None:
        """Return *record* as its process has written it last, None once it is removed."""
        for path in (self._aside(record), self._path(record.mount_point)):
            found = _read(path)
            if found is not None and found.is_of(record):
                return found
        return None

    def replaced(self, mount_point: str) -> list[Record]:
        """Return the records of *mount_point* whose place a newer mount has taken."""
        paths = self.directory.glob(f"{record_id(mount_point)}-*.json")
        return [record for record in map(_read, paths) if record is not None]

    def records(self) -> Iterator[Record]:
        """Yield every record, in the order of mount points.

        Those of processes that have ended, on mount points that are gone, are removed:
        nobody will come back to them.
        """
        found = filter(None, [_read(path) for path in self.directory.glob("*.json")])
        for record in sorted(found, key=lambda record: record.mount_point):
            if record.alive or _may_be_there(record.mount_point):
                yield record
            else:
                self.remove(record)


def _may_be_there(path: str) -> bool:
    """Say whether something may be at *path*; what a dead process has left mounted is."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        # Gone meanwhile, or written by another version: as good as none.
        return None
