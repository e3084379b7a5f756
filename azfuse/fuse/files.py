"""Open files: what programs do to content, and when it becomes the share's."""

import errno
from collections.abc import Callable
from weakref import WeakKeyDictionary

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import FileContent
from azfuse.cache.readahead import Readahead
from azfuse.cache.reader import Reader
from azfuse.cache.writeback import CachedFile, WriteBack
from azfuse.fuse.descriptors import holds
from azfuse.fuse.handles import FileHandle
from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import Leases
from azfuse.fuse.remote_file import InodeFile
from azfuse.fuse.tree import Tree
from azfuse.rest.wire import MAX_FILE_BYTES

#: A lookup vouches for an open by the same thread that follows within this many seconds:
#: both belong to one open(2).
_SAME_CALL = 0.005


class Files:
    """Opens, reads, writes, truncates, flushes and closes files."""

    def __init__(
        self,
        tree: Tree,
        cache: BlockCache,
        reader: Reader,
        writeback: WriteBack,
        leases: Leases,
        now: Callable[[], int],
        resized: Callable[[Inode], None],
    ) -> None:
        """*now* gives Unix nanoseconds; *resized* tells the kernel of another length."""
        self._tree = tree
        self._cache = cache
        self._reader = reader
        self._writeback = writeback
        self._leases = leases
        self._now = now
        self._resized = resized
        self._owners: WeakKeyDictionary[FileContent, Inode] = WeakKeyDictionary()

    def new_file(self, inode: Inode) -> CachedFile:
        """Make the content of *inode*: empty if it is new, unread if it is on the share."""
        facts = inode.facts
        content = FileContent(facts.size, facts.etag) if facts else FileContent()
        self._owners[content] = inode
        return CachedFile(content, InodeFile(self._tree, inode, self._leases))

    def owner_of(self, content: FileContent) -> Inode | None:
        """Return the inode whose content this is."""
        return self._owners.get(content)

    async def open(self, inode: Inode, flags: int, pid: int) -> tuple[FileHandle, bool]:
        """Open *inode*; return the handle, and whether the kernel may keep its pages.

        What is believed of the file may be older than the moment another mount closed
        it, so it is confirmed: here for those who will read or append, else by the
        first read or write past the end. Overwriting needs to know nothing.
        """
        if (leaving := self._tree.removing.get(inode)) is not None:
            await leaving.wait()
        if inode.unlinked and not inode.handles:
            # The kernel did not know yet, and looks again.
            raise OSError(errno.ESTALE, "removed meanwhile")
        if inode.file is None:
            inode.file = self.new_file(inode)
        handle = FileHandle(inode, inode.file, flags, pid, Readahead(self._tree.settings.readahead))
        handle.losses = self._leases.losses(inode.file)
        # Counted first, so that who removes the file while it is confirmed lets it live on.
        inode.handles += 1
        inode.writers += handle.writable
        try:
            keep = await self._confirm_at_open(handle)
            if handle.truncates:
                self.truncate(inode, 0, certain=handle.confirmed)
                handle.confirmed = True  # nothing is left that could be out of date
                keep = False
        except BaseException:
            inode.handles -= 1
            inode.writers -= handle.writable
            raise
        return handle, keep

    async def _confirm_at_open(self, handle: FileHandle) -> bool:
        """Confirm what is known, or leave that for later; say whether the kernel's pages hold."""
        inode, content = handle.inode, handle.file.content
        if inode.is_local or content.changed:
            return True  # what we have is newer than anything the share could say
        if not content.continuous:
            self._cache.touch(content, content.forget_clean())
        frozen = self._tree.settings.snapshot is not None
        if frozen or inode.lease_id is not None or self._vouched(inode, handle.pid):
            return content.cached
        handle.confirmed = False
        etag = content.etag
        if handle.writable:
            ask = handle.appends and not handle.truncates
        else:
            # Of an empty file nothing would be read that could tell.
            ask = content.cached or not content.size
        if ask:
            await self._confirm(handle)
        return not handle.writable and content.cached and content.etag == etag

    async def _confirm(self, handle: FileHandle) -> None:
        """Ask the share whether what was cached still holds; drop it if not (one HEAD)."""
        content = handle.file.content
        if not content.continuous:
            # Written to since, without knowing what was there: nothing left to ask about.
            self._cache.touch(content, content.forget_clean())
        before = content.size
        await self._tree.validate(handle.inode)
        facts = handle.inode.facts
        if content.changed and facts is not None:
            content.learn_size(facts.size)
            if facts.etag != content.etag:
                self._cache.touch(content, content.forget_clean())
                content.continuous = False  # what comes now is of another state than its ETag
        handle.confirmed = True
        if content.size != before:
            self._resized(handle.inode)

    def _vouched(self, inode: Inode, pid: int) -> bool:
        vouched, inode.vouched = inode.vouched, None
        return (
            vouched is not None
            and vouched[0] == pid
            and self._tree.clock() - vouched[1] <= _SAME_CALL
        )

    async def read(self, handle: FileHandle, offset: int, length: int) -> bytes | memoryview:
        """Read up to *length* bytes at *offset*."""
        handle.inode.atime = self._now()
        file, content = handle.file, handle.file.content
        if not handle.confirmed and await self._reader.has_any(content, file.remote):
            await self._confirm(handle)
        size = content.size
        data = await self._reader.read(content, file.remote, handle.readahead, offset, length)
        if not handle.confirmed:
            # The answer to the first GET was the confirmation.
            handle.confirmed = True
            if content.size != size:
                self._resized(handle.inode)
        return data

    async def write(self, handle: FileHandle, offset: int, data: bytes) -> int:
        """Write *data* at *offset*, or at the end if the handle appends."""
        file, inode = handle.file, handle.inode
        await self._writeback.throttle()
        content = file.content
        if not handle.confirmed and offset + len(data) > content.size:
            await self._confirm(handle)
        told, inode.told_size = inode.told_size, max(inode.told_size, offset + len(data))
        if handle.appends and offset >= told:
            # The kernel appends at the end that it knows of. What it writes before that is
            # from a mapping of the file and belongs where it says.
            offset = content.size
        if data and offset >= MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, "files end at 4 TiB")
        data = data[: MAX_FILE_BYTES - offset]  # write(2): as many bytes as there is room for
        touched = content.write(offset, data)
        self._modified(inode)
        self._cache.touch(content, touched)
        self._cache.evict()
        self._writeback.note(file)
        if inode.aliases:
            self._resized(inode)  # the kernel keeps a length for each letter case of the name
        if handle.synchronous:
            await self.sync(handle)
        return len(data)

    def _modified(self, inode: Inode) -> None:
        # The service keeps steps of 100 ns; what programs see must not change at upload.
        inode.mtime = inode.ctime = self._now() // 100 * 100
        inode.mtime_pinned = False

    def truncate(self, inode: Inode, size: int, *, certain: bool) -> None:
        """Set the length of a file; it is sent with the next flush.

        Unless its length on the share is *certain* it is sent in any case.
        """
        if size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, "files end at 4 TiB")
        if inode.file is None:
            inode.file = self.new_file(inode)
        content = inode.file.content
        doubtful = size <= content.size and not (certain or inode.is_local)
        same = size == content.size
        if not same or doubtful:
            self._cache.touch(content, content.truncate(size))
            if doubtful:
                content.doubt_size()
        self._modified(inode)
        # To the share a file that keeps its length is not a file that was written.
        inode.mtime_pinned = same
        self._writeback.note(inode.file)

    def give_up(self, inode: Inode) -> None:
        """Forget a change that could not be sent, where the call that made it has failed."""
        file, facts = inode.file, inode.facts
        if file is not None and facts is not None:
            self._writeback.forget(file)
            file.content.give_up(facts.size)
            inode.mtime, inode.ctime = facts.last_write_time, facts.change_time
            self._resized(inode)

    async def flush(self, file: CachedFile) -> None:
        """Return when every byte written so far is on the share.

        Waits for a while if somebody else's lease is in the way.
        """
        inode = self._owners.get(file.content)
        if inode is None or file.scratch:
            return
        await self._leases.patiently(inode, lambda: self._writeback.flush(file))

    async def sync(self, handle: FileHandle) -> None:
        """Return when every byte written so far is on the share (fsync(2), close(2)).

        Raises OSError(EIO) once for each time that the file's lease was lost.
        """
        try:
            await self.flush(handle.file)
        except BaseException:
            handle.losses = self._leases.losses(handle.file)
            raise
        self._tell_losses(handle)

    def _tell_losses(self, handle: FileHandle) -> None:
        told, handle.losses = handle.losses, self._leases.losses(handle.file)
        if told != handle.losses:
            raise OSError(errno.EIO, "the file's lease was broken")

    async def close(self, handle: FileHandle) -> None:
        """Do what close(2) waits for: see that every byte is on the share, or will be.

        Where nothing was written yet and the process has the file open still, by
        another descriptor, the close of that one will do.
        """
        untouched = not handle.file.content.size
        if untouched and holds(handle.pid, handle.inode.number):
            return
        if await self._writeback.hand_over(handle.file):
            self._tell_losses(handle)
        else:
            await self.sync(handle)
        if handle.inode.lease_id is not None:
            async with handle.file.lock:  # an upload relies on it
                if handle.inode.writers <= 1 and not handle.file.content.changed:
                    await self._leases.give_back(handle.inode)

    async def flush_below(self, directory: Inode) -> None:
        """Create the new files of *directory* on the share (fsync(2) of a directory)."""
        for child in list(directory.children.values()):
            if child.is_local and child.file is not None:
                await self.flush(child.file)

    def released(self, handle: FileHandle) -> bool:
        """Uncount *handle*; say whether it was the last one of its file."""
        inode = handle.inode
        inode.handles -= 1
        inode.writers -= handle.writable
        if inode.handles:
            return False
        if not inode.unlinked:
            self._reader.keep(handle.file.content, handle.file.remote)
        if not inode.is_local and not handle.file.content.changed:
            inode.fresh = inode.mtime_pinned = False
        return True
