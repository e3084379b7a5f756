"""The tables, and what their rows mean.

Entries are split as in a Unix file system: `names` say what is in which directory, `nodes` say
what it is. A directory is the parent of its names by its node's id, so that a rename or a delete
touches one row however large the tree below it is.

Snapshots copy nothing. Every share counts epochs; a snapshot freezes the current one and starts
the next. A row carries the epoch it was `born` in; who changes or removes a row that a snapshot can
see (`born <= shares.frozen_to`) first puts it into `past_names` or `past_nodes` with the epoch in
which it `died`. A snapshot of epoch e sees the rows with born <= e < died, and the living ones
with born <= e.

The bytes of a file are a `contents` row and its `extents`: which bytes were written, and which
blob holds them, at the same offset. A blob is one sparse file. Only `contents.blob` may be written
to; blobs that a snapshot or a copy also refers to are in nobody's `blob` and so never change again.
"""

from typing import Final

#: Raised whenever the tables or the JSON in them change; an older data directory is refused, not
#: guessed at.
SCHEMA_VERSION: Final = 2

NODE_COLUMNS: Final = (
    "id", "share", "kind", "file_id", "born", "size", "content", "attributes", "permission_key",
    "created", "written", "changed", "accessed", "modified", "metadata", "headers", "lease_id",
    "lease_state", "copy", "mode", "owner", "gid", "links", "link_text",
)  # fmt: skip
SHARE_COLUMNS: Final = (
    "id", "account", "name", "root", "deleted", "version", "created", "modified", "quota",
    "quota_bytes", "protocol", "settings", "metadata", "acl", "lease_id", "lease_state",
    "lease_duration", "lease_until", "next_entry", "epoch", "frozen_to", "used",
)  # fmt: skip
SNAPSHOT_COLUMNS: Final = (
    "id", "share", "taken", "epoch", "metadata", "modified", "quota", "lease_id", "lease_state",
    "lease_duration", "lease_until",
)  # fmt: skip

_LEASE: Final = """
    lease_id TEXT,
    lease_state INTEGER NOT NULL DEFAULT 0,
    lease_duration INTEGER NOT NULL DEFAULT -1,
    lease_until INTEGER
"""

_NODE: Final = """
    share INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    file_id TEXT NOT NULL,
    born INTEGER NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    content INTEGER,
    attributes INTEGER NOT NULL DEFAULT 0,
    permission_key TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    written INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    accessed INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    metadata TEXT,
    headers TEXT,
    lease_id TEXT,
    lease_state INTEGER NOT NULL DEFAULT 0,
    copy TEXT,
    mode INTEGER NOT NULL DEFAULT 0,
    owner INTEGER NOT NULL DEFAULT 0,
    gid INTEGER NOT NULL DEFAULT 0,
    links INTEGER NOT NULL DEFAULT 1,
    link_text TEXT
"""

_NAME: Final = """
    parent INTEGER NOT NULL,
    folded TEXT NOT NULL,
    name TEXT NOT NULL,
    node INTEGER NOT NULL,
    born INTEGER NOT NULL
"""

SCHEMA: Final = f"""
CREATE TABLE services (account TEXT PRIMARY KEY, properties TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE shares (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    root INTEGER NOT NULL,
    deleted INTEGER,
    version TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    quota INTEGER NOT NULL,
    quota_bytes INTEGER,
    protocol TEXT NOT NULL,
    settings TEXT NOT NULL,
    metadata TEXT,
    acl TEXT,
    {_LEASE.strip()},
    next_entry INTEGER NOT NULL DEFAULT 1,
    epoch INTEGER NOT NULL DEFAULT 0,
    frozen_to INTEGER NOT NULL DEFAULT -1,
    used INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX shares_live ON shares(account, name) WHERE deleted IS NULL;
CREATE INDEX shares_deleted ON shares(deleted) WHERE deleted IS NOT NULL;

CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    share INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    metadata TEXT,
    modified INTEGER NOT NULL,
    quota INTEGER NOT NULL,
    {_LEASE.strip()},
    UNIQUE (share, taken)
);

CREATE TABLE permissions (
    share INTEGER NOT NULL, key TEXT NOT NULL, sddl TEXT NOT NULL, PRIMARY KEY (share, key)
) WITHOUT ROWID;

CREATE TABLE nodes (id INTEGER PRIMARY KEY AUTOINCREMENT, {_NODE});
CREATE INDEX nodes_share ON nodes(share);
CREATE INDEX nodes_content ON nodes(content) WHERE content NOT NULL;
CREATE TABLE names ({_NAME}, PRIMARY KEY (parent, folded)) WITHOUT ROWID;

CREATE TABLE past_nodes (id INTEGER NOT NULL, {_NODE}, died INTEGER NOT NULL,
    PRIMARY KEY (id, born)) WITHOUT ROWID;
CREATE INDEX past_nodes_content ON past_nodes(content) WHERE content NOT NULL;
CREATE INDEX past_nodes_share ON past_nodes(share);
CREATE TABLE past_names (share INTEGER NOT NULL, {_NAME}, died INTEGER NOT NULL,
    PRIMARY KEY (parent, folded, born)) WITHOUT ROWID;
CREATE INDEX past_names_share ON past_names(share);

CREATE TABLE contents (id INTEGER PRIMARY KEY AUTOINCREMENT, blob INTEGER, born INTEGER NOT NULL);
CREATE TABLE extents (
    content INTEGER NOT NULL, first INTEGER NOT NULL, past INTEGER NOT NULL, blob INTEGER NOT NULL,
    PRIMARY KEY (content, first)
) WITHOUT ROWID;
CREATE INDEX extents_blob ON extents(blob);
"""
