"""The journal: what programs were promised and the share does not have yet, on local disk.

A SQLite database in the state directory. One record a file says where the file
belongs and how long it is; its runs are the dirty bytes in the order in which
they were put. A record is complete at any moment: put over what the share has,
its runs give the file as it was when it was last kept. When the share has
everything the record goes. Records are tagged with the mount that owns them, so
that mounts of one share on one machine stay out of each other's way.

One task writes, in a thread: whatever was asked for while one transaction was on
its way to the disk goes into the next, all of it with one fsync.
"""

import errno
import logging
import os
import secrets
import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from azfuse.cache.segments import Buffer

log = logging.getLogger(__name__)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, owner TEXT NOT NULL, moment REAL NOT NULL, note TEXT NOT NULL,
    size INTEGER NOT NULL, remote_end INTEGER NOT NULL, cut INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY, record INTEGER NOT NULL, start INTEGER NOT NULL,
    checksum INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_of_record ON runs (record);
"""
#: The log of SQLite is cut back to this many bytes once it was longer.
_LOG_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of one file beside its bytes.

    `note` is what the file system needs to find or make the file again; the journal
    does not look into it. `size`, `remote_end` and `cut` are those of
    `FileContent.restore`. `moment` is when it was last kept, Unix seconds.
    """

    id: int
    note: str
    size: int
    remote_end: int
    cut: bool
    moment: float


@dataclass(slots=True)
class _Transaction:
    """Changes that reach the disk together."""

    changes: list[Callable[[sqlite3.Connection], None]] = field(default_factory=list)
    #: Those of them that nobody will ask for again: one that fails is tried with the next.
    lazy: list[Callable[[sqlite3.Connection], None]] = field(default_factory=list)
    #: Somebody waits for it, so it must be on the disk and not only in the kernel.
    urgent: bool = False
    done: trio.Event = field(default_factory=trio.Event)
    error: OSError | None = None


class Journal:
    """The records of one mount, and those that mounts before it left behind.

    Every method that touches the disk raises OSError. Whatever is to be written is
    asked for within `running`.
    """

    def __init__(self, path: Path, owner: str) -> None:
        """*path* is the database, made when it is first needed; *owner* names this mount."""
        self._path = path
        self._owner = owner
        self._database: sqlite3.Connection | None = None
        self._next = self._current = _Transaction()
        self._wanted = trio.Event()
        self._one = trio.CapacityLimiter(1)
        #: Bytes of runs by record, of this mount.
        self._bytes: dict[int, int] = {}
        #: Something was asked for that is not known to be on the disk, and nobody waits for it.
        self._loose = False
        #: Owners of the records that `left_behind` has shown.
        self._seen: dict[int, str] = {}

    @property
    def records(self) -> int:
        """How many files of this mount have a record."""
        return len(self._bytes)

    @property
    def kept_bytes(self) -> int:
        """Bytes of all runs of this mount."""
        return sum(self._bytes.values())

    def bytes_of(self, record: int) -> int:
        """Return the bytes of the runs of *record*."""
        return self._bytes.get(record, 0)

    def stats(self) -> dict[str, object]:
        """Return what waits in the journal."""
        return {"files": self.records, "bytes": self.kept_bytes}

    @staticmethod
    def new_id() -> int:
        """Make an id for a record."""
        return secrets.randbits(62) + 1

    # -- writing ------------------------------------------------------------------------

    async def put(
        self, record: Record, runs: Sequence[tuple[int, Buffer]], *, replace: bool
    ) -> None:
        """Write *record* and add *runs* to it, or *replace* those it has; return when durable.

        The buffers must not change until then.
        """
        added = sum(len(data) for _, data in runs)
        before = self._bytes.get(record.id)
        self._bytes[record.id] = added + (0 if replace else before or 0)
        try:
            await self._enter(lambda database: self._put(database, record, runs, replace=replace))
        except OSError:
            if before is None:
                self._bytes.pop(record.id, None)
            raise

    def note(self, record: Record) -> None:
        """Change what is noted of a file that has a record, before long.

        Its lengths stay: they belong to the runs that were put with them.
        """
        if record.id in self._bytes:
            self._enter_later(lambda database: _note(database, record))

    def forget(self, record: int) -> None:
        """Strike out a record, before long: the share has everything, or nobody wants it."""
        if self._bytes.pop(record, None) is not None:
            self._enter_later(lambda database: _delete(database, record))

    async def settled(self, *, durable: bool = False) -> None:
        """Return when what was asked for so far would survive the end of this process.

        With *durable* that of the machine. What the disk refuses is tried again later.
        """
        if durable and self._loose:
            # Whatever was committed without waiting for the disk goes there with this one.
            self._enter_soon(_touch).urgent = True
        for transaction in (self._current, self._next):
            if transaction.changes:
                await transaction.done.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write what is asked for in the block, and at its end the rest.

        A cancellation of all around it ends the block, but not the writing: what cannot
        be uploaded on the way out is still to be kept.
        """
        life = trio.CancelScope(shield=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run, life)
            try:
                yield
            finally:
                life.cancel()

    async def _run(self, life: trio.CancelScope) -> None:
        with life:
            while True:
                await self._wanted.wait()
                await self._write()
        with trio.CancelScope(shield=True):
            while self._wanted.is_set():
                await self._write()
            await trio.to_thread.run_sync(self._close, limiter=self._one)

    async def _enter(self, change: Callable[[sqlite3.Connection], None]) -> None:
        transaction = self._enter_soon(change)
        transaction.urgent = True
        await transaction.done.wait()
        if transaction.error is not None:
            raise transaction.error

    def _enter_soon(self, change: Callable[[sqlite3.Connection], None]) -> _Transaction:
        self._next.changes.append(change)
        self._wanted.set()
        return self._next

    def _enter_later(self, change: Callable[[sqlite3.Connection], None]) -> None:
        self._enter_soon(change).lazy.append(change)
        self._loose = True

    async def _write(self) -> None:
        transaction, self._next = self._next, _Transaction()
        self._current = transaction
        self._wanted = trio.Event()
        if not transaction.changes:
            return
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._commit, transaction, limiter=self._one)
        except (OSError, sqlite3.Error) as error:
            transaction.error = OSError(errno.EIO, f"the journal cannot be written: {error}")
            self._next.changes[:0] = transaction.lazy
            self._next.lazy[:0] = transaction.lazy
            if not transaction.urgent:
                log.warning("%s", transaction.error.strerror)
        else:
            self._loose &= not transaction.urgent or bool(self._next.lazy)
        finally:
            transaction.done.set()

    def _commit(self, transaction: _Transaction) -> None:
        database = self._open()
        database.execute(f"PRAGMA synchronous = {'FULL' if transaction.urgent else 'NORMAL'}")
        with database:
            for change in transaction.changes:
                change(database)

    def _put(
        self,
        database: sqlite3.Connection,
        record: Record,
        runs: Sequence[tuple[int, Buffer]],
        *,
        replace: bool,
    ) -> None:
        database.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
            (record.id, self._owner, record.moment, record.note, record.size, record.remote_end,
             record.cut),
        )  # fmt: skip
        if replace:
            database.execute("DELETE FROM runs WHERE record = ?", (record.id,))
        database.executemany(
            "INSERT INTO runs (record, start, checksum, data) VALUES (?, ?, ?, ?)",
            ((record.id, start, zlib.crc32(data), data) for start, data in runs),
        )

    # -- what other mounts left ----------------------------------------------------------

    async def left_behind(self, alive: Callable[[str], bool]) -> list[Record]:
        """Return the records of mounts that are not *alive* any more, the oldest first."""
        return await trio.to_thread.run_sync(self._left_behind, alive, limiter=self._one)

    def _left_behind(self, alive: Callable[[str], bool]) -> list[Record]:
        if not self._path.exists():
            return []
        try:
            rows = self._open().execute("SELECT * FROM records ORDER BY moment").fetchall()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the journal cannot be read: {error}") from error
        dead = {owner: owner != self._owner and not alive(owner) for owner in {r[1] for r in rows}}
        self._seen = {row[0]: row[1] for row in rows}
        return [
            Record(number, note, size, remote_end, bool(cut), moment)
            for number, owner, moment, note, size, remote_end, cut in rows
            if dead[owner]
        ]

    async def take_over(self, record: int) -> list[tuple[int, bytes]]:
        """Make a record ours and return its runs; those that are damaged are left out, and logged.

        A crash before the share has it leaves it to the next mount. Raises OSError(ESTALE)
        where another mount that began at the same time was first.
        """
        return await trio.to_thread.run_sync(self._take_over, record, limiter=self._one)

    def _take_over(self, record: int) -> list[tuple[int, bytes]]:
        database = self._open()
        try:
            with database:
                taken = database.execute(
                    "UPDATE records SET owner = ? WHERE id = ? AND owner = ?",
                    (self._owner, record, self._seen.get(record)),
                ).rowcount
            runs = list(_runs(database, record)) if taken else []
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the journal cannot be read: {error}") from error
        if not taken:
            raise OSError(errno.ESTALE, "another mount has taken it up")
        self._bytes[record] = sum(len(data) for _, data in runs)
        return runs

    # -- the database -------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            # Data of files is in it: for the mount's own user only, as the directory is.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # One thread at a time uses it (the limiter), but not always the same one.
            database = sqlite3.connect(self._path, timeout=20, check_same_thread=False)
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
            database.executescript(_SCHEMA)
            self._database = database
        return self._database

    def _close(self) -> None:
        if self._database is None:
            return
        with closing(self._database) as database:
            # As a script: `execute` would take one step, and free one page.
            database.executescript("PRAGMA incremental_vacuum")
        self._database = None


def _note(database: sqlite3.Connection, record: Record) -> None:
    # Not an INSERT: a record whose put has failed must not come to be without its bytes.
    database.execute(
        "UPDATE records SET note = ?, moment = ? WHERE id = ?",
        (record.note, record.moment, record.id),
    )


def _touch(database: sqlite3.Connection) -> None:
    """Write something, whatever it be, so that there is something to wait for."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.execute(f"PRAGMA user_version = {(version + 1) % 2}")


def _delete(database: sqlite3.Connection, record: int) -> None:
    database.execute("DELETE FROM runs WHERE record = ?", (record,))
    database.execute("DELETE FROM records WHERE id = ?", (record,))


def _runs(database: sqlite3.Connection, record: int) -> Iterator[tuple[int, bytes]]:
    rows = database.execute(
        "SELECT start, checksum, data FROM runs WHERE record = ? ORDER BY number", (record,)
    )
    for start, checksum, data in rows:
        if zlib.crc32(data) == checksum:
            yield start, data
        else:
            log.error("the journal is damaged: %d bytes at %d are lost", len(data), start)
