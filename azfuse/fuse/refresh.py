"""`azfuse refresh`: what is believed below a path is doubted, here and in the kernel.

Nothing is asked of the share. Attributes and listings are asked for when they are next
needed, content is fetched again; what is dirty stays and goes up as ever.
"""

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyfuse3
import trio
from cachetools import LRUCache
from pyfuse3 import FileNameT, InodeT

from azfuse.cache.blocks import BlockCache
from azfuse.fuse import names
from azfuse.fuse.inodes import Inode
from azfuse.fuse.tree import Tree

log = logging.getLogger(__name__)

#: Inodes that are doubted in one go, before others have their turn.
_AT_ONCE: Final = 1000
#: Names that the kernel was told are missing, newest first, that are remembered.
_MOST_MISSING: Final = 20_000


@dataclass(slots=True)
class Refreshed:
    """What was forgotten: entries, and bytes of their content."""

    entries: int = 0
    content_bytes: int = 0


class Refresher:
    """Forgets on demand what is believed of the share."""

    def __init__(self, tree: Tree, cache: BlockCache) -> None:
        self._tree = tree
        self._cache = cache
        #: Parent's number and name of what the kernel was told is missing: it cannot be
        #: asked which negative entries it has.
        self._missing: LRUCache[tuple[int, bytes], None] = LRUCache(_MOST_MISSING)

    def told_missing(self, parent: int, name: bytes) -> None:
        """Note that the kernel may believe for a while that *parent* has no entry *name*."""
        self._missing[parent, name] = None

    async def refresh(self, path: str) -> Refreshed:
        """Doubt the entry at *path* (relative to the mount, as Linux has it) and all below it.

        Of a path that nothing is known of, what is known of the nearest directory is
        doubted. Must not run in a handler: the kernel may wait for requests that it
        has sent us before it drops pages.
        """
        top, exact = self._find(path)
        inodes = list(_below(top)) if exact else [top]
        known = {inode.number for inode in inodes}
        # Of an entry that is replaced the parent's listing has the old attributes.
        self._doubt_listing(top.parent)
        done = Refreshed()
        for position, inode in enumerate(inodes, 1):
            if not inode.is_local:
                done.entries += 1
                done.content_bytes += self._doubt(inode)
            if position % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        numbers = [
            (number, inode.is_directory)
            for inode in inodes
            if inode.lookups
            for number in (inode.number, *inode.aliases.values())
        ]
        await trio.to_thread.run_sync(_tell_kernel, numbers, list(self._take_missing(known)))
        return done

    def _find(self, path: str) -> tuple[Inode, bool]:
        """Return the inode at *path*, or else the last one on the way to it that is known."""
        node = self._tree.root
        for part in filter(None, os.fsencode(path).split(b"/")):
            try:
                child = node.children.get(self._tree.key(names.to_share(part)))
            except OSError:  # a name that no share can hold
                child = None
            if child is None:
                return node, False
            node = child
        return node, True

    def _doubt(self, inode: Inode) -> int:
        """Believe nothing of *inode* that was said before now; return the bytes forgotten."""
        inode.doubted_at = self._tree.clock()
        inode.vouched = None
        if inode.is_directory:
            self._doubt_listing(inode)
        if inode.file is None:
            return 0
        before = self._cache.used
        content = inode.file.content
        self._cache.touch(content, content.forget_clean())
        return before - self._cache.used

    def _doubt_listing(self, directory: Inode | None) -> None:
        if directory is not None:
            self._tree.drop_listing(directory)
            # A listing that is on its way comes too late.
            directory.doubted_at = self._tree.clock()

    def _take_missing(self, parents: set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield, and forget, the names below *parents* that the kernel may take for missing."""
        for parent, name in list(self._missing):
            if parent not in parents:
                continue
            del self._missing[parent, name]
            key = self._tree.key(names.to_share(name))
            # One that exists by now must not be torn from a program that works in it.
            if key not in self._tree.table[parent].children:
                yield parent, name


def _below(top: Inode) -> Iterator[Inode]:
    """Yield *top* and every entry below it that is known."""
    waiting = [top]
    while waiting:
        inode = waiting.pop()
        yield inode
        waiting += inode.children.values()


def _tell_kernel(inodes: Sequence[tuple[int, bool]], missing: Sequence[tuple[int, bytes]]) -> None:
    """Have the kernel drop attributes and pages of *inodes*, and its negative entries.

    *inodes* are numbers, each with whether it is a directory, which has no pages. Runs
    in a thread, since dropping a page waits for a read of it. What a name leads to stays:
    a directory that is some program's working directory would be cut off from its path.
    Where the kernel finds the attributes of such an inode out of date it asks, and the
    answer ESTALE has it look the name up again.
    """
    try:
        for number, is_directory in inodes:
            with _unknown_ignored():
                pyfuse3.invalidate_inode(InodeT(number), attr_only=is_directory)
        for parent, name in missing:
            with _unknown_ignored():
                pyfuse3.invalidate_entry(InodeT(parent), FileNameT(name))
    except OSError as error:
        log.warning("the kernel still believes what it did: %s", error)


@contextmanager
def _unknown_ignored() -> Iterator[None]:
    """Go on where the kernel does not know what it was told to forget."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
