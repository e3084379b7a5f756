"""Blocks on disk: found again, dropped when damaged, evicted in order, shared by several."""

import errno
import fcntl
import logging
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from azfuse.cache.diskindex import index_of
from azfuse.cache.diskstore import Block, BlockKey, DiskStore, prepare_directory

KIB = 1024
CAPACITY = 10 * 64 * KIB


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    prepare_directory(path)
    return path


@pytest.fixture
def store(directory):
    with closing(DiskStore(directory, CAPACITY)) as store:
        yield store


def key(number: int = 0, file: str = "share/1", etag: str = "one") -> BlockKey:
    return BlockKey(file, number, etag)


def block(where: BlockKey, fill: bytes = b"x", length: int = 64 * KIB) -> Block:
    data = memoryview(fill * length)
    return Block(where, [data[: length // 3], data[length // 3 :]])


def load(store: DiskStore, where: BlockKey, length: int = 64 * KIB) -> bytes | None:
    buffer = memoryview(bytearray(length))
    return bytes(buffer) if store.load(where, buffer) else None


def payloads(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("??/*") if path.is_file())


def test_what_was_kept_is_found_again(directory):
    with closing(DiskStore(directory, CAPACITY)) as store:
        assert store.store([block(key(3), b"abc", 1001)]) == [block(key(3), b"abc", 1001)]
    with closing(DiskStore(directory, CAPACITY)) as store:
        assert load(store, key(3), 3003) == b"abc" * 1001
        assert store.numbers("share/1", "one") == {3}
        assert store.usage() == (1, 4096)


@pytest.mark.parametrize(
    "other", [key(1), key(0, "share/2"), key(0, "other/1"), key(0, etag="two")]
)
def test_what_was_not_kept_is_not_found(store, other):
    store.store([block(key())])
    assert load(store, other) is None
    assert store.counts.corrupt == 0


def test_a_block_of_another_state_of_the_file_takes_the_place(directory, store):
    store.store([block(key(), b"x")])
    store.store([block(key(etag="two"), b"y")])
    assert load(store, key()) is None
    assert store.numbers("share/1", "one") == set()
    assert load(store, key(etag="two")) == b"y" * 64 * KIB
    assert store.usage()[0] == len(payloads(directory)) == 1


def test_a_block_that_is_there_is_not_written_again(directory, store):
    store.store([block(key())])
    before = payloads(directory)
    assert store.store([block(key())]) == []
    assert payloads(directory) == before


def test_many_small_parts(store):
    data = os.urandom(5000)
    view = memoryview(data)
    store.store([Block(key(), [view[n : n + 1] for n in range(5000)])])
    assert load(store, key(), 5000) == data


# -- damage ------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[777] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def lengthen(path: Path) -> None:
    os.truncate(path, 100 * KIB)


@pytest.mark.parametrize("damage", [flip, cut, lengthen, Path.unlink])
def test_a_damaged_block_is_dropped_and_said_once(directory, store, caplog, damage):
    store.store([block(key()), block(key(1))])
    path = next(path for path in payloads(directory) if path.name == name_of(directory, 0))
    damage(path)
    assert load(store, key()) is None
    assert load(store, key()) is None
    assert not path.exists()
    assert store.numbers("share/1", "one") == {1}
    assert load(store, key(1)) is not None
    assert store.counts.corrupt == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    store.store([block(key())])
    assert load(store, key()) is not None


def name_of(directory: Path, number: int) -> str:
    with closing(sqlite3.connect(index_of(directory))) as database:
        query = "SELECT name FROM blocks WHERE number = ?"
        return str(database.execute(query, (number,)).fetchone()[0])


def test_payloads_that_changed_places_are_noticed(directory, store):
    store.store([block(key(0), b"a"), block(key(1), b"b")])
    first, second = (directory / name[:2] / name for name in
                     (name_of(directory, 0), name_of(directory, 1)))  # fmt: skip
    first.rename(directory / "aside")
    second.rename(first)
    (directory / "aside").rename(second)
    assert load(store, key(0)) is None
    assert load(store, key(1)) is None
    assert store.counts.corrupt == 2


@pytest.mark.parametrize("damage", ["garbage", "pages", "other version"])
def test_a_damaged_index_starts_anew(directory, caplog, damage):
    with closing(DiskStore(directory, CAPACITY)) as store:
        store.store([block(key(number)) for number in range(5)])
    index = index_of(directory)
    if damage == "garbage":
        index.write_bytes(os.urandom(20_000))
    elif damage == "pages":
        data = bytearray(index.read_bytes())
        data[4096:] = os.urandom(len(data) - 4096)
        index.write_bytes(data)
    else:
        with closing(sqlite3.connect(index)) as database:
            database.execute("PRAGMA user_version = 99")
    with closing(DiskStore(directory, CAPACITY)) as store:
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert load(store, key()) is None
        assert store.sweep() == 5
        store.store([block(key())])
        assert load(store, key()) is not None
    assert stat.S_IMODE(index.stat().st_mode) == 0o600


def test_a_damaged_index_is_left_to_those_who_use_it(directory):
    index_of(directory).write_bytes(b"garbage" * 1000)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(sqlite3.DatabaseError):
            DiskStore(directory, CAPACITY)
    assert index_of(directory).read_bytes() == b"garbage" * 1000


# -- crashes -----------------------------------------------------------------------------


def test_a_crash_before_the_row_leaves_nothing_that_is_believed(directory, monkeypatch):
    with closing(DiskStore(directory, CAPACITY)) as store:
        store.store([block(key(0))])
        with monkeypatch.context() as patch:
            # The payload has its name; the index never hears of it.
            patch.setattr(Path, "rename", lambda self, target: stop_after(self, target))
            patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
            with pytest.raises(KeyboardInterrupt):
                store.store([block(key(1))])
        assert len(payloads(directory)) == 2
    with closing(DiskStore(directory, CAPACITY)) as store:
        assert store.numbers("share/1", "one") == {0}
        assert store.sweep() == 1
        assert len(payloads(directory)) == 1
        assert load(store, key(0)) is not None


def stop_after(source: Path, target: Path) -> None:
    os.rename(source, target)  # noqa: PTH104 # Path.rename is what is replaced
    raise KeyboardInterrupt


def test_what_was_half_written_goes_at_the_next_start_alone(directory):
    with closing(DiskStore(directory, CAPACITY)):
        half = directory / "tmp-1234"
        half.touch()
        with closing(DiskStore(directory, CAPACITY)):
            assert half.exists()  # the other one may be writing it
    with closing(DiskStore(directory, CAPACITY)):
        assert not half.exists()


def test_a_full_disk_leaves_what_was_there(directory, store, monkeypatch):
    store.store([block(key(0))])

    def full(descriptor, parts):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space"):
        store.store([block(key(1)), block(key(2))])
    assert not list(directory.glob("tmp-*"))
    assert load(store, key(0)) is not None
    assert load(store, key(1)) is None


# -- bounds ------------------------------------------------------------------------------


def kept(store: DiskStore) -> set[int]:
    return store.numbers("share/1", "one")


def test_least_recently_used_blocks_go_first(directory, store):
    for number in range(10):
        store.store([block(key(number))])
    assert load(store, key(0)) is not None
    store.store([block(key(10)), block(key(11))])
    assert kept(store) == {0, 3, 4, 5, 6, 7, 8, 9, 10, 11}
    assert store.counts.evicted == 2
    assert store.usage() == (10, CAPACITY)
    assert len(payloads(directory)) == 10


def test_the_order_of_use_outlives_a_restart(directory):
    with closing(DiskStore(directory, CAPACITY)) as store:
        store.store([block(key(number)) for number in range(10)])
        assert load(store, key(0)) is not None
    with closing(DiskStore(directory, CAPACITY)) as store:
        store.store([block(key(10))])
        assert kept(store) == {0, *range(2, 11)}


def test_a_smaller_bound_holds_from_the_next_block_on(directory):
    with closing(DiskStore(directory, CAPACITY)) as store:
        store.store([block(key(number)) for number in range(10)])
    with closing(DiskStore(directory, 3 * 64 * KIB)) as store:
        store.store([block(key(10))])
        assert kept(store) == {8, 9, 10}


# -- company -----------------------------------------------------------------------------


def test_two_stores_in_one_directory(directory, store):
    with closing(DiskStore(directory, CAPACITY)) as other:
        store.store([block(key(0), b"a")])
        assert load(other, key(0)) == b"a" * 64 * KIB
        other.store([block(key(0), b"a"), block(key(1, "other/1"), b"b")])
        assert load(store, key(1, "other/1")) == b"b" * 64 * KIB
        other.store([block(key(number)) for number in range(2, 12)])
        assert load(store, key(0)) is None
        assert store.counts.corrupt == 0
        assert store.sweep() == other.sweep() == 0
        assert store.usage() == other.usage() == (10, CAPACITY)


# -- whose it is -------------------------------------------------------------------------


def test_nobody_else_may_look(tmp_path):
    directory = tmp_path / "deep" / "cache"
    before = os.umask(0)
    try:
        prepare_directory(directory)
        with closing(DiskStore(directory, CAPACITY)) as store:
            store.store([block(key())])
            for path in [directory, *directory.rglob("*")]:
                expected = 0o700 if path.is_dir() else 0o600
                assert stat.S_IMODE(path.stat().st_mode) == expected, path
    finally:
        os.umask(before)


def test_a_directory_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="another user"):
        prepare_directory(tmp_path)


def test_a_directory_that_is_open_to_others(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match="chmod 700"):
        prepare_directory(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "file").unlink()
    prepare_directory(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
