"""What the kernel is told of an inode."""

import stat
from typing import Final

import pyfuse3

from azfuse.fuse.inodes import Inode
from azfuse.fuse.trust import Trust

#: Programs size their reads and writes by this; larger than any kernel's read-ahead step,
#: and the most that one FUSE request carries.
BLOCK_SIZE: Final = 1024 * 1024


def entry_attributes(inode: Inode, trust: Trust) -> pyfuse3.EntryAttributes:
    """Return the attributes of *inode*, to be used for as long as *trust* allows."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode.number
    entry.generation = 0
    entry.entry_timeout = trust.name_for(inode)
    entry.attr_timeout = trust.attributes_for(inode)
    entry.st_mode = inode.posix.mode
    # 1 says of a directory that its subdirectories are not counted: that takes a listing.
    entry.st_nlink = int(not inode.unlinked)
    entry.st_uid = inode.posix.uid
    entry.st_gid = inode.posix.gid
    entry.st_rdev = inode.posix.rdev
    size = 0 if stat.S_IFMT(inode.posix.mode) not in _SIZED else inode.size
    entry.st_size = inode.told_size = size
    entry.st_blksize = BLOCK_SIZE
    entry.st_blocks = -(-size // 512)
    entry.st_atime_ns = inode.atime
    entry.st_mtime_ns = inode.mtime
    entry.st_ctime_ns = inode.ctime
    return entry


_SIZED: Final = {stat.S_IFREG, stat.S_IFLNK}


def missing_entry(timeout: float) -> pyfuse3.EntryAttributes:
    """Return the answer that a name is missing, to be believed for *timeout* seconds."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = timeout
    return entry
