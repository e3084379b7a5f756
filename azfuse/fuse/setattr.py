"""Changes of length, mode, owner and times."""

import errno
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pyfuse3

from azfuse.cache.writeback import WriteBack
from azfuse.fuse.changes import send_posix
from azfuse.fuse.directories import Directories
from azfuse.fuse.files import Files
from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import Leases
from azfuse.fuse.posix import Posix
from azfuse.fuse.tree import Tree

#: The earliest and the latest time that 64 bits of nanoseconds hold, in the years 1677 and
#: 2262. Others become the nearest of them, as on disk file systems.
_LATEST: Final = (2**63 - 1) // 100 * 100
_EARLIEST: Final = -_LATEST


class Setter:
    """Applies what truncate, chmod, chown and utimensat ask for.

    An open file that has anything to upload takes the change along with that:
    mode and times set between create and close cost no request of their own.
    """

    def __init__(
        self,
        tree: Tree,
        files: Files,
        leases: Leases,
        writeback: WriteBack,
        directories: Directories,
        now: Callable[[], int],
    ) -> None:
        self._tree = tree
        self._files = files
        self._leases = leases
        self._writeback = writeback
        self._directories = directories
        self._now = now

    async def apply(
        self,
        inode: Inode,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        caller: pyfuse3.RequestContext,
    ) -> None:
        """Change the *fields* of *inode* to what *attr* says, as *caller* asked for."""
        await self._tree.refresh(inode)
        fixed = self._tree.posix.fixed
        if fixed and self._wanted(inode, attr, fields, caller) != inode.posix:
            raise PermissionError(errno.EPERM, "posix=off keeps modes and owners as they are")
        if fields.update_size:
            await self._resize(inode, attr.st_size)
        posix = self._wanted(inode, attr, fields, caller)
        if fields.update_atime:
            inode.atime = attr.st_atime_ns
        mtime = _kept(attr.st_mtime_ns) if fields.update_mtime else None
        if posix == inode.posix and mtime is None:
            if not fields.update_size:
                inode.ctime = self._now()
            return
        await self._send(inode, posix, mtime)

    async def emptied(self, inode: Inode, caller: pyfuse3.RequestContext) -> None:
        """Take setuid and setgid from a file that *caller* opens with O_TRUNC.

        The kernel does so for every other way to write, and leaves this one to us.
        """
        mode = _without_privileges(inode.posix, caller)
        if caller.uid != 0 and mode != inode.posix.mode and not self._tree.posix.fixed:
            await self._send(inode, inode.posix.with_permissions(mode), None)
            self._tree.kernel.forget_attributes(inode)

    def _wanted(
        self,
        inode: Inode,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        caller: pyfuse3.RequestContext,
    ) -> Posix:
        posix = inode.posix
        if _says_nothing(fields):
            return self._as_written(inode, fields, caller)
        if fields.update_mode:
            posix = posix.with_permissions(attr.st_mode)
            if _sheds_setgid(posix, caller):
                # A chmod, or setuid that goes with a write; in the kernel both would take it.
                posix = posix.with_permissions(posix.mode & ~stat.S_ISGID)
        uid = attr.st_uid if fields.update_uid else posix.uid
        gid = attr.st_gid if fields.update_gid else posix.gid
        forced_uid, forced_gid = self._tree.trust.owner(uid, gid)
        if (fields.update_uid and uid != forced_uid) or (fields.update_gid and gid != forced_gid):
            raise PermissionError(errno.EPERM, "forceuid and forcegid keep owners as they are")
        if (uid, gid) != (posix.uid, posix.gid):
            mode = posix.mode if fields.update_mode else _without_privileges(posix, caller)
            posix = replace(posix, mode=mode, uid=uid, gid=gid)
        return posix

    def _as_written(
        self, inode: Inode, fields: pyfuse3.SetattrFields, caller: pyfuse3.RequestContext
    ) -> Posix:
        """Return mode and owner after a write, a truncate, or a chown(2) of -1, -1 by *caller*.

        Of setuid, and of setgid that the group may execute with, the kernel takes care.
        For the other setgid it only tells us, with a request that asks for nothing.
        """
        posix = inode.posix
        if self._tree.posix.fixed or not _sheds_setgid(posix, caller):
            return posix
        if not (fields.update_size or inode.writers) and caller.uid != posix.uid:
            raise PermissionError(errno.EPERM, "only the owner may take setgid away")
        return posix.with_permissions(posix.mode & ~stat.S_ISGID)

    async def _send(self, inode: Inode, posix: Posix, mtime: int | None) -> None:
        before = inode.posix
        inode.posix = posix
        if mtime is not None:
            inode.mtime = mtime
        inode.ctime = self._now() // 100 * 100
        if inode.hidden and not inode.has_more_links:
            inode.attributes_pending = True  # and stay so: nobody else will ever see them
            return
        if inode.is_directory and inode.gone:
            return  # a removed directory that somebody has open still
        if self._travels_along(inode) and inode.file is not None:
            inode.attributes_pending |= posix != before
            inode.mtime_pinned |= mtime is not None
            self._writeback.note(inode.file)
            self._writeback.renote(inode.file)
            return
        if inode.is_directory and self._directories.delays:
            self._directories.set(inode, posix, mtime)
            return

        async def send() -> None:
            inode.posix = posix  # what was asked about the file in between said otherwise
            await send_posix(self._tree, inode, mtime=mtime)

        try:
            await self._leases.patiently(inode, send)
        except BaseException:
            inode.posix = before
            raise
        if inode.facts is not None:
            inode.ctime = inode.facts.change_time

    @staticmethod
    def _travels_along(inode: Inode) -> bool:
        """Say whether an upload of *inode* is still to come anyway."""
        if inode.is_directory:
            return False
        return inode.is_local or (
            inode.file is not None and (inode.file.content.changed or inode.mtime_pinned)
        )

    async def _resize(self, inode: Inode, size: int) -> None:
        if not stat.S_ISREG(inode.posix.mode):
            raise OSError(errno.EINVAL, "only regular files have a length to set")
        before = inode.file is not None and inode.file.content.changed
        self._files.truncate(inode, size, certain=inode.writers > 0)
        file = inode.file
        if inode.writers or file is None or not self._travels_along(inode):
            return
        # No close will come that could report an error: truncate(2) reports it.
        try:
            await self._files.flush(file)
        except BaseException:
            if not before and not file.lock.locked():
                self._files.give_up(inode)  # nobody expects it to happen later
            raise


def _says_nothing(fields: pyfuse3.SetattrFields) -> bool:
    """Say whether neither mode nor owner nor times are asked for."""
    owner = fields.update_uid or fields.update_gid
    return not (owner or fields.update_mode or fields.update_atime or fields.update_mtime)


def _without_privileges(posix: Posix, caller: pyfuse3.RequestContext) -> int:
    """Return the mode of a file once *caller* has changed its content or its owner.

    Setuid is gone, and setgid if the group may execute, or if `_sheds_setgid` says so.
    """
    mode = posix.mode
    if stat.S_ISREG(mode):
        mode &= ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            mode &= ~stat.S_ISGID
    return mode & ~stat.S_ISGID if _sheds_setgid(posix, caller) else mode


def _sheds_setgid(posix: Posix, caller: pyfuse3.RequestContext) -> bool:
    """Say whether setgid of a file goes with any change by *caller*, even if not executable.

    It stays for root and for members of the group.
    """
    if stat.S_ISDIR(posix.mode) or not posix.mode & stat.S_ISGID:
        return False
    if caller.uid == 0 or caller.gid == posix.gid:
        return False
    try:
        return posix.gid not in pyfuse3.get_sup_groups(caller.pid)
    except OSError:  # the process is gone
        return True


def _kept(moment: int) -> int:
    """Return a time as the share keeps it: in steps of 100 ns, within bounds."""
    return min(max(moment, _EARLIEST), _LATEST) // 100 * 100
