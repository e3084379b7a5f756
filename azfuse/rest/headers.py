"""Headers of requests made from settings, and values made from headers of answers."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, Literal

from azfuse.rest.errors import InvalidResponse, UnsupportedByVersion
from azfuse.rest.exchange import Exchange
from azfuse.rest.models import (
    ContentSettings,
    CopyProperties,
    DirectoryProperties,
    FileProperties,
    Lease,
    LeaseProperties,
    NfsProperties,
    NfsSettings,
    SmbProperties,
    SmbSettings,
    TimeSetting,
    Written,
)
from azfuse.rest.wire import (
    METADATA_PREFIX,
    FileAttributes,
    format_attributes,
    format_time,
    parse_attributes,
    parse_http_date,
    parse_time,
)

#: First versions of what depends on the version (reference, 1.2).
SMB_SINCE: Final = "2019-02-02"
SMB_OPTIONAL_SINCE: Final = "2021-06-08"
CHANGE_TIME_SINCE: Final = "2021-06-08"
TRAILING_DOT_SINCE: Final = "2022-11-02"
BINARY_PERMISSION_SINCE: Final = "2024-11-04"
NFS_SINCE: Final = "2025-05-05"

#: What a request does with SMB properties; decides what old versions want as defaults.
Purpose = Literal["create", "set", "rename"]

_METADATA_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)
_CREATE_DEFAULTS: Final = {
    "x-ms-file-permission": "inherit",
    "x-ms-file-attributes": "None",
    "x-ms-file-creation-time": "now",
    "x-ms-file-last-write-time": "now",
}
_CONTENT_HEADERS: Final = {
    "content_type": "x-ms-content-type",
    "content_encoding": "x-ms-content-encoding",
    "content_language": "x-ms-content-language",
    "content_disposition": "x-ms-content-disposition",
    "cache_control": "x-ms-cache-control",
}


def require(version: str, since: str, what: str) -> None:
    """Raise UnsupportedByVersion where *version* is older than *since*."""
    if version < since:
        raise UnsupportedByVersion(f"{what} needs service version {since}, {version} is in use")


def check_value(value: str, what: str) -> str:
    """Return *value*; raise ValueError where no header can hold it."""
    if _HEADER_VALUE.fullmatch(value) is None:
        raise ValueError(f"{what} holds characters that a header cannot: {value!r}")
    return value


def metadata_headers(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata as headers. Raises ValueError for names or values the service refuses."""
    headers: dict[str, str] = {}
    for name, value in (metadata or {}).items():
        if _METADATA_NAME.fullmatch(name) is None:
            raise ValueError(f"not a metadata name (letters, digits, _): {name!r}")
        key = METADATA_PREFIX + name
        if key.lower() in map(str.lower, headers):
            raise ValueError(f"metadata name {name!r} is there twice (case does not count)")
        headers[key] = check_value(value, f"metadata {name}")
    return headers


def content_headers(content: ContentSettings | None) -> dict[str, str]:
    """Return the headers of *content*; those left None are left out, and so cleared."""
    if content is None:
        return {}
    headers = {
        header: check_value(value, header)
        for name, header in _CONTENT_HEADERS.items()
        if (value := getattr(content, name)) is not None
    }
    if content.content_md5 is not None:
        headers["x-ms-content-md5"] = format_digest(content.content_md5)
    return headers


def format_digest(digest: bytes) -> str:
    """Write an MD5 or a CRC-64 as its headers have it."""
    return base64.b64encode(digest).decode("ascii")


def md5_header(digest: bytes | None) -> dict[str, str]:
    """Return `Content-MD5` of a request body where the caller has one."""
    return {} if digest is None else {"content-md5": format_digest(digest)}


def _time_text(setting: TimeSetting) -> str:
    return format_time(setting) if isinstance(setting, int) else setting


def smb_headers(
    smb: SmbSettings | None, version: str, purpose: Purpose, *, nfs: bool = False
) -> dict[str, str]:
    """Return the headers of *smb*, with the defaults that 2019-02-02 to 2021-04-10 insist on.

    Raises UnsupportedByVersion for settings the version has no header for, and
    ValueError for a permission with a permission key.
    """
    headers = _given_smb_headers(smb, version) if smb is not None else {}
    if purpose == "rename" or nfs or not SMB_SINCE <= version < SMB_OPTIONAL_SINCE:
        return headers
    for name, value in _CREATE_DEFAULTS.items():
        if name == "x-ms-file-permission" and "x-ms-file-permission-key" in headers:
            continue
        headers.setdefault(name, value if purpose == "create" else "preserve")
    return headers


def _given_smb_headers(smb: SmbSettings, version: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    if smb.attributes is not None:
        given = smb.attributes
        headers["x-ms-file-attributes"] = (
            format_attributes(given) if isinstance(given, FileAttributes) else given
        )
    if smb.creation_time is not None:
        headers["x-ms-file-creation-time"] = _time_text(smb.creation_time)
    if smb.last_write_time is not None:
        headers["x-ms-file-last-write-time"] = _time_text(smb.last_write_time)
    if smb.change_time is not None:
        require(version, CHANGE_TIME_SINCE, "setting the change time")
        headers["x-ms-file-change-time"] = _time_text(smb.change_time)
    if smb.permission is not None:
        if smb.permission_key is not None:
            raise ValueError("a permission and a permission key exclude each other")
        headers["x-ms-file-permission"] = check_value(smb.permission, "permission")
    if smb.permission_key is not None:
        headers["x-ms-file-permission-key"] = check_value(smb.permission_key, "permission key")
    if smb.permission_format is not None:
        require(version, BINARY_PERMISSION_SINCE, "a permission format")
        headers["x-ms-file-permission-format"] = smb.permission_format
    if headers:
        require(version, SMB_SINCE, "setting SMB properties")
    return headers


def nfs_headers(nfs: NfsSettings | None, version: str) -> dict[str, str]:
    """Return the headers of *nfs*. Raises UnsupportedByVersion before 2025-05-05."""
    if nfs is None:
        return {}
    require(version, NFS_SINCE, "setting NFS properties")
    headers: dict[str, str] = {}
    if nfs.mode is not None:
        headers["x-ms-mode"] = f"{nfs.mode:04o}"
    if nfs.owner is not None:
        headers["x-ms-owner"] = str(nfs.owner)
    if nfs.group is not None:
        headers["x-ms-group"] = str(nfs.group)
    return headers


def lease_header(lease_id: str | None) -> dict[str, str]:
    """Return `x-ms-lease-id` where there is a lease."""
    return {} if lease_id is None else {"x-ms-lease-id": lease_id}


def need(exchange: Exchange, name: str) -> str:
    """Return a header the answer must have. Raises InvalidResponse."""
    try:
        return exchange.headers[name]
    except KeyError:
        raise InvalidResponse(f"{exchange.operation}: the answer has no {name} header") from None


def parse_int(exchange: Exchange, name: str) -> int | None:
    """Return a decimal header, None where there is none. Raises InvalidResponse."""
    text = exchange.headers.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise InvalidResponse(f"{exchange.operation}: {name} is {text!r}") from None


def _parse_instant(exchange: Exchange, name: str) -> int | None:
    text = exchange.headers.get(name)
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise InvalidResponse(f"{exchange.operation}: {name} is {text!r}") from None


def parse_last_modified(exchange: Exchange, name: str = "last-modified") -> int:
    """Return an RFC 1123 date that the answer must have. Raises InvalidResponse."""
    text = need(exchange, name)
    try:
        return parse_http_date(text)
    except ValueError:
        raise InvalidResponse(f"{exchange.operation}: {name} is {text!r}") from None


def _parse_digest(exchange: Exchange, name: str) -> bytes | None:
    text = exchange.headers.get(name)
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        # The stored one is whatever some client wrote; it is no reason to refuse the answer.
        return None


def _parse_flag(exchange: Exchange, name: str) -> bool | None:
    text = exchange.headers.get(name)
    return None if text is None else text.lower() == "true"


def parse_smb(exchange: Exchange) -> SmbProperties:
    """Return the SMB properties of an answer. Raises InvalidResponse."""
    text = exchange.headers.get("x-ms-file-attributes")
    try:
        attributes = None if text is None else parse_attributes(text)
    except ValueError as error:
        raise InvalidResponse(f"{exchange.operation}: {error}") from None
    return SmbProperties(
        attributes=attributes,
        creation_time=_parse_instant(exchange, "x-ms-file-creation-time"),
        last_write_time=_parse_instant(exchange, "x-ms-file-last-write-time"),
        change_time=_parse_instant(exchange, "x-ms-file-change-time"),
        permission_key=exchange.headers.get("x-ms-file-permission-key"),
        file_id=parse_int(exchange, "x-ms-file-id"),
        parent_id=parse_int(exchange, "x-ms-file-parent-id"),
    )


def parse_nfs(exchange: Exchange) -> NfsProperties:
    """Return the NFS properties of an answer. Raises InvalidResponse."""
    headers = exchange.headers
    mode = headers.get("x-ms-mode")
    try:
        return NfsProperties(
            mode=None if mode is None else int(mode, 8),
            owner=parse_int(exchange, "x-ms-owner"),
            group=parse_int(exchange, "x-ms-group"),
            file_type=headers.get("x-ms-file-file-type"),
            link_count=parse_int(exchange, "x-ms-link-count"),
        )
    except ValueError:
        raise InvalidResponse(f"{exchange.operation}: x-ms-mode is {mode!r}") from None


def parse_written(exchange: Exchange) -> Written:
    """Return the answer of an operation that writes. Raises InvalidResponse."""
    return Written(
        etag=need(exchange, "etag"),
        last_modified=parse_last_modified(exchange),
        smb=parse_smb(exchange),
        nfs=parse_nfs(exchange),
        request_server_encrypted=_parse_flag(exchange, "x-ms-request-server-encrypted"),
        content_md5=_parse_digest(exchange, "content-md5"),
        content_crc64=_parse_digest(exchange, "x-ms-content-crc64"),
    )


def written_of(properties: FileProperties | DirectoryProperties) -> Written:
    """Return what a write whose answer was lost would have answered."""
    return Written(
        etag=properties.etag,
        last_modified=properties.last_modified,
        smb=properties.smb,
        nfs=properties.nfs,
    )


def parse_lease_properties(exchange: Exchange) -> LeaseProperties:
    """Return the lease headers of a GET or HEAD."""
    headers = exchange.headers
    return LeaseProperties(
        state=headers.get("x-ms-lease-state"),
        status=headers.get("x-ms-lease-status"),
        duration=headers.get("x-ms-lease-duration"),
    )


def parse_lease(exchange: Exchange) -> Lease:
    """Return the answer of a lease action. Raises InvalidResponse."""
    return Lease(
        etag=need(exchange, "etag"),
        last_modified=parse_last_modified(exchange),
        lease_id=exchange.headers.get("x-ms-lease-id"),
        break_time=parse_int(exchange, "x-ms-lease-time"),
    )


def _parse_copy(exchange: Exchange) -> CopyProperties:
    headers = exchange.headers
    copy_id = headers.get("x-ms-copy-id")
    if copy_id is None:
        return _NO_COPY
    completed = "x-ms-copy-completion-time"
    return CopyProperties(
        copy_id=copy_id,
        source=headers.get("x-ms-copy-source"),
        status=headers.get("x-ms-copy-status"),
        progress=headers.get("x-ms-copy-progress"),
        completion_time=parse_last_modified(exchange, completed) if completed in headers else None,
        status_description=headers.get("x-ms-copy-status-description"),
    )


_NO_COPY: Final = CopyProperties()


def parse_content_range(exchange: Exchange) -> tuple[int, int] | None:
    """Return first byte (0 for `*`) and total size of Content-Range, None where there is none."""
    text = exchange.headers.get("content-range")
    if text is None:
        return None
    span, slash, total = text.removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    if not slash or not total.isdecimal() or not (first == "*" or first.isdecimal()):
        raise InvalidResponse(f"{exchange.operation}: Content-Range is {text!r}")
    return (0 if first == "*" else int(first)), int(total)


def parse_file_properties(exchange: Exchange) -> FileProperties:
    """Return what GET or HEAD of a file says of it. Raises InvalidResponse."""
    headers = exchange.headers
    span = parse_content_range(exchange)
    if span is not None:
        size = span[1]
        stored_md5, range_md5 = "x-ms-content-md5", _parse_digest(exchange, "content-md5")
    else:
        length = exchange.content_length
        if length is None:
            raise InvalidResponse(f"{exchange.operation}: the answer has no Content-Length")
        size, stored_md5, range_md5 = length, "content-md5", None
    return FileProperties(
        etag=need(exchange, "etag"),
        last_modified=parse_last_modified(exchange),
        size=size,
        smb=parse_smb(exchange),
        nfs=parse_nfs(exchange),
        metadata=exchange.metadata,
        content=ContentSettings(
            content_type=headers.get("content-type"),
            content_encoding=headers.get("content-encoding"),
            content_language=headers.get("content-language"),
            content_disposition=headers.get("content-disposition"),
            cache_control=headers.get("cache-control"),
            content_md5=_parse_digest(exchange, stored_md5),
        ),
        lease=parse_lease_properties(exchange),
        copy=_parse_copy(exchange),
        server_encrypted=_parse_flag(exchange, "x-ms-server-encrypted"),
        range_md5=range_md5,
    )


def parse_directory_properties(exchange: Exchange) -> DirectoryProperties:
    """Return Get Directory Properties. Raises InvalidResponse."""
    return DirectoryProperties(
        etag=need(exchange, "etag"),
        last_modified=parse_last_modified(exchange),
        smb=parse_smb(exchange),
        nfs=parse_nfs(exchange),
        metadata=exchange.metadata,
        server_encrypted=_parse_flag(exchange, "x-ms-server-encrypted"),
    )
