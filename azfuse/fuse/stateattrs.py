"""`azfuse.*` extended attributes: what the driver knows of an inode, for people and scripts.

They are read-only, and in no list: `cp -a` and `rsync -X` would try to set them on the copy.
"""

import errno
import os
from typing import TYPE_CHECKING, Final

import pyfuse3

from azfuse.cache.metadata import Facts
from azfuse.fuse.inodes import Inode
from azfuse.fuse.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PREFIX: Final = b"azfuse."


class StateAttributes:
    """Answers `azfuse.*` for the inodes of one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[bytes, Callable[[Inode], Awaitable[str | None]]] = {
            b"azfuse.etag": self._etag,
            b"azfuse.file_id": self._file_id,
            b"azfuse.lease": self._lease,
            b"azfuse.cache": self._cache,
            b"azfuse.content_md5": self._content_md5,
            b"azfuse.url": self._url,
        }

    async def get(self, inode: Inode, name: bytes) -> bytes:
        """Return the value of *name*.

        Raises FUSEError(ENODATA) where there is none, and what asking the share raises.
        """
        known = self._known.get(name)
        value = await known(inode) if known is not None else None
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return value.encode()

    async def _facts(self, inode: Inode) -> Facts | None:
        await self._tree.refresh(inode)
        return inode.facts

    async def _etag(self, inode: Inode) -> str | None:
        """Return the ETag, without quotes, of what the share has."""
        facts = await self._facts(inode)
        return facts.etag.strip('"') if facts is not None and facts.etag is not None else None

    async def _file_id(self, inode: Inode) -> str | None:
        """Return the id as the service writes it."""
        return None if await self._facts(inode) is None else str(inode.file_id)

    async def _lease(self, inode: Inode) -> str | None:
        """Return `ours`, `none`, or the state of what somebody else holds: asked each time."""
        if inode.is_directory or inode.is_local:
            return None
        if inode.lease_id is None:
            await self._tree.validate(inode)
        if inode.lease_id is not None:
            return "ours"
        state = inode.facts.lease_state if inode.facts is not None else None
        return "none" if state in {None, "available"} else f"foreign ({state})"

    async def _cache(self, inode: Inode) -> str | None:
        """Return what of the content is in memory, and how much the share does not have."""
        if inode.is_directory:
            return None
        content = inode.file.content if inode.file is not None else None
        if content is None:
            return "cachedBytes=0 dirtyBytes=0 onShare=yes"
        cached = sum(block.total_bytes for block in content.blocks.values())
        saved = "no" if inode.is_local or content.changed else "yes"
        return f"cachedBytes={cached} dirtyBytes={content.dirty_bytes} onShare={saved}"

    async def _content_md5(self, inode: Inode) -> str | None:
        """Return the MD5, in hex, that somebody has noted with the content (one HEAD)."""
        changed = inode.file is not None and inode.file.content.changed
        if inode.is_directory or inode.is_local or changed:
            return None
        digest = (await self._tree.file.get_file_properties(inode.path)).content.content_md5
        return None if digest is None else digest.hex()

    async def _url(self, inode: Inode) -> str | None:
        """Return where it is on the service, without any secret."""
        if inode.is_local:
            return None
        await self._tree.settled(inode)
        file = self._tree.file
        return file.transport.plain_url_of(file.share, inode.path, snapshot=file.snapshot)


def refuse_change(name: bytes) -> None:
    """Raise OSError(EPERM) where *name* is one of those that only the driver sets."""
    if name.startswith(PREFIX):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
