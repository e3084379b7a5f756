"""Blocks of files on local disk, found again after a remount: an index and a file a block.

What is believed is what the index says and the checksum confirms. A payload is
written under a temporary name, renamed, and entered in the index last, so a
crash leaves at worst a file that the index does not know; the next start removes
it. Several processes may share one directory: the index is an SQLite database,
and a payload is never changed once it has its name.

Everything here blocks, and may be called from several threads. What fails
raises OSError or sqlite3.Error; only damaged blocks are a matter of course.
"""

import errno
import fcntl
import logging
import os
import secrets
import sqlite3
import stat
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from azfuse.cache.diskindex import Connection, index_of, open_index, remove_index

log = logging.getLogger(__name__)

#: What of a disk a payload takes, in bytes, is a multiple of this.
_ROUNDING: Final = 4096
#: Most buffers that one writev(2) takes.
_MOST_BUFFERS: Final = 1024
#: Directories that payloads are spread over, named by the first letters of theirs.
_SHARDS: Final = [f"{number:02x}" for number in range(256)]


@dataclass(frozen=True, slots=True)
class BlockKey:
    """Which block: *file* names the share and the file's id, *number* counts blocks from 0."""

    file: str
    number: int
    etag: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block to be kept: its bytes are those of *parts*, one after the other."""

    key: BlockKey
    parts: Sequence[memoryview]

    @property
    def length(self) -> int:
        """Return the number of bytes."""
        return sum(len(part) for part in self.parts)


@dataclass(slots=True)
class Counts:
    """What happened to the blocks of a store since it was opened."""

    evicted: int = 0
    corrupt: int = 0


@dataclass(slots=True)
class _Written:
    block: Block
    temporary: Path
    name: str
    checksum: int
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = self.block.length


def prepare_directory(directory: Path) -> None:
    """Make *directory* for us alone, or see that it is so.

    Raises OSError: PermissionError where it belongs to somebody else, or is open to
    others and holds something else than blocks of ours.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        if any(directory.iterdir()) and not index_of(directory).exists():
            raise PermissionError(errno.EPERM, "it is open to other users (chmod 700 it)")
        directory.chmod(0o700)


class DiskStore:
    """A directory of blocks, of at most *capacity* bytes, least recently used go first."""

    def __init__(self, directory: Path, capacity: int, counts: Counts | None = None) -> None:
        """Open the store in *directory*, which `prepare_directory` has made ours."""
        self.directory = directory
        self.capacity = capacity
        self.counts = Counts() if counts is None else counts
        #: When blocks were used, by name, as far as the index does not know.
        self._used: dict[str, int] = {}
        self._last_use = 0
        self._use_lock = threading.Lock()
        #: Shared by all who use the directory; who is alone may clear up.
        self._lock_file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            alone = self._lock_alone()
            for shard in _SHARDS:
                (directory / shard).mkdir(mode=0o700, exist_ok=True)
            if alone:
                for path in directory.glob("tmp-*"):
                    path.unlink(missing_ok=True)
            self._writer, self._reader = self._open(alone=alone)
            fcntl.flock(self._lock_file, fcntl.LOCK_SH)
        except BaseException:
            os.close(self._lock_file)
            raise

    def _open(self, *, alone: bool) -> tuple[Connection, Connection]:
        try:
            return open_index(self.directory)
        except sqlite3.DatabaseError as error:
            if not alone or isinstance(error, sqlite3.OperationalError):
                raise
            log.warning("%s: the index of the disk cache is damaged, it starts anew: %s",
                        self.directory, error)  # fmt: skip
        remove_index(self.directory)
        return open_index(self.directory)

    def _lock_alone(self) -> bool:
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._lock_file, fcntl.LOCK_SH)
            return False
        return True

    def close(self) -> None:
        """Write down what was used when, and let go of the directory."""
        try:
            self.save_use()
        finally:
            self._writer.close()
            self._reader.close()
            os.close(self._lock_file)

    # -- reading ------------------------------------------------------------------------

    def numbers(self, file: str, etag: str) -> set[int]:
        """Return which blocks there are of *file* as it is under *etag*."""
        rows = self._reader.all("SELECT number FROM blocks WHERE file = ? AND etag = ?", file, etag)
        return {number for (number,) in rows}

    def load(self, key: BlockKey, buffer: memoryview) -> bool:
        """Fill *buffer* with a block of just its length; say if it was there, and sound.

        A damaged one is dropped. What is in the buffer otherwise is undefined.
        """
        row = self._row(key)
        if row is None or row[1] != len(buffer):
            return False
        name, length, checksum = row
        try:
            complete = self._read(name, buffer)
        except FileNotFoundError:
            if self._row(key) == row:  # and not evicted meanwhile
                self._drop_damaged(key, name, "its file is missing")
            return False
        if not complete or _checksum(key, length, [buffer]) != checksum:
            self._drop_damaged(key, name, "its checksum is wrong")
            return False
        with self._use_lock:
            self._used[name] = self._now()
        return True

    def _row(self, key: BlockKey) -> tuple[str, int, int] | None:
        rows = self._reader.all(
            "SELECT name, length, checksum FROM blocks WHERE file = ? AND number = ? AND etag = ?",
            key.file, key.number, key.etag,
        )  # fmt: skip
        return rows[0] if rows else None

    def _read(self, name: str, buffer: memoryview) -> bool:
        """Fill *buffer* from a payload; say if they are equally long."""
        descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            position = 0
            while position < len(buffer):
                count = os.preadv(descriptor, [buffer[position:]], position)
                if not count:
                    return False
                position += count
            return os.fstat(descriptor).st_size == position
        finally:
            os.close(descriptor)

    def _drop_damaged(self, key: BlockKey, name: str, reason: str) -> None:
        self.counts.corrupt += 1
        log.warning("block %d of file %s in the disk cache is dropped: %s", key.number, key.file,
                    reason)  # fmt: skip
        with self._writer.transaction() as database:
            database.execute("DELETE FROM blocks WHERE name = ?", (name,))
        self._path(name).unlink(missing_ok=True)

    # -- writing ------------------------------------------------------------------------

    def store(self, blocks: Iterable[Block]) -> list[Block]:
        """Keep *blocks*, whatever was kept of them under other ETags goes; return which are new.

        Makes room first. One that another process has stored meanwhile stays.
        """
        new = [block for block in blocks if self._row(block.key) is None]
        if not new:
            return []
        self._make_room(sum(_rounded(block.length) for block in new))
        written: list[_Written] = []
        try:
            written.extend(map(self._write, new))
            doomed = self._enter(written)
        finally:
            for one in written:
                one.temporary.unlink(missing_ok=True)
        self._unlink(doomed)
        return new

    def _write(self, block: Block) -> _Written:
        name = secrets.token_hex(16)
        temporary = self.directory / f"tmp-{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            _write_all(descriptor, block.parts)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return _Written(block, temporary, name, _checksum(block.key, block.length, block.parts))

    def _enter(self, written: list[_Written]) -> list[str]:
        """Give payloads their names and enter them; return the names of those they replace.

        While this transaction lasts no other process looks for orphans.
        """
        doomed = []
        with self._writer.transaction() as database:
            self._write_use(database)
            for one in written:
                key = one.block.key
                where = (key.file, key.number)
                query = "SELECT name FROM blocks WHERE file = ? AND number = ?"
                doomed += [name for (name,) in database.execute(query, where)]
                one.temporary.rename(self._path(one.name))
                database.execute("DELETE FROM blocks WHERE file = ? AND number = ?", where)
                database.execute(
                    "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*where, key.etag, one.name, one.length, one.checksum, self._now()),
                )
        return doomed

    def _make_room(self, wanted: int) -> None:
        """Evict what was not used for longest, until *wanted* bytes more are within bounds."""
        if self.usage()[1] + wanted <= self.capacity:
            return
        doomed: list[str] = []
        with self._writer.transaction() as database:
            self._write_use(database)
            excess = database.execute("SELECT bytes FROM total").fetchone()[0] + wanted
            excess -= self.capacity
            for name, length in database.execute("SELECT name, length FROM blocks ORDER BY used"):
                if excess <= 0:
                    break
                doomed.append(name)
                excess -= _rounded(length)
            database.executemany("DELETE FROM blocks WHERE name = ?", [(name,) for name in doomed])
        self.counts.evicted += len(doomed)
        self._unlink(doomed)

    def save_use(self) -> None:
        """Write down which blocks were used when, if that is not written yet."""
        if self._used:
            with self._writer.transaction() as database:
                self._write_use(database)

    def _write_use(self, database: sqlite3.Connection) -> None:
        with self._use_lock:
            used, self._used = self._used, {}
        database.executemany(
            "UPDATE blocks SET used = ? WHERE name = ?",
            [(when, name) for name, when in used.items()],
        )

    # -- looking after it ---------------------------------------------------------------

    def sweep(self) -> int:
        """Remove payloads that the index does not know; return how many there were."""
        count = 0
        for shard in _SHARDS:
            # Nobody can give a payload its name and not have entered it meanwhile.
            with self._writer.transaction() as database:
                query = "SELECT name FROM blocks WHERE name >= ? AND name < ?"
                known = {name for (name,) in database.execute(query, (shard, shard + "g"))}
                there = {entry.name for entry in os.scandir(self.directory / shard)}
                self._unlink(there - known)
                count += len(there - known)
        return count

    def usage(self) -> tuple[int, int]:
        """Return the number of blocks, and the bytes they take."""
        ((blocks, used),) = self._reader.all("SELECT blocks, bytes FROM total")
        return blocks, used

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.directory / name[:2] / name

    def _now(self) -> int:
        # Never the same twice, so that the order of use is one.
        self._last_use = max(time.time_ns(), self._last_use + 1)
        return self._last_use


def _rounded(length: int) -> int:
    return -(-length // _ROUNDING) * _ROUNDING


def _checksum(key: BlockKey, length: int, parts: Iterable[memoryview]) -> int:
    """Return a checksum of the bytes and of whose they are."""
    value = zlib.crc32(f"{key.file} {key.number} {key.etag} {length}".encode())
    for part in parts:
        value = zlib.crc32(part, value)
    return value


def _write_all(descriptor: int, parts: Sequence[memoryview]) -> None:
    if len(parts) > _MOST_BUFFERS:
        parts = [memoryview(b"".join(parts))]
    left = list(parts)
    while left:
        count = os.writev(descriptor, left)
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left:
            left[0] = left[0][count:]
