"""Security descriptors as SDDL text: what a new entry inherits, and mode and owner in special SIDs.

The Linux SMB client keeps them so (`modefromsid`, `idsfromsid` in mount.cifs(8)): owner and
group of a descriptor are S-1-5-88-1-UID and S-1-5-88-2-GID, and an entry of its list that
denies nothing to S-1-5-88-3-MODE stands for the mode. All other entries are kept as they are,
also those of kinds that mean nothing here ([MS-DTYP] 2.5.1 has the syntax, 2.5.3.4 inheritance).
"""

import re
from dataclasses import dataclass, replace
from typing import Final

#: Descriptor of the root of a share that nobody has given another one.
ROOT_SDDL: Final = (
    "O:SYG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)"
    "(A;OICI;0x1301bf;;;AU)(A;OICIIO;GA;;;CO)"
)

#: A condition at the end of an entry has parentheses of its own, hardly ever three deep.
_ENTRY: Final = re.compile(r"\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)")
_WHOLE: Final = re.compile(
    r"O:(?P<owner>[^\s:()]+?)\s*G:(?P<group>[^\s:()]+?)\s*"
    rf"D:(?P<flags>[A-Z_]*)(?P<entries>(?:{_ENTRY.pattern})*)\s*(?P<rest>(?:S:.*)?)",
    re.ASCII | re.DOTALL,
)
_UID: Final = re.compile(r"S-1-5-88-1-(\d{1,10})", re.ASCII)
_GID: Final = re.compile(r"S-1-5-88-2-(\d{1,10})", re.ASCII)
_MODE: Final = re.compile(r"S-1-5-88-3-(\d{1,10})", re.ASCII)
_CREATOR_OWNER: Final = frozenset({"CO", "S-1-3-0"})
_CREATOR_GROUP: Final = frozenset({"CG", "S-1-3-1"})
#: How the service writes that there is no system list.
_NO_SYSTEM_LIST: Final = "S:NO_ACCESS_CONTROL"
#: What the rights of every kind of object mean for files.
_GENERIC: Final = {"GA": "FA", "GR": "FR", "GW": "FW", "GX": "FX"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list, as its text has it; `flags` are words of two letters."""

    kind: str
    flags: frozenset[str]
    rights: str
    #: What stands between the rights and the SID: object types, `;`.
    objects: str
    sid: str
    #: What follows the SID: the condition, or nothing.
    condition: str = ""

    @classmethod
    def parse(cls, text: str) -> "Entry":
        """Read what is between the parentheses. Raises ValueError."""
        parts = text.split(";", 6)
        if len(parts) < 6:
            raise ValueError(f"not an entry of a list: {text}")
        kind, flags, rights, type_, inherited_type, sid = parts[:6]
        condition = f";{parts[6]}" if len(parts) > 6 else ""
        words = frozenset(re.findall("..", flags))
        return cls(kind, words, rights, f"{type_};{inherited_type}", sid, condition)

    def __str__(self) -> str:
        flags = "".join(sorted(self.flags))
        return f"({self.kind};{flags};{self.rights};{self.objects};{self.sid}{self.condition})"

    def inherited(self, owner: str, group: str, *, directory: bool) -> "list[Entry]":
        """Return what a new entry below gets of this one, whose *owner* and *group* are SIDs."""
        passes_on = directory and "NP" not in self.flags
        effective = ("CI" if directory else "OI") in self.flags
        here = self._effective(owner, group)
        kept = self.flags & {"OI", "CI"} if passes_on else frozenset()
        if effective and (here.rights, here.sid) == (self.rights, self.sid):
            return [replace(self, flags=kept | {"ID"})]
        found = [replace(here, flags=frozenset({"ID"}))] if effective else []
        if kept:
            found.append(replace(self, flags=kept | {"IO", "ID"}))
        return found

    def _effective(self, owner: str, group: str) -> "Entry":
        sid = self.sid
        if sid in _CREATOR_OWNER:
            sid = owner
        elif sid in _CREATOR_GROUP:
            sid = group
        words = re.findall("..?", self.rights)
        rights = "".join(_GENERIC.get(word, word) for word in words)
        return replace(self, rights=rights, sid=sid)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A security descriptor. `flags` are those of its list, `rest` its system list or nothing."""

    owner: str
    group: str
    flags: str
    entries: tuple[Entry, ...]
    rest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Descriptor":
        """Read SDDL with owner, group and discretionary list. Raises ValueError."""
        match = _WHOLE.fullmatch(text.strip())
        if match is None:
            raise ValueError("not SDDL with owner, group and discretionary list")
        entries = tuple(Entry.parse(entry[1:-1]) for entry in _ENTRY.findall(match["entries"]))
        rest = "" if match["rest"] == _NO_SYSTEM_LIST else match["rest"]
        return cls(match["owner"], match["group"], match["flags"], entries, rest)

    def __str__(self) -> str:
        entries = "".join(map(str, self.entries))
        return f"O:{self.owner}G:{self.group}D:{self.flags}{entries}{self.rest}"

    @property
    def uid(self) -> int | None:
        """The owner's uid, None where the owner is no special SID."""
        return _number(_UID, self.owner)

    @property
    def gid(self) -> int | None:
        """The group's gid, None where the group is no special SID."""
        return _number(_GID, self.group)

    @property
    def mode(self) -> int | None:
        """The permission bits with setuid, setgid and sticky, None where no entry says."""
        modes = (_number(_MODE, entry.sid) for entry in self.entries)
        return next((mode & 0o7777 for mode in modes if mode is not None), None)

    def says(self, mode: int, uid: int, gid: int) -> bool:
        """Say whether the special SIDs are of these."""
        return (self.mode, self.uid, self.gid) == (mode, uid, gid)

    def saying(self, mode: int, uid: int, gid: int) -> "Descriptor":
        """Return a copy with special SIDs of these, and all other entries."""
        others = (entry for entry in self.entries if not _MODE.fullmatch(entry.sid))
        ours = Entry("D", frozenset(), "0x0", ";", f"S-1-5-88-3-{mode}")
        return replace(self, owner=_owner(uid), group=_group(gid), entries=(ours, *others))

    def inherited(self, uid: int, gid: int, *, directory: bool) -> "Descriptor":
        """Return what a new entry of a directory with this descriptor gets, owned by these."""
        owner, group = _owner(uid), _group(gid)
        entries = [
            new
            for entry in self.entries
            if not _MODE.fullmatch(entry.sid)
            for new in entry.inherited(owner, group, directory=directory)
        ]
        return Descriptor(owner, group, "AI", tuple(entries))


#: What counts where the share does not tell, or tells something that is no descriptor.
ROOT: Final = Descriptor.parse(ROOT_SDDL)


def _owner(uid: int) -> str:
    return f"S-1-5-88-1-{uid}"


def _group(gid: int) -> str:
    return f"S-1-5-88-2-{gid}"


def _number(pattern: re.Pattern[str], sid: str) -> int | None:
    match = pattern.fullmatch(sid)
    number = int(match[1]) if match else 1 << 32
    return number if number < 1 << 32 else None
