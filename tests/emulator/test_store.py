"""The store by itself: extents against a model, ids, blobs, a data directory taken up again."""

import os
import sqlite3
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azfuse.emulator import allocation
from azfuse.emulator.content import DiskBlobs, MemoryBlobs
from azfuse.emulator.entries import file_id_of
from azfuse.emulator.schema import SCHEMA
from azfuse.emulator.store import Store, StoreUnusable

SIZE = 4000
steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "forget"]),
        st.integers(0, SIZE - 1),
        st.integers(1, SIZE),
        st.integers(1, 3),
    ),
    max_size=30,
)


@given(steps)
def test_extents_agree_with_a_byte_map(actions):
    db = sqlite3.connect(":memory:")
    db.executescript(SCHEMA)
    model = [0] * SIZE
    held = 0
    for action, first, length, blob in actions:
        past = min(first + length, SIZE)
        if action == "write":
            held += allocation.record(db, 1, first, past, blob)
            model[first:past] = [blob] * (past - first)
        else:
            held -= allocation.forget(db, 1, first, past)
            model[first:past] = [0] * (past - first)
        extents = allocation.mapped(db, 1, 0, SIZE)
        shown = [0] * SIZE
        for f, p, b in extents:
            assert not any(shown[f:p])
            shown[f:p] = [b] * (p - f)
        assert shown == model
        assert held == sum(1 for b in model if b)
        for (_, p1, b1), (f2, _, b2) in pairwise(extents):
            assert p1 < f2 or b1 != b2, "neighbours in one blob are one extent"
    listed = allocation.pages(allocation.mapped(db, 1, 0, SIZE), SIZE)
    for page in range(0, SIZE, 512):
        here = any(model[page : page + 512])
        assert here == any(start <= page <= end for start, end in listed)
    for first in range(0, SIZE, 700):
        overlapping = [e for e in extents_of(db) if e[0] < first + 300 and e[1] > first]
        assert allocation.mapped(db, 1, first, first + 300) == overlapping
    db.close()


def extents_of(db):
    return db.execute("SELECT first, past, blob FROM extents ORDER BY first").fetchall()


@pytest.fixture(params=["disk", "memory"])
def blobs(request, tmp_path):
    return DiskBlobs(tmp_path / "blobs") if request.param == "disk" else MemoryBlobs()


def test_blobs_are_sparse(blobs):
    assert blobs.read(1, 5, 3) == bytes(3)
    blobs.write(1, 1_000_000, b"abc")
    assert blobs.read(1, 999_999, 5) == b"\0abc\0"
    data = os.urandom(1_000_000)
    blobs.write(1, 300_000, data)
    assert blobs.read(1, 300_000, 1_000_000) == data
    blobs.punch(1, 262_144, 524_288)
    assert blobs.read(1, 786_432, 10) == data[486_432:486_442]
    blobs.cut(1, 900_000)
    assert list(blobs) == [1]
    blobs.remove(1)
    blobs.remove(1)
    blobs.punch(1, 0, 10)
    blobs.cut(1, 0)
    assert list(blobs) == []


def test_holes_take_no_space(tmp_path):
    blobs = DiskBlobs(tmp_path / "blobs")
    blobs.write(1, 0, bytes(1024 * 1024))
    path = tmp_path / "blobs" / "0" / "1"
    full = path.stat().st_blocks
    blobs.punch(1, 0, 1024 * 1024)
    if path.stat().st_blocks == full:
        pytest.skip("the file system has no holes")
    assert path.stat().st_blocks == 0


def test_ids_are_the_observed_sequence():
    assert [hex(int(file_id_of(n))) for n in (1, 2, 3, 4, 5)] == [
        "0xc000400000000000", "0xa000400000000000", "0xe000400000000000", "0x9000400000000000",
        "0xd000400000000000",
    ]  # fmt: skip
    assert len({file_id_of(n) for n in range(1, 200_000)}) == 199_999


def test_one_emulator_a_directory(tmp_path):
    store = Store(tmp_path / "data")
    with pytest.raises(StoreUnusable, match="in use by another emulator"):
        Store(tmp_path / "data")
    store.db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreUnusable, match="another version"):
        Store(tmp_path / "data")


def test_orphans_are_collected_at_the_start(tmp_path):
    store = Store(tmp_path)
    store.blobs.write(store.new_blob(), 0, b"never committed")
    store.close()
    store = Store(tmp_path)
    assert list(store.blobs) == []
    store.close()


def test_a_refused_transaction_changes_nothing(tmp_path):
    store = Store(tmp_path)

    def refused():
        with store.transaction() as db:
            db.execute("INSERT INTO services VALUES ('a', 'b')")
            with store.transaction():
                raise KeyError

    with pytest.raises(KeyError):
        refused()
    assert store.db.execute("SELECT * FROM services").fetchall() == []
    store.close()
