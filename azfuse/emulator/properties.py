"""Headers of directories and files: reading what is to be set, writing what is."""

import base64
import binascii
import json
import re
from functools import lru_cache
from typing import Any, Final

from azfuse.emulator import clock
from azfuse.emulator.errors import Refusal, bad_header, missing_header
from azfuse.emulator.leases import is_pending
from azfuse.emulator.permissions import inherited_key, key_of_request
from azfuse.emulator.request import Request
from azfuse.emulator.rows import Kind, Node, Place, Share
from azfuse.emulator.store import Store
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode
from azfuse.rest.wire import FileAttributes

Headers = list[tuple[str, str]]

#: SMB properties came with this version, and had to be sent until the next one.
SMB_SINCE: Final = "2019-02-02"
SMB_OPTIONAL_SINCE: Final = "2021-06-08"
LEASE_HEADERS_SINCE: Final = "2019-02-02"
NFS_SINCE: Final = "2025-05-05"
_ENCRYPTION_SINCE: Final = "2016-10-16"
#: From this version on an answer with a part of a file has the stored MD5 of the whole.
_WHOLE_MD5_SINCE: Final = "2016-05-31"

#: Stored content headers: the request header and the response header they come back as.
CONTENT_HEADERS: Final = {
    "x-ms-content-type": "Content-Type",
    "x-ms-content-encoding": "Content-Encoding",
    "x-ms-content-language": "Content-Language",
    "x-ms-content-disposition": "Content-Disposition",
    "x-ms-cache-control": "Cache-Control",
    "x-ms-content-md5": "Content-MD5",
}
#: Response headers that a service SAS may set.
_SAS_HEADERS: Final = {
    "rscc": "Cache-Control",
    "rscd": "Content-Disposition",
    "rsce": "Content-Encoding",
    "rscl": "Content-Language",
    "rsct": "Content-Type",
}
KIND_NAMES: Final = {
    Kind.DIRECTORY: "Directory", Kind.FILE: "Regular", Kind.SYMLINK: "SymLink",
}  # fmt: skip
_MODE: Final = re.compile(r"0?[0-7]{3,4}", re.ASCII)
_DEFAULT_MODE: Final = {Kind.DIRECTORY: 0o755, Kind.FILE: 0o664, Kind.SYMLINK: 0o777}
_SMB_HEADERS: Final = (
    "x-ms-file-attributes", "x-ms-file-permission", "x-ms-file-permission-key",
)  # fmt: skip


def content_headers(request: Request, *, creating: bool) -> str | None:
    """Return the content headers to store, None if the stored ones are to be kept.

    At creation an ordinary Content-Type counts where `x-ms-content-type` is missing, and there is
    a default type.
    """
    sent = {name: request.headers[name] for name in CONTENT_HEADERS if name in request.headers}
    if creating and "x-ms-content-type" not in sent:
        sent["x-ms-content-type"] = request.headers.get("content-type", "application/octet-stream")
    if not sent:
        return None
    if creating and sent.get("x-ms-content-md5") == "":
        raise bad_header("x-ms-content-md5", "")  # as recorded; other nonsense is taken
    return json.dumps({name: value for name, value in sent.items() if value})


def create_columns(store: Store, request: Request, share: Share, kind: Kind) -> dict[str, Any]:
    """Return the columns of a node that is about to be made, by the headers of the request."""
    metadata = request.metadata()
    now = clock.now()
    times = _times(request, now)
    columns: dict[str, Any] = {
        "created": times.get("created", now),
        "written": times.get("written", now),
        "changed": times.get("changed", now),
        "accessed": now,
        "modified": now,
        "metadata": json.dumps(metadata) if metadata else None,
    }
    if share.is_nfs:
        _refuse_smb_headers(request)
        columns |= {"mode": _DEFAULT_MODE[kind], **_posix(request)}
        return columns
    _require_smb_headers(request)
    flags = _attributes(request, kind, creating=True)
    default = FileAttributes.DIRECTORY if kind == Kind.DIRECTORY else FileAttributes.ARCHIVE
    columns["attributes"] = int((flags or FileAttributes.NONE) | default)
    key = key_of_request(store, request, share)
    columns["permission_key"] = key or inherited_key(share, kind)
    return columns


def set_columns(
    store: Store, request: Request, share: Share, node: Node, *, required: bool = True
) -> dict[str, Any]:
    """Return the columns that Set Properties or Rename changes, by the headers of the request.

    The change time and the ETag always move. *required* insists on the SMB headers in the versions
    that had them mandatory.
    """
    moment = clock.now(node.modified)
    times = _times(request, moment)
    columns: dict[str, Any] = {"modified": moment, "changed": moment, **times}
    if share.is_nfs:
        _refuse_smb_headers(request)
        return columns | _posix(request)
    if required:
        _require_smb_headers(request)
    flags = _attributes(request, Kind(node.kind), creating=False)
    if flags is not None:
        columns["attributes"] = int(flags)
    key = key_of_request(store, request, share)
    if key:
        columns["permission_key"] = key
    elif request.headers.get("x-ms-file-permission", "").lower() == "inherit":
        columns["permission_key"] = inherited_key(share, Kind(node.kind))
    return columns


def _require_smb_headers(request: Request) -> None:
    if not SMB_SINCE <= request.version < SMB_OPTIONAL_SINCE:
        return
    # Rename came with a version of that span, but never asked for any of them.
    if request.query.get("comp") == "rename":
        return
    headers = request.headers
    if "x-ms-file-permission" not in headers and "x-ms-file-permission-key" not in headers:
        raise missing_header("x-ms-file-permission")
    for name in (
        "x-ms-file-attributes", "x-ms-file-creation-time", "x-ms-file-last-write-time",
    ):  # fmt: skip
        if name not in headers:
            raise missing_header(name)


def _refuse_smb_headers(request: Request) -> None:
    for name in _SMB_HEADERS:
        if name in request.headers:
            raise Refusal(
                ErrorCode.UNSUPPORTED_HEADER, ("HeaderName", name),
                ("HeaderValue", request.headers[name]),
            )  # fmt: skip


def _times(request: Request, now: int) -> dict[str, int]:
    times: dict[str, int] = {}
    for column, name in (
        ("created", "x-ms-file-creation-time"),
        ("written", "x-ms-file-last-write-time"),
        ("changed", "x-ms-file-change-time"),
    ):
        value = request.headers.get(name)
        since = SMB_OPTIONAL_SINCE if column == "changed" else SMB_SINCE
        if value is None or value.lower() == "preserve" or request.version < since:
            continue
        times[column] = now if value.lower() == "now" else time_of_header(name, value)
    return times


def time_of_header(name: str, value: str) -> int:
    """Read a time header; refuses with InvalidHeaderValue.

    Also refused is what 64 bits of nanoseconds cannot hold, before 1677 and after 2262.
    """
    try:
        moment = wire.parse_time(value)
    except ValueError:
        raise bad_header(name, value) from None
    if not -(2**63) <= moment < 2**63:
        raise bad_header(name, value)
    return moment


def _attributes(request: Request, kind: Kind, *, creating: bool) -> FileAttributes | None:
    name = "x-ms-file-attributes"
    value = request.headers.get(name)
    if value is None or value.lower() == "preserve" or request.version < SMB_SINCE:
        return None
    try:
        flags = wire.parse_attributes(value)
    except ValueError:
        raise bad_header(name, value.lower()) from None
    words = {word.strip().lower() for word in value.split("|")}
    if "none" in words and len(words) > 1:
        raise bad_header(name, value.lower())
    if kind == Kind.DIRECTORY:
        return flags | FileAttributes.DIRECTORY
    if flags & FileAttributes.DIRECTORY:
        raise bad_header(name, value.lower())
    return flags


def _posix(request: Request) -> dict[str, int]:
    columns: dict[str, int] = {}
    mode = request.headers.get("x-ms-mode")
    if mode is not None:
        if _MODE.fullmatch(mode) is None:
            raise bad_header("x-ms-mode", mode)
        columns["mode"] = int(mode, 8)
    for column, name in (("owner", "x-ms-owner"), ("gid", "x-ms-group")):
        value = request.headers.get(name)
        if value is not None:
            if not (value.isascii() and value.isdigit() and int(value) < 2**32):
                raise bad_header(name, value)
            columns[column] = int(value)
    return columns


def check_md5_header(request: Request) -> None:
    """Refuse a Content-MD5 that is not the base64 of 16 bytes."""
    value = request.headers.get("content-md5")
    if value is not None and not is_md5(value):
        raise Refusal(ErrorCode.INVALID_MD5)


def is_md5(text: str) -> bool:
    """Say whether *text* is the base64 of 16 bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except binascii.Error:
        return False


def identity(node: Node) -> Headers:
    """Return ETag and Last-Modified."""
    return [
        ("ETag", wire.etag_of_time(node.modified)),
        ("Last-Modified", clock.http_date(node.modified)),
    ]


@lru_cache(maxsize=512)
def attributes_text(flags: int) -> str:
    """Write attributes as the service does; there are few combinations, and many entries."""
    return wire.format_attributes(FileAttributes(flags))


def encrypted(request: Request, *, writing: bool, root: bool = False) -> Headers:
    """Return the header that says the bytes are encrypted at rest; of a *root*, they are not."""
    if request.version < _ENCRYPTION_SINCE:
        return []
    name = "x-ms-request-server-encrypted" if writing else "x-ms-server-encrypted"
    return [(name, "false" if root else "true")]


def system_headers(
    request: Request, place: Place, node: Node, *, file_type: bool = False, links: bool = False
) -> Headers:
    """Return attributes, times, ids and permission key, or their POSIX kin on NFS shares."""
    if request.version < SMB_SINCE:
        return []
    headers = [
        ("x-ms-file-change-time", clock.iso(node.changed)),
        ("x-ms-file-last-write-time", clock.iso(node.written)),
        ("x-ms-file-creation-time", clock.iso(node.created)),
        ("x-ms-file-id", node.file_id),
        ("x-ms-file-parent-id", place.parent_file_id),
    ]
    if not place.share.is_nfs:
        return [
            *headers,
            ("x-ms-file-attributes", attributes_text(node.attributes)),
            # The root of a share has none (recorded).
            *([("x-ms-file-permission-key", node.permission_key)] if node.permission_key else []),
        ]
    headers += [
        ("x-ms-mode", f"{node.mode:04o}"),
        ("x-ms-owner", str(node.owner)),
        ("x-ms-group", str(node.gid)),
    ]
    if file_type:
        headers.append(("x-ms-file-file-type", KIND_NAMES[Kind(node.kind)]))
    if links:
        headers.append(("x-ms-link-count", str(node.links)))
    return headers


def overridden(request: Request, headers: Headers) -> Headers:
    """Put the response headers that a service SAS sets in the place of the stored ones."""
    wanted = {
        name: request.query[field]
        for field, name in _SAS_HEADERS.items()
        if request.query.get(field)
    }
    return [pair for pair in headers if pair[0] not in wanted] + list(wanted.items())


def metadata_headers(metadata: str | None) -> Headers:
    """Return the metadata as headers, names in the letter case they were written in."""
    if not metadata:
        return []
    return [(wire.METADATA_PREFIX + name, value) for name, value in json.loads(metadata)]


def file_headers(request: Request, place: Place, node: Node, *, partial: bool) -> Headers:
    """Return the stored content headers, type, lease and copy headers of a file."""
    headers: Headers = []
    stored: dict[str, str] = json.loads(node.headers) if node.headers else {}
    for name, value in stored.items():
        plain = CONTENT_HEADERS[name]
        if partial and plain == "Content-MD5" and request.version < _WHOLE_MD5_SINCE:
            continue
        # On a part of the file Content-MD5 is the hash of that part.
        headers.append((name if partial and plain == "Content-MD5" else plain, value))
    headers.append(("x-ms-type", "File"))
    # A snapshot shows no leases (recorded).
    if request.version >= LEASE_HEADERS_SINCE and place.snapshot is None:
        leased = node.lease_state == 1
        headers.append(("x-ms-lease-status", "locked" if leased else "unlocked"))
        headers.append(("x-ms-lease-state", ("available", "leased", "breaking", "broken")[
            node.lease_state]))  # fmt: skip
        if leased:
            headers.append(("x-ms-lease-duration", "infinite"))
    if node.copy:
        headers += copy_headers(node.copy, clock.now())
    return headers


def copy_headers(copy: str, now: int) -> Headers:
    """Return the headers that tell of the copy a file came from, as it stands *now*."""
    stored: dict[str, Any] = json.loads(copy)
    size = stored["size"]
    status, done = stored["status"], size
    if is_pending(copy, now) or status == "aborted":
        done = 0
    elif status == "pending":
        status = "success"
    headers = [
        ("x-ms-copy-id", stored["id"]),
        ("x-ms-copy-source", stored["source"]),
        ("x-ms-copy-status", status),
        ("x-ms-copy-progress", f"{done}/{size}"),
    ]
    if status != "pending":
        ended: int = stored["until"] if status == "success" else stored["ended"]
        headers.append(("x-ms-copy-completion-time", clock.http_date(ended)))
    return headers
