"""Taking entries away: removed, hidden while they are open, cleared up after a crash."""

import errno
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from azfuse.cache.writeback import CachedFile, WriteBack
from azfuse.fuse.changes import changed, leased, make_writable
from azfuse.fuse.directories import Directories
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode, Place, path_of
from azfuse.fuse.leases import Leases
from azfuse.fuse.remote_file import InodeFile
from azfuse.fuse.tree import HIDDEN_PREFIX, Tree, attributes_of
from azfuse.rest.errors import AzureFilesError, ErrorCode, ServiceError
from azfuse.rest.wire import FileAttributes

log = logging.getLogger(__name__)


class Removal:
    """Removes and hides entries, on the share and in the tree."""

    def __init__(
        self,
        tree: Tree,
        writeback: WriteBack,
        leases: Leases,
        directories: Directories,
        now: Callable[[], int],
        instance: str,
    ) -> None:
        """*now* gives Unix nanoseconds; *instance* marks this mount's hidden files."""
        self._tree = tree
        self._writeback = writeback
        self._leases = leases
        self._directories = directories
        self._now = now
        self._instance = instance

    async def unlink(self, parent: Inode, name: str) -> None:
        """Remove a file or a link; one that is open lives on under a hidden name."""
        inode = await self._tree.lookup(parent, name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such entry")
        if inode.is_directory:
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        place = inode.place if not inode.other_names else (parent, name)
        await self._part(inode, place)
        kept = has_record(inode)
        async with self._quiet(inode), self._leaving(inode):
            if inode.is_local and not inode.handles:
                self._removed(inode, place)  # its upload has failed so far
            elif inode.handles and not inode.other_names:
                await self._hide(inode, place)
            else:
                await self._delete(inode, place)
                self._removed(inode, place)
                await self._leases.moved(inode)
        if kept:
            await self._writeback.settled()  # or it would come back after a crash
        self._tree.times.move(parent, self._now())

    async def _part(self, inode: Inode, place: Place) -> None:
        """Prepare a file that has several names for losing the one at *place*.

        What is dirty goes up, for the share has the file still when we may not know a name
        of it any more. That there is another name is confirmed where the file is open: it
        would be lost to who has it open if the last one went.
        """
        if not inode.has_more_links and not inode.other_names:
            return
        if inode.file is not None:
            await self._writeback.flush(inode.file)
        while inode.handles and inode.other_names:
            others = len(inode.other_names)
            places = (inode.place, *inode.other_names)
            self._tree.prefer(inode, *next(other for other in places if other != place))
            try:
                await self._tree.validate(inode)
                break
            except (ServiceError, FileNotFoundError):
                if len(inode.other_names) >= others:
                    raise
        if not inode.other_names:
            await self._leases.give_back(inode)

    def _removed(self, inode: Inode, place: Place) -> None:
        self._tree.prefer(inode, *place)
        self._tree.vanish(inode)
        inode.lose_link()
        inode.ctime = self._now()
        inode.changed_at = self._tree.clock()
        if not inode.gone:
            self._tree.entered(inode)
        elif inode.file is not None and not inode.handles:
            self._writeback.forget(inode.file)
        self._writeback.room_made()

    async def _delete(self, inode: Inode, place: Place) -> None:
        """Delete the name at *place*."""
        tree = self._tree
        if FileAttributes.READ_ONLY in attributes_of(inode):
            await make_writable(tree, inode)

        async def delete(lease_id: str | None) -> None:
            await tree.file.delete_file(path_of(place), lease_id=lease_id)

        try:
            await leased(tree, inode, delete)
        except ServiceError as error:
            if error.code in NOT_FOUND:
                tree.lost(inode, place)
            if error.code != ErrorCode.READ_ONLY_ATTRIBUTE:
                raise
            # Somebody else made it read-only since we last looked.
            await make_writable(tree, inode)
            await leased(tree, inode, delete)
        if not inode.has_more_links:
            tree.moved_bytes += inode.size
            await self._leases.deleted(inode)

    async def _hide(self, inode: Inode, place: Place) -> None:
        """Give a file that is open a name that nobody sees, until its last close.

        Costs nothing for a file that did not reach the share. One that has other names
        there, unknown to us, goes on being uploaded, and may come to light again.
        """
        tree = self._tree
        name = self._hidden_name()
        written, asked, file_id = None, tree.clock(), inode.file_id
        if not inode.is_local:
            await self._leases.give_back(inode)
            with tree.moving(inode):
                written = await tree.file.rename_file(
                    path_of(place), path_of((tree.root, name)), expected_file_id=file_id
                )
                inode.scrap = name
                self._put_away(inode, place, name)
        else:
            self._put_away(inode, place, name)
        if inode.file is not None:
            inode.file.scratch = not inode.has_more_links
            self._writeback.renote(inode.file)
        if written is not None:
            changed(tree, inode, written, asked)
        inode.ctime = self._now()

    def _put_away(self, inode: Inode, place: Place, name: str) -> None:
        """Take the name at *place* from *inode*; if that was the last, *name* hides it."""
        self._tree.prefer(inode, *place)
        self._tree.vanish(inode)
        if inode.gone:
            inode.hidden = True
            inode.parent, inode.name = self._tree.root, name

    def _hidden_name(self) -> str:
        """Make a name below the root that nobody sees, and that is cleared after a crash."""
        return f"{HIDDEN_PREFIX}{self._instance}-{secrets.token_hex(8)}"

    async def _show_again(self, inode: Inode, parent: Inode, name: str) -> None:
        """Give a hidden file its name back: nothing has taken its place."""
        tree = self._tree
        path = path_of((parent, name))
        written, asked = None, tree.clock()
        with tree.moving(inode):
            if not inode.is_local:
                try:
                    written = await tree.file.rename_file(
                        inode.path, path, expected_file_id=inode.file_id
                    )
                except AzureFilesError as error:
                    log.warning("%s is removed, though its replacement failed: %s", path, error)
                    return
            inode.hidden = inode.gone = False
            inode.scrap = None
            if inode.file is not None:
                inode.file.scratch = False
            tree.attach(inode, parent, name)
            tree.table.add(inode)
        if written is not None:
            changed(tree, inode, written, asked, name=name)

    async def discard_hidden(self, inode: Inode) -> None:
        """Forget an inode that was unlinked while open, after its last close."""
        scrap, inode.scrap = inode.scrap, None
        if inode.file is not None and not inode.has_more_links:
            self._writeback.forget(inode.file)
        if scrap is not None:
            try:
                if inode.file is not None and inode.has_more_links:
                    await self._writeback.flush(inode.file)
                await self._delete(inode, (self._tree.root, scrap))
                inode.lose_link()
                inode.gone = inode.hidden
            except AzureFilesError as error:
                if not (isinstance(error, ServiceError) and error.code in NOT_FOUND):
                    log.warning(
                        "%s is left on the share; the next mount removes it: %s", scrap, error
                    )
        self._writeback.room_made()
        self._tree.forget(inode)

    async def rmdir(self, parent: Inode, name: str) -> None:
        """Remove an empty directory."""
        inode = await self._tree.lookup(parent, name)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "no such entry")
        if not inode.is_directory:
            raise NotADirectoryError(errno.ENOTDIR, "not a directory")
        await self._remove_directory(inode)
        self._tree.times.move(parent, self._now())

    async def _remove_directory(self, inode: Inode) -> None:
        if any(child.is_local for child in inode.children.values()):
            raise OSError(errno.ENOTEMPTY, "directory not empty")
        if await self._directories.abandon(inode):
            await self._tree.settled(inode)
            try:
                await self._tree.directory.delete_directory(inode.path)
            except ServiceError as error:
                if error.code in NOT_FOUND:
                    self._tree.lost(inode)
                raise
        self._tree.vanish(inode)

    # -- meanwhile ----------------------------------------------------------------------

    def _below(self, source: Inode) -> list[CachedFile]:
        """Return the file of *source*, or those below it that wait to be uploaded."""
        if not source.is_directory:
            return [source.file] if source.file is not None else []
        files = []
        for file in self._writeback.pending:
            remote = file.remote
            if isinstance(remote, InodeFile) and source in remote.inode.ancestors():
                files.append(file)
        return files

    @asynccontextmanager
    async def _leaving(self, inode: Inode | None) -> AsyncIterator[None]:
        """Let nobody open *inode*, which is about to be removed, or replaced, in the block.

        The journal knows as well: if the driver dies once the share has done that, it is
        not brought back beside whatever has taken its place.
        """
        if inode is None:
            yield
            return
        event = self._tree.removing[inode] = trio.Event()
        noted = inode.file if has_record(inode) else None
        try:
            if noted is not None:
                self._note_leaving(noted, leaving=True)
                await self._writeback.settled()
            yield
        finally:
            if noted is not None:
                self._note_leaving(noted, leaving=False)
            self._tree.removing.pop(inode, None)
            event.set()

    def _note_leaving(self, file: CachedFile, *, leaving: bool) -> None:
        if isinstance(file.remote, InodeFile):
            file.remote.leaving = leaving
            self._writeback.renote(file)

    @asynccontextmanager
    async def _quiet(self, *inodes: Inode | None) -> AsyncIterator[None]:
        """Keep uploads of *inodes*, and of all files below them, from running meanwhile.

        The lock of each file is held across the requests of the change: an upload
        that still went to the old name could end in another file.
        """
        moving = {inode for inode in inodes if inode is not None}
        files = {file for inode in moving for file in self._below(inode)}
        async with AsyncExitStack() as stack:
            for file in _in_order(files):
                await stack.enter_async_context(file.lock)
            yield

    # -- what earlier mounts left --------------------------------------------------------

    async def clear_hidden(self, dead: Callable[[str], bool]) -> None:
        """Delete hidden files of mounts that *dead* says are no longer there."""
        tree = self._tree
        page = await tree.directory.list_directories_and_files(tree.root.path, prefix=HIDDEN_PREFIX)
        for entry in page.entries:
            instance = entry.name.removeprefix(HIDDEN_PREFIX).partition("-")[0]
            if entry.is_directory or not dead(instance):
                continue
            await tree.file.delete_file(path_of((tree.root, entry.name)))
            log.info("removed %s, left behind by an earlier mount", entry.name)


def has_record(inode: Inode) -> bool:
    """Say whether the journal knows the file of *inode*."""
    return inode.file is not None and inode.file.record is not None


def _in_order(files: Iterable[CachedFile]) -> list[CachedFile]:
    """Return *files* in the one order in which several locks may be taken."""
    return sorted(files, key=id)
