"""Open files and open directories."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from azfuse.cache.readahead import Readahead
from azfuse.cache.writeback import CachedFile
from azfuse.fuse.inodes import Inode

_WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(slots=True, eq=False)
class FileHandle:
    """What one open(2) of a file needs to remember.

    `pid` is the thread that opened it. `confirmed` is False while nobody has asked
    whether what was cached before the open still holds. `losses` counts the lost
    leases of the file that the program was told of, or that were before the open.
    """

    inode: Inode
    file: CachedFile
    flags: int
    pid: int
    readahead: Readahead
    confirmed: bool = True
    losses: int = 0

    @property
    def writable(self) -> bool:
        """True if the file was opened for writing."""
        return bool(self.flags & _WRITES)

    @property
    def appends(self) -> bool:
        """True if every write goes to the end."""
        return bool(self.flags & os.O_APPEND)

    @property
    def truncates(self) -> bool:
        """True if opening empties the file."""
        return bool(self.flags & os.O_TRUNC)

    @property
    def changes(self) -> bool:
        """True if closing may have something to bring to the share."""
        return self.writable or self.truncates

    @property
    def synchronous(self) -> bool:
        """True if every write waits for the share (O_SYNC includes O_DSYNC)."""
        return bool(self.flags & os.O_DSYNC)


@dataclass(slots=True, eq=False)
class DirectoryHandle:
    """What one opendir(3) needs to remember.

    `entries`, each with its name, is the directory as it was when reading began; positions
    in it stay valid while entries come and go. `snapshots` is the same of the directory of
    snapshots.
    """

    inode: Inode
    entries: Sequence[tuple[Inode, str]] | None = field(default=None)
    snapshots: Sequence[str] | None = field(default=None)


HandleT = TypeVar("HandleT")


class HandleTable(Generic[HandleT]):
    """Numbers for handles, each used once."""

    def __init__(self) -> None:
        self._next = 0
        self._handles: dict[int, HandleT] = {}

    def add(self, handle: HandleT) -> int:
        """Enter *handle* and return its number."""
        self._next += 1
        self._handles[self._next] = handle
        return self._next

    def __len__(self) -> int:
        return len(self._handles)

    def __getitem__(self, number: int) -> HandleT:
        return self._handles[number]

    def remove(self, number: int) -> HandleT:
        """Forget the handle *number* and return it."""
        return self._handles.pop(number)
