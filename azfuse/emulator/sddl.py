"""Security descriptors in their two forms: SDDL text and self-relative binary.

Known are owner, group, and lists of allowing, denying and auditing entries: what SDDL over REST is
made of. Object, callback and other special entries exist in the binary form only; what holds one
cannot be written as SDDL, and says so. ([MS-DTYP] 2.4 and 2.5 describe both forms.)
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: Aliases of SIDs that mean the same everywhere. Those of a domain (DA, DU, ...) the service
#: refuses, as it knows no domain.
_ALIASES: Final[Mapping[str, str]] = {
    "WD": "S-1-1-0", "CO": "S-1-3-0", "CG": "S-1-3-1", "OW": "S-1-3-4", "NU": "S-1-5-2",
    "IU": "S-1-5-4", "SU": "S-1-5-6", "AN": "S-1-5-7", "ED": "S-1-5-9", "PS": "S-1-5-10",
    "AU": "S-1-5-11", "RC": "S-1-5-12", "SY": "S-1-5-18", "LS": "S-1-5-19", "NS": "S-1-5-20",
    "BA": "S-1-5-32-544", "BU": "S-1-5-32-545", "BG": "S-1-5-32-546", "PU": "S-1-5-32-547",
    "AO": "S-1-5-32-548", "SO": "S-1-5-32-549", "PO": "S-1-5-32-550", "BO": "S-1-5-32-551",
    "RE": "S-1-5-32-552", "RU": "S-1-5-32-554", "RD": "S-1-5-32-555", "NO": "S-1-5-32-556",
    "LW": "S-1-16-4096", "ME": "S-1-16-8192", "HI": "S-1-16-12288", "SI": "S-1-16-16384",
}  # fmt: skip
_NAMES: Final = {sid: alias for alias, sid in _ALIASES.items()}
_TYPES: Final = {"A": 0, "D": 1, "AU": 2}
_ACE_FLAGS: Final = {
    "OI": 0x01, "CI": 0x02, "NP": 0x04, "IO": 0x08, "ID": 0x10, "SA": 0x40, "FA": 0x80,
}  # fmt: skip
#: Rights by name; written are only the first nine, and only where they say all.
_RIGHTS: Final = {
    "FA": 0x1F01FF, "FR": 0x120089, "FW": 0x120116, "FX": 0x1200A0, "GA": 0x10000000,
    "GX": 0x20000000, "GW": 0x40000000, "GR": 0x80000000, "SD": 0x10000, "RC": 0x20000,
    "WD": 0x40000, "WO": 0x80000, "CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8, "RP": 0x10,
    "WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100,
}  # fmt: skip
_GENERIC: Final = ("GA", "GX", "GW", "GR")
#: Flags of a list: their bit for the discretionary list; that of the system list is the next one.
_LIST_FLAGS: Final = {"P": 0x1000, "AR": 0x0100, "AI": 0x0400}
_NULL: Final = "NO_ACCESS_CONTROL"
_WHOLE: Final = re.compile(
    r"O:(?P<owner>[^\s:]+?)\s*G:(?P<group>[^\s:]+?)\s*D:(?P<dacl>[A-Z_]*(?:\([^()]*\))*)\s*"
    r"(?:S:(?P<sacl>[A-Z_]*(?:\([^()]*\))*))?", re.ASCII,
)  # fmt: skip
_SID: Final = re.compile(r"S-1-(\d+|0x[0-9a-f]+)((?:-\d+){1,15})", re.ASCII | re.IGNORECASE)
_HEADER: Final = struct.Struct("<BBHIIII")
_SELF_RELATIVE: Final = 0x8000
_DACL, _SACL = 0x0004, 0x0010


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: its type, flags, access mask and SID."""

    kind: int
    flags: int
    mask: int
    sid: str


@dataclass(slots=True)
class Descriptor:
    """A security descriptor. A list that is None is absent; `null` lists are present and empty."""

    owner: str
    group: str
    control: int = 0
    dacl: list[Entry] | None = None
    sacl: list[Entry] | None = None
    null: set[str] = field(default_factory=set)


def parse(text: str) -> Descriptor:
    """Read SDDL with owner, group and discretionary list. Raises ValueError."""
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        raise ValueError("not SDDL with owner, group and discretionary list")
    found = Descriptor(_sid(match["owner"]), _sid(match["group"]))
    found.dacl = _parse_list(found, match["dacl"], "dacl")
    if match["sacl"] is not None:
        found.sacl = _parse_list(found, match["sacl"], "sacl")
    return found


def _parse_list(found: Descriptor, text: str, which: str) -> list[Entry]:
    head, _, rest = text.partition("(")
    shift = 0 if which == "dacl" else 1
    found.control |= _DACL if which == "dacl" else _SACL
    if head == _NULL:
        found.null.add(which)
        head = ""
    for flag in re.findall("P|AR|AI|.+", head):
        if flag not in _LIST_FLAGS:
            raise ValueError(f"unknown flag of a list: {flag}")
        found.control |= _LIST_FLAGS[flag] << shift
    return [_parse_entry(entry) for entry in rest.removesuffix(")").split(")(")] if rest else []


def _parse_entry(text: str) -> Entry:
    parts = text.split(";")
    if len(parts) != 6 or parts[0] not in _TYPES or parts[3] or parts[4]:
        raise ValueError(f"unknown entry: {text}")
    flags = 0
    for name in _pairs(parts[1]):
        flags |= _ACE_FLAGS[name]
    return Entry(_TYPES[parts[0]], flags, _mask(parts[2]), _sid(parts[5]))


def _pairs(text: str) -> list[str]:
    names = re.findall("..?", text)
    if any(name not in _ACE_FLAGS for name in names):
        raise ValueError(f"unknown flags: {text}")
    return names


def _mask(text: str) -> int:
    if re.fullmatch("0[xX][0-9a-fA-F]{1,8}", text):
        return int(text, 16)
    names = re.findall("..?", text)
    if not names or any(name not in _RIGHTS for name in names):
        raise ValueError(f"unknown rights: {text}")
    mask = 0
    for name in names:
        mask |= _RIGHTS[name]
    return mask


def _sid(text: str) -> str:
    if text in _ALIASES:
        return _ALIASES[text]
    match = _SID.fullmatch(text)
    if (
        match is None
        or int(match[1], 0) >= 1 << 48
        or any(int(part) >= 1 << 32 for part in match[2].split("-")[1:])
    ):
        raise ValueError(f"unknown SID: {text}")
    return text.upper()


def write(found: Descriptor) -> str:
    """Write SDDL, with aliases where there are some."""
    text = f"O:{_named(found.owner)}G:{_named(found.group)}"
    for letter, which, entries in (("D", "dacl", found.dacl), ("S", "sacl", found.sacl)):
        if entries is None:
            continue
        shift = 0 if which == "dacl" else 1
        flags = [n for n, bit in _LIST_FLAGS.items() if found.control & bit << shift]
        text += f"{letter}:" + (_NULL if which in found.null else "".join(flags))
        text += "".join(map(_write_entry, entries))
    return text


def _named(sid: str) -> str:
    return _NAMES.get(sid, sid)


def _write_entry(entry: Entry) -> str:
    kind = next(name for name, value in _TYPES.items() if value == entry.kind)
    flags = "".join(name for name, bit in _ACE_FLAGS.items() if entry.flags & bit)
    return f"({kind};{flags};{_write_mask(entry.mask)};;;{_named(entry.sid)})"


def _write_mask(mask: int) -> str:
    for name in ("FA", "FR", "FW", "FX"):
        if _RIGHTS[name] == mask:
            return name
    generic = [name for name in _GENERIC if mask & _RIGHTS[name]]
    if generic and sum(_RIGHTS[name] for name in generic) == mask:
        return "".join(generic)
    return f"0x{mask:x}"


def pack(found: Descriptor) -> bytes:
    """Write the self-relative binary form."""
    parts = [_pack_sid(found.owner), _pack_sid(found.group)]
    parts.append(b"" if found.sacl is None or "sacl" in found.null else _pack_list(found.sacl))
    parts.append(b"" if found.dacl is None or "dacl" in found.null else _pack_list(found.dacl))
    offsets, at = [], _HEADER.size
    for part in parts:
        offsets.append(at if part else 0)
        at += len(part)
    header = _HEADER.pack(1, 0, found.control | _SELF_RELATIVE, *offsets)
    return header + b"".join(parts)


def _pack_sid(sid: str) -> bytes:
    authority, *rest = sid.split("-")[2:]
    head = bytes([1, len(rest)]) + int(authority, 0).to_bytes(6, "big")
    return head + b"".join(struct.pack("<I", int(part)) for part in rest)


def _pack_list(entries: list[Entry]) -> bytes:
    packed = b""
    for entry in entries:
        sid = _pack_sid(entry.sid)
        packed += struct.pack("<BBHI", entry.kind, entry.flags, 8 + len(sid), entry.mask) + sid
    return struct.pack("<BBHHH", 2, 0, 8 + len(packed), len(entries), 0) + packed


def unpack(raw: bytes) -> Descriptor:
    """Read the self-relative binary form. Raises ValueError, also for what SDDL cannot say."""
    try:
        _, _, control, owner, group, sacl, dacl = _HEADER.unpack_from(raw)
        if not owner or not group:
            raise ValueError("the descriptor has no owner or no group")
        kept = control & ~_SELF_RELATIVE
        found = Descriptor(_unpack_sid(raw, owner), _unpack_sid(raw, group), kept)
        for which, present, offset in (("sacl", _SACL, sacl), ("dacl", _DACL, dacl)):
            if not control & present:
                continue
            setattr(found, which, _unpack_list(raw, offset) if offset else [])
            if not offset:
                found.null.add(which)
    except (struct.error, IndexError) as error:
        raise ValueError("the descriptor is cut off") from error
    return found


def _unpack_sid(raw: bytes, at: int) -> str:
    count = raw[at + 1]
    authority = int.from_bytes(raw[at + 2 : at + 8], "big")
    rest = struct.unpack_from(f"<{count}I", raw, at + 8)
    return "-".join(["S-1", str(authority), *map(str, rest)])


def _unpack_list(raw: bytes, at: int) -> list[Entry]:
    (count,) = struct.unpack_from("<H", raw, at + 4)
    at += 8
    entries = []
    for _ in range(count):
        kind, flags, size, mask = struct.unpack_from("<BBHI", raw, at)
        if kind not in _TYPES.values():
            raise ValueError(f"SDDL has no word for entries of type {kind}")
        entries.append(Entry(kind, flags, mask, _unpack_sid(raw, at + 8)))
        at += size
    return entries
