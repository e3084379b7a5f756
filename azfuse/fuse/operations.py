"""The requests of the kernel: translate, delegate, answer. No policy lives here.

Every handler runs in `errors.handler`, which turns whatever it raises into an
errno. Inode numbers that the kernel may still use are always in the table; the
kernel counts its references and gives them back with `forget`.
"""

import errno
import logging
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pyfuse3
from pyfuse3 import FileHandleT, FileInfo, FileNameT, FlagT, InodeT, ModeT, RequestContext

from azfuse.cache.counters import CallCounters
from azfuse.fuse import stateattrs
from azfuse.fuse.attributes import entry_attributes, missing_entry
from azfuse.fuse.directories import Directories
from azfuse.fuse.errors import NOT_FOUND, handler
from azfuse.fuse.files import Files
from azfuse.fuse.handles import DirectoryHandle, FileHandle, HandleTable
from azfuse.fuse.inodes import Inode
from azfuse.fuse.namespace import Namespace
from azfuse.fuse.readdir import DirectoryReader
from azfuse.fuse.setattr import Setter
from azfuse.fuse.snapshots import Snapshots
from azfuse.fuse.space import Space
from azfuse.fuse.tree import Tree
from azfuse.rest.errors import ServiceError

log = logging.getLogger(__name__)


class Operations(pyfuse3.Operations):
    """Answers the kernel's requests out of the tree, the open files and the caches."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    tree: Tree
    files: Files
    directories: Directories
    namespace: Namespace
    setter: Setter
    space: Space
    snapshots: Snapshots
    directory_reader: DirectoryReader
    #: Starts what must be done before the end, though no program waits for it.
    start_errand: Callable[[Callable[[Inode], Awaitable[None]], Inode], None]

    def __init__(self) -> None:
        super().__init__()
        self.calls: defaultdict[str, CallCounters] = defaultdict(CallCounters)
        self._open_files: HandleTable[FileHandle] = HandleTable()
        self._open_directories: HandleTable[DirectoryHandle] = HandleTable()

    # -- names --------------------------------------------------------------------------

    @handler
    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a name, and count the reference that the answer gives the kernel."""
        parent = self.tree.table[parent_inode]
        if parent is self.snapshots.directory:
            return await self._snapshot(name)
        view = self.snapshots.view_of(parent)
        share_name = view.tree.dialect.to_share(name)
        began = self.tree.clock()
        inode = await view.tree.lookup(parent, share_name)
        if inode is None:
            if await self.snapshots.shown_as(parent, name):
                return self._entry(self.snapshots.directory, share_name)
            return missing_entry(view.tree.missing_for(parent, share_name))
        if inode.facts is not None and inode.facts.asked >= began:
            inode.vouched = (ctx.pid, self.tree.clock())
        return self._entry(inode, share_name)

    async def _snapshot(self, name: FileNameT) -> pyfuse3.EntryAttributes:
        try:
            root = await self.snapshots.find(name)
        except FileNotFoundError:
            return missing_entry(0)
        entry = self.snapshots.entry_of(name.decode())
        self.snapshots.view_of(root).referenced(root, root.number)
        return entry

    @handler
    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        """Take back references."""
        for number, count in inode_list:
            inode = self.tree.table.forget(number, count)
            if inode is not None:
                self.snapshots.forget_inode(inode)

    @handler
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> pyfuse3.EntryAttributes:
        """Give the attributes of an inode (stat(2))."""
        node = self.tree.table[inode]
        tree = self.snapshots.view_of(node).tree
        with tree.kernel.answering(node):
            try:
                await tree.refresh(node)
            except (FileNotFoundError, ServiceError) as error:
                lost = not isinstance(error, ServiceError) or error.code in NOT_FOUND
                if not lost or node is self.tree.root:
                    raise
                # Something else may have the name by now. At ESTALE the kernel looks it up
                # again for a program that gave a path.
                raise OSError(errno.ESTALE, "no longer on the share") from error
            return entry_attributes(node, tree.trust)

    @handler
    async def setattr(
        self,
        inode: InodeT,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change length, mode, owner or times (truncate, chmod, chown, utimensat(2))."""
        node = self._changeable(inode)
        await self.setter.apply(node, attr, fields, ctx)
        return entry_attributes(node, self.tree.trust)

    @handler
    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        """Give the target of a symbolic link."""
        node = self.tree.table[inode]
        tree = self.snapshots.view_of(node).tree
        await tree.refresh(node)
        target = await tree.dialect.read_link(tree.file, node)
        if target is None:
            raise OSError(errno.EINVAL, "not a symbolic link")
        return FileNameT(target)

    @handler
    async def access(self, inode: InodeT, mode: ModeT, ctx: RequestContext) -> bool:
        """Say yes: with `default_permissions` the kernel has checked already."""
        return True

    # -- changes to the tree --------------------------------------------------------------

    @handler
    async def mknod(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        rdev: int,
        ctx: RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Make a file or a special file."""
        parent, share_name = await self._place(parent_inode, name)
        inode = await self.namespace.mknod(parent, share_name, mode, rdev, ctx.uid, ctx.gid)
        return self._entry(inode, share_name)

    @handler
    async def mkdir(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a directory."""
        parent, share_name = await self._place(parent_inode, name)
        inode = await self.namespace.mkdir(parent, share_name, mode, ctx.uid, ctx.gid)
        return self._entry(inode, share_name)

    @handler
    async def symlink(
        self, parent_inode: InodeT, name: FileNameT, target: FileNameT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make a symbolic link."""
        parent, share_name = await self._place(parent_inode, name)
        inode = await self.namespace.symlink(parent, share_name, target, ctx.uid, ctx.gid)
        return self._entry(inode, share_name)

    @handler
    async def link(
        self,
        inode: InodeT,
        new_parent_inode: InodeT,
        new_name: FileNameT,
        ctx: RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Give a file one more name (link(2))."""
        node = self._changeable(inode)
        parent, share_name = await self._place(new_parent_inode, new_name)
        await self.namespace.link(node, parent, share_name)
        return self._entry(node, share_name)

    @handler
    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Remove a name that is not a directory's."""
        await self.namespace.unlink(*await self._place(parent_inode, name))

    @handler
    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Remove an empty directory."""
        await self.namespace.rmdir(*await self._place(parent_inode, name))

    @handler
    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        """Move an entry (rename(2), renameat2(2))."""
        source = await self._place(parent_inode_old, name_old)
        target = await self._place(parent_inode_new, name_new)
        await self.namespace.rename(*source, *target, flags)

    # -- files ----------------------------------------------------------------------------

    @handler
    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> tuple[FileInfo, pyfuse3.EntryAttributes]:
        """Make a file and open it; an existing one is opened (open(2) with O_CREAT)."""
        parent, share_name = await self._place(parent_inode, name)
        inode = await self.tree.lookup(parent, share_name)
        if inode is None:
            inode = await self.namespace.create(
                parent, share_name, mode, ctx.uid, ctx.gid, exclusive=bool(flags & os.O_EXCL)
            )
            flags = FlagT(flags & ~os.O_TRUNC)
        elif flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, "the name is taken")
        elif inode.is_directory:
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        info = await self._open(inode, inode.number, flags, ctx)
        return info, self._entry(inode, share_name)

    @handler
    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        """Open a file."""
        return await self._open(self.tree.table[inode], inode, flags, ctx)

    async def _open(self, inode: Inode, number: int, flags: int, ctx: RequestContext) -> FileInfo:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC):
            self.snapshots.check_changeable(inode)
        if flags & os.O_TRUNC:
            await self.setter.emptied(inode, ctx)
        files = self.snapshots.view_of(inode).files
        handle, keep = await files.open(inode, flags, ctx.pid)
        # Under another letter case the kernel has other pages, which our news do not reach.
        keep = keep and number == inode.number
        return FileInfo(fh=FileHandleT(self._open_files.add(handle)), keep_cache=keep)

    @handler
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        """Read from an open file."""
        # pyfuse3 takes any buffer, and a view saves a copy; its stub only says bytes.
        handle = self._open_files[fh]
        files = self.snapshots.view_of(handle.inode).files
        return cast("bytes", await files.read(handle, off, size))

    @handler
    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        """Write to an open file."""
        return await self.files.write(self._open_files[fh], off, buf)

    @handler
    async def flush(self, fh: FileHandleT) -> None:
        """Bring what was written to the share: a close(2) waits for this."""
        handle = self._open_files[fh]
        if handle.changes:
            await self.files.close(handle)

    @handler
    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        """Bring what was written to the share (fsync(2), fdatasync(2))."""
        await self.files.sync(self._open_files[fh])

    @handler
    async def release(self, fh: FileHandleT) -> None:
        """Let go of an open file."""
        handle = self._open_files.remove(fh)
        inode = handle.inode
        view = self.snapshots.view_of(inode)
        if not view.files.released(handle):
            return
        if inode.hidden or inode.scrap is not None:
            # Nobody waits for a release, and an unmount goes on without its answer.
            self.start_errand(self.namespace.discard_hidden, inode)
        else:
            self.snapshots.forget_inode(inode)

    # -- directories ------------------------------------------------------------------------

    @handler
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        """Open a directory for reading."""
        handle = DirectoryHandle(self.tree.table[inode])
        return FileHandleT(self._open_directories.add(handle))

    @handler
    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Give entries with their attributes, from position *start_id* on."""
        await self.directory_reader.read(self._open_directories[fh], start_id, token)

    @handler
    async def releasedir(self, fh: FileHandleT) -> None:
        """Let go of an open directory."""
        self._open_directories.remove(fh)

    @handler
    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        """Bring new entries of a directory to the share; all other changes are there already."""
        directory = self._open_directories[fh].inode
        await self.directories.flush_children(directory)
        await self.files.flush_below(directory)

    # -- the rest -----------------------------------------------------------------------------

    @handler
    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        """Give the size of the share and what is free of it (statvfs(3))."""
        return await self.space.statvfs()

    @handler
    async def getxattr(self, inode: InodeT, name: FileNameT, ctx: RequestContext) -> bytes:
        """Give the value of an extended attribute.

        The kernel asks for `security.capability` before every write, so that is
        answered before anything else. That there are none but `user.*` and `azfuse.*` is
        said with ENOTSUP: `ls -l` then stops asking for two of them for every entry.
        """
        state = name.startswith(stateattrs.PREFIX)
        if not state and not name.startswith(b"user."):
            raise pyfuse3.FUSEError(errno.ENOTSUP)
        node = self.tree.table[inode]
        view = self.snapshots.view_of(node)
        return await (view.state_attributes if state else view.user_attributes).get(node, name)

    @handler
    async def setxattr(
        self, inode: InodeT, name: FileNameT, value: bytes, ctx: RequestContext
    ) -> None:
        """Set an extended attribute."""
        stateattrs.refuse_change(name)
        node = self._changeable(inode)
        await self.snapshots.view_of(node).user_attributes.set(node, name, value)

    @handler
    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[FileNameT]:
        """List the names of extended attributes."""
        node = self.tree.table[inode]
        found = await self.snapshots.view_of(node).user_attributes.list(node)
        return [FileNameT(name) for name in found]

    @handler
    async def removexattr(self, inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        """Remove an extended attribute."""
        stateattrs.refuse_change(name)
        node = self._changeable(inode)
        await self.snapshots.view_of(node).user_attributes.remove(node, name)

    # -- between the kernel's numbers and inodes ------------------------------------------

    def _entry(self, inode: Inode, asked_name: str) -> pyfuse3.EntryAttributes:
        return self.snapshots.view_of(inode).entry(inode, asked_name)

    def _changeable(self, number: InodeT) -> Inode:
        """Return the inode called *number*. Raises OSError(EROFS) in a snapshot."""
        inode = self.tree.table[number]
        self.snapshots.check_changeable(inode)
        return inode

    async def _place(self, parent: InodeT, name: FileNameT) -> tuple[Inode, str]:
        """Return the directory and the name on the share of an entry that is to change."""
        directory, share_name = self._changeable(parent), self.tree.dialect.to_share(name)
        if await self.snapshots.shown_as(directory, name):
            raise OSError(errno.EBUSY, "the directory of snapshots stays where it is")
        return directory, share_name
