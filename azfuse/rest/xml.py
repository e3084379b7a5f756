"""XML: of answers (errors, listings, ranges, statistics), and what request bodies need.

Unknown elements are ignored. Whatever does not parse raises InvalidResponse,
except for errors: an error page of a proxy is no XML, and still an error.
"""

import re
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import unescape

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.models import (
    DirectoryEntry,
    DirectoryPage,
    FileRange,
    ShareItem,
    SharePage,
    UserDelegationKey,
)
from azfuse.rest.wire import (
    FileAttributes,
    format_seconds,
    parse_attributes,
    parse_http_date,
    parse_time,
)

T = TypeVar("T")

_GIB: Final = 1024**3
#: Nanoseconds.
_SECOND: Final = 1_000_000_000


def parse_xml(body: bytes, what: str) -> ET.Element:
    """Return the root element of the answer to *what*. Raises InvalidResponse."""
    try:
        return ET.fromstring(body)  # noqa: S314 # expat bounds entity expansion by itself
    except ET.ParseError as error:
        raise InvalidResponse(f"{what}: broken XML: {error}") from None


def add_text(parent: ET.Element, tag: str, text: str) -> None:
    """Put `<tag>text</tag>` at the end of *parent*."""
    ET.SubElement(parent, tag).text = text


def serialize(root: ET.Element) -> bytes:
    """Write a request body as the service takes it: UTF-8, with an XML declaration.

    Raises ValueError for characters that XML cannot hold.
    """
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    try:
        ET.fromstring(body)  # noqa: S314 # our own text
    except ET.ParseError:
        raise ValueError("a value holds characters that XML cannot") from None
    return body


def parse_error(body: bytes) -> tuple[str, str, dict[str, str]]:
    """Return code, message and details of an error body; empty where it is none."""
    try:
        root = ET.fromstring(body)  # noqa: S314 # as above
    except ET.ParseError:
        return "", "", {}
    if root.tag != "Error":
        return "", "", {}
    details = {child.tag: child.text or "" for child in root}
    return details.pop("Code", ""), details.pop("Message", ""), details


def text_of_name(element: ET.Element) -> str:
    """Return a name, which is percent-encoded where XML could not hold it."""
    text = element.text or ""
    return unquote(text) if element.get("Encoded", "").lower() == "true" else text


class _Memo(dict[str, T]):
    """Converts texts, each one once: most times and keys of a listing repeat."""

    def __init__(self, convert: Callable[[str], T]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, text: str) -> T:
        value = self[text] = self._convert(text)
        return value


#: One entry as every version writes it. Names hold no entities but the three XML needs.
_ENTRY: Final = re.compile(
    r"<(?P<kind>File|Directory)>"
    r"<Name(?P<encoded>(?: Encoded=\"true\")?)>"
    r"(?P<name>[^<&]*(?:&(?:amp|lt|gt);[^<&]*)*)</Name>"
    r"(?:<FileId>(\d+)</FileId>)?"
    r"(?:<Properties />|<Properties>"
    r"(?:<Content-Length>(\d+)</Content-Length>)?"
    r"(?:<CreationTime>([^<&]*)</CreationTime>)?"
    r"(?:<LastAccessTime>([^<&]*)</LastAccessTime>)?"
    r"(?:<LastWriteTime>([^<&]*)</LastWriteTime>)?"
    r"(?:<ChangeTime>([^<&]*)</ChangeTime>)?"
    r"(?:<Last-Modified>([^<&]*)</Last-Modified>)?"
    r"(?:<Etag>([^<&]*)</Etag>)?"
    r"</Properties>)"
    r"(?:<Attributes>([^<&]*)</Attributes>)?"
    r"(?:<PermissionKey>([^<&]*)</PermissionKey>)?"
    r"</(?P=kind)>",
    re.ASCII,
)
_USUAL_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{7}Z", re.ASCII
)
_USUAL_DATE: Final = re.compile(
    r"\w{3}, \d\d \w{3} \d{4} (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d GMT", re.ASCII
)
_ENTRIES: Final = "<Entries>"
#: The elements of an entry besides its name, in the order of _ENTRY's groups.
_FIELDS: Final = (
    "FileId",
    "Properties/Content-Length",
    "Properties/CreationTime",
    "Properties/LastAccessTime",
    "Properties/LastWriteTime",
    "Properties/ChangeTime",
    "Properties/Last-Modified",
    "Properties/Etag",
    "Attributes",
    "PermissionKey",
)


class _EntryReader:
    """Makes the entries of one page.

    Entries of the usual form are read with one regular expression each, a third
    of the time that elements take (5,000 of them hold up every other task).
    """

    def __init__(self) -> None:
        self._days = _Memo(lambda day: parse_time(f"{day}T00:00:00Z"))
        self._times: _Memo[int | None] = _Memo(self._time)
        self._http_days = _Memo(lambda day: parse_http_date(f"{day} 00:00:00 GMT"))
        self._dates: _Memo[int] = _Memo(self._date)
        self._attributes: _Memo[FileAttributes] = _Memo(parse_attributes)
        #: Equal keys become one string, thousands of entries share them.
        self._keys: _Memo[str] = _Memo(str)

    def _time(self, text: str) -> int | None:
        """Read a time; the usual form, 7 digits, through its day."""
        if _USUAL_TIME.fullmatch(text):
            return (
                self._days[text[:10]]
                + (int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])) * _SECOND
                + int(text[20:27]) * 100
            )
        return parse_time(text) if text else None

    def _date(self, text: str) -> int:
        """Read an RFC 1123 date through its day."""
        if _USUAL_DATE.fullmatch(text):
            seconds = int(text[17:19]) * 3600 + int(text[20:22]) * 60 + int(text[23:25])
            return self._http_days[text[:16]] + seconds * _SECOND
        return parse_http_date(text)

    def read_usual(self, text: str, start: int) -> tuple[list[DirectoryEntry], int]:
        """Read entries of the usual form from *start* on; say where they end. Raises ValueError."""
        entries: list[DirectoryEntry] = []
        for match in _ENTRY.finditer(text, start):
            if match.start() != start:
                break
            start = match.end()
            kind, encoded, name, *fields = match.groups()
            if "&" in name:
                name = unescape(name)
            entries.append(self._make(kind, unquote(name) if encoded else name, *fields))
        return entries, start

    def read_element(self, element: ET.Element) -> DirectoryEntry:
        """Read an entry of any form. Raises ValueError."""
        name = element.find("Name")
        if name is None:
            raise ValueError("an entry has no name")
        return self._make(element.tag, text_of_name(name), *map(element.findtext, _FIELDS))

    def _make(
        self,
        kind: str,
        name: str,
        file_id: str | None,
        size: str | None,
        creation_time: str | None,
        last_access_time: str | None,
        last_write_time: str | None,
        change_time: str | None,
        last_modified: str | None,
        etag: str | None,
        attributes: str | None,
        permission_key: str | None,
    ) -> DirectoryEntry:
        times = self._times
        return DirectoryEntry(
            name,
            kind == "Directory",
            int(file_id) if file_id else None,
            int(size) if size else 0,
            etag or None,
            times[creation_time or ""],
            times[last_access_time or ""],
            times[last_write_time or ""],
            times[change_time or ""],
            self._dates[last_modified] if last_modified else None,
            self._attributes[attributes] if attributes else None,
            self._keys[permission_key] if permission_key else None,
        )


def parse_directory_page(body: bytes) -> DirectoryPage:
    """Read List Directories and Files. Raises InvalidResponse."""
    what = "ListDirectoriesAndFiles"
    reader = _EntryReader()
    try:
        text = body.decode("utf-8-sig")
        start = end = text.find(_ENTRIES) + len(_ENTRIES)
        entries: list[DirectoryEntry] = []
        if start >= len(_ENTRIES):
            entries, end = reader.read_usual(text, start)
            text = text[:start] + text[end:]
        # What is left is a small document: the head, the end, and entries of other forms.
        root = parse_xml(text.encode(), what)
        rest = root.find("Entries")
        if root.tag != "EnumerationResults" or rest is None:
            raise InvalidResponse(f"{what}: not a listing but <{root.tag}>")
        entries += [
            reader.read_element(element) for element in rest if element.tag in ("File", "Directory")
        ]
        directory_id = root.findtext("DirectoryId")
        return DirectoryPage(
            entries=entries,
            next_marker=root.findtext("NextMarker") or None,
            directory_id=int(directory_id) if directory_id else None,
        )
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None


def parse_share_page(body: bytes) -> SharePage:
    """Read List Shares. Raises InvalidResponse."""
    what = "ListShares"
    root = parse_xml(body, what)
    shares = root.find("Shares")
    if root.tag != "EnumerationResults" or shares is None:
        raise InvalidResponse(f"{what}: not a listing but <{root.tag}>")
    try:
        return SharePage(
            shares=[_read_share(element) for element in shares.iterfind("Share")],
            next_marker=root.findtext("NextMarker") or None,
        )
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None


def _read_share(element: ET.Element) -> ShareItem:
    name = element.findtext("Name")
    if not name:
        raise ValueError("a share has no name")
    properties = {child.tag: child.text or "" for child in element.iterfind("Properties/*")}
    quota = properties.pop("Quota", "")
    return ShareItem(
        name=name,
        etag=properties.pop("Etag", ""),
        last_modified=parse_http_date(properties.pop("Last-Modified", "")),
        quota=int(quota) if quota else None,
        snapshot=element.findtext("Snapshot") or None,
        deleted=(element.findtext("Deleted") or "").lower() == "true",
        version=element.findtext("Version") or None,
        metadata={child.tag: child.text or "" for child in element.iterfind("Metadata/*")},
        properties=properties,
    )


def parse_ranges(body: bytes) -> tuple[list[FileRange], str | None]:
    """Read List Ranges: the ranges and the marker of the next page. Raises InvalidResponse."""
    what = "ListRanges"
    root = parse_xml(body, what)
    if root.tag != "Ranges":
        raise InvalidResponse(f"{what}: not ranges but <{root.tag}>")
    try:
        ranges = [
            FileRange(
                int(element.findtext("Start") or ""),
                int(element.findtext("End") or ""),
                element.tag == "ClearRange",
            )
            for element in root
            if element.tag in ("Range", "ClearRange")
        ]
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None
    return ranges, root.findtext("NextMarker") or None


def parse_share_usage(body: bytes) -> int:
    """Read Get Share Stats, in bytes; old versions say whole GiB. Raises InvalidResponse."""
    what = "GetShareStats"
    root = parse_xml(body, what)
    text, unit = root.findtext("ShareUsageBytes"), 1
    if text is None:
        text, unit = root.findtext("ShareUsage"), _GIB
    if text is None or not text.isdecimal():
        raise InvalidResponse(f"{what}: no usage in <{root.tag}>")
    return int(text) * unit


def format_key_info(start: int | None, expiry: int, delegated_user_tid: str | None) -> bytes:
    """Write the body of Get User Delegation Key; times are Unix nanoseconds."""
    root = ET.Element("KeyInfo")
    if start is not None:
        add_text(root, "Start", format_seconds(start))
    add_text(root, "Expiry", format_seconds(expiry))
    if delegated_user_tid is not None:
        add_text(root, "DelegatedUserTid", delegated_user_tid)
    return serialize(root)


def parse_user_delegation_key(body: bytes) -> UserDelegationKey:
    """Read Get User Delegation Key. Raises InvalidResponse."""
    what = "GetUserDelegationKey"
    root = parse_xml(body, what)
    if root.tag != "UserDelegationKey":
        raise InvalidResponse(f"{what}: not a key but <{root.tag}>")

    def need(tag: str) -> str:
        text = root.findtext(tag)
        if not text:
            raise InvalidResponse(f"{what}: the answer has no {tag}")
        return text

    return UserDelegationKey(
        signed_oid=need("SignedOid"),
        signed_tid=need("SignedTid"),
        signed_start=need("SignedStart"),
        signed_expiry=need("SignedExpiry"),
        signed_service=need("SignedService"),
        signed_version=need("SignedVersion"),
        value=need("Value"),
        signed_delegated_user_tid=root.findtext("SignedDelegatedUserTid") or None,
    )
