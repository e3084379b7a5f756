"""Changes to entries of the share: mode, owner, times and metadata; and what answers tell of it.

Whoever changes an entry does it with our lease, if we hold it, and notes what the
answer says in the facts of the inode.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import LOST
from azfuse.fuse.posix import Encoded
from azfuse.fuse.tree import Tree, attributes_of
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.models import SmbSettings, Written
from azfuse.rest.wire import FileAttributes

T = TypeVar("T")

#: What a service may answer that does not rename an entry onto its own name.
_REFUSES_RENAME: Final = frozenset(
    {
        ErrorCode.RESOURCE_ALREADY_EXISTS,
        ErrorCode.READ_ONLY_ATTRIBUTE,
        ErrorCode.INVALID_INPUT,
        ErrorCode.INVALID_HEADER_VALUE,
        ErrorCode.SHARING_VIOLATION,
    }
)


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
        await _set_smb(tree, inode, smb)


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
        if error.code not in _REFUSES_RENAME:
            raise
        # A read-only file is refused as well, and says nothing about others.
        tree.renames_in_place = error.code == ErrorCode.READ_ONLY_ATTRIBUTE
        return False
    changed(tree, inode, written, asked, metadata=metadata)
    return True


async def _set_smb(tree: Tree, inode: Inode, smb: SmbSettings) -> None:
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
        await _set_smb(tree, inode, SmbSettings(attributes=attributes))


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
