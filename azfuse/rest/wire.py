"""The words of the File REST API: versions, times, attributes, ETags, names of headers.

The only module of `rest` that the emulator imports. It holds vocabulary and
formats, no behaviour of either side, so that a bug in one cannot hide a bug in
the other. All instants are integers: nanoseconds since the Unix epoch, UTC.
"""

import enum
import re
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

#: Service versions known to azfuse, oldest first (reference, section 1.2).
VERSIONS: Final = (
    "2014-02-14", "2015-02-21", "2015-04-05", "2015-07-08", "2015-12-11", "2016-05-31",
    "2016-10-16", "2017-04-17", "2017-07-29", "2017-11-09", "2018-03-28", "2018-11-09",
    "2019-02-02", "2019-07-07", "2019-10-10", "2019-12-12", "2020-02-10", "2020-04-08",
    "2020-06-12", "2020-08-04", "2020-10-02", "2020-12-06", "2021-02-12", "2021-04-10",
    "2021-06-08", "2021-08-06", "2021-10-04", "2021-12-02", "2022-11-02", "2023-01-03",
    "2023-05-03", "2023-08-03", "2023-11-03", "2024-02-04", "2024-05-04", "2024-08-04",
    "2024-11-04", "2025-01-05", "2025-05-05", "2025-07-05", "2025-11-05", "2026-02-06",
    "2026-04-06", "2026-06-06", "2026-10-06",
)  # fmt: skip
NEWEST_VERSION: Final = VERSIONS[-1]

#: Largest body of Put Range, of Create File with a body, and of a ranged GET with MD5, in bytes.
MAX_RANGE_BYTES: Final = 4 * 1024 * 1024
#: Largest file, in bytes (4 TiB).
MAX_FILE_BYTES: Final = 4 * 1024**4
#: Entries in one page of a listing: the default and the cap.
MAX_PAGE_ENTRIES: Final = 5000
#: Longest name of one path component, in UTF-16 code units, and longest path, in characters.
MAX_COMPONENT: Final = 255
MAX_PATH: Final = 2048
#: Directories that may lie above an entry.
MAX_DEPTH: Final = 250
#: On NFS shares: most names of one file, longest text of a symbolic link in bytes.
MAX_LINKS: Final = 178
MAX_LINK_TEXT: Final = 2048
#: The service refuses a signature whose date is further from its own clock, in nanoseconds.
MAX_CLOCK_SKEW: Final = 15 * 60 * 1_000_000_000

#: The account and key every Azure storage emulator uses; public by design.
DEVELOPMENT_ACCOUNT: Final = "devstoreaccount1"
DEVELOPMENT_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
#: The port on which `azfuse emulator` listens unless told otherwise.
DEVELOPMENT_PORT: Final = 10004

METADATA_PREFIX: Final = "x-ms-meta-"
UTF8_BOM: Final = b"\xef\xbb\xbf"

_NS_PER_TICK: Final = 100
#: Ticks of 100 ns between 0001-01-01 (the epoch of ETags) and 1970-01-01.
_UNIX_EPOCH_TICKS: Final = 621_355_968_000_000_000
_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?Z", re.ASCII
)  # fmt: skip
_ETAG = re.compile(r'"?0x([0-9A-Fa-f]+)"?', re.ASCII)


class FileAttributes(enum.IntFlag):
    """`x-ms-file-attributes`. Members are in the order in which the service writes them."""

    NONE = 0
    READ_ONLY = 1
    HIDDEN = 2
    SYSTEM = 4
    DIRECTORY = 8
    ARCHIVE = 16
    TEMPORARY = 32
    OFFLINE = 64
    NOT_CONTENT_INDEXED = 128
    NO_SCRUB_DATA = 256


_ATTRIBUTE_NAMES: Final = {
    FileAttributes.READ_ONLY: "ReadOnly",
    FileAttributes.HIDDEN: "Hidden",
    FileAttributes.SYSTEM: "System",
    FileAttributes.DIRECTORY: "Directory",
    FileAttributes.ARCHIVE: "Archive",
    FileAttributes.TEMPORARY: "Temporary",
    FileAttributes.OFFLINE: "Offline",
    FileAttributes.NOT_CONTENT_INDEXED: "NotContentIndexed",
    FileAttributes.NO_SCRUB_DATA: "NoScrubData",
}
_ATTRIBUTES_BY_NAME: Final = {
    "none": FileAttributes.NONE,
    **{name.lower(): flag for flag, name in _ATTRIBUTE_NAMES.items()},
}


def parse_attributes(text: str) -> FileAttributes:
    """Read `ReadOnly | Archive` in any letter case, with or without blanks.

    Raises ValueError for a word that is no attribute.
    """
    flags = FileAttributes.NONE
    for word in text.split("|"):
        try:
            flags |= _ATTRIBUTES_BY_NAME[word.strip().lower()]
        except KeyError:
            raise ValueError(f"unknown file attribute {word.strip()!r}") from None
    return flags


def format_attributes(flags: FileAttributes) -> str:
    """Write attributes as the service does: fixed order, space bar space, `None` if empty."""
    return " | ".join(name for flag, name in _ATTRIBUTE_NAMES.items() if flag & flags) or "None"


def parse_time(text: str) -> int:
    """Read `2022-10-05T22:14:46.5458024Z` (up to 7 fractional digits) as Unix nanoseconds.

    Raises ValueError where the text is not of that form.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 UTC time with at most 7 fractional digits: {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    ticks = int((match[7] or "").ljust(7, "0"))
    return (
        (whole.toordinal() - 719163) * 86400 + hour * 3600 + minute * 60 + second
    ) * 1_000_000_000 + ticks * _NS_PER_TICK


def format_time(unix_ns: int) -> str:
    """Write Unix nanoseconds as ISO 8601 with exactly 7 fractional digits, rounded down."""
    seconds, ns = divmod(unix_ns, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ns // _NS_PER_TICK:07d}Z"


def format_seconds(unix_ns: int) -> str:
    """Write Unix nanoseconds as `2022-10-05T22:14:46Z`, cut to the second."""
    return f"{datetime.fromtimestamp(unix_ns // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_http_date(text: str) -> int:
    """Read an RFC 1123 date as Unix nanoseconds. Raises ValueError."""
    return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000


def format_http_date(unix_ns: int) -> str:
    """Write Unix nanoseconds as an RFC 1123 date, cut to the second."""
    return formatdate(unix_ns // 1_000_000_000, usegmt=True)


def etag_of_time(unix_ns: int) -> str:
    """Write an instant as an ETag: `"0x` and its 100 ns ticks since 0001-01-01 in hex."""
    return f'"0x{unix_ns // _NS_PER_TICK + _UNIX_EPOCH_TICKS:X}"'


def time_of_etag(etag: str) -> int | None:
    """Return the instant an ETag names in Unix nanoseconds, None where it names none."""
    match = _ETAG.fullmatch(etag)
    return (int(match[1], 16) - _UNIX_EPOCH_TICKS) * _NS_PER_TICK if match else None


def format_range(offset: int, length: int) -> str:
    """Write `bytes=first-last` for *length* > 0 bytes from *offset*."""
    return f"bytes={offset}-{offset + length - 1}"
