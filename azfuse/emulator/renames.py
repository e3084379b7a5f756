"""Rename File and Rename Directory: one change of one name, whatever is below it."""

import json
from typing import Any
from urllib.parse import urlsplit

from azfuse.emulator import entries, files
from azfuse.emulator.errors import Refusal, bad_header
from azfuse.emulator.file import refuse_read_only
from azfuse.emulator.leases import check_file, lease_id
from azfuse.emulator.names import clean_path, split_path
from azfuse.emulator.properties import (
    SMB_OPTIONAL_SINCE,
    encrypted,
    identity,
    set_columns,
    system_headers,
)
from azfuse.emulator.request import Request, Response
from azfuse.emulator.rows import Kind, Node, Place, Share
from azfuse.emulator.service import Service
from azfuse.rest.errors import ErrorCode

#: Longest source URL, in characters.
MAX_SOURCE = 2048 + 512


async def rename_file(service: Service, request: Request) -> Response:
    """Rename File, over an existing file if the request says so."""
    return _rename(service, request, Kind.FILE)


async def rename_directory(service: Service, request: Request) -> Response:
    """Rename Directory; it may replace a file, never a directory."""
    return _rename(service, request, Kind.DIRECTORY)


def _rename(service: Service, request: Request, kind: Kind) -> Response:
    replace = request.flag("x-ms-file-rename-replace-if-exists")
    source_lease = lease_id(request.headers, "x-ms-source-lease-id")
    target_lease = lease_id(request.headers, "x-ms-destination-lease-id")
    metadata = request.metadata()
    share = service.share(request)
    path = source_path(request, share)
    target = service.place(request)
    source = entries.find(service.store, share, path)
    node = source.node
    if node is None or (node.kind == Kind.DIRECTORY) != (kind == Kind.DIRECTORY):
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
    if not source.name or not target.name:
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    if node.id in target.ancestors:
        raise Refusal(ErrorCode.INVALID_INPUT, message="A directory cannot be moved into itself.")
    columns = _columns(service, request, share, node, metadata)
    if kind == Kind.FILE:
        check_file(node, source_lease, writing=True)
    replaced = _check_target(request, target, node, target_lease, replace=replace)
    blobs: list[int] = []
    with service.store.transaction():
        if replaced is not None:
            blobs, _ = files.remove_entry(service.store, target, replaced)
        entries.unlink(service.store, source)
        # The letter case of the request counts, also where only that changes.
        target.name = request.path(nfs=share.is_nfs)[-1]
        entries.link(service.store, target, node)
        node = entries.change(service.store, share, node, columns)
    for blob in blobs:
        service.store.blobs.remove(blob)
    headers = [
        *identity(node),
        *encrypted(request, writing=True),
        *system_headers(request, target, node, file_type=True),
    ]
    return Response(200, headers)


def _columns(
    service: Service,
    request: Request,
    share: Share,
    node: Node,
    metadata: list[list[str]] | None,
) -> dict[str, Any]:
    columns = set_columns(service.store, request, share, node, required=False)
    if metadata is not None:
        columns["metadata"] = json.dumps(metadata)
    content_type = request.headers.get("x-ms-content-type")
    known = request.version >= SMB_OPTIONAL_SINCE
    if content_type is not None and node.kind == Kind.FILE and known:
        stored = json.loads(node.headers) if node.headers else {}
        columns["headers"] = json.dumps({**stored, "x-ms-content-type": content_type})
    return columns


def _check_target(
    request: Request, target: Place, source: Node, given: str | None, *, replace: bool
) -> Node | None:
    """Return the file that makes way, None if the name is free or is the source's own."""
    old = target.node
    if old is not None and old.id == source.id:
        # Only the letter case changes; or both names are links to one file, and one goes.
        same_place = source.links == 1 or target.share.is_nfs is False
        return None if same_place else old
    if old is None:
        check_file(None, given, writing=True)
        return None
    if not replace or old.kind == Kind.DIRECTORY:
        raise Refusal(ErrorCode.RESOURCE_ALREADY_EXISTS)
    check_file(old, given, writing=True)
    if not request.flag("x-ms-file-rename-ignore-readonly"):
        refuse_read_only(old)
    return old


def source_path(request: Request, share: Share) -> tuple[str, ...]:
    """Return the path below the share that `x-ms-file-rename-source` names.

    A full URL, host style or path style like the request, on the same share.
    """
    name = "x-ms-file-rename-source"
    text = request.required(name)
    if len(text) > MAX_SOURCE:
        raise bad_header(name, text)
    parts = split_path(urlsplit(text).path)
    if request.path_style:
        parts = parts[1:] if parts[:1] == [request.account] else []
    if not parts or parts[0] != share.name:
        raise bad_header(name, text)
    keep = request.flag("x-ms-source-allow-trailing-dot")
    return clean_path(parts[1:], keep_dots=keep, nfs=share.is_nfs)
