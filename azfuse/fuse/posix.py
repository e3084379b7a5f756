"""Mode, owner and type of entries on a share that has none of them (architecture, section 2).

An entry whose mode and owner are the mount's defaults carries nothing. Every
other one carries them as metadata and has the System attribute, so that a
listing shows which entries need one more request. Without the attribute the
metadata does not count: taking an entry back to the defaults is one request. The
ReadOnly attribute stands for a file without write bits.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from azfuse.cache.metadata import Facts
from azfuse.fuse.settings import FileSystemSettings
from azfuse.rest.wire import FileAttributes

#: Metadata names that start so are ours; they are never shown as extended attributes.
RESERVED_PREFIX: Final = "azfuse_"
_MODE: Final = "azfuse_mode"
_UID: Final = "azfuse_uid"
_GID: Final = "azfuse_gid"
_RDEV: Final = "azfuse_rdev"

_WRITE_BITS: Final = 0o222
_OURS: Final = FileAttributes.SYSTEM | FileAttributes.READ_ONLY


@dataclass(frozen=True, slots=True)
class Posix:
    """What stat(2) says of who may do what: `mode` with the type, owner, device number."""

    mode: int
    uid: int
    gid: int
    rdev: int = 0

    @property
    def permissions(self) -> int:
        """The permission bits with setuid, setgid and sticky."""
        return stat.S_IMODE(self.mode)

    def with_permissions(self, permissions: int) -> "Posix":
        """Return a copy with other permission bits."""
        return replace(self, mode=stat.S_IFMT(self.mode) | stat.S_IMODE(permissions))


class PosixPolicy:
    """Translates between `Posix` and what the share can hold."""

    def __init__(self, settings: FileSystemSettings) -> None:
        self._settings = settings

    @property
    def fixed(self) -> bool:
        """True where modes and owners cannot be changed (`posix=off`)."""
        return self._settings.posix == "off"

    def default(self, kind: int) -> Posix:
        """Return what an entry of the type *kind* (S_IFREG, ...) has that carries nothing."""
        settings = self._settings
        if kind == stat.S_IFLNK:
            permissions = 0o777
        else:
            permissions = settings.dir_mode if kind == stat.S_IFDIR else settings.file_mode
        return Posix(kind | permissions, settings.uid, settings.gid)

    def needs_metadata(self, facts: Facts) -> bool:
        """True if the entry carries more than a listing tells."""
        return (
            not self.fixed and facts.metadata is None and FileAttributes.SYSTEM in facts.attributes
        )

    def of(self, facts: Facts, target: bytes | None = None) -> Posix:
        """Return mode and owner of an entry; *target* is that of a symbolic link."""
        if facts.is_directory:
            kind = stat.S_IFDIR
        else:
            kind = stat.S_IFREG if target is None else stat.S_IFLNK
        posix = self.default(kind)
        if not self.fixed and facts.metadata and FileAttributes.SYSTEM in facts.attributes:
            posix = _stored(facts.metadata, posix)
        if stat.S_ISREG(posix.mode) and FileAttributes.READ_ONLY in facts.attributes:
            posix = replace(posix, mode=posix.mode & ~_WRITE_BITS)
        return posix

    def encode(
        self, posix: Posix, attributes: FileAttributes, metadata: Mapping[str, str]
    ) -> tuple[FileAttributes, dict[str, str]]:
        """Return the attributes and metadata that make an entry have *posix*.

        *attributes* and *metadata* are what it has now; what is not ours is kept.
        """
        others = {k: v for k, v in metadata.items() if not k.lower().startswith(RESERVED_PREFIX)}
        was_ours = len(others) != len(metadata)
        kept = attributes & ~(_OURS if was_ours else FileAttributes.READ_ONLY)
        if self.fixed:
            return attributes, dict(metadata)
        kind = stat.S_IFMT(posix.mode)
        default = self.default(kind)
        if kind == stat.S_IFREG and not posix.mode & _WRITE_BITS:
            kept |= FileAttributes.READ_ONLY
            default = replace(default, mode=default.mode & ~_WRITE_BITS)
        if posix == default and kind in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
            return kept, dict(metadata)
        ours = {_MODE: f"{posix.mode:07o}", _UID: str(posix.uid), _GID: str(posix.gid)}
        if posix.rdev:
            ours[_RDEV] = str(posix.rdev)
        return kept | FileAttributes.SYSTEM, others | ours


def _stored(metadata: Mapping[str, str], default: Posix) -> Posix:
    """Read what `encode` wrote; what is missing or makes no sense is the default."""
    ours = {name.lower(): value for name, value in metadata.items()}
    mode = _number(ours.get(_MODE), 8)
    kind, fixed = stat.S_IFMT(mode or 0), stat.S_IFMT(default.mode)
    if mode is None:
        mode = default.mode
    elif fixed != stat.S_IFREG or kind in {0, stat.S_IFDIR, stat.S_IFLNK}:
        # What is a directory or a link is so by its nature, whatever a note says.
        mode = fixed | stat.S_IMODE(mode)
    uid, gid, rdev = (_number(ours.get(name), 10) for name in (_UID, _GID, _RDEV))
    return Posix(
        mode,
        default.uid if uid is None else uid,
        default.gid if gid is None else gid,
        rdev or 0,
    )


def _number(text: str | None, base: int) -> int | None:
    try:
        return int(text, base) if text else None
    except ValueError:
        return None
