"""`azfuse refresh`: what is believed below a path is doubted, here and in the kernel.

Nothing is asked of the share. Attributes and listings are asked for when they are next
needed, content is fetched again; what is dirty stays and goes up as ever.

What a name leads to is not taken from the kernel: a directory that is some program's
working directory would be cut off from its path. Where the kernel finds the attributes of
such an inode out of date it asks, and the answer ESTALE has it look the name up again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.fuse.inodes import Inode
from azfuse.fuse.tree import Tree

#: Inodes that are doubted in one go, before others have their turn.
_AT_ONCE: Final = 1000


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

    async def refresh(self, path: str) -> Refreshed:
        """Doubt the entry at *path* (relative to the mount, as Linux has it) and all below it.

        Of a path that nothing is known of, what is known of the nearest directory is
        doubted. Must not run in a handler: the kernel may wait for requests that it
        has sent us before it drops pages.
        """
        top, exact = self._find(path)
        inodes = list(_below(top)) if exact else [top]
        if top.parent is not None:
            # The parent's listing shows old attributes of the entry.
            self._doubt(top.parent)
        done = Refreshed()
        for position, inode in enumerate(inodes, 1):
            if not inode.is_local:
                done.entries += 1
                done.content_bytes += self._doubt(inode)
            if position % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        missing = self._tree.take_missing(set(inodes))
        await self._tree.kernel.forget_at_once(inodes, missing)
        return done

    def _find(self, path: str) -> tuple[Inode, bool]:
        """Return the inode at *path*, or else the last one on the way to it that is known."""
        node = self._tree.root
        for part in filter(None, os.fsencode(path).split(b"/")):
            try:
                child = node.children.get(self._tree.key(self._tree.dialect.to_share(part)))
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
        self._tree.drop_listing(inode)
        if inode.file is None:
            return 0
        before = self._cache.used
        content = inode.file.content
        self._cache.touch(content, content.forget_clean())
        return before - self._cache.used


def _below(top: Inode) -> Iterator[Inode]:
    """Yield *top* and every entry below it that is known."""
    waiting = [top]
    while waiting:
        inode = waiting.pop()
        yield inode
        waiting += inode.children.values()
