"""Extended attributes of inodes: `user.*`, kept as metadata of the share's entries."""

from collections.abc import Sequence

import pyfuse3

from azfuse.cache.writeback import WriteBack
from azfuse.fuse import xattrs
from azfuse.fuse.changes import send_posix, set_metadata
from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import Leases
from azfuse.fuse.tree import Tree


class UserAttributes:
    """Reads and changes the metadata behind `user.*` attributes."""

    def __init__(self, tree: Tree, leases: Leases, writeback: WriteBack) -> None:
        self._tree = tree
        self._leases = leases
        self._writeback = writeback

    async def get(self, inode: Inode, name: bytes) -> bytes:
        """Return the value of *name*. Raises FUSEError(ENODATA) where it is not set."""
        value = xattrs.get(await self._metadata(inode), name)
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return value

    async def list(self, inode: Inode) -> Sequence[bytes]:
        """Return the names that are set."""
        return xattrs.names(await self._metadata(inode))

    async def set(self, inode: Inode, name: bytes, value: bytes) -> None:
        """Set *name*. Raises OSError with the errno that setxattr(2) names."""
        await self._store(inode, xattrs.with_value(await self._metadata(inode), name, value))

    async def remove(self, inode: Inode, name: bytes) -> None:
        """Remove *name*. Raises FUSEError(ENODATA) where it is not set."""
        metadata = await self._metadata(inode)
        if xattrs.get(metadata, name) is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        await self._store(inode, xattrs.without(metadata, name))

    async def _metadata(self, inode: Inode) -> dict[str, str]:
        if inode.facts is None:
            return dict(inode.xattrs)
        if inode.facts.metadata is None:
            await self._tree.validate(inode)
        return dict(inode.facts.metadata or {})

    async def _store(self, inode: Inode, metadata: dict[str, str]) -> None:
        if inode.is_directory:
            await self._tree.on_share(inode)
        if inode.facts is None:
            inode.xattrs = metadata
            if inode.file is not None:
                self._writeback.renote(inode.file)
        else:
            await self._leases.patiently(inode, lambda: set_metadata(self._tree, inode, metadata))
            await send_posix(self._tree, inode, mtime=None)
