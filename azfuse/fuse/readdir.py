"""Reading directories: entries with their attributes, at positions that stay valid meanwhile."""

from typing import Final

import pyfuse3
from pyfuse3 import FileNameT

from azfuse.fuse.handles import DirectoryHandle
from azfuse.fuse.inodes import Inode
from azfuse.fuse.snapshots import Snapshots

_DOTS: Final = (b".", b"..")


class DirectoryReader:
    """Answers readdir, and counts the references that its answers give the kernel."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def read(self, handle: DirectoryHandle, start: int, token: pyfuse3.ReaddirToken) -> None:
        """Give as many entries of what *handle* has open as *token* takes, from *start* on.

        Raises what listing the directory raises.
        """
        if handle.inode is self._snapshots.directory:
            await self._read_snapshots(handle, start, token)
            return
        if handle.entries is None or start == 0:
            handle.entries = await self._entries(handle.inode)
        view = self._snapshots.view_of(handle.inode)
        for position in range(start, len(handle.entries)):
            inode, listed = handle.entries[position]
            dots = position < len(_DOTS)
            if not dots and not view.tree.shows(handle.inode, inode, listed):
                continue
            # What was renamed since then has its new name.
            share_name = listed if inode.other_names else inode.name
            name = _DOTS[position] if dots else view.tree.dialect.to_linux(share_name)
            attributes = view.attributes(inode)
            if not pyfuse3.readdir_reply(token, FileNameT(name), attributes, position + 1):
                return
            if not dots:
                view.referenced(inode, inode.number)

    async def _entries(self, directory: Inode) -> list[tuple[Inode, str]]:
        """Return `.` and `..`, what the share lists, and what is still only here."""
        tree = self._snapshots.view_of(directory).tree
        listing = await tree.listed(directory)
        found = await tree.adopt_all(directory, list(listing.entries.values()))
        known = {id(inode) for inode, _ in found}
        local = [
            (inode, inode.name)
            for inode in directory.children.values()
            if inode.is_local and id(inode) not in known
        ]
        return [(directory, "."), (directory.parent or directory, ".."), *found, *local]

    async def _read_snapshots(
        self, handle: DirectoryHandle, start: int, token: pyfuse3.ReaddirToken
    ) -> None:
        snapshots = self._snapshots
        if handle.snapshots is None or start == 0:
            handle.snapshots = await snapshots.names()
        view = snapshots.view_of(handle.inode)
        dots = [(name, view.attributes(handle.inode)) for name in _DOTS]
        found = [(taken.encode(), snapshots.entry_of(taken)) for taken in handle.snapshots]
        for position, (name, attributes) in list(enumerate(dots + found, 1))[start:]:
            if not pyfuse3.readdir_reply(token, FileNameT(name), attributes, position):
                return
            if position > len(_DOTS):
                root = snapshots.root_of(name.decode())
                snapshots.view_of(root).referenced(root, root.number)
