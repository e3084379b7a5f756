"""What a mount remembers on local disk: inode numbers, leases, and which mounts are alive.

A file that is created gets its inode number before the share gives it an id, and
keeps that number. The pairs are remembered here, so that the number is the same
after a remount on this machine. Losing them only means new numbers.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Pairs kept for one share, newest first; about 30 bytes each.
_MOST_NUMBERS: Final = 1_000_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS leases (
    share TEXT NOT NULL, lease_id TEXT PRIMARY KEY, path TEXT NOT NULL, instance TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (
    share TEXT NOT NULL, file_id INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (share, file_id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A file lease: its id, where the file is on the share, which mount holds it.

    `moving_to` is where the file may be instead, while it is renamed.
    """

    lease_id: str
    path: str
    instance: str
    moving_to: str = ""


class MountState:
    """The state directory of one share's mounts on this machine."""

    def __init__(self, directory: Path, share_url: str) -> None:
        """*share_url* tells shares apart; it is only kept hashed."""
        self._directory = directory
        self._share = hashlib.sha256(share_url.encode()).hexdigest()[:16]
        self.numbers: dict[int, int] = {}
        self._stored: dict[int, int] = {}

    @contextmanager
    def held(self, instance: str) -> Iterator[None]:
        """Show for the duration of a mount that *instance* is alive; keep the numbers.

        Raises OSError where the state directory cannot be made.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._load()
        path = self._lock_path(instance)
        descriptor = _locked(path)
        try:
            yield
        finally:
            self.save()
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def is_dead(self, instance: str) -> bool:
        """Say whether *instance* was a mount of this machine that is no longer running.

        False for mounts of other machines: nothing is known of them.
        """
        try:
            descriptor = os.open(self._lock_path(instance), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def is_alive(self, instance: str) -> bool:
        """Say whether *instance*, which has used this state directory, is still running."""
        return self._lock_path(instance).exists() and not self.is_dead(instance)

    def remember_lease(self, lease: HeldLease) -> None:
        """Write down a lease before it is used. Raises OSError where that is impossible."""
        self._change_leases(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
            (
                self._share,
                lease.lease_id,
                f"{lease.path}\0{lease.moving_to}".removesuffix("\0"),
                lease.instance,
            ),
        )

    def forget_lease(self, lease_id: str) -> None:
        """Strike a lease out. Raises OSError where that is impossible."""
        self._change_leases("DELETE FROM leases WHERE lease_id = ?", (lease_id,))

    def held_leases(self) -> list[HeldLease]:
        """Return the leases of this share that were written down and not struck out.

        Raises OSError where the state directory cannot be read.
        """
        try:
            with closing(self._database()) as database:
                rows = database.execute(
                    "SELECT lease_id, path, instance FROM leases WHERE share = ?", (self._share,)
                )
                return [
                    HeldLease(lease_id, path, instance, moving_to)
                    for lease_id, paths, instance in rows
                    for path, _, moving_to in [paths.partition("\0")]
                ]
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the state directory cannot be read: {error}") from error

    def _change_leases(self, statement: str, values: tuple[str, ...]) -> None:
        try:
            with closing(self._database()) as database, database:
                # Not even a power failure may lose what others would wait for in vain.
                database.execute("PRAGMA synchronous = FULL")
                database.execute(statement, values)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the state directory cannot be written: {error}") from error

    def forget_dead(self) -> None:
        """Remove what shows that mounts of this share were here which no longer run."""
        for path in self._directory.glob(f"mount-{self._share}-*.lock"):
            if self.is_dead(path.stem.rpartition("-")[2]):
                path.unlink(missing_ok=True)

    def save(self) -> None:
        """Write the numbers that are new since they were loaded or last saved."""
        new = {k: v for k, v in self.numbers.items() if self._stored.get(k) != v}
        if not new:
            return
        try:
            with closing(self._database()) as database, database:
                database.executemany(
                    "INSERT OR REPLACE INTO numbers VALUES (?, ?, ?)",
                    [(self._share, _signed(k), _signed(v)) for k, v in new.items()],
                )
        except sqlite3.Error as error:
            log.warning("inode numbers were not saved, new ones come at the next mount: %s", error)
        self._stored.update(new)

    def _load(self) -> None:
        try:
            with closing(self._database()) as database:
                rows = database.execute(
                    "SELECT file_id, number FROM numbers WHERE share = ? LIMIT ?",
                    (self._share, _MOST_NUMBERS),
                ).fetchall()
        except sqlite3.Error as error:
            log.warning("inode numbers of earlier mounts cannot be read: %s", error)
            return
        self._stored = {_unsigned(k): _unsigned(v) for k, v in rows}
        self.numbers.update(self._stored)

    def _database(self) -> sqlite3.Connection:
        path = self._directory / "inodes.sqlite"
        database = sqlite3.connect(path, timeout=5)
        with contextlib.suppress(OSError):
            path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
        return database

    def _lock_path(self, instance: str) -> Path:
        return self._directory / f"mount-{self._share}-{instance}.lock"


def _locked(path: Path) -> int:
    """Make the file *path* and lock it; return its descriptor.

    Another mount may take it for a dead one's, and remove it, before it is locked.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _signed(value: int) -> int:
    """Return an unsigned 64-bit number as SQLite can hold it."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _unsigned(value: int) -> int:
    return value & ((1 << 64) - 1)
