"""Names of shares, directories and files: what is allowed, and when two are the same.

Names of SMB shares are case-insensitive and keep the case they were made with. Two names are the
same when their folded forms are: every character of the Basic Multilingual Plane whose upper case
is a single character is replaced by it, as the upcase table of NTFS does. Nothing else is folded:
no normalisation, no `ss` for sharp s. Folded names also give the order of listings. On NFS shares
a name is folded to itself.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from azfuse.emulator.errors import Refusal
from azfuse.rest.errors import ErrorCode
from azfuse.rest.wire import MAX_COMPONENT, MAX_DEPTH, MAX_PATH

_SHARE: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*", re.ASCII)
_FORBIDDEN: Final = re.compile('["\\\\/:|<>*?\x00-\x1f\x7f\x81\ud800-\udfff]')
_FORBIDDEN_ON_NFS: Final = re.compile("[/\x00\ud800-\udfff]")
_DEVICES: Final = frozenset(
    {"PRN", "AUX", "NUL", "CON", "CLOCK$"}
    | {f"{port}{digit}" for port in ("LPT", "COM") for digit in range(1, 10)}
)


def fold(name: str) -> str:
    """Return the form under which *name* is looked up and sorted on an SMB share."""
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := c.upper()) == 1 and c <= "\uffff" else c for c in name)


def check_share_name(name: str) -> None:
    """Refuse a name that no share may have."""
    if not 3 <= len(name) <= 63:
        raise Refusal(
            ErrorCode.OUT_OF_RANGE_INPUT,
            message="The specified resource name length is not within the permissible limits.",
        )
    if _SHARE.fullmatch(name) is None:
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)


def split_path(raw: str) -> list[str]:
    """Decode a percent-encoded path into its components; `%2F` separates like `/`."""
    if not raw.isascii():
        # A URL in a header may have been sent as plain UTF-8; headers are read as Latin-1.
        raw = raw.encode("latin-1").decode(errors="surrogateescape")
    if "%" in raw:
        # What is no UTF-8 becomes lone surrogates, which the checks of names refuse.
        raw = unquote_to_bytes(raw).decode(errors="surrogateescape")
    return [part for part in raw.split("/") if part]


def clean_path(parts: Sequence[str], *, keep_dots: bool, nfs: bool) -> tuple[str, ...]:
    """Check the components below a share and strip trailing dots unless they are to be kept."""
    if not parts:
        return ()
    cleaned = tuple(_clean_component(part, keep_dots=keep_dots or nfs, nfs=nfs) for part in parts)
    if len(cleaned) > MAX_DEPTH + 1 or sum(map(len, cleaned)) + len(cleaned) > MAX_PATH:
        raise Refusal(ErrorCode.INVALID_FILE_OR_DIRECTORY_PATH_NAME)
    return cleaned


def _clean_component(name: str, *, keep_dots: bool, nfs: bool) -> str:
    if not keep_dots:
        name = name.rstrip(".")
    if name in ("", ".", ".."):
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    if (_FORBIDDEN_ON_NFS if nfs else _FORBIDDEN).search(name) or (
        not nfs and name.upper() in _DEVICES
    ):
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    if len(name) > MAX_COMPONENT or len(name.encode("utf-16-le")) > 2 * MAX_COMPONENT:
        raise Refusal(ErrorCode.INVALID_FILE_OR_DIRECTORY_PATH_NAME)
    return name
