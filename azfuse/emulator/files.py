"""The bytes of files: reading, writing, clearing, resizing, sharing and giving back.

Writes go in three steps: `prepare` names the blob to write to, the caller writes (in a worker
thread if there is much), and `commit` makes the bytes count. Between the steps other requests may
run; `commit` says False when the file's content is another one by then, and the caller begins anew.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from azfuse.emulator import allocation, entries
from azfuse.emulator.errors import Refusal
from azfuse.emulator.rows import Node, Place, Share
from azfuse.emulator.store import Store
from azfuse.rest.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class Target:
    """Where the bytes of a file may be written: a blob that belongs to its content alone."""

    node: int
    content: int
    blob: int


def new_content(store: Store, share: Share, blob: int | None = None) -> int:
    """Make the content of a file that is about to have bytes, in *blob* or a new one."""
    row = store.db.execute(
        "INSERT INTO contents (blob, born) VALUES (?, ?)", (blob or store.new_blob(), share.epoch)
    )
    if row.lastrowid is None:
        raise RuntimeError("SQLite gave a new content no id")
    return row.lastrowid


def prepare(store: Store, share: Share, node: Node) -> tuple[Node, Target]:
    """Return a node whose content may be written, and where; snapshots keep the old content."""
    with store.transaction() as db:
        if node.content is None:
            node = entries.change(store, share, node, {"content": new_content(store, share)})
            return prepare(store, share, node)
        blob, born = db.execute(
            "SELECT blob, born FROM contents WHERE id = ?", (node.content,)
        ).fetchone()
        if born <= share.frozen_to:
            db.execute("UPDATE contents SET blob = NULL WHERE id = ?", (node.content,))
            fork = new_content(store, share)
            db.execute(
                "INSERT INTO extents SELECT ?, first, past, blob FROM extents WHERE content = ?",
                (fork, node.content),
            )
            node = entries.change(store, share, node, {"content": fork})
            return prepare(store, share, node)
        if blob is None:
            blob = store.new_blob()
            db.execute("UPDATE contents SET blob = ? WHERE id = ?", (blob, node.content))
    if node.content is None:
        raise RuntimeError("a prepared file has no content")
    return node, Target(node.id, node.content, blob)


def still_holds(store: Store, share: Share, node: Node, target: Target) -> bool:
    """Say whether bytes written to *target* may still become those of *node*."""
    if node.content != target.content:
        return False
    row = store.db.execute(
        "SELECT blob, born FROM contents WHERE id = ?", (target.content,)
    ).fetchone()
    return row is not None and row[0] == target.blob and row[1] > share.frozen_to


def commit(store: Store, share: Share, target: Target, first: int, past: int) -> None:
    """Make the bytes [first, past), which are in the target's blob, those of the file.

    Refuses with ShareSizeLimitReached where the share would hold more than its quota.
    """
    if first >= past:
        return
    db = store.db
    grown = allocation.record(db, target.content, first, past, target.blob)
    if grown:
        charge(db, share, grown)


def check_quota(store: Store, share: Share, target: Target, first: int, past: int) -> None:
    """Refuse a write to [first, past) that the quota does not hold, before a byte is written."""
    near = allocation.mapped(store.db, target.content, first, past)
    covered = sum(min(p, past) - max(f, first) for f, p, blob in near if blob > 0)
    if past - first > covered and share.used + past - first - covered > limit_of(share):
        raise Refusal(ErrorCode.SHARE_SIZE_LIMIT_REACHED)


def charge(db: sqlite3.Connection, share: Share, grown: int) -> None:
    """Count *grown* more bytes (or fewer) for the share; refuses what its quota does not hold."""
    (used,) = db.execute(
        "UPDATE shares SET used = used + ? WHERE id = ? RETURNING used", (grown, share.id)
    ).fetchall()[0]
    if grown > 0 and used > limit_of(share):
        raise Refusal(ErrorCode.SHARE_SIZE_LIMIT_REACHED)


def limit_of(share: Share) -> int:
    """Return the most bytes that the share may hold."""
    return share.quota * 1024**3 if share.quota_bytes is None else share.quota_bytes


def clear(store: Store, share: Share, target: Target, first: int, past: int) -> None:
    """Make [first, past) a hole, and give its space back if nobody else refers to it.

    Whole 512-byte pages become holes. Of a page that was only written in part, the rest is still
    listed as valid, as the service does.
    """
    db = store.db
    head, tail = min(-(-first // 512) * 512, past), max(past // 512 * 512, first)
    edges = [(first, head), (tail, past)] if head <= tail else [(first, past)]
    for begin, end in edges:
        page = (begin // 512 * 512, -(-end // 512) * 512)
        if begin < end and allocation.pages(allocation.mapped(db, target.content, *page), page[1]):
            store.blobs.write(target.blob, begin, bytes(end - begin))
            commit(store, share, target, begin, end)
    if head < tail:
        if share.frozen_to >= 0:
            grown = allocation.record(db, target.content, head, tail, -share.epoch - 1)
        else:
            grown = -allocation.forget(db, target.content, head, tail)
        if grown:
            charge(db, share, grown)


def cut(store: Store, share: Share, target: Target, size: int) -> None:
    """Forget every byte from *size* on."""
    freed = allocation.forget(store.db, target.content, size, 1 << 62)
    if freed:
        charge(store.db, share, -freed)


def read(store: Store, extents: list[allocation.Extent], first: int, past: int) -> bytes:
    """Return the bytes [first, past) of a content with these extents. For any thread."""
    if len(extents) == 1:
        start, end, blob = extents[0]
        if start <= first and end >= past and blob > 0:
            return store.blobs.read(blob, first, past - first)
    pieces, at = [], first
    for f, p, blob in extents:
        begin, end = max(f, first), min(p, past)
        data = store.blobs.read(blob, begin, end - begin) if blob > 0 else bytes(end - begin)
        pieces += [bytes(begin - at), data]
        at = end
    pieces.append(bytes(past - at))
    return b"".join(pieces)


def extents_of(store: Store, node: Node, first: int, past: int) -> list[allocation.Extent]:
    """Return the extents of a file that overlap [first, past)."""
    if node.content is None or first >= past:
        return []
    return allocation.mapped(store.db, node.content, first, past)


def share_content(store: Store, source: Node, other: Share) -> int | None:
    """Return a new content for a file of *other* with the bytes of *source*; nothing is copied."""
    if source.content is None:
        return None
    db = store.db
    db.execute("UPDATE contents SET blob = NULL WHERE id = ?", (source.content,))
    twin = new_content(store, other)
    db.execute(
        "INSERT INTO extents SELECT ?, first, past, blob FROM extents WHERE content = ?",
        (twin, source.content),
    )
    charge(db, other, _bytes_of(db, twin))
    return twin


def _bytes_of(db: sqlite3.Connection, content: int) -> int:
    row = db.execute(
        "SELECT ifnull(sum(past - first), 0) FROM extents WHERE content = ? AND blob > 0",
        (content,),
    ).fetchone()
    return int(row[0])


def release(store: Store, share: Share, content: int | None) -> list[int]:
    """Give up a content that no living file refers to; return the blobs to remove after commit."""
    if content is None:
        return []
    db = store.db
    row = db.execute("SELECT blob, born FROM contents WHERE id = ?", (content,)).fetchone()
    charge(db, share, -_bytes_of(db, content))
    if row is None or row[1] <= share.frozen_to:
        return []
    return discard(db, content)


def discard(db: sqlite3.Connection, content: int) -> list[int]:
    """Remove a content that nothing refers to; return the blobs that are nobody's then."""
    blobs = {
        row[0]
        for row in db.execute(
            "SELECT DISTINCT blob FROM extents WHERE content = ? AND blob > 0", (content,)
        )
    }
    row = db.execute("DELETE FROM contents WHERE id = ? RETURNING blob", (content,)).fetchall()
    blobs |= {own for (own,) in row if own is not None}
    db.execute("DELETE FROM extents WHERE content = ?", (content,))
    return [
        blob
        for blob in blobs
        if db.execute("SELECT 1 FROM extents WHERE blob = ? LIMIT 1", (blob,)).fetchone() is None
    ]


def remove_entry(store: Store, place: Place, node: Node) -> tuple[list[int], int]:
    """Take a file's or link's name away, and the node with the last name.

    Returns the blobs to remove after commit and the names that are left.
    """
    share = place.share
    entries.unlink(store, place)
    if node.links > 1:
        moment = entries.touched(node)
        changes: dict[str, Any] = {
            "links": node.links - 1, "modified": moment, "changed": moment,
        }  # fmt: skip
        entries.change(store, share, node, changes)
        return [], node.links - 1
    blobs = release(store, share, node.content)
    entries.drop_node(store, share, node)
    return blobs, 0
