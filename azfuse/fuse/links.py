"""Links that the service itself makes: on NFS shares."""

import errno
import os

from azfuse.cache.metadata import Facts
from azfuse.fuse.changes import changed, leased
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode, path_of
from azfuse.fuse.tree import Tree
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.models import SmbSettings, Written
from azfuse.rest.wire import MAX_LINK_TEXT


async def make_symlink(tree: Tree, inode: Inode, target: bytes) -> None:
    """Create Symbolic Link, with the owner and the times that programs see of *inode*.

    Raises OSError: ENAMETOOLONG past 2,048 bytes, EILSEQ for what is not UTF-8.
    """
    if len(target) > MAX_LINK_TEXT:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    try:
        text = target.decode()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from None
    smb, nfs = tree.dialect.settings(
        inode.posix, SmbSettings(creation_time=inode.ctime, last_write_time=inode.mtime)
    )
    await tree.settled(inode)
    asked = tree.clock()
    written = await tree.file.create_symbolic_link(inode.path, text, smb=smb, nfs=nfs)
    facts = Facts.of_creation(inode.name, written, asked, size=len(target), metadata={})
    inode.facts = facts
    inode.link_target, inode.link_etag = target, facts.etag
    inode.ctime = facts.change_time
    inode.changed_at = tree.clock()
    tree.table.got_file_id(inode, facts.file_id)


async def make_hard_link(tree: Tree, inode: Inode, parent: Inode, name: str) -> None:
    """Create Hard Link: *inode*, which the share has, becomes *name* in *parent* as well.

    Raises OSError(EMLINK) where the file has as many names as the service lets it have.
    """
    await tree.on_share(parent)
    asked = tree.clock()
    while True:
        await tree.settled(inode)
        target = inode.path

        async def link(lease_id: str | None, target: str = target) -> Written:
            return await tree.file.create_hard_link(
                path_of((parent, name)), target, lease_id=lease_id, expected_file_id=inode.file_id
            )

        try:
            written = await leased(tree, inode, link)
            break
        except ServiceError as error:
            if error.code == ErrorCode.OUT_OF_RANGE_INPUT:
                raise OSError(errno.EMLINK, os.strerror(errno.EMLINK)) from error
            if error.code not in NOT_FOUND or not await tree.moved(inode, target):
                raise
    tree.attach(inode, parent, name)
    changed(tree, inode, written, asked, name=name)
    if inode.facts is not None:
        inode.ctime = inode.facts.change_time
