"""A FUSE file system in Python that hands everything on to a directory: the floor.

    python -m tests.bench.passthrough DIRECTORY MOUNTPOINT

As azfuse does, it answers on one thread through pyfuse3, lets the kernel keep
attributes and entries for five seconds, and raises the kernel's limits where
permitted. What azfuse needs beyond its time is azfuse's own.
"""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyfuse3
import trio
from pyfuse3 import (
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    FUSEError,
    InodeT,
    ModeT,
    ReaddirToken,
    RequestContext,
    SetattrFields,
)

from azfuse.mount.notify import notify
from azfuse.mount.tuning import tune

_VALID = 5.0
_AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Node:
    """An inode that the kernel knows. Its path is that of its parents, so renames need no walk."""

    __slots__ = ("below", "descriptors", "lookups", "name", "parent")

    def __init__(self, parent: "_Node | None", name: bytes, below: int) -> None:
        self.parent = parent
        #: Inode number in the directory below.
        self.below = below
        self.name = name
        self.lookups = 0
        #: Open descriptors; what was unlinked is still reached by them.
        self.descriptors: list[int] = []

    @property
    def path(self) -> bytes:
        """Where it is now."""
        parts = [self.name]
        node = self.parent
        while node is not None:
            parts.append(node.name)
            node = node.parent
        return b"/".join(reversed(parts))

    @property
    def target(self) -> int | bytes:
        """What system calls reach it by."""
        return self.descriptors[-1] if self.descriptors else self.path


class Passthrough(pyfuse3.Operations):
    """Hands every request on to the same system call below *root*."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, root: Path) -> None:
        super().__init__()
        below = root.stat().st_ino
        self._nodes = {InodeT(pyfuse3.ROOT_INODE): _Node(None, os.fsencode(root), below)}
        #: What the kernel calls an inode of the directory below. Not by its own number: that is
        #: given to another file as soon as it is free, and the kernel may know the old one still.
        self._numbers = {below: InodeT(pyfuse3.ROOT_INODE)}
        self._last_number = int(pyfuse3.ROOT_INODE)
        self._owners: dict[int, _Node] = {}
        self._directories: dict[int, tuple[_Node, list[tuple[bytes, os.stat_result]]]] = {}
        self._next_directory = 0

    # -- names --------------------------------------------------------------------------

    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        parent = self._nodes[parent_inode]
        try:
            status = os.lstat(self._below(parent, name))
        except FileNotFoundError:
            missing = pyfuse3.EntryAttributes()
            missing.st_ino, missing.entry_timeout = InodeT(0), _VALID
            return missing
        except OSError as error:
            raise _refused(error) from None
        return self._enter(parent, name, status)

    async def forget(self, inode_list: Sequence[tuple[InodeT, int]]) -> None:
        for number, count in inode_list:
            node = self._nodes[number]
            node.lookups -= count
            if node.lookups <= 0 and number != pyfuse3.ROOT_INODE:
                del self._nodes[number]
                if self._numbers.get(node.below) == number:
                    del self._numbers[node.below]

    async def getattr(self, inode: InodeT, ctx: RequestContext) -> pyfuse3.EntryAttributes:
        try:
            return self._attributes(inode, self._status(self._nodes[inode]))
        except OSError as error:
            raise _refused(error) from None

    async def setattr(
        self,
        inode: InodeT,
        attr: pyfuse3.EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> pyfuse3.EntryAttributes:
        node = self._nodes[inode]
        target = node.target
        follow = isinstance(target, int)  # a descriptor is the thing itself
        try:
            if fields.update_size:
                os.truncate(target, attr.st_size)
            if fields.update_mode:
                os.chmod(target, stat.S_IMODE(attr.st_mode))
            if fields.update_uid or fields.update_gid:
                uid = attr.st_uid if fields.update_uid else -1
                gid = attr.st_gid if fields.update_gid else -1
                os.chown(target, uid, gid, follow_symlinks=follow)
            if fields.update_atime or fields.update_mtime:
                now = self._status(node)
                atime = attr.st_atime_ns if fields.update_atime else now.st_atime_ns
                mtime = attr.st_mtime_ns if fields.update_mtime else now.st_mtime_ns
                os.utime(target, ns=(atime, mtime), follow_symlinks=follow)
            return self._attributes(inode, self._status(node))
        except OSError as error:
            raise _refused(error) from None

    async def readlink(self, inode: InodeT, ctx: RequestContext) -> FileNameT:
        try:
            return FileNameT(os.readlink(self._nodes[inode].path))
        except OSError as error:
            raise _refused(error) from None

    # -- changes to the tree ------------------------------------------------------------

    async def mkdir(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._make(parent_inode, name, lambda path: os.mkdir(path, mode))

    async def mknod(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, rdev: int, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._make(parent_inode, name, lambda path: os.mknod(path, mode, rdev))

    async def symlink(
        self, parent_inode: InodeT, name: FileNameT, target: FileNameT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        return self._make(parent_inode, name, lambda path: os.symlink(target, path))

    async def link(
        self, inode: InodeT, new_parent_inode: InodeT, new_name: FileNameT, ctx: RequestContext
    ) -> pyfuse3.EntryAttributes:
        source = self._nodes[inode].path
        return self._make(new_parent_inode, new_name, lambda path: os.link(source, path))

    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        path = self._below(self._nodes[parent_inode], name)
        try:
            self._leaving(path)
            os.unlink(path)
        except OSError as error:
            raise _refused(error) from None

    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        path = self._below(self._nodes[parent_inode], name)
        try:
            number = os.lstat(path).st_ino
            os.rmdir(path)
            self._numbers.pop(number, None)
        except OSError as error:
            raise _refused(error) from None

    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise FUSEError(errno.EINVAL)
        old_parent, new_parent = self._nodes[parent_inode_old], self._nodes[parent_inode_new]
        source, target = self._below(old_parent, name_old), self._below(new_parent, name_new)
        try:
            below = os.lstat(source).st_ino
            if not flags:
                self._leaving(target)
        except OSError as error:
            raise _refused(error) from None
        if _LIBC.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, flags):
            raise FUSEError(ctypes.get_errno())
        if (number := self._numbers.get(below)) is not None:
            node = self._nodes[number]
            node.parent, node.name = new_parent, name_new

    # -- files --------------------------------------------------------------------------

    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> tuple[FileInfo, pyfuse3.EntryAttributes]:
        parent = self._nodes[parent_inode]
        path = self._below(parent, name)
        try:
            descriptor = os.open(path, flags | os.O_CREAT, stat.S_IMODE(mode))
            entry = self._enter(parent, name, os.fstat(descriptor))
        except OSError as error:
            raise _refused(error) from None
        return self._opened(self._nodes[entry.st_ino], descriptor), entry

    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        node = self._nodes[inode]
        try:
            # The kernel has moved the offset to the end already.
            descriptor = os.open(node.path, flags & ~os.O_APPEND)
        except OSError as error:
            raise _refused(error) from None
        return self._opened(node, descriptor)

    def _opened(self, node: _Node, descriptor: int) -> FileInfo:
        node.descriptors.append(descriptor)
        self._owners[descriptor] = node
        return FileInfo(fh=FileHandleT(descriptor), keep_cache=True)

    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        try:
            return os.pread(fh, size, off)
        except OSError as error:
            raise _refused(error) from None

    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        try:
            return os.pwrite(fh, buf, off)
        except OSError as error:
            raise _refused(error) from None

    async def flush(self, fh: FileHandleT) -> None:
        """Nothing is held back."""

    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        """Bring it to the disk, in a thread: it may take long."""
        try:
            await trio.to_thread.run_sync(os.fdatasync if datasync else os.fsync, fh)
        except OSError as error:
            raise _refused(error) from None

    async def release(self, fh: FileHandleT) -> None:
        self._owners.pop(fh).descriptors.remove(fh)
        os.close(fh)

    # -- directories --------------------------------------------------------------------

    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        self._next_directory += 1
        self._directories[self._next_directory] = (self._nodes[inode], [])
        return FileHandleT(self._next_directory)

    async def readdir(self, fh: FileHandleT, start_id: int, token: ReaddirToken) -> None:
        node, entries = self._directories[fh]
        if start_id == 0:
            try:
                with os.scandir(node.path) as found:
                    entries[:] = [(e.name, e.stat(follow_symlinks=False)) for e in found]
            except OSError as error:
                raise _refused(error) from None
        for position in range(start_id, len(entries)):
            name, status = entries[position]
            attributes = self._enter(node, name, status)
            if not pyfuse3.readdir_reply(token, FileNameT(name), attributes, position + 1):
                await self.forget([(attributes.st_ino, 1)])
                return

    async def releasedir(self, fh: FileHandleT) -> None:
        del self._directories[fh]

    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        """The kernel below has it."""

    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        below, data = (
            os.statvfs(self._nodes[InodeT(pyfuse3.ROOT_INODE)].path),
            pyfuse3.StatvfsData(),
        )
        for name in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files",
                     "f_ffree", "f_favail", "f_namemax"):  # fmt: skip
            setattr(data, name, getattr(below, name))
        return data

    async def access(self, inode: InodeT, mode: ModeT, ctx: RequestContext) -> bool:
        return True

    # -- answers ------------------------------------------------------------------------

    def _below(self, parent: _Node, name: bytes) -> bytes:
        return parent.path + b"/" + name

    def _status(self, node: _Node) -> os.stat_result:
        target = node.target
        return os.fstat(target) if isinstance(target, int) else os.lstat(target)

    def _make(
        self, parent_inode: InodeT, name: bytes, make: Callable[[bytes], None]
    ) -> pyfuse3.EntryAttributes:
        parent = self._nodes[parent_inode]
        path = self._below(parent, name)
        try:
            make(path)
            return self._enter(parent, name, os.lstat(path))
        except OSError as error:
            raise _refused(error) from None

    def _enter(self, parent: _Node, name: bytes, status: os.stat_result) -> pyfuse3.EntryAttributes:
        """Count the kernel's reference to an entry, and return what it is told of it."""
        number = self._numbers.get(status.st_ino)
        if number is None:
            self._last_number += 1
            number = self._numbers[status.st_ino] = InodeT(self._last_number)
            self._nodes[number] = _Node(parent, name, status.st_ino)
        node = self._nodes[number]
        node.parent, node.name = parent, name
        node.lookups += 1
        return self._attributes(number, status)

    def _leaving(self, path: bytes) -> None:
        """Forget what a file is called that loses its last name, if it is there at all."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            self._numbers.pop(status.st_ino, None)

    def _attributes(self, number: InodeT, status: os.stat_result) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = number
        entry.st_mode, entry.st_nlink = ModeT(status.st_mode), status.st_nlink
        entry.st_uid, entry.st_gid, entry.st_rdev = status.st_uid, status.st_gid, status.st_rdev
        entry.st_size, entry.st_blocks = status.st_size, status.st_blocks
        entry.st_blksize = 1024 * 1024
        entry.st_atime_ns, entry.st_mtime_ns = status.st_atime_ns, status.st_mtime_ns
        entry.st_ctime_ns = status.st_ctime_ns
        entry.entry_timeout = entry.attr_timeout = _VALID
        return entry


def _refused(error: OSError) -> FUSEError:
    return FUSEError(error.errno or errno.EIO)


async def _serve(mount_point: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_announce, mount_point)
        await pyfuse3.main(max_tasks=200)
        nursery.cancel_scope.cancel()


async def _announce(mount_point: str) -> None:
    status = await trio.to_thread.run_sync(os.stat, mount_point)
    tune(status.st_dev)
    notify("READY=1")


def main() -> None:
    """Serve the directory until it is unmounted."""
    directory, mount_point = sys.argv[1:]
    os.umask(0)
    options = {"default_permissions", "fsname=passthrough", "subtype=passthrough"}
    pyfuse3.init(Passthrough(Path(directory)), mount_point, options)
    try:
        trio.run(_serve, mount_point)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main()
