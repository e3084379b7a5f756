"""What the journal notes of a file: where it belongs, and what programs set of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from azfuse.fuse.inodes import Inode
from azfuse.fuse.posix import Posix


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One file, as the next mount must find or make it. Times are Unix nanoseconds.

    `path` is share-relative; `file_id` is 0 for a file that is not on the share.
    `born` is the creation time that such a file is created with.
    """

    path: str
    number: int
    file_id: int
    born: int
    mode: int
    uid: int
    gid: int
    rdev: int
    mtime: int
    ctime: int
    #: The attributes were not sent yet; the time of the last write was set by a program.
    attributes_pending: bool
    mtime_pinned: bool
    xattrs: Mapping[str, str]
    #: It is about to be removed, or replaced: where that has happened, nobody wants it back.
    leaving: bool = False
    #: Mode, uid and gid of each of the directories above it, the nearest last, that the share
    #: does not have yet.
    directories: Sequence[Sequence[int]] = ()

    @classmethod
    def of(cls, inode: Inode, born: int, *, leaving: bool) -> "Note":
        """Note what is so of *inode* now."""
        posix = inode.posix
        return cls(
            path=inode.path,
            number=inode.number,
            file_id=0 if inode.is_local else inode.file_id,
            born=born,
            mode=posix.mode,
            uid=posix.uid,
            gid=posix.gid,
            rdev=posix.rdev,
            mtime=inode.mtime,
            ctime=inode.ctime,
            attributes_pending=inode.attributes_pending,
            mtime_pinned=inode.mtime_pinned,
            xattrs=dict(inode.xattrs),
            leaving=leaving,
            directories=[
                (node.posix.mode, node.posix.uid, node.posix.gid)
                for node in reversed(list(inode.ancestors()))
                if node is not inode and node.is_local
            ],
        )

    @classmethod
    def read(cls, text: str) -> "Note":
        """Read what `text` wrote. Raises ValueError for what another version wrote."""
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"the note cannot be read: {error}") from error

    def text(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @property
    def posix(self) -> Posix:
        """Mode and owner."""
        return Posix(self.mode, self.uid, self.gid, self.rdev)

    def apply(self, inode: Inode) -> None:
        """Give *inode*, of a file that is not up to date on the share, what programs set."""
        inode.mtime, inode.ctime = self.mtime, self.ctime
        inode.mtime_pinned = self.mtime_pinned
        inode.attributes_pending = self.attributes_pending
        if self.attributes_pending or inode.is_local:
            inode.posix = self.posix
