"""One inode's file on the share, as the caches see it."""

import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, TypeVar

from azfuse.cache.metadata import Facts
from azfuse.fuse.changes import changed, key_for_new, make_writable, send_posix
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import LeaseBroken, Leases
from azfuse.fuse.notes import Note
from azfuse.fuse.tree import Tree, attributes_of
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.models import Body, SmbSettings, Written
from azfuse.rest.wire import FileAttributes

T = TypeVar("T")

#: First service version whose Create File takes content.
_BODY_SINCE = "2026-06-06"


class InodeFile:
    """Requests about one inode's content, sent to wherever the inode is at that moment."""

    def __init__(self, tree: Tree, inode: Inode, leases: Leases | None = None) -> None:
        """*leases* takes and gives back the file's lease; None for who never needs one."""
        self._tree = tree
        self._inode = inode
        self._leases = leases
        #: The lease that the upload under way relies on.
        self._relies_on: str | None = None
        #: The creation time to create the file with, once the journal has noted it.
        self.born: int | None = None
        #: The file is about to be removed, or replaced.
        self.leaving = False

    @property
    def inode(self) -> Inode:
        """The inode whose file this is."""
        return self._inode

    @property
    def exists(self) -> bool:
        """False for a new file that was not created on the share yet."""
        return self._inode.facts is not None

    @property
    def file_id(self) -> int:
        """The file's id on the share."""
        return self._inode.file_id

    @property
    def takes_body(self) -> bool:
        """True if `create` can carry content."""
        return self._tree.file.transport.supports(_BODY_SINCE)

    async def read_into(self, buffer: memoryview, offset: int) -> tuple[Facts, int]:
        """Get File. Raises OSError(ESTALE) where another file has taken the place."""
        asked, place = self._tree.clock(), self._inode.place
        properties, received = await self._at_path(
            lambda path: self._tree.file.read_file_into(path, buffer, offset=offset)
        )
        inode = self._inode
        if properties.smb.file_id not in {inode.file_id, None}:
            self._tree.lost(inode, place)
            if not inode.gone:
                return await self.read_into(buffer, offset)  # it has another name
            raise OSError(errno.ESTALE, "another file has taken this one's place on the share")
        facts = Facts.of_properties(inode.name, properties, asked)
        # A copy: the reader needs to see what this answer said, not what was known beside.
        self._tree.apply(inode, replace(facts), content=False)
        return facts, received

    async def create(self, size: int, body: Body | None, body_length: int) -> str:
        """Create File, with everything that programs have set of it so far."""
        inode, tree = self._inode, self._tree
        self._relies_on = None
        encoded = tree.posix.encode(inode.posix, attributes_of(inode), inode.xattrs)
        attributes, metadata = encoded.attributes, encoded.metadata
        content = inode.file.content if inode.file is not None else None
        zeros = content is not None and content.size == size and content.only_zeros_left()
        if body_length < size and not zeros:
            # Ranges can only be put while the file is not read-only; `settle` makes it so.
            attributes &= ~FileAttributes.READ_ONLY
            inode.attributes_pending = True
        else:
            inode.attributes_pending = False
        smb, nfs = tree.dialect.settings(
            inode.posix,
            SmbSettings(
                attributes=attributes,
                permission_key=await key_for_new(tree, inode, encoded),
                creation_time=self._creation_time,
                last_write_time=inode.mtime,
                change_time=inode.ctime,
            ),
        )
        await tree.settled(inode)
        asked = tree.clock()
        written = await tree.file.create_file(
            inode.path,
            size,
            body=body,
            body_length=body_length,
            smb=smb,
            nfs=nfs,
            metadata=metadata,
        )
        self.created(written, size, attributes, metadata, asked)
        return written.etag

    def created(
        self,
        written: Written,
        size: int,
        attributes: FileAttributes,
        metadata: dict[str, str],
        asked: float,
    ) -> None:
        """Note that the file is on the share now, as *written* says."""
        inode, tree = self._inode, self._tree
        tree.moved_bytes += size
        inode.facts = Facts.of_creation(
            inode.name, written, asked, size=size, attributes=attributes, metadata=metadata
        )
        inode.link_etag = written.etag
        inode.changed_at = tree.clock()
        tree.table.got_file_id(inode, inode.facts.file_id)
        tree.entered(inode)

    async def resize(self, size: int) -> str:
        """Set File Properties: the length; times that were set go along, or would be lost."""
        inode = self._inode
        inode.fresh = False
        if inode.facts is not None:
            self._tree.moved_bytes += max(0, inode.facts.size - size)
        smb = SmbSettings(last_write_time=inode.mtime) if self._keeps_mtime else None
        return await self._change(
            lambda path: self._tree.file.set_file_properties(
                path, size=size, smb=smb, lease_id=inode.lease_id
            ),
            size=size,
        )

    async def put_range(self, offset: int, length: int, body: Body) -> str:
        """Put Range."""
        self._tree.moved_bytes += length
        mode = self._time_of_ranges
        return await self._change(
            lambda path: self._tree.file.put_range(
                path,
                offset,
                length,
                body,
                lease_id=self._inode.lease_id,
                last_write_time=mode,
            )
        )

    async def clear_range(self, offset: int, length: int) -> str:
        """Put Range (clear)."""
        self._tree.moved_bytes += length
        mode = self._time_of_ranges
        return await self._change(
            lambda path: self._tree.file.clear_range(
                path, offset, length, lease_id=self._inode.lease_id, last_write_time=mode
            )
        )

    async def lease(self, requests: int, *, growing: bool) -> str | None:
        """Take the file's lease if `-o lease=` wants one (architecture, section 2)."""
        inode, leases = self._inode, self._leases
        self._relies_on = None
        if leases is None or inode.hidden or inode.file is None:
            return None
        mode, etag = self._tree.settings.lease, inode.file.content.etag
        if inode.lease_id is None:
            if mode != "always" and not (mode == "auto" and (requests > 1 or growing)):
                return None
            etag = await self._at_path(lambda _: leases.take(inode))
        self._relies_on = inode.lease_id
        return etag

    async def settle(self) -> None:
        """Send the attributes that programs set while content was dirty; take over the rest."""
        inode = self._inode
        facts = inode.facts
        if facts is None:
            return
        times = self._keeps_mtime and facts.last_write_time // 100 != inode.mtime // 100
        if inode.attributes_pending or times:
            await self.send_attributes(mtime=inode.mtime if times else None)
        facts = inode.facts
        if facts is not None and inode.file is not None and not inode.file.content.changed:
            inode.ctime = facts.change_time
            if not self._keeps_mtime:
                inode.mtime = facts.last_write_time
            inode.mtime_pinned = False
        inode.fresh = False
        if self._leases is not None and not inode.writers:
            # No close will come that could do it.
            await self._leases.give_back(inode)

    def note(self) -> str | None:
        """Return what the next mount needs to know of the file; None once it was unlinked."""
        if self._inode.hidden:
            return None
        self.born = self._creation_time
        return Note.of(self._inode, self.born, leaving=self.leaving).text()

    @property
    def _creation_time(self) -> int:
        # By it the next mount knows again what this one has created. It stays, whatever
        # programs do to the file meanwhile.
        return min(self._inode.ctime, self._inode.mtime) if self.born is None else self.born

    async def send_attributes(self, mtime: int | None) -> None:
        """Set File Metadata and Set File Properties, each only where something differs."""
        inode, tree = self._inode, self._tree
        inode.attributes_pending = False
        try:
            await send_posix(tree, inode, mtime=mtime)
        except BaseException:
            inode.attributes_pending = True
            raise

    @property
    def _keeps_mtime(self) -> bool:
        return self._inode.mtime_pinned or self._inode.fresh

    @property
    def _time_of_ranges(self) -> Literal["preserve"] | None:
        return "preserve" if self._keeps_mtime else None

    async def _change(self, request: Callable[[str], Awaitable[Written]], **changes: object) -> str:
        asked = self._tree.clock()
        try:
            self._check_lease()
            written = await self._at_path(request)
        except ServiceError as error:
            if self._tree.lease_refused(self._inode, error):
                raise LeaseBroken from error
            self._check_lease()
            if error.code != ErrorCode.READ_ONLY_ATTRIBUTE:
                raise
            # Mode 0444 keeps nobody from writing who has the file open already, nor root.
            await make_writable(self._tree, self._inode)
            self._inode.attributes_pending = True
            written = await self._at_path(request)
        changed(self._tree, self._inode, written, asked, **changes)
        return written.etag

    def _check_lease(self) -> None:
        """Raise LeaseBroken if the lease was lost since the upload began."""
        if self._relies_on is not None and self._inode.lease_id != self._relies_on:
            raise LeaseBroken

    async def _at_path(self, request: Callable[[str], Awaitable[T]]) -> T:
        """Send a request to where the file is; again if it was moved meanwhile."""
        inode, tree = self._inode, self._tree
        if inode.gone and not inode.hidden:
            raise OSError(errno.ESTALE, "the file is no longer on the share")
        while True:
            await tree.settled(inode)
            path = inode.path
            try:
                return await request(path)
            except ServiceError as error:
                if error.code in NOT_FOUND and await tree.moved(inode, path):
                    continue
                raise
