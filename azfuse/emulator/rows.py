"""Rows of the tables as typed values. Instants are Unix nanoseconds, JSON columns stay text."""

import enum
from dataclasses import dataclass


class Kind(enum.IntEnum):
    """What a node is."""

    DIRECTORY = 1
    FILE = 2
    SYMLINK = 3


class Lease(enum.IntEnum):
    """The stored state of a lease; expiry and the end of a break follow from the clock."""

    AVAILABLE = 0
    LEASED = 1
    BREAKING = 2
    BROKEN = 3


@dataclass(slots=True)
class Node:
    """A directory, file or symbolic link, whatever its names are."""

    id: int
    share: int
    kind: int
    file_id: str
    born: int
    size: int
    content: int | None
    attributes: int
    permission_key: str
    created: int
    written: int
    changed: int
    accessed: int
    modified: int  # what ETag and Last-Modified say
    metadata: str | None
    headers: str | None
    lease_id: str | None
    lease_state: int
    copy: str | None
    mode: int
    owner: int
    gid: int
    links: int
    link_text: str | None


@dataclass(slots=True)
class Share:
    """A share."""

    id: int
    account: str
    name: str
    root: int
    deleted: int | None
    version: str
    created: int
    modified: int
    quota: int  # GiB
    quota_bytes: int | None  # a finer quota, set by tests
    protocol: str
    settings: str
    metadata: str | None
    acl: str | None
    lease_id: str | None
    lease_state: int
    lease_duration: int
    lease_until: int | None
    next_entry: int
    epoch: int
    frozen_to: int
    used: int

    @property
    def is_nfs(self) -> bool:
        """Say whether names are case-sensitive and properties are POSIX ones."""
        return self.protocol == "NFS"


@dataclass(slots=True)
class Snapshot:
    """A snapshot of a share: the share as it was in one epoch."""

    id: int
    share: int
    taken: int
    epoch: int
    metadata: str | None
    modified: int
    quota: int
    lease_id: str | None
    lease_state: int
    lease_duration: int
    lease_until: int | None


@dataclass(slots=True)
class Place:
    """Where a path leads: the directory that holds its last name, and what is there, if anything.

    `name` is the stored name if there is a node, else the asked one. The root of a share has no
    name and is its own parent. `ancestors` are the ids of the directories on the way.
    """

    share: Share
    parent: int
    parent_file_id: str
    name: str
    node: Node | None
    ancestors: tuple[int, ...]
    snapshot: Snapshot | None = None


@dataclass(slots=True)
class Listed:
    """One entry of a listing."""

    name: str
    folded: str
    node: Node
