"""One view of the share: as it is, or as a snapshot of it was; what the kernel is told of it."""

from dataclasses import dataclass

import pyfuse3
from pyfuse3 import InodeT

from azfuse.fuse.attributes import entry_attributes
from azfuse.fuse.files import Files
from azfuse.fuse.inodes import Inode
from azfuse.fuse.stateattrs import StateAttributes
from azfuse.fuse.tree import Tree
from azfuse.fuse.userattrs import UserAttributes


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The share, or one snapshot of it: its tree, and what works on inodes of that."""

    tree: Tree
    files: Files
    user_attributes: UserAttributes
    state_attributes: StateAttributes

    def entry(self, inode: Inode, asked_name: str) -> pyfuse3.EntryAttributes:
        """Return the answer to a lookup of *asked_name*, and count the kernel's reference."""
        entry = self.attributes(inode)
        dialect = self.tree.dialect
        if asked_name != inode.name and not (dialect.case_sensitive or inode.unlinked):
            # The number is only a handle for the kernel: stat(2) is sent on to `getattr`,
            # which gives the true one.
            if not inode.aliases and inode.parent is not None:
                self.tree.kernel.forget_name(inode.parent, dialect.to_linux(inode.name))
            entry.st_ino = InodeT(self.tree.table.alias(inode, asked_name))
            entry.entry_timeout = entry.attr_timeout = 0
        self.referenced(inode, entry.st_ino)
        return entry

    def attributes(self, inode: Inode) -> pyfuse3.EntryAttributes:
        """Return the entry of *inode* under its own name, without counting a reference."""
        entry = entry_attributes(inode, self.tree.trust)
        if inode.aliases:
            # The kernel takes each letter case for a name of its own, and a change of one
            # says nothing to it of the others: so it may not remember any.
            entry.entry_timeout = 0
        return entry

    def referenced(self, inode: Inode, number: int) -> None:
        """Count a reference that the kernel now holds to *inode*, under *number*."""
        if inode.lookups == 0:
            self.tree.table.add(inode)
        self.tree.table.referenced(number)
