"""The state of the emulator: one SQLite database and the blobs beside it.

All of it is used from the event loop's thread, except for the blobs. An answered change is safe
when the process is killed: bytes reach the operating system before the rows that name them are
committed, and what a kill leaves behind is collected when the store is opened. (Nothing is forced
to the disk: a power cut may cost the last seconds.)
"""

# ruff: noqa: S608 - statements are put together from column names of schema.py, never from input

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from azfuse.emulator import clock
from azfuse.emulator.content import Blobs, DiskBlobs, MemoryBlobs
from azfuse.emulator.rows import Kind, Node, Share, Snapshot
from azfuse.emulator.schema import (
    NODE_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    SHARE_COLUMNS,
    SNAPSHOT_COLUMNS,
)

_SHARE: Final = ", ".join(SHARE_COLUMNS)
_SNAPSHOT: Final = ", ".join(SNAPSHOT_COLUMNS)
_NODE: Final = ", ".join(NODE_COLUMNS)


class StoreUnusable(Exception):  # noqa: N818 (it says what happened)
    """The data directory cannot be used; the message is one sentence for the user."""


class Store:
    """The database, the blobs, and the rows of shares and snapshots.

    *directory* is made if it is missing; None keeps everything in memory.
    Raises StoreUnusable.
    """

    def __init__(self, directory: Path | None) -> None:
        self.blobs: Blobs
        try:
            self.db, self.blobs, self._lock = _open(directory)
            try:
                self._prepare()
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise StoreUnusable(f"cannot use {directory}: {error.strerror or error}") from error
        except sqlite3.Error as error:
            raise StoreUnusable(f"cannot use {directory}: {error}") from error
        highest = self.db.execute(
            "SELECT max(ifnull((SELECT max(blob) FROM contents), 0), "
            "ifnull((SELECT max(blob) FROM extents), 0))"
        ).fetchone()[0]
        self._last_blob: int = highest

    def _prepare(self) -> None:
        db = self.db
        # Nobody else uses the database (see the lock): no locks and no shared memory a statement.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -65536")
        db.execute("PRAGMA wal_autocheckpoint = 4000")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreUnusable(
                f"the data directory was made by another version of the emulator (format {version},"
                f" this one writes {SCHEMA_VERSION}): choose another or remove it"
            )
        known = {row[0] for row in db.execute("SELECT DISTINCT blob FROM extents")}
        known |= {row[0] for row in db.execute("SELECT blob FROM contents WHERE blob NOT NULL")}
        for blob in list(self.blobs):
            if blob not in known:
                self.blobs.remove(blob)

    def close(self) -> None:
        """Close the database and let go of the directory."""
        self.db.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make what is done inside one change: all of it is stored, or nothing.

        May be entered again inside itself. Nobody may await inside.
        """
        if self.db.in_transaction:
            yield self.db
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def new_blob(self) -> int:
        """Return a number no blob has had since the store was opened."""
        self._last_blob += 1
        return self._last_blob

    # Shares

    def share(self, account: str, name: str) -> Share | None:
        """Return a living share."""
        row = self.db.execute(
            f"SELECT {_SHARE} FROM shares WHERE account = ? AND name = ? AND deleted IS NULL",
            (account, name),
        ).fetchone()
        return Share(*row) if row else None

    def share_by_id(self, share: int) -> Share:
        """Return a share, living or deleted."""
        return Share(
            *self.db.execute(f"SELECT {_SHARE} FROM shares WHERE id = ?", (share,)).fetchone()
        )

    def deleted_shares(self, account: str, name: str | None = None) -> list[Share]:
        """Return the deleted shares of an account that are still kept, the latest first."""
        rows = self.db.execute(
            f"SELECT {_SHARE} FROM shares WHERE account = ? AND deleted NOT NULL "
            "AND name = ifnull(?, name) ORDER BY deleted DESC",
            (account, name),
        )
        return [Share(*row) for row in rows]

    def shares(self, account: str, prefix: str, marker: str, limit: int) -> list[Share]:
        """Return up to *limit* living shares in ordinal order, from *marker* on."""
        rows = self.db.execute(
            f"SELECT {_SHARE} FROM shares WHERE account = ?1 AND deleted IS NULL AND name >= ?2 "
            "AND substr(name, 1, length(?3)) = ?3 ORDER BY name LIMIT ?4",
            (account, max(marker, prefix), prefix, limit),
        )
        return [Share(*row) for row in rows]

    def create_share(
        self, account: str, name: str, *, quota: int, protocol: str, settings: str,
        metadata: str | None,
    ) -> Share:  # fmt: skip
        """Make a share with its root directory. The caller has looked that the name is free."""
        now = clock.now()
        nfs = protocol == "NFS"
        with self.transaction() as db:
            share = db.execute(
                "INSERT INTO shares (account, name, root, version, created, modified, quota, "
                "protocol, settings, metadata) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
                (account, name, f"{now // clock.TICK + 504_911_232_000_000_000:016X}", now, now,
                 quota, protocol, settings, metadata),
            ).lastrowid  # fmt: skip
            root = db.execute(
                "INSERT INTO nodes (share, kind, file_id, born, attributes, "
                "created, written, changed, accessed, modified, mode) "
                "VALUES (?, ?, ?, 0, 8, ?, ?, ?, ?, ?, ?)",
                (share, Kind.DIRECTORY, "1" if nfs else "0",
                 now, now, now, now, clock.now(now), 0o755),
            ).lastrowid  # fmt: skip
            db.execute("UPDATE shares SET root = ? WHERE id = ?", (root, share))
        created = self.share(account, name)
        if created is None:
            raise RuntimeError(f"share {name} vanished while it was made")
        return created

    def update_share(self, share: int, **changes: Any) -> None:
        """Set columns of a share."""
        self.update("shares", share, changes)

    # Snapshots

    def snapshot(self, share: int, taken: int) -> Snapshot | None:
        """Return the snapshot of *share* taken at that instant."""
        row = self.db.execute(
            f"SELECT {_SNAPSHOT} FROM snapshots WHERE share = ? AND taken = ?", (share, taken)
        ).fetchone()
        return Snapshot(*row) if row else None

    def snapshots(self, share: int) -> list[Snapshot]:
        """Return the snapshots of a share, oldest first."""
        rows = self.db.execute(
            f"SELECT {_SNAPSHOT} FROM snapshots WHERE share = ? ORDER BY taken", (share,)
        )
        return [Snapshot(*row) for row in rows]

    # Nodes

    def node(self, node: int) -> Node | None:
        """Return a living node."""
        row = self.db.execute(f"SELECT {_NODE} FROM nodes WHERE id = ?", (node,)).fetchone()
        return Node(*row) if row else None

    def update(self, table: str, row: int, changes: dict[str, Any]) -> None:
        """Set columns of one row; the names come from the code, not from users."""
        columns = ", ".join(f"{column} = ?" for column in changes)
        self.db.execute(f"UPDATE {table} SET {columns} WHERE id = ?", (*changes.values(), row))


def _open(directory: Path | None) -> tuple[sqlite3.Connection, Blobs, Any]:
    if tuple(f.name for f in fields(Node)) != NODE_COLUMNS:
        raise RuntimeError("rows.Node and schema.NODE_COLUMNS differ")
    options: dict[str, Any] = {
        "isolation_level": None,
        "check_same_thread": False,
        "cached_statements": 512,
    }
    if directory is None:
        return sqlite3.connect(":memory:", **options), MemoryBlobs(), None
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreUnusable(f"{directory} is in use by another emulator") from None
    return (
        sqlite3.connect(directory / "state.sqlite", **options),
        DiskBlobs(directory / "blobs"),
        lock,
    )
