"""Changes to the tree: create and rename; `removal.py` removes. One request wherever it can be."""

import errno
import os
import stat
from collections.abc import Callable

import pyfuse3

from azfuse.cache.writeback import CachedFile, WriteBack
from azfuse.fuse import symlinks
from azfuse.fuse.changes import changed, leased
from azfuse.fuse.directories import Directories
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode, Place, path_of
from azfuse.fuse.leases import Leases
from azfuse.fuse.links import make_hard_link, make_symlink
from azfuse.fuse.posix import Posix
from azfuse.fuse.remote_file import InodeFile
from azfuse.fuse.removal import Removal, has_record
from azfuse.fuse.tree import Tree
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.models import Written
from azfuse.rest.wire import MAX_DEPTH, MAX_PATH

_RENAME_NOREPLACE = pyfuse3.RENAME_NOREPLACE


class Namespace(Removal):
    """Creates, removes and renames entries, on the share and in the tree."""

    def __init__(
        self,
        tree: Tree,
        writeback: WriteBack,
        leases: Leases,
        directories: Directories,
        new_file: Callable[[Inode], CachedFile],
        now: Callable[[], int],
        instance: str,
    ) -> None:
        """*now* gives Unix nanoseconds; *instance* marks this mount's hidden files."""
        super().__init__(tree, writeback, leases, directories, now, instance)
        self._new_file = new_file

    # -- making -------------------------------------------------------------------------

    async def create(
        self, parent: Inode, name: str, mode: int, uid: int, gid: int, *, exclusive: bool = False
    ) -> Inode:
        """Make a new regular file. It reaches the share with its content, at the first flush.

        An *exclusive* one does so at once where other mounts are to respect it.
        """
        await self._must_be_free(parent, name)
        inode = self._new(parent, name, stat.S_IFREG | stat.S_IMODE(mode), uid, gid)
        if exclusive and self._atomic:
            await self._create_now(inode, b"")
            inode.file = self._new_file(inode)
            return inode
        inode.fresh = True
        inode.file = self._new_file(inode)
        self._tree.table.add(inode)
        self._tree.attach(inode, parent, name)
        self._tree.times.move(parent, inode.mtime)
        self._writeback.note(inode.file)
        return inode

    async def mknod(
        self, parent: Inode, name: str, mode: int, rdev: int, uid: int, gid: int
    ) -> Inode:
        """Make a regular file, FIFO, socket or device node on the share."""
        self._tree.dialect.check_type(mode)
        await self._must_be_free(parent, name)
        inode = self._new(parent, name, mode, uid, gid, rdev)
        return await self._create_now(inode, b"")

    async def symlink(self, parent: Inode, name: str, target: bytes, uid: int, gid: int) -> Inode:
        """Make a symbolic link; on SMB shares, a file in the form of the Linux SMB client."""
        native = self._tree.dialect.native_links
        content = b"" if native else symlinks.encode(target)
        await self._must_be_free(parent, name)
        inode = self._new(parent, name, stat.S_IFLNK | 0o777, uid, gid)
        if native:
            await make_symlink(self._tree, inode, target)
            return self._placed(inode)
        inode.link_target = target
        return await self._create_now(inode, content)

    @property
    def _atomic(self) -> bool:
        return self._tree.settings.exclusive == "atomic"

    async def _create_now(self, inode: Inode, content: bytes) -> Inode:
        if self._atomic:
            await self._create_in_two_steps(inode, content)
        else:
            await self._create_whole(inode, content)
        return self._placed(inode)

    async def _create_whole(self, inode: Inode, content: bytes) -> None:
        remote = InodeFile(self._tree, inode)
        with_body = bool(content) and remote.takes_body
        await remote.create(
            len(content), content if with_body else None, len(content) if with_body else 0
        )
        if content and not with_body:
            await remote.put_range(0, len(content), content)
        if inode.attributes_pending:
            await remote.settle()

    async def _create_in_two_steps(self, inode: Inode, content: bytes) -> None:
        """Create a file where nobody sees it, and give it its name unless that is taken.

        Create File would replace what another mount has made meanwhile; a rename does not.
        """
        tree, parent, name = self._tree, inode.parent or self._tree.root, inode.name
        await tree.on_share(parent)
        path = inode.path
        inode.parent, inode.name, inode.hidden = tree.root, self._hidden_name(), True
        inode.scrap = inode.name
        try:
            await self._create_whole(inode, content)
            asked = tree.clock()
            written = await tree.file.rename_file(inode.path, path, expected_file_id=inode.file_id)
        except ServiceError as error:
            await self.discard_hidden(inode)
            if error.code != ErrorCode.RESOURCE_ALREADY_EXISTS:
                raise
            tree.drop_listing(parent)  # the kernel asks again as well, at EEXIST
            raise FileExistsError(errno.EEXIST, "another mount has taken the name") from error
        except BaseException:
            await self.discard_hidden(inode)
            raise
        inode.parent, inode.name, inode.hidden, inode.scrap = parent, name, False, None
        changed(tree, inode, written, asked, name=name)

    async def mkdir(self, parent: Inode, name: str, mode: int, uid: int, gid: int) -> Inode:
        """Make a directory."""
        if parent.posix.mode & stat.S_ISGID:
            mode |= stat.S_ISGID
        inode = self._new(parent, name, stat.S_IFDIR | stat.S_IMODE(mode), uid, gid)
        await self._must_be_free(parent, name)
        try:
            await self._directories.make(inode, now=self._atomic)
        except ServiceError as error:
            if error.code == ErrorCode.RESOURCE_ALREADY_EXISTS:
                self._tree.drop_listing(parent)
            raise
        self._tree.made_empty(inode)
        return self._placed(inode)

    def _new(self, parent: Inode, name: str, mode: int, uid: int, gid: int, rdev: int = 0) -> Inode:
        if self._tree.posix.fixed:
            posix = self._tree.posix.default(stat.S_IFMT(mode))
        else:
            group = parent.posix.gid if parent.posix.mode & stat.S_ISGID else gid
            posix = Posix(mode, *self._tree.trust.owner(uid, group), rdev)
        inode = Inode(self._tree.table.new_local_number(), parent, name, posix, None)
        # The service keeps steps of 100 ns; what programs see must not change at upload.
        inode.mtime = inode.ctime = inode.atime = self._now() // 100 * 100
        return inode

    def _placed(self, inode: Inode) -> Inode:
        tree, parent = self._tree, inode.parent
        tree.table.add(inode)
        if parent is not None:
            tree.attach(inode, parent, inode.name)
            tree.times.move(parent, inode.ctime)
            tree.entered(inode)
        return inode

    async def _must_be_free(self, parent: Inode, name: str) -> None:
        self._check_path(parent, name)
        if await self._tree.lookup(parent, name) is not None:
            raise FileExistsError(errno.EEXIST, "the name is taken")
        if parent.gone:
            raise FileNotFoundError(errno.ENOENT, "the directory was removed")

    @staticmethod
    def _check_path(parent: Inode, name: str) -> None:
        """Raise OSError(ENAMETOOLONG) for a path that the service would refuse at upload."""
        path = parent.path
        depth = path.count("/") + 1 if path else 0
        if len(path) + 1 + len(name) > MAX_PATH or depth > MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    async def link(self, inode: Inode, parent: Inode, name: str) -> None:
        """Give a file one more name (link(2))."""
        if inode.is_directory or not self._tree.dialect.native_links:
            raise PermissionError(errno.EPERM, "only files of NFS shares have hard links")
        await self._must_be_free(parent, name)
        if inode.unlinked:
            raise FileNotFoundError(errno.ENOENT, "the file has no name any more")
        if inode.is_local and inode.file is not None:
            await self._writeback.flush(inode.file)
        await make_hard_link(self._tree, inode, parent, name)
        self._tree.times.move(parent, self._now())

    # -- renaming -----------------------------------------------------------------------

    async def rename(
        self, parent: Inode, name: str, new_parent: Inode, new_name: str, flags: int
    ) -> None:
        """Move an entry, replacing what is there (rename(2), renameat2(2))."""
        if flags & ~_RENAME_NOREPLACE:
            raise OSError(errno.EINVAL, "the service cannot do that in one step")
        tree = self._tree
        source = await tree.lookup(parent, name)
        target = await tree.lookup(new_parent, new_name)
        if source is None:
            raise FileNotFoundError(errno.ENOENT, "no such entry")
        if target is source:
            same = source.name == new_name and new_parent is source.parent
            if same or tree.dialect.case_sensitive:
                return  # nothing is to be done either where both are names of one file
            target = None  # another letter case of the same name
        if target is not None:
            if flags & _RENAME_NOREPLACE:
                raise FileExistsError(errno.EEXIST, "the target exists")
            _check_types(source, target)
            await self._part(target, (new_parent, new_name))
        tree.prefer(source, parent, name)
        origin = source.place
        await self._ready_to_move(source, target)
        kept = target is not None and has_record(target)
        async with self._quiet(source, target):
            if source.is_local and target is None and source.file is not None:
                self._move_here(source, new_parent, new_name)
            else:
                # An open target goes in two steps: between them only the journal has it.
                leaving = target if target is not None and not target.handles else None
                async with self._leaving(leaving):
                    await self._replace(source, origin, target, new_parent, new_name)
        for file in self._below(source):
            kept = kept or file.record is not None
            self._writeback.renote(file)
        if kept:
            await self._writeback.settled()
        now = self._now()
        tree.times.move(parent, now)
        tree.times.move(new_parent, now)

    async def _replace(
        self,
        source: Inode,
        origin: Place,
        target: Inode | None,
        new_parent: Inode,
        new_name: str,
    ) -> None:
        """Move *source* on the share from *origin* to where *target* is, if there is one."""
        name_of_target = target.name if target is not None else ""
        place = (new_parent, new_name)
        if target is not None and not target.other_names:
            place = (new_parent, target.name)
        replace = await self._make_room(target, place)
        try:
            await self._move(source, origin, target, place, new_name, replace=replace)
        except BaseException:
            if target is not None and target.hidden:
                await self._show_again(target, new_parent, name_of_target)
            raise

    async def _ready_to_move(self, source: Inode, target: Inode | None) -> None:
        """Send what must be on the share before *source* can be moved there.

        A new file that nothing has to make room for moves here alone. What the journal
        notes of others says where they are, so they go first.
        """
        if source.is_local and source.file is not None:
            if target is not None or not self._writeback.delays:
                await self._writeback.flush(source.file)
            return
        if source.is_directory:
            await self._directories.flush_below(source)
        kept = [file for file in self._below(source) if file.record is not None]
        if kept and (failed := await self._writeback.flush_all(kept)):
            raise failed[0][1]

    def _move_here(self, source: Inode, new_parent: Inode, new_name: str) -> None:
        """Move a file that the share does not have yet."""
        self._check_path(new_parent, new_name)
        self._tree.detach(source)
        self._tree.attach(source, new_parent, new_name)
        source.ctime = self._now() // 100 * 100

    async def _make_room(self, target: Inode | None, place: Place) -> bool:
        """Prepare for *target* to be replaced; say whether the service is to replace it."""
        if target is None:
            return False
        if target.is_directory:
            await self._remove_directory(target)
            return False
        if target.handles and not target.other_names:
            await self._hide(target, place)
            return False
        return not target.is_local  # what was not uploaded yet goes when its place is taken

    async def _move(
        self,
        source: Inode,
        origin: Place,
        target: Inode | None,
        place: tuple[Inode, str],
        new_name: str,
        *,
        replace: bool,
    ) -> None:
        tree, new_parent = self._tree, place[0]
        await tree.on_share(new_parent)
        path = path_of((new_parent, new_name))
        call = tree.directory.rename_directory if source.is_directory else tree.file.rename_file
        asked = tree.clock()

        async def move(lease_id: str | None) -> Written:
            async def over(target_lease_id: str | None) -> Written:
                return await call(
                    path_of(origin),
                    path,
                    replace_if_exists=replace,
                    ignore_read_only=replace,
                    source_lease_id=lease_id,
                    destination_lease_id=target_lease_id,
                    expected_file_id=source.file_id,
                )

            return await (leased(tree, target, over) if target and replace else over(None))

        freed = None
        try:
            with tree.moving(source):
                await self._leases.moving(source, path)
                written = await leased(tree, source, move)
                if target is not None and not target.unlinked:
                    freed = target if replace and not target.has_more_links else None
                    self._removed(target, place)
                tree.prefer(source, *origin)
                tree.vanish(source)
                source.gone = False
                tree.attach(source, new_parent, new_name)
                tree.table.add(source)
        except ServiceError as error:
            if error.code in NOT_FOUND:
                tree.drop_listing(source.parent, new_parent)
            raise
        if freed is not None:
            await self._leases.deleted(freed)
        await self._leases.moved(source)
        changed(tree, source, written, asked, name=new_name)
        source.ctime = max(source.ctime, source.facts.change_time if source.facts else 0)


def _check_types(source: Inode, target: Inode) -> None:
    """Raise what rename(2) says where a directory and a non-directory meet."""
    if source.is_directory and not target.is_directory:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if target.is_directory and not source.is_directory:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
