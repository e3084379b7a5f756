"""NFS shares: modes, owners, links and letter case are the service's own.

A listing does not tell mode, owner or type, so each entry that is looked at costs one
HEAD; what it said holds for as long as listings show the same ETag.

Names travel as they are. NFS clients of the share see them so, and no mapping of
characters stands between the two; what the service does not take over REST it refuses.
"""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from azfuse.cache.metadata import Facts
from azfuse.fuse.dialect import Dialect, SmbDialect
from azfuse.fuse.inodes import Inode
from azfuse.fuse.posix import Posix, PosixPolicy
from azfuse.fuse.settings import FileSystemSettings
from azfuse.rest.file import File
from azfuse.rest.models import DirectoryProperties, NfsSettings, SmbSettings
from azfuse.rest.wire import MAX_COMPONENT, FileAttributes

_SYMLINK: Final = "SymLink"


class NfsPosix(PosixPolicy):
    """Mode, owner and type as the service keeps them; with `posix=off` only the type."""

    def needs_metadata(self, facts: Facts) -> bool:
        """True until somebody has asked for more than the listing."""
        return facts.nfs is None

    def of(self, facts: Facts, target: bytes | None = None) -> Posix:
        """Return mode and owner of an entry; *target* does not make it a link."""
        del target
        nfs = facts.nfs
        if facts.is_directory:
            kind = stat.S_IFDIR
        else:
            kind = stat.S_IFLNK if nfs and nfs.file_type == _SYMLINK else stat.S_IFREG
        default = self.default(kind)
        if nfs is None or self.fixed:
            return default
        permissions = default.mode if nfs.mode is None or kind == stat.S_IFLNK else nfs.mode
        return Posix(
            kind | stat.S_IMODE(permissions),
            default.uid if nfs.owner is None else nfs.owner,
            default.gid if nfs.group is None else nfs.group,
        )

    def encode(
        self, posix: Posix, attributes: FileAttributes, metadata: Mapping[str, str]
    ) -> tuple[FileAttributes, dict[str, str]]:
        """Return both as they are: no note is made of mode and owner."""
        del posix
        return attributes, dict(metadata)


class NfsDialect:
    """Everything as on a local disk, as far as the service goes."""

    case_sensitive = True
    native_links = True

    def __init__(self, settings: FileSystemSettings) -> None:
        self.posix: PosixPolicy = NfsPosix(settings)

    def to_share(self, name: bytes) -> str:
        """Return the same name; OSError(EILSEQ) for what is not UTF-8, ENAMETOOLONG past 255."""
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), name) from None
        if len(text.encode("utf-16-le")) > 2 * MAX_COMPONENT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
        return text

    def to_linux(self, name: str) -> bytes:
        """Return the same name."""
        return name.encode()

    def key(self, name: str) -> str:
        """Every letter counts."""
        return name

    def check_type(self, mode: int) -> None:
        """The service makes regular files only."""
        if not stat.S_ISREG(mode):
            raise PermissionError(errno.EPERM, "the service makes no special files")

    def may_be_symlink(self, facts: Facts) -> bool:
        """No: HEAD tells the type."""
        del facts
        return False

    def settings(self, posix: Posix, smb: SmbSettings) -> tuple[SmbSettings, NfsSettings | None]:
        """Add mode and owner; the attributes of SMB are refused here. Links have no mode."""
        mode = None if stat.S_ISLNK(posix.mode) else posix.permissions
        return replace(smb, attributes=None), NfsSettings(mode, posix.uid, posix.gid)

    def differs(self, posix: Posix, facts: Facts) -> bool:
        """Compare mode and owner with what the share has."""
        if self.posix.fixed:
            return False
        nfs = facts.nfs
        if nfs is None or (nfs.owner, nfs.group) != (posix.uid, posix.gid):
            return True
        return nfs.mode != posix.permissions and not stat.S_ISLNK(posix.mode)

    async def read_link(self, file: File, inode: Inode) -> bytes | None:
        """Get Symbolic Link, once for each ETag."""
        if not stat.S_ISLNK(inode.posix.mode):
            return None
        etag = inode.facts.etag if inode.facts is not None else None
        if inode.link_target is None or inode.link_etag != etag:
            text = await file.get_symbolic_link(inode.path)
            inode.link_target, inode.link_etag = text.encode(), etag
        return inode.link_target


def dialect_of(root: DirectoryProperties, settings: FileSystemSettings) -> Dialect:
    """Return the dialect of a share: on NFS shares alone the root has a mode."""
    return SmbDialect(settings) if root.nfs.mode is None else NfsDialect(settings)
