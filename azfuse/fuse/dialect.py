"""What SMB shares and NFS shares do each in their own way, asked for in one place.

A share is one or the other for ever. Which it is shows in the first answer about its
root; the rest of the driver asks the dialect and need not know.
"""

import errno
import stat
from typing import Protocol

from azfuse.cache.metadata import Facts
from azfuse.fuse import names, symlinks
from azfuse.fuse.inodes import Inode
from azfuse.fuse.posix import Posix, PosixPolicy
from azfuse.fuse.settings import FileSystemSettings
from azfuse.rest.file import File
from azfuse.rest.models import NfsSettings, SmbSettings


class Dialect(Protocol):
    """How a share holds names, modes, owners and links."""

    #: What modes and owners become.
    posix: PosixPolicy
    #: `Foo` and `foo` are two entries.
    case_sensitive: bool
    #: The service has symbolic and hard links of its own.
    native_links: bool

    def to_share(self, name: bytes) -> str:
        """Return the name on the share of one path component as Linux gives it.

        Raises OSError (EILSEQ, EINVAL, ENAMETOOLONG) for what the share cannot hold.
        """

    def to_linux(self, name: str) -> bytes:
        """Return the path component that Linux sees of a name on the share."""

    def key(self, name: str) -> str:
        """Return the text under which equal names of one directory are equal."""

    def check_type(self, mode: int) -> None:
        """Raise OSError(EPERM), as mknod(2), where the share cannot hold files of this type."""

    def may_be_symlink(self, facts: Facts) -> bool:
        """Say whether only the content of a file tells if it is a symbolic link."""

    def settings(self, posix: Posix, smb: SmbSettings) -> tuple[SmbSettings, NfsSettings | None]:
        """Return what to create an entry with, or to set of it, so that it has *posix*."""

    def differs(self, posix: Posix, facts: Facts) -> bool:
        """Say whether properties that `settings` adds on its own are not as *posix* has them."""

    async def read_link(self, file: File, inode: Inode) -> bytes | None:
        """Return the target of a symbolic link, None if *inode* is none."""


class SmbDialect:
    """Case does not count, modes and links are notes in metadata and content."""

    case_sensitive = False
    native_links = False

    def __init__(self, settings: FileSystemSettings) -> None:
        self.posix = PosixPolicy(settings)

    def to_share(self, name: bytes) -> str:
        """Map what a share refuses (`names.to_share`)."""
        return names.to_share(name)

    def to_linux(self, name: str) -> bytes:
        """Map it back."""
        return names.to_linux(name)

    def key(self, name: str) -> str:
        """Fold letter case."""
        return names.fold(name)

    def check_type(self, mode: int) -> None:
        """Special files are notes in metadata: there are none with `posix=off`."""
        if self.posix.fixed and not stat.S_ISREG(mode):
            raise PermissionError(errno.EPERM, "posix=off cannot hold special files")

    def may_be_symlink(self, facts: Facts) -> bool:
        """Symbolic links are files of one size."""
        return not facts.is_directory and facts.size == symlinks.SIZE

    def settings(self, posix: Posix, smb: SmbSettings) -> tuple[SmbSettings, NfsSettings | None]:
        """Nothing is added: attributes and metadata say all."""
        del posix
        return smb, None

    def differs(self, posix: Posix, facts: Facts) -> bool:
        """No: nothing is added."""
        del posix, facts
        return False

    async def read_link(self, file: File, inode: Inode) -> bytes | None:
        """The content was read when the entry was found."""
        del file
        return inode.link_target
