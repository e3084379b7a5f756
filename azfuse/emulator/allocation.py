"""Extents: which bytes of a content were written, and which blob holds them.

Extents are exact to the byte, sorted, and never overlap. Neighbours in the same blob are one
extent, so that a file written front to back has a single row. A blob below zero is none: it says
that the bytes were cleared, in the epoch before its absolute value. That is kept only on shares
with snapshots, where List Ranges has to tell a cleared range from one that was never written.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from operator import itemgetter

#: first byte, byte past the last, blob
Extent = tuple[int, int, int]


def mapped(db: sqlite3.Connection, content: int, first: int, past: int) -> list[Extent]:
    """Return the extents that overlap [first, past), whole, in order."""
    return db.execute(
        "SELECT first, past, blob FROM extents WHERE content = ?1 AND first < ?3 AND first >= "
        "ifnull((SELECT max(first) FROM extents WHERE content = ?1 AND first <= ?2), 0) "
        "AND past > ?2 ORDER BY first",
        (content, first, past),
    ).fetchall()


def record(db: sqlite3.Connection, content: int, first: int, past: int, blob: int) -> int:
    """Say that [first, past) now lies in *blob*; return by how many bytes the content grew."""
    # One byte more on each side finds the neighbours that this one merges with.
    near = mapped(db, content, max(first - 1, 0), past + 1)
    covered = sum(max(0, min(p, past) - max(f, first)) for f, p, b in near if b > 0)
    start, end = first, past
    keep: list[Extent] = []
    for f, p, b in near:
        if b == blob:
            start, end = min(start, f), max(end, p)
        else:
            keep += [(f, first, b)] if f < first else []
            keep += [(past, p, b)] if p > past else []
    _replace(db, content, near, [*keep, (start, end, blob)])
    return (past - first if blob > 0 else 0) - covered


def forget(db: sqlite3.Connection, content: int, first: int, past: int) -> int:
    """Turn [first, past) into a hole; return the bytes given back."""
    near = mapped(db, content, first, past)
    if not near:
        return 0
    keep: list[Extent] = []
    gone: list[Extent] = []
    for f, p, b in near:
        keep += [(f, first, b)] if f < first else []
        keep += [(past, p, b)] if p > past else []
        gone.append((max(f, first), min(p, past), b))
    _replace(db, content, near, keep)
    return sum(p - f for f, p, b in gone if b > 0)


def _replace(
    db: sqlite3.Connection, content: int, old: Iterable[Extent], new: Iterable[Extent]
) -> None:
    before, after = set(old), set(new)
    for first, _, _ in before - after:
        db.execute("DELETE FROM extents WHERE content = ? AND first = ?", (content, first))
    for first, past, blob in after - before:
        db.execute("INSERT INTO extents VALUES (?, ?, ?, ?)", (content, first, past, blob))


def pages(extents: Iterable[Extent], size: int) -> list[tuple[int, int]]:
    """Return the valid ranges as the service lists them: 512-byte pages, merged, cut at *size*.

    Ends are inclusive.
    """
    merged: list[tuple[int, int]] = []
    for first, past, blob in extents:
        if blob < 0:
            continue
        start, end = first // 512 * 512, min(-(-past // 512) * 512, size)
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return [(start, end - 1) for start, end in merged]


def changes(
    before: list[Extent], after: list[Extent], size: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return what was written and what was cleared between two maps, in the form of `pages`.

    Bytes that both maps find in the same blob are the same bytes: a blob that a snapshot sees is
    never written again.
    """
    edges = sorted({edge for first, past, _ in (*before, *after) for edge in (first, past)})
    written: list[Extent] = []
    cleared: list[Extent] = []
    for first, past in pairwise(edges):
        old, new = _blob_at(before, first), _blob_at(after, first)
        if new == old:
            continue
        changed = written if new is not None and new > 0 else cleared
        changed.append((first, past, 0))
    return pages(written, size), pages(cleared, size)


def _blob_at(extents: list[Extent], offset: int) -> int | None:
    index = bisect_right(extents, offset, key=itemgetter(0)) - 1
    if index < 0 or extents[index][1] <= offset:
        return None
    return extents[index][2]
