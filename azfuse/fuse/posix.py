"""Mode, owner and type of entries on a share that has none of them (architecture, section 2).

With `posix=metadata` an entry whose mode and owner are the mount's defaults carries
nothing. Every other one carries them as metadata and has the System attribute, so
that a listing shows which entries need one more request. Without the attribute the
metadata does not count: taking an entry back to the defaults is one request. With
`posix=acl` the security descriptor tells mode and owner, in the special SIDs of the
Linux SMB client; listings tell the key of the descriptor. In both the ReadOnly
attribute stands for a file without write bits. With `posix=off` nothing is kept.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from azfuse.cache.metadata import Facts
from azfuse.fuse.sddl import Descriptor
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
#: What the share knows by itself, or by its content.
_ORDINARY: Final = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})


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


@dataclass(frozen=True, slots=True)
class Encoded:
    """What makes an entry of the share have a mode and an owner."""

    attributes: FileAttributes
    metadata: dict[str, str]
    #: Mode and owner that the security descriptor is to tell; None: it may be any.
    described: Posix | None = None


class PosixPolicy:
    """Translates between `Posix` and what the share can hold: here nothing, with `posix=off`."""

    #: True where modes and owners cannot be changed.
    fixed = True

    def __init__(self, settings: FileSystemSettings) -> None:
        self._settings = settings

    def default(self, kind: int) -> Posix:
        """Return what an entry of the type *kind* (S_IFREG, ...) has that carries nothing."""
        settings = self._settings
        if kind == stat.S_IFLNK:
            permissions = 0o777
        else:
            permissions = settings.dir_mode if kind == stat.S_IFDIR else settings.file_mode
        return Posix(kind | permissions, settings.uid, settings.gid)

    def needs_metadata(self, facts: Facts) -> bool:
        """True if the entry carries metadata of ours that a listing does not tell."""
        return False

    def unknown_key(self, facts: Facts) -> str | None:
        """Return the key of the entry's descriptor if that must be asked for first."""
        return None

    def of(self, facts: Facts, target: bytes | None = None) -> Posix:
        """Return mode and owner of an entry; *target* is that of a symbolic link."""
        if facts.is_directory:
            kind = stat.S_IFDIR
        else:
            kind = stat.S_IFREG if target is None else stat.S_IFLNK
        posix = self._read(facts, self.default(kind))
        if stat.S_ISREG(posix.mode) and FileAttributes.READ_ONLY in facts.attributes:
            posix = replace(posix, mode=posix.mode & ~_WRITE_BITS)
        return posix

    def _read(self, facts: Facts, default: Posix) -> Posix:
        return default

    def encode(
        self, posix: Posix, attributes: FileAttributes, metadata: Mapping[str, str]
    ) -> Encoded:
        """Return what makes an entry have *posix*.

        *attributes* and *metadata* are what it has now; what is not ours is kept.
        """
        return Encoded(attributes, dict(metadata))


class MetadataPolicy(PosixPolicy):
    """Keeps what is not the default as metadata (`posix=metadata`)."""

    fixed = False

    def needs_metadata(self, facts: Facts) -> bool:
        """True if the entry carries metadata of ours that a listing does not tell."""
        return facts.metadata is None and FileAttributes.SYSTEM in facts.attributes

    def _read(self, facts: Facts, default: Posix) -> Posix:
        if facts.metadata and FileAttributes.SYSTEM in facts.attributes:
            return _stored(facts.metadata, default)
        return default

    def encode(
        self, posix: Posix, attributes: FileAttributes, metadata: Mapping[str, str]
    ) -> Encoded:
        """Return attributes and metadata that make an entry have *posix*."""
        kept = _kept(posix, attributes, metadata)
        kind = stat.S_IFMT(posix.mode)
        default = self.default(kind)
        if FileAttributes.READ_ONLY in kept:
            default = replace(default, mode=default.mode & ~_WRITE_BITS)
        if posix == default and kind in _ORDINARY:
            return Encoded(kept, dict(metadata))
        ours = {_MODE: f"{posix.mode:07o}", _UID: str(posix.uid), _GID: str(posix.gid)}
        if posix.rdev:
            ours[_RDEV] = str(posix.rdev)
        return Encoded(kept | FileAttributes.SYSTEM, _of_others(metadata) | ours)


class AclPolicy(MetadataPolicy):
    """Keeps mode and owner in security descriptors, special files as metadata (`posix=acl`).

    What an earlier mount has kept as metadata counts until the descriptor tells otherwise.
    """

    def __init__(self, settings: FileSystemSettings, known: Mapping[str, Descriptor]) -> None:
        """*known* are the descriptors of the share by key, as far as they are known."""
        super().__init__(settings)
        self._known = known

    def unknown_key(self, facts: Facts) -> str | None:
        """Return the key of the entry's descriptor if that must be asked for first."""
        key = facts.permission_key
        return None if key is None or key in self._known else key

    def _read(self, facts: Facts, default: Posix) -> Posix:
        posix = super()._read(facts, default)
        found = self._known.get(facts.permission_key) if facts.permission_key else None
        if found is None or stat.S_IFMT(posix.mode) not in _ORDINARY:
            return posix
        return Posix(
            posix.mode if found.mode is None else stat.S_IFMT(posix.mode) | found.mode,
            posix.uid if found.uid is None else found.uid,
            posix.gid if found.gid is None else found.gid,
        )

    def encode(
        self, posix: Posix, attributes: FileAttributes, metadata: Mapping[str, str]
    ) -> Encoded:
        """Return what makes an entry have *posix*: one request changes all of it."""
        if stat.S_IFMT(posix.mode) not in _ORDINARY:
            return super().encode(posix, attributes, metadata)
        return Encoded(_kept(posix, attributes, metadata), dict(metadata), posix)


def policy_of(settings: FileSystemSettings, known: Mapping[str, Descriptor]) -> PosixPolicy:
    """Return the policy that *settings* choose; see `AclPolicy` for *known*."""
    if settings.posix == "acl":
        return AclPolicy(settings, known)
    return MetadataPolicy(settings) if settings.posix == "metadata" else PosixPolicy(settings)


def _of_others(metadata: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in metadata.items() if not k.lower().startswith(RESERVED_PREFIX)}


def _kept(posix: Posix, attributes: FileAttributes, metadata: Mapping[str, str]) -> FileAttributes:
    """Return *attributes* without ours, but with ReadOnly where nobody may write to a file."""
    was_ours = len(_of_others(metadata)) != len(metadata)
    kept = attributes & ~(_OURS if was_ours else FileAttributes.READ_ONLY)
    if stat.S_ISREG(posix.mode) and not posix.mode & _WRITE_BITS:
        kept |= FileAttributes.READ_ONLY
    return kept


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
