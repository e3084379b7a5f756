"""Links that the service itself makes: on NFS shares."""

import errno
import os

from azfuse.cache.metadata import Facts
from azfuse.fuse.inodes import Inode
from azfuse.fuse.tree import Tree
from azfuse.rest.models import SmbSettings
from azfuse.rest.wire import MAX_LINK_TEXT, FileAttributes


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
    facts = Facts(
        inode.name, False, 0, len(target), None, 0, 0, 0, FileAttributes.NONE, None, {}, asked
    ).after(written, asked)
    inode.facts = facts
    inode.link_target, inode.link_etag = target, facts.etag
    inode.ctime = facts.change_time
    inode.changed_at = tree.clock()
    tree.table.got_file_id(inode, facts.file_id)
