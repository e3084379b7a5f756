"""Names and nodes: finding, making, changing, moving and removing entries of a share.

Functions here are short and do not await. What a snapshot can see is kept in the `past_` tables by
the functions that change it; callers need not think of snapshots.
"""

# ruff: noqa: S608 - statements are put together from column names of schema.py, never from input

from collections.abc import Sequence
from typing import Any, Final

from azfuse.emulator import clock
from azfuse.emulator.errors import Refusal
from azfuse.emulator.names import fold
from azfuse.emulator.rows import Kind, Lease, Listed, Node, Place, Share, Snapshot
from azfuse.emulator.schema import NODE_COLUMNS
from azfuse.emulator.store import Store
from azfuse.rest.errors import ErrorCode

_NODE: Final = ", ".join(f"d.{column}" for column in NODE_COLUMNS)
_PLAIN: Final = ", ".join(NODE_COLUMNS)
_LIVE_CHILD: Final = (
    f"SELECT n.name, {_NODE} FROM names n JOIN nodes d ON d.id = n.node "
    "WHERE n.parent = ? AND n.folded = ?"
)
_LIVE_DIRECTORY: Final = (
    "SELECT n.node, d.file_id FROM names n JOIN nodes d ON d.id = n.node "
    f"WHERE n.parent = ? AND n.folded = ? AND d.kind = {int(Kind.DIRECTORY)}"
)
#: The same as seen by the snapshot of epoch ?3: living and past names, living and past nodes.
_PAST_NAMES: Final = """
    (SELECT folded, name, node FROM names WHERE parent = ?1 AND born <= ?3 {where}
     UNION ALL SELECT folded, name, node FROM past_names
     WHERE parent = ?1 AND born <= ?3 AND died > ?3 {where})
"""
_PAST_NODES: Final = f"""
    (SELECT {_PLAIN} FROM nodes WHERE born <= ?3
     UNION ALL SELECT {_PLAIN} FROM past_nodes WHERE born <= ?3 AND died > ?3)
"""
_PAST_CHILD: Final = (
    f"SELECT n.name, {_NODE} FROM {_PAST_NAMES.format(where='AND folded = ?2')} n "
    f"JOIN {_PAST_NODES} d ON d.id = n.node"
)
_LIST: Final = (
    f"SELECT n.name, n.folded, {_NODE} FROM names n JOIN nodes d ON d.id = n.node "
    "WHERE n.parent = ?1 AND n.folded >= ?2 AND n.folded < ?3 ORDER BY n.folded LIMIT ?4"
)
_PAST_LIST: Final = (
    f"SELECT n.name, n.folded, {_NODE} FROM "
    f"{_PAST_NAMES.format(where='AND folded >= ?2 AND folded < ?5')} n "
    f"JOIN {_PAST_NODES} d ON d.id = n.node ORDER BY n.folded LIMIT ?4"
)
#: Sorts after every name.
_LAST: Final = "\U0010ffff\U0010ffff"


def file_id_of(number: int) -> str:
    """Return the id of the *number*th entry of a share, the first being 1.

    The service hands out the bit reversal of a pair of counters: 0xC000400000000000 is first, then
    0xA000..., 0xE000..., 0x9000... (observed behaviour, section 1).
    """
    low, high = 2 * (number & 0xFFFF) + 1, 1 + (number >> 16)
    return str(int(f"{high << 17 | low:064b}"[::-1], 2))


def fold_for(share: Share, name: str) -> str:
    """Return the form under which *name* is stored in this share."""
    return name if share.is_nfs else fold(name)


def find(
    store: Store, share: Share, path: Sequence[str], snapshot: Snapshot | None = None
) -> Place:
    """Follow *path* from the root of *share*.

    Refuses with ParentNotFound where a directory on the way is missing or is a file.
    """
    root_id = "1" if share.is_nfs else "0"
    if not path:
        root = node_at(store, share.root, snapshot)
        return Place(share, share.root, root_id, "", root, (), snapshot)
    parent, parent_file_id = share.root, root_id
    ancestors = [parent]
    for part in path[:-1]:
        row = _directory_at(store, parent, fold_for(share, part), snapshot)
        if row is None:
            raise Refusal(ErrorCode.PARENT_NOT_FOUND)
        parent, parent_file_id = row
        ancestors.append(parent)
    name = path[-1]
    folded = fold_for(share, name)
    if snapshot is None:
        row = store.db.execute(_LIVE_CHILD, (parent, folded)).fetchone()
    else:
        row = store.db.execute(_PAST_CHILD, (parent, folded, snapshot.epoch)).fetchone()
    node = Node(*row[1:]) if row else None
    return Place(
        share, parent, parent_file_id, row[0] if row else name, node, tuple(ancestors), snapshot
    )


def node_at(store: Store, node: int, snapshot: Snapshot | None) -> Node | None:
    """Return a node as it is, or as a snapshot sees it."""
    if snapshot is None:
        return store.node(node)
    row = store.db.execute(
        f"SELECT {_PLAIN} FROM nodes WHERE id = ?1 AND born <= ?2 UNION ALL "
        f"SELECT {_PLAIN} FROM past_nodes WHERE id = ?1 AND born <= ?2 AND died > ?2",
        (node, snapshot.epoch),
    ).fetchone()
    return Node(*row) if row else None


def _directory_at(
    store: Store, parent: int, folded: str, snapshot: Snapshot | None
) -> tuple[int, str] | None:
    if snapshot is None:
        row = store.db.execute(_LIVE_DIRECTORY, (parent, folded)).fetchone()
        return (row[0], row[1]) if row else None
    row = store.db.execute(_PAST_CHILD, (parent, folded, snapshot.epoch)).fetchone()
    if row is None:
        return None
    node = Node(*row[1:])
    return (node.id, node.file_id) if node.kind == Kind.DIRECTORY else None


def create(store: Store, place: Place, kind: Kind, columns: dict[str, Any]) -> Node:
    """Make a node with these *columns* under the free name of *place*."""
    share = place.share
    with store.transaction() as db:
        (number,) = db.execute(
            "UPDATE shares SET next_entry = next_entry + 1 WHERE id = ? "
            "RETURNING next_entry - 1", (share.id,)
        ).fetchall()[0]  # fmt: skip
        values = {
            "share": share.id, "kind": int(kind), "file_id": file_id_of(number),
            "born": share.epoch, **columns,
        }  # fmt: skip
        row = db.execute(
            f"INSERT INTO nodes ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
            f"RETURNING {_PLAIN}",
            tuple(values.values()),
        ).fetchall()[0]
        node = Node(*row)
        link(store, place, node)
    return node


def link(store: Store, place: Place, node: Node) -> None:
    """Give *node* the free name of *place*."""
    share = place.share
    store.db.execute(
        "INSERT INTO names VALUES (?, ?, ?, ?, ?)",
        (place.parent, fold_for(share, place.name), place.name, node.id, share.epoch),
    )


def unlink(store: Store, place: Place) -> None:
    """Take the name of *place* away; a snapshot that sees it keeps it."""
    share, db = place.share, store.db
    folded = fold_for(share, place.name)
    if share.frozen_to >= 0:
        db.execute(
            "INSERT INTO past_names SELECT ?, parent, folded, name, node, born, ? FROM names "
            "WHERE parent = ? AND folded = ? AND born <= ?",
            (share.id, share.epoch, place.parent, folded, share.frozen_to),
        )
    db.execute("DELETE FROM names WHERE parent = ? AND folded = ?", (place.parent, folded))


def change(store: Store, share: Share, node: Node, changes: dict[str, Any]) -> Node:
    """Set columns of a node and return it as it is now.

    A change ends what is left of a broken lease (recorded for Create File).
    """
    if node.lease_state == Lease.BROKEN and "lease_state" not in changes:
        changes = {**changes, "lease_state": int(Lease.AVAILABLE), "lease_id": None}
    with store.transaction() as db:
        if _preserve(store, share, node):
            changes = {**changes, "born": share.epoch}
        columns = ", ".join(f"{column} = ?" for column in changes)
        row = db.execute(
            f"UPDATE nodes SET {columns} WHERE id = ? RETURNING {_PLAIN}",
            (*changes.values(), node.id),
        ).fetchall()[0]
    return Node(*row)


def drop_node(store: Store, share: Share, node: Node) -> None:
    """Remove a node that has no name left. Its content is the caller's business."""
    _preserve(store, share, node)
    store.db.execute("DELETE FROM nodes WHERE id = ?", (node.id,))


def _preserve(store: Store, share: Share, node: Node) -> bool:
    if node.born > share.frozen_to:
        return False
    store.db.execute(
        f"INSERT INTO past_nodes ({_PLAIN}, died) SELECT {_PLAIN}, ? FROM nodes WHERE id = ?",
        (share.epoch, node.id),
    )
    return True


def is_empty(store: Store, directory: int) -> bool:
    """Say whether a directory holds nothing."""
    row = store.db.execute("SELECT 1 FROM names WHERE parent = ? LIMIT 1", (directory,)).fetchone()
    return row is None


def listing(store: Store, place: Place, *, prefix: str, start: str, limit: int) -> list[Listed]:
    """Return up to *limit* entries of a directory in the order of their folded names.

    Only names with *prefix*, and only those that fold to *start* or later.
    """
    if place.node is None:
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
    folded = fold_for(place.share, prefix)
    first = max(start, folded)
    # The first string that sorts after every string with the prefix.
    past = _after_prefix(folded)
    if place.snapshot is None:
        rows = store.db.execute(_LIST, (place.node.id, first, past, limit))
    else:
        rows = store.db.execute(
            _PAST_LIST, (place.node.id, first, place.snapshot.epoch, limit, past)
        )
    return [Listed(row[0], row[1], Node(*row[2:])) for row in rows]


def _after_prefix(prefix: str) -> str:
    return prefix + _LAST if prefix else _LAST


def touched(node: Node | None = None) -> int:
    """Return the instant of a change of *node*: the present, but later than its last change."""
    return clock.now(node.modified if node else 0)
