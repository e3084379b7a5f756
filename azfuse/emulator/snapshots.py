"""Snapshots and the end of things: freezing a share, and collecting what nobody can see any more.

A deleted share is only marked; its rows and blobs are collected bit by bit by `collect`, which the
application calls after other requests, and wholly when the store is opened.
"""

# ruff: noqa: S608 - statements are put together from column names of schema.py, never from input

from azfuse.emulator import clock, files
from azfuse.emulator.rows import Share, Snapshot
from azfuse.emulator.store import Store

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND


def take(store: Store, share: Share, metadata: str | None) -> int:
    """Freeze *share* as it is and return the instant that names the snapshot: a whole second."""
    latest = store.db.execute(
        "SELECT max(taken) FROM snapshots WHERE share = ?", (share.id,)
    ).fetchone()[0]
    taken = clock.now() // _SECOND * _SECOND
    if latest is not None and taken <= latest:
        taken = latest + _SECOND
    with store.transaction() as db:
        db.execute(
            "INSERT INTO snapshots (share, taken, epoch, metadata, modified, quota) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (share.id, taken, share.epoch, metadata, share.modified, share.quota),
        )
        store.update_share(share.id, epoch=share.epoch + 1, frozen_to=share.epoch)
    return int(taken)


def delete_snapshot(store: Store, share: Share, snapshot: Snapshot) -> None:
    """Remove a snapshot and everything that only it could see."""
    with store.transaction() as db:
        db.execute("DELETE FROM snapshots WHERE id = ?", (snapshot.id,))
        epochs = [s.epoch for s in store.snapshots(share.id)]
        store.update_share(share.id, frozen_to=max(epochs, default=-1))
        unseen = (
            "share = ?1 AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.share = ?1 "
            "AND born <= s.epoch AND s.epoch < died)"
        )
        db.execute(f"DELETE FROM past_names WHERE {unseen}", (share.id,))
        contents = {
            row[0]
            for row in db.execute(
                f"DELETE FROM past_nodes WHERE {unseen} RETURNING content", (share.id,)
            ).fetchall()
        }
        blobs = [blob for content in contents for blob in _free(store, content)]
    for blob in blobs:
        store.blobs.remove(blob)


def _free(store: Store, content: int | None) -> list[int]:
    if content is None:
        return []
    for table in ("nodes", "past_nodes"):
        if store.db.execute(
            f"SELECT 1 FROM {table} WHERE content = ? LIMIT 1", (content,)
        ).fetchone():
            return []
    return files.discard(store.db, content)


def delete_share(store: Store, share: Share) -> None:
    """Mark a share as deleted."""
    store.update_share(share.id, deleted=clock.now(), lease_id=None, lease_state=0)


def any_deleted(store: Store) -> bool:
    """Say whether there are deleted shares that are not collected yet."""
    row = store.db.execute("SELECT 1 FROM shares WHERE deleted NOT NULL LIMIT 1").fetchone()
    return row is not None


def collect(store: Store, *, keep_days: float, limit: int) -> bool:
    """Remove up to *limit* nodes of shares that were deleted *keep_days* ago.

    Returns whether there may be more to do.
    """
    row = store.db.execute(
        "SELECT id FROM shares WHERE deleted NOT NULL AND deleted <= ? LIMIT 1",
        (clock.now() - int(keep_days * _DAY),),
    ).fetchone()
    if row is None:
        return False
    share = row[0]
    blobs: list[int] = []
    with store.transaction() as db:
        found = 0
        for table in ("nodes", "past_nodes"):
            rows = db.execute(
                f"SELECT id, content, born FROM {table} WHERE share = ? LIMIT ?", (share, limit)
            ).fetchall()
            found += len(rows)
            for node, content, born in rows:
                db.execute(f"DELETE FROM {table} WHERE id = ? AND born = ?", (node, born))
                db.execute("DELETE FROM names WHERE parent = ?", (node,))
                blobs += _free(store, content)
        if not found:
            for table in ("past_names", "permissions", "snapshots"):
                db.execute(f"DELETE FROM {table} WHERE share = ?", (share,))
            db.execute("DELETE FROM shares WHERE id = ?", (share,))
    for blob in blobs:
        store.blobs.remove(blob)
    return True
