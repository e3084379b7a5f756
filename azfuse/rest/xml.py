"""Reads the XML that the service answers: errors, listings, ranges, statistics.

Unknown elements are ignored. Whatever does not parse raises InvalidResponse,
except for errors: an error page of a proxy is no XML, and still an error.
"""

from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.models import DirectoryEntry, DirectoryPage, FileRange, ShareItem, SharePage
from azfuse.rest.wire import FileAttributes, parse_attributes, parse_http_date, parse_time

T = TypeVar("T")

_GIB: Final = 1024**3


def _parse(body: bytes, what: str) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 # expat bounds entity expansion by itself
    except ET.ParseError as error:
        raise InvalidResponse(f"{what}: broken XML: {error}") from None


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


def _text_of_name(element: ET.Element) -> str:
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


class _EntryReader:
    """Makes entries of one page."""

    def __init__(self) -> None:
        self._days = _Memo(lambda text: parse_time(f"{text}T00:00:00Z"))
        self._times: _Memo[int | None] = _Memo(self._time)
        self._dates: _Memo[int] = _Memo(parse_http_date)
        self._attributes: _Memo[FileAttributes] = _Memo(parse_attributes)
        #: Equal keys become one string, thousands of entries share them.
        self._keys: _Memo[str] = _Memo(str)

    def _time(self, text: str) -> int | None:
        """Read a time; the usual form, 7 digits, without a regular expression."""
        if len(text) != 28 or text[10] != "T" or text[19] != "." or text[27] != "Z":
            return parse_time(text) if text else None
        seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
        return self._days[text[:10]] + seconds * 1_000_000_000 + int(text[20:27]) * 100

    def read(self, element: ET.Element) -> DirectoryEntry:
        """Make one entry. Raises ValueError."""
        name: str | None = None
        texts: dict[str, str] = {}
        for child in element:
            tag = child.tag
            if tag == "Name":
                name = _text_of_name(child)
            elif tag == "Properties":
                for item in child:
                    if item.text:
                        texts[item.tag] = item.text
            elif child.text:
                texts[tag] = child.text
        if name is None:
            raise ValueError("an entry has no name")
        get = texts.get
        times = self._times
        file_id, modified, attributes = get("FileId"), get("Last-Modified"), get("Attributes")
        key = get("PermissionKey")
        return DirectoryEntry(
            name,
            element.tag == "Directory",
            None if file_id is None else int(file_id),
            int(get("Content-Length", "0")),
            get("Etag"),
            times[get("CreationTime", "")],
            times[get("LastAccessTime", "")],
            times[get("LastWriteTime", "")],
            times[get("ChangeTime", "")],
            None if modified is None else self._dates[modified],
            None if attributes is None else self._attributes[attributes],
            None if key is None else self._keys[key],
        )


def parse_directory_page(body: bytes) -> DirectoryPage:
    """Read List Directories and Files. Raises InvalidResponse."""
    what = "ListDirectoriesAndFiles"
    root = _parse(body, what)
    entries = root.find("Entries")
    if root.tag != "EnumerationResults" or entries is None:
        raise InvalidResponse(f"{what}: not a listing but <{root.tag}>")
    reader = _EntryReader()
    directory_id = root.findtext("DirectoryId")
    try:
        return DirectoryPage(
            entries=[
                reader.read(element) for element in entries if element.tag in ("File", "Directory")
            ],
            next_marker=root.findtext("NextMarker") or None,
            directory_id=int(directory_id) if directory_id else None,
        )
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None


def parse_share_page(body: bytes) -> SharePage:
    """Read List Shares. Raises InvalidResponse."""
    what = "ListShares"
    root = _parse(body, what)
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
    root = _parse(body, what)
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
    root = _parse(body, what)
    text, unit = root.findtext("ShareUsageBytes"), 1
    if text is None:
        text, unit = root.findtext("ShareUsage"), _GIB
    if text is None or not text.isdecimal():
        raise InvalidResponse(f"{what}: no usage in <{root.tag}>")
    return int(text) * unit
