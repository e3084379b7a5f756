"""One inode's file on the share, as the caches see it."""

import errno
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Literal, TypeVar

from azfuse.cache.metadata import Facts
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import LOST, LeaseBroken, Leases
from azfuse.fuse.notes import Note
from azfuse.fuse.posix import Encoded
from azfuse.fuse.tree import Tree, attributes_of
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.models import Body, SmbSettings, Written
from azfuse.rest.wire import FileAttributes

T = TypeVar("T")

#: What a service may answer that does not rename an entry onto its own name.
REFUSES_RENAME: Final = frozenset(
    {
        ErrorCode.RESOURCE_ALREADY_EXISTS,
        ErrorCode.READ_ONLY_ATTRIBUTE,
        ErrorCode.INVALID_INPUT,
        ErrorCode.INVALID_HEADER_VALUE,
        ErrorCode.SHARING_VIOLATION,
    }
)

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


async def leased(tree: Tree, inode: Inode, request: Callable[[str | None], Awaitable[T]]) -> T:
    """Send a change with the lease of *inode* if we hold it; without, if it has been lost."""
    given = inode.lease_id
    try:
        return await request(given)
    except ServiceError as error:
        lost = tree.lease_refused(inode, error)
        # Another request may have found it out first.
        if not lost and (given is None or given == inode.lease_id or error.code not in LOST):
            raise
    return await request(inode.lease_id)


def changed(tree: Tree, inode: Inode, written: Written, asked: float, **changes: object) -> None:
    """Note in the facts of *inode* that a change of ours was answered with *written*."""
    before = inode.facts
    if before is not None:
        inode.facts = before.after(written, asked, **changes)
        if inode.link_etag == before.etag:
            inode.link_etag = inode.facts.etag
        untouched = written.smb.last_write_time == before.last_write_time
        if untouched and inode.file is not None and inode.file.content.etag == before.etag:
            # Every write moves the time of the last one, ours and everybody's. Where it has
            # not moved, what was cached under the old ETag is also what the new one stands for.
            inode.file.content.etag = inode.facts.etag
        tree.entered(inode)
    inode.changed_at = tree.clock()


async def send_posix(tree: Tree, inode: Inode, *, mtime: int | None) -> None:
    """Make the share's entry have the mode and owner of *inode*, and *mtime* if given.

    One request, or two where both metadata and attributes change and the service
    does not take them together; one more where the metadata that must be kept is
    not known.
    """
    posix, facts = inode.posix, inode.facts
    if facts is None:
        return
    encoded = tree.posix.encode(posix, facts.attributes, facts.metadata or {})
    if facts.metadata is None and encoded.metadata:
        # Setting metadata replaces all of it, so what others put there must be known.
        await tree.validate(inode)
        inode.posix, facts = posix, inode.facts or facts
        encoded = tree.posix.encode(posix, facts.attributes, facts.metadata or {})
    attributes, metadata = encoded.attributes, encoded.metadata
    key = await tree.permissions.for_change(facts.permission_key, encoded.described)
    smb = SmbSettings(attributes=attributes, permission_key=key, last_write_time=mtime)
    wants_more = key is not None or mtime is not None or tree.dialect.differs(posix, facts)
    if metadata != dict(facts.metadata or {}):
        wants_smb = wants_more or attributes != facts.attributes
        if wants_smb and await _set_both(tree, inode, smb, metadata):
            return
        await set_metadata(tree, inode, metadata)
        facts = inode.facts or facts
    if attributes != facts.attributes or wants_more:
        await set_smb(tree, inode, smb)


async def key_for_new(tree: Tree, inode: Inode, encoded: Encoded) -> str | None:
    """Return the permission key to create *inode* with, None for what the share gives it."""
    if encoded.described is None:
        return None
    await tree.settled(inode)
    parent = inode.parent.facts if inode.parent is not None else None
    return await tree.permissions.for_new(
        parent.permission_key if parent is not None else None,
        encoded.described,
        directory=inode.is_directory,
    )


async def _set_both(tree: Tree, inode: Inode, smb: SmbSettings, metadata: dict[str, str]) -> bool:
    """Set properties and metadata in one request; say whether the service did.

    Rename is the only operation that takes both, so the entry is renamed onto its
    own name. What a service makes of that is not written anywhere. It cannot harm,
    since nothing is to be replaced; one that refuses is not asked again.
    """
    if not tree.renames_in_place:
        return False
    await tree.settled(inode)
    path, asked = inode.path, tree.clock()
    call = tree.directory.rename_directory if inode.is_directory else tree.file.rename_file
    try:
        written = await leased(
            tree,
            inode,
            lambda lease_id: call(
                path,
                path,
                smb=smb,
                metadata=metadata,
                source_lease_id=lease_id,
                destination_lease_id=lease_id,
            ),
        )
    except ServiceError as error:
        if error.code not in REFUSES_RENAME:
            raise
        # A read-only file is refused as well, and says nothing about others.
        tree.renames_in_place = error.code == ErrorCode.READ_ONLY_ATTRIBUTE
        return False
    changed(tree, inode, written, asked, metadata=metadata)
    return True


async def set_smb(tree: Tree, inode: Inode, smb: SmbSettings) -> None:
    """Set File or Directory Properties of *inode*, with what the dialect adds to them."""
    asked = tree.clock()
    await tree.settled(inode)
    smb, nfs = tree.dialect.settings(inode.posix, smb)
    if inode.is_directory:
        written = await tree.directory.set_directory_properties(inode.path, smb=smb, nfs=nfs)
    else:
        written = await leased(
            tree,
            inode,
            lambda lease_id: tree.file.set_file_properties(
                inode.path, smb=smb, nfs=nfs, lease_id=lease_id
            ),
        )
    changed(tree, inode, written, asked)


async def make_writable(tree: Tree, inode: Inode) -> None:
    """Clear the attribute for which the service refuses to change, replace or delete a file."""
    asked_for = await _current_attributes(tree, inode)
    if FileAttributes.READ_ONLY in asked_for:
        attributes = asked_for & ~FileAttributes.READ_ONLY
        await set_smb(tree, inode, SmbSettings(attributes=attributes))


async def _current_attributes(tree: Tree, inode: Inode) -> FileAttributes:
    """Return the attributes of *inode*, asked for anew if they do not say it is read-only."""
    facts = inode.facts
    if facts is None or FileAttributes.READ_ONLY not in facts.attributes:
        posix = inode.posix
        await tree.validate(inode)
        inode.posix = posix
        facts = inode.facts
    return facts.attributes if facts else FileAttributes.NONE


async def set_metadata(tree: Tree, inode: Inode, metadata: dict[str, str]) -> None:
    """Replace the metadata of *inode* on the share.

    A file with mode 0444 is made writable for it; its attributes are the caller's to
    set again.
    """
    if not inode.is_directory and FileAttributes.READ_ONLY in attributes_of(inode):
        await make_writable(tree, inode)
    asked = tree.clock()
    await tree.settled(inode)
    if inode.is_directory:
        written = await tree.directory.set_directory_metadata(inode.path, metadata)
    else:
        written = await leased(
            tree,
            inode,
            lambda lease_id: tree.file.set_file_metadata(inode.path, metadata, lease_id=lease_id),
        )
    changed(tree, inode, written, asked, metadata=metadata)
