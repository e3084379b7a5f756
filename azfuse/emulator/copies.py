"""Copy File, Abort Copy File and Put Range From URL, with sources in this emulator.

A copy shares its blobs with the source, so it takes no time. It may be kept pending for a while
(faults.py, `copy_seconds`): then it says so, can be aborted, and refuses writes to the target.
"""

import json
import uuid
from math import inf
from typing import Any, Final
from urllib.parse import urlsplit

from azfuse.emulator import clock, crc64, entries, files, sas, tokens
from azfuse.emulator.errors import CRC64_CONDITION_NOT_MET, Refusal, bad_header, bad_query
from azfuse.emulator.file import refuse_read_only
from azfuse.emulator.leases import check_file, is_pending, lease_id
from azfuse.emulator.names import clean_path, split_path
from azfuse.emulator.operations import OPERATIONS
from azfuse.emulator.properties import SMB_SINCE, create_columns, encrypted, identity
from azfuse.emulator.ranges import file_to_write, write_bytes, write_range, written_headers
from azfuse.emulator.request import Request, Response, parse_query
from azfuse.emulator.rows import Kind, Lease, Node, Share
from azfuse.emulator.service import Service
from azfuse.emulator.work import compute
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode
from azfuse.rest.wire import MAX_RANGE_BYTES, FileAttributes

_SOURCE: Final = "x-ms-copy-source"
MAX_SOURCE: Final = 2048 + 512
#: From this version on a copy takes SMB properties.
_SMB_SINCE: Final = "2019-07-07"
#: From this version on an error says how the source answered.
_DETAILS_SINCE: Final = "2025-11-05"
#: From this version on a token may speak for the source.
_TOKENS_SINCE: Final = "2020-10-02"
#: Conditions on the checksum of the source: whether it has to be equal.
_CRC_CONDITIONS: Final = {
    "x-ms-source-content-crc64": True,
    "x-ms-source-if-match-crc64": True,
    "x-ms-source-if-none-match-crc64": False,
}
_UNREADABLE: Final = ErrorCode.CANNOT_VERIFY_COPY_SOURCE


def _source_request(service: Service, request: Request) -> Request:
    """Return the request for the source that the copy-source header stands for."""
    text = request.required(_SOURCE)
    url = urlsplit(text)
    if len(text) > MAX_SOURCE or url.scheme not in ("http", "https") or not url.netloc:
        raise bad_header(_SOURCE, text)
    # A backslash in a URL separates like a slash (recorded, azure-cli).
    raw = url.path.replace("%5C", "/").replace("%5c", "/")
    parts = split_path(raw)
    label, _, rest = url.netloc.partition(".")
    path_style = not rest.startswith("file.")
    if path_style:
        label, parts = (parts[0], parts[1:]) if parts else ("", [])
    if not parts:
        raise Refusal(_UNREADABLE, status=400, message="The value for one of the HTTP headers is "
                      "not in the correct format.")  # fmt: skip
    if label not in service.keys:
        raise Refusal(_UNREADABLE)
    return Request(
        method="GET", raw_path=raw, scheme=url.scheme, client=request.client, host=url.netloc,
        account=label, share=parts[0], parts=parts[1:], path_style=path_style,
        query=parse_query(url.query), headers={}, header_list=[], written_names={},
        receive=request.receive, version=request.version,
    )  # fmt: skip


def _authorize_source(service: Service, request: Request, source: Request, *, lent: bool) -> None:
    """Check that the source may be read: by its own SAS or token, or the key of the request."""
    if "sig" in source.query:
        try:
            sas.verify(source, OPERATIONS["GetFile"], service.keys, service.store, service.now())
        except Refusal as refusal:
            raise _unverified(request, refusal) from None
        return
    token = request.headers.get("x-ms-copy-source-authorization")
    if token is not None and request.version >= _TOKENS_SINCE:
        source.headers["authorization"] = token
        if not service.settings.accept_tokens or not token.lower().startswith("bearer "):
            raise _unverified(request, tokens.challenge())
        try:
            tokens.identify_bearer(source, service.now())
        except Refusal as refusal:
            raise _unverified(request, refusal) from None
        return
    # Copy File lends the authorization of the request to a source in the same account; Put Range
    # From URL never does.
    if lent and source.account == request.account and request.access.letters is None:
        return
    raise Refusal(_UNREADABLE)


def _unverified(request: Request, refusal: Refusal) -> Refusal:
    """Return the refusal of a copy whose source answered with *refusal*."""
    details = (
        ("CopySourceStatusCode", str(refusal.status)),
        ("CopySourceErrorCode", refusal.code),
        ("CopySourceErrorMessage", refusal.message),
    )
    return Refusal(
        _UNREADABLE, *(details if request.version >= _DETAILS_SINCE else ()),
        status=refusal.status, message=refusal.message,
    )  # fmt: skip


def _source_file(service: Service, request: Request, *, lent: bool) -> Node:
    source = _source_request(service, request)
    keep = request.flag("x-ms-source-allow-trailing-dot")
    _authorize_source(service, request, source, lent=lent)
    share = service.share(source)
    path = clean_path(source.parts, keep_dots=keep, nfs=share.is_nfs)
    place = entries.find(service.store, share, path, service.snapshot(source, share))
    if place.node is None or place.node.kind != Kind.FILE:
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
    return place.node


async def copy_file(service: Service, request: Request) -> Response:
    """Copy File: the target becomes what the source is, at once."""
    given = lease_id(request.headers, "x-ms-lease-id")
    metadata = request.metadata()
    target = service.place(request)
    source = _source_file(service, request, lent=True)
    old = target.node
    if old is not None and old.kind != Kind.FILE:
        raise Refusal(ErrorCode.RESOURCE_TYPE_MISMATCH)
    if not target.name:
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    check_file(old, given, writing=True)
    if old is not None and not request.flag("x-ms-file-copy-ignore-readonly"):
        refuse_read_only(old)
    columns = _copy_columns(service, request, target.share, source)
    if metadata is None:
        columns["metadata"] = source.metadata
    copy = _begun(service, request, source, target.share)
    columns["copy"] = json.dumps(copy)
    store = service.store
    blobs: list[int] = []
    with store.transaction():
        # Shared before the old content is given up: a file may be copied over itself.
        columns["content"] = files.share_content(store, source, target.share)
        if old is None:
            node = entries.create(store, target, Kind.FILE, columns)
        else:
            blobs = files.release(store, target.share, old.content)
            columns["modified"] = clock.now(old.modified)
            node = entries.change(store, target.share, old, columns)
    for blob in blobs:
        store.blobs.remove(blob)
    status = "pending" if is_pending(columns["copy"], clock.now()) else "success"
    headers = [*identity(node), ("x-ms-copy-id", copy["id"]), ("x-ms-copy-status", status)]
    return Response(202, headers)


def _begun(service: Service, request: Request, source: Node, target: Share) -> dict[str, Any]:
    """Return what a file remembers of the copy it comes from: `until` when it is pending."""
    elsewhere = service.store.share_by_id(source.share).account != target.account
    seconds = service.settings.copy_seconds if elsewhere else 0.0
    if request.pending is not None:
        seconds = request.pending
    return {
        "id": str(uuid.uuid4()),
        "source": request.headers[_SOURCE],
        "status": "pending",
        "size": source.size,
        "until": None if seconds == inf else clock.now() + int(seconds * 1_000_000_000),
    }


def _copy_columns(service: Service, request: Request, share: Share, node: Node) -> dict[str, Any]:
    """Return the columns of the target: its own by headers, or the source's where they say so."""
    # A time that is sent empty is not sent (recorded).
    headers = {n: v for n, v in request.headers.items() if v or not n.endswith("-time")}
    if request.version < _SMB_SINCE:
        headers = {n: v for n, v in headers.items() if not n.startswith("x-ms-file-")}
    taken: dict[str, Any] = {"size": node.size, "headers": node.headers}
    for name, column in (
        ("x-ms-file-attributes", "attributes"),
        ("x-ms-file-creation-time", "created"),
        ("x-ms-file-last-write-time", "written"),
        ("x-ms-file-change-time", "changed"),
    ):
        if headers.get(name, "").lower() == "source":
            del headers[name]
            taken[column] = getattr(node, column)
    if headers.get("x-ms-file-permission-copy-mode", "").lower() == "source" and not share.is_nfs:
        headers.pop("x-ms-file-permission", None)
        if node.share == share.id:
            taken["permission_key"] = node.permission_key
    for name, names in (
        ("x-ms-file-mode-copy-mode", ("mode",)),
        ("x-ms-file-owner-copy-mode", ("owner", "gid")),
    ):
        if share.is_nfs and headers.get(name, "").lower() == "source":
            taken |= {column: getattr(node, column) for column in names}
    original, request.headers = request.headers, headers
    # Copy File never had mandatory SMB headers.
    version, request.version = request.version, max(request.version, wire.NEWEST_VERSION)
    try:
        columns = create_columns(service.store, request, share, Kind.FILE)
    finally:
        request.headers, request.version = original, version
    columns |= taken
    archive = original.get("x-ms-file-copy-set-archive", "").lower()
    if archive == "true" and request.version >= SMB_SINCE:
        columns["attributes"] |= int(FileAttributes.ARCHIVE)
    return columns


async def abort_copy_file(service: Service, request: Request) -> Response:
    """Abort Copy File: a pending copy ends, and leaves an empty file."""
    copy_id = request.query.get("copyid", "")
    try:
        uuid.UUID(copy_id)
    except ValueError:
        raise bad_query("copyid", copy_id, "copyid needs to be valid Guid.") from None
    action = request.required("x-ms-copy-action")
    if action.lower() != "abort":
        raise bad_header("x-ms-copy-action", action)
    given = lease_id(request.headers, "x-ms-lease-id")
    place, node = service.file(request)
    check_file(node, given, writing=False)
    now = clock.now(node.modified)
    if not node.copy or not is_pending(node.copy, now) or json.loads(node.copy)["id"] != copy_id:
        raise Refusal(ErrorCode.NO_PENDING_COPY_OPERATION)
    if node.lease_state == Lease.LEASED and given is None:
        raise Refusal(ErrorCode.LEASE_ID_MISSING)
    copy = json.loads(node.copy) | {"status": "aborted", "ended": now}
    store = service.store
    with store.transaction():
        blobs = files.release(store, place.share, node.content)
        entries.change(
            store, place.share, node,
            {"size": 0, "content": None, "copy": json.dumps(copy), "modified": now, "changed": now},
        )  # fmt: skip
    for blob in blobs:
        store.blobs.remove(blob)
    return Response(204)


async def put_range_from_url(service: Service, request: Request) -> Response:
    """Put Range From URL: write a range with bytes of another file."""
    if request.content_length:
        raise bad_header("Content-Length", str(request.content_length))
    first, past = write_range(request)
    source_first, source_past = _source_range(request, first, past)
    if past - first > MAX_RANGE_BYTES:
        raise Refusal(ErrorCode.REQUEST_BODY_TOO_LARGE, ("MaxLimit", str(MAX_RANGE_BYTES)))
    if past - first != source_past - source_first:
        raise bad_header("x-ms-source-range", request.headers["x-ms-source-range"])
    # The range is checked against the size of the target last (recorded).
    file_to_write(service, request, 0)
    try:
        source = _source_file(service, request, lent=False)
    except Refusal as refusal:
        if refusal.status != 404 or refusal.code == _UNREADABLE:
            raise
        raise _unverified(request, refusal) from None
    if source_past > source.size:
        raise Refusal(_UNREADABLE, status=409, message="The range of the source is not within it.")
    extents = files.extents_of(service.store, source, source_first, source_past)
    length = past - first
    data = await compute(length, files.read, service.store, extents, source_first, source_past)
    checked = await _check_crc(request, data)
    node = await write_bytes(service, request, first, data)
    headers = [*written_headers(request, node), *encrypted(request, writing=True)]
    return Response(201, [*headers, ("x-ms-content-crc64", checked)])


def _source_range(request: Request, first: int, past: int) -> tuple[int, int]:
    text = request.headers.get("x-ms-source-range")
    if text is None:
        return first, past
    begin, dash, end = text.removeprefix("bytes=").partition("-")
    if not (dash and begin.isdigit() and end.isdigit() and int(begin) <= int(end)):
        raise bad_header("x-ms-source-range", text)
    return int(begin), int(end) + 1


async def _check_crc(request: Request, data: bytes) -> str:
    """Check the CRC conditions on the source and return its CRC in base64."""
    asked = {name: equal for name, equal in _CRC_CONDITIONS.items() if name in request.headers}
    computed = await compute(len(data), crc64.base64_of, data)
    for name, equal in asked.items():
        if (request.headers[name] == computed) != equal:
            raise Refusal(
                CRC64_CONDITION_NOT_MET,
                ("UserSpecifiedCrc", computed),
                ("ServerCalculatedCrc", computed),
            )
    return computed
