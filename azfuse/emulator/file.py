"""Files: one handler an operation. Ranges, copies, renames and links have modules of their own."""

import json
from typing import Any

from azfuse.emulator import clock, entries, files
from azfuse.emulator.errors import Refusal, bad_header
from azfuse.emulator.leases import act_on_file, check_file, lease_id
from azfuse.emulator.properties import (
    KIND_NAMES,
    Headers,
    check_md5_header,
    content_headers,
    create_columns,
    encrypted,
    file_headers,
    identity,
    metadata_headers,
    overridden,
    set_columns,
    system_headers,
)
from azfuse.emulator.request import Request, Response
from azfuse.emulator.rows import Kind, Node, Place
from azfuse.emulator.service import Service
from azfuse.emulator.store import Store
from azfuse.emulator.work import md5_of, off_loop, removing_if_refused
from azfuse.rest.errors import ErrorCode
from azfuse.rest.wire import MAX_FILE_BYTES, MAX_RANGE_BYTES, FileAttributes

#: From this version on Create File may carry the first bytes.
BODY_SINCE = "2026-06-06"


async def create_file(service: Service, request: Request) -> Response:
    """Create File: make a file of zeros, or replace one; a body is its first bytes."""
    size = _checked_size(request)
    given = lease_id(request.headers, "x-ms-lease-id")
    body = await _first_bytes(request, size)
    store = service.store
    md5 = compare_md5(request, await md5_of(body)) if body else ""
    place = service.place(request)
    headers = content_headers(request, creating=True)
    columns = create_columns(store, request, place.share, Kind.FILE)
    _check_replaceable(request, place, given)
    blob = store.new_blob()
    if body and await off_loop(len(body), store.blobs.write, blob, 0, body):
        # Others ran while the bytes were written: look again.
        place = service.place(request)
        _check_replaceable(request, place, given)
    columns |= {"size": size, "headers": headers}
    with removing_if_refused(store, blob):
        node, blobs = _store_file(store, place, columns, blob, len(body))
    for old in blobs:
        store.blobs.remove(old)
    answer = [
        *identity(node),
        *encrypted(request, writing=True),
        *system_headers(request, place, node, file_type=True),
    ]
    if body:
        answer.append(("Content-MD5", md5))
    return Response(201, answer)


def _store_file(
    store: Store, place: Place, columns: dict[str, Any], blob: int, written: int
) -> tuple[Node, list[int]]:
    """Make or replace the file at *place*; return it and the blobs of the replaced one."""
    share, old = place.share, place.node
    blobs: list[int] = []
    with store.transaction():
        if old is not None:
            blobs = files.release(store, share, old.content)
        content = files.new_content(store, share, blob) if columns["size"] else None
        columns = {**columns, "content": content}
        if old is None:
            node = entries.create(store, place, Kind.FILE, columns)
        else:
            # A replaced file keeps its id and its lease, nothing else.
            columns |= {"modified": clock.now(old.modified), "copy": None}
            node = entries.change(store, share, old, columns)
        if content is not None:
            files.commit(store, share, files.Target(node.id, content, blob), 0, written)
    return node, blobs


def _checked_size(request: Request) -> int:
    kind = request.required("x-ms-type")
    if kind.lower() != "file":
        raise bad_header("x-ms-type", kind)
    request.required("x-ms-content-length")
    size = request.integer("x-ms-content-length") or 0
    check_size(size)
    refuse_structured_body(request)
    check_semantics(request)
    return size


def refuse_structured_body(request: Request) -> None:
    """Refuse bodies framed with checksums, which the emulator neither reads nor writes."""
    for name in ("x-ms-structured-body", "x-ms-structured-content-length"):
        if name in request.headers:
            raise Refusal(
                ErrorCode.UNSUPPORTED_HEADER,
                ("HeaderName", name),
                ("HeaderValue", request.headers[name]),
            )


def check_semantics(request: Request) -> None:
    """Refuse an unknown way to treat the properties of what is made; older versions know none."""
    semantics = request.headers.get("x-ms-file-property-semantics", "New")
    if request.version >= BODY_SINCE and semantics.lower() not in ("new", "restore"):
        raise bad_header("x-ms-file-property-semantics", semantics)


def check_size(size: int) -> None:
    """Refuse a file size the service does not take."""
    if not 0 <= size <= MAX_FILE_BYTES:
        raise Refusal(
            ErrorCode.OUT_OF_RANGE_INPUT,
            message="The file size exceeds the maximum permissible limit.",
        )


async def _first_bytes(request: Request, size: int) -> bytearray:
    if request.content_length == 0:
        return bytearray()
    if request.version < BODY_SINCE or request.content_length > size:
        # Older versions take no body at all; newer ones none that the file would not hold.
        raise bad_header("Content-Length", str(request.content_length))
    check_md5_header(request)
    return await request.body(MAX_RANGE_BYTES)


def compare_md5(request: Request, computed: str) -> str:
    """Return the computed MD5 of a body; refuses when Content-MD5 is another."""
    given = request.headers.get("content-md5")
    if given is not None and given != computed:
        raise Refusal(
            ErrorCode.MD5_MISMATCH,
            ("UserSpecifiedMd5", given),
            ("ServerCalculatedMd5", computed),
        )
    return computed


def _check_replaceable(request: Request, place: Place, given: str | None) -> None:
    old = place.node
    if not place.name:
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    if old is not None and old.kind != Kind.FILE:
        raise Refusal(ErrorCode.RESOURCE_TYPE_MISMATCH)
    check_file(old, given, writing=True)
    if old is None:
        return
    refuse_read_only(old)
    if not request.access.allows("w"):
        raise Refusal(ErrorCode.AUTHORIZATION_PERMISSION_MISMATCH)


def refuse_read_only(node: Node) -> None:
    """Refuse to change a file with the ReadOnly attribute."""
    if node.attributes & FileAttributes.READ_ONLY:
        raise Refusal(ErrorCode.READ_ONLY_ATTRIBUTE)


async def get_file_properties(service: Service, request: Request) -> Response:
    """Get File Properties: every header of the file, or link, no body."""
    given = lease_id(request.headers, "x-ms-lease-id")
    place, node = service.file_or_link(request)
    check_file(node, given, writing=False)
    headers = [
        *all_headers(request, place, node, partial=False),
        *_file_type(place, node),
    ]
    return Response(200, headers, length=node.size)


def _file_type(place: Place, node: Node) -> Headers:
    # No version older than NFS shares over REST comes this far.
    if place.share.is_nfs:
        return [("x-ms-file-file-type", KIND_NAMES[Kind(node.kind)])]
    return []


def all_headers(request: Request, place: Place, node: Node, *, partial: bool) -> Headers:
    """Return the headers that GET and HEAD of a file have in common."""
    stored = file_headers(request, place, node, partial=partial)
    if request.access.is_service_sas:
        stored = overridden(request, stored)
    return [
        *identity(node),
        *stored,
        *encrypted(request, writing=False),
        *system_headers(request, place, node, links=True),
        *metadata_headers(node.metadata),
    ]


async def set_file_properties(service: Service, request: Request) -> Response:
    """Set File Properties: size, content headers, SMB or POSIX properties."""
    size = request.integer("x-ms-content-length")
    if size is not None:
        check_size(size)
    given = lease_id(request.headers, "x-ms-lease-id")
    headers = content_headers(request, creating=False)
    if headers is None and size is None:
        # Only a resize keeps the content headers; properties alone clear them (recorded twice).
        headers = json.dumps({})
    place, node = service.file_or_link(request)
    if size is not None and node.kind == Kind.SYMLINK:
        raise Refusal(ErrorCode.RESOURCE_TYPE_MISMATCH)
    store, share = service.store, place.share
    columns = set_columns(store, request, share, node)
    check_file(node, given, writing=True)
    if headers is not None:
        columns["headers"] = headers
    cut_blob = None
    with store.transaction():
        if size is not None and size != node.size:
            refuse_read_only(node)
            # A resize is a write: it moves the last-write time whatever was asked (recorded).
            columns |= {"size": size, "written": columns["modified"]}
            if size < node.size and node.content is not None:
                node, target = files.prepare(store, share, node)
                files.cut(store, share, target, size)
                cut_blob = target.blob
            elif node.content is None:
                columns["content"] = files.new_content(store, share)
        node = entries.change(store, share, node, columns)
    if cut_blob is not None and size is not None:
        store.blobs.cut(cut_blob, size)
    answer = [
        *identity(node),
        *encrypted(request, writing=True),
        *system_headers(request, place, node, links=True),
    ]
    return Response(200, answer)


async def get_file_metadata(service: Service, request: Request) -> Response:
    """Get File Metadata: metadata, ETag and Last-Modified."""
    given = lease_id(request.headers, "x-ms-lease-id")
    _, node = service.file(request)
    check_file(node, given, writing=False)
    return Response(200, [*identity(node), *metadata_headers(node.metadata)])


async def set_file_metadata(service: Service, request: Request) -> Response:
    """Set File Metadata: replace all of it."""
    metadata = request.metadata()
    given = lease_id(request.headers, "x-ms-lease-id")
    place, node = service.file(request)
    check_file(node, given, writing=True)
    refuse_read_only(node)
    node = store_metadata(service, place, node, metadata)
    return Response(200, [*identity(node), *encrypted(request, writing=True)])


def store_metadata(
    service: Service, place: Place, node: Node, metadata: list[list[str]] | None
) -> Node:
    """Replace the metadata of a node; its ETag and change time move."""
    moment = clock.now(node.modified)
    columns: dict[str, Any] = {
        "metadata": json.dumps(metadata) if metadata else None,
        "modified": moment,
        "changed": moment,
    }
    return entries.change(service.store, place.share, node, columns)


async def delete_file(service: Service, request: Request) -> Response:
    """Delete File: take the name away, and the file with its last name."""
    given = lease_id(request.headers, "x-ms-lease-id")
    place = service.place(request)
    node = place.node
    if node is None or node.kind == Kind.DIRECTORY:
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
    check_file(node, given, writing=True)
    refuse_read_only(node)
    store = service.store
    with store.transaction():
        blobs, left = files.remove_entry(store, place, node)
    for blob in blobs:
        store.blobs.remove(blob)
    return Response(202, [("x-ms-link-count", str(left))] if place.share.is_nfs else [])


async def lease_file(service: Service, request: Request) -> Response:
    """Lease File: acquire, change, release, break. ETag and times stay as they are."""
    place, node = service.file(request)
    outcome = act_on_file(request, node)
    entries.change(service.store, place.share, node, outcome.columns)
    return Response(outcome.status, [*identity(node), *outcome.headers], chunked=True)
