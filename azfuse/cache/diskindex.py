"""The index of the disk cache: one SQLite database, shared by all mounts that use a directory."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: Layout of the index and the payloads (`user_version`); another one is begun anew.
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE blocks (
    file TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, name TEXT NOT NULL UNIQUE,
    length INTEGER NOT NULL, checksum INTEGER NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE INDEX blocks_by_use ON blocks (used);
CREATE TABLE total (blocks INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TRIGGER block_added AFTER INSERT ON blocks BEGIN
    UPDATE total SET blocks = blocks + 1, bytes = bytes + ((new.length + 4095) & ~4095);
END;
CREATE TRIGGER block_dropped AFTER DELETE ON blocks BEGIN
    UPDATE total SET blocks = blocks - 1, bytes = bytes - ((old.length + 4095) & ~4095);
END;
PRAGMA user_version = 1;
"""
#: Seconds to wait for another process that writes to the index.
_PATIENCE: Final = 5


class Connection:
    """A connection to the index, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._database = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            # After a power cut the newest rows may be missing, or be there without their payload.
            self._database.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            self._database.close()
            raise

    def all(self, query: str, *values: object) -> list[Any]:
        """Return all rows of a query."""
        with self.lock:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Keep every other process from writing until the block has ended."""
        with self.lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close it."""
        with self.lock:
            self._database.close()


def is_busy(error: Exception) -> bool:
    """Say if *error* only means that another process took too long."""
    return getattr(error, "sqlite_errorname", "") in {
        "SQLITE_BUSY",
        "SQLITE_BUSY_SNAPSHOT",
        "SQLITE_LOCKED",
    }


def index_of(directory: Path) -> Path:
    """Return where the index of *directory* is."""
    return directory / "index.sqlite"


def open_index(directory: Path) -> tuple[Connection, Connection]:
    """Open the index of *directory*, make it if it is not there; return two connections.

    Writers may have to wait for other processes, so the second one is for readers.
    Raises sqlite3.DatabaseError where the index is damaged, or not one of ours.
    """
    path = index_of(directory)
    # SQLite gives its other files the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    writer = Connection(path)
    try:
        with writer.transaction() as database:
            _check(database)
        return writer, Connection(path)
    except BaseException:
        writer.close()
        raise


def _check(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _statements(_SCHEMA):
            database.execute(statement)
    elif version != _VERSION:
        raise sqlite3.DatabaseError(f"version {version} instead of {_VERSION}")
    (problem,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)


def remove_index(directory: Path) -> None:
    """Remove the index of *directory*; nobody else may be using it."""
    path = index_of(directory)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
