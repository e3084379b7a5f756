"""Ranges of files: Get File, Put Range, List Ranges."""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

from azfuse.emulator import allocation, clock, entries, files
from azfuse.emulator.errors import FILE_GENERATION_MISMATCH, Refusal, bad_header
from azfuse.emulator.file import (
    all_headers,
    compare_md5,
    refuse_read_only,
    refuse_structured_body,
)
from azfuse.emulator.leases import check_file, lease_id
from azfuse.emulator.listing import decode_marker, encode_marker
from azfuse.emulator.properties import Headers, check_md5_header, encrypted, identity
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.rows import Node, Place
from azfuse.emulator.service import Service
from azfuse.emulator.work import begin_md5, compute, finish_md5, md5_of, off_loop
from azfuse.emulator.xml import document, element
from azfuse.rest.errors import ErrorCode
from azfuse.rest.wire import MAX_RANGE_BYTES

#: From this version on a range write moves the last-write time, and may be told not to.
WRITE_TIME_SINCE: Final = "2021-06-08"
#: From this version on changes since a snapshot can be listed.
DIFF_SINCE: Final = "2020-02-10"
#: From this version on that may be asked of renamed files.
RENAMES_SINCE: Final = "2024-05-04"
#: From this version on List Ranges answers in pages.
PAGES_SINCE: Final = "2026-10-06"
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)
#: Bytes read and sent at a time.
_CHUNK: Final = 1024 * 1024


def requested_range(request: Request) -> tuple[int, int | None] | None:
    """Return first and last byte of `x-ms-range` or `Range`; None for none or a malformed one."""
    text = request.headers.get("x-ms-range") or request.headers.get("range", "")
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2]) if match[2] else None
    return None if last is not None and last < first else (first, last)


async def get_file(service: Service, request: Request) -> Response:
    """Get File: 206 with the part a valid range asks for, else 200 with all of it."""
    refuse_structured_body(request)
    given = lease_id(request.headers, "x-ms-lease-id")
    asked = requested_range(request)
    place, node = service.file(request)
    check_file(node, given, writing=False)
    headers = all_headers(request, place, node, partial=asked is not None)
    headers.append(("Accept-Ranges", "bytes"))
    if asked is None:
        _refuse_range_md5(request)
        return Response(200, headers, _bytes_of(service, node, 0, node.size), length=node.size)
    first, last = asked
    if first >= node.size:
        raise Refusal(ErrorCode.INVALID_RANGE, headers=[("Content-Range", f"bytes */{node.size}")])
    past = node.size if last is None else min(last + 1, node.size)
    headers.append(("Content-Range", f"bytes {first}-{past - 1}/{node.size}"))
    wants_md5 = request.headers.get("x-ms-range-get-content-md5", "").lower() == "true"
    if past - first > MAX_RANGE_BYTES:
        if wants_md5:
            _refuse_range_md5(request)
        return Response(206, headers, _bytes_of(service, node, first, past), length=past - first)
    extents = files.extents_of(service.store, node, first, past)
    if wants_md5 or past - first <= _CHUNK:
        data = await compute(past - first, files.read, service.store, extents, first, past)
        if wants_md5:
            headers.append(("Content-MD5", await md5_of(data)))
        return Response(206, headers, data, length=past - first)
    return Response(206, headers, _bytes_of(service, node, first, past), length=past - first)


def _refuse_range_md5(request: Request) -> None:
    name = "x-ms-range-get-content-md5"
    if request.headers.get(name, "").lower() == "true":
        raise bad_header(name, request.headers[name])


async def _bytes_of(service: Service, node: Node, first: int, past: int) -> AsyncIterator[bytes]:
    # The extents are those of the moment of the request: what is written meanwhile in place may
    # show, what replaces the file does not.
    extents = files.extents_of(service.store, node, first, past)
    at = first
    while at < past:
        stop = min(at + _CHUNK, past)
        here = [e for e in extents if e[0] < stop and e[1] > at]
        yield await compute(stop - at, files.read, service.store, here, at, stop)
        at = stop


def write_range(request: Request) -> tuple[int, int]:
    """Return first and past-the-last byte of a range to write; both ends must be given."""
    name = "Range" if "range" in request.headers else "x-ms-range"
    name = "x-ms-range" if "x-ms-range" in request.headers else name
    text = request.required(name.lower() if name == "Range" else name)
    found = requested_range(request)
    if found is None or found[1] is None:
        raise bad_header(name, text)
    return found[0], found[1] + 1


def write_times(request: Request, node: Node) -> dict[str, Any]:
    """Return the columns a range write changes: the ETag always, the times by version and wish."""
    moment = clock.now(node.modified)
    columns: dict[str, Any] = {"modified": moment}
    if request.version < WRITE_TIME_SINCE:
        return columns
    columns["changed"] = moment
    wish = request.headers.get("x-ms-file-last-write-time", "now").lower()
    if wish not in ("now", "preserve"):
        raise bad_header("x-ms-file-last-write-time", wish)
    if wish == "now":
        columns["written"] = moment
    return columns


def written_headers(request: Request, node: Node) -> Headers:
    """Return the headers that answer a range write."""
    headers = identity(node)
    if request.version >= WRITE_TIME_SINCE:
        headers.append(("x-ms-file-last-write-time", clock.iso(node.written)))
    return headers


def file_to_write(service: Service, request: Request, past: int) -> tuple[Place, Node]:
    """Return the file that a range write names, once lease, attribute and size allow it."""
    given = lease_id(request.headers, "x-ms-lease-id")
    place, node = service.file(request)
    check_writable(node, given, past)
    return place, node


def check_writable(node: Node, given: str | None, past: int) -> None:
    """Refuse a write that lease, ReadOnly attribute or size do not allow."""
    check_file(node, given, writing=True)
    refuse_read_only(node)
    if past > node.size:
        raise Refusal(ErrorCode.INVALID_RANGE)


async def put_range(service: Service, request: Request) -> Response:
    """Put Range, update: write the body to a range within the file."""
    refuse_structured_body(request)
    how = request.required("x-ms-write")
    if how.lower() != "update":
        raise bad_header("x-ms-write", how)
    first, past = write_range(request)
    if "content-length" not in request.headers:
        raise Refusal(ErrorCode.MISSING_CONTENT_LENGTH_HEADER)
    if past - first > MAX_RANGE_BYTES:
        raise Refusal(ErrorCode.REQUEST_BODY_TOO_LARGE, ("MaxLimit", str(MAX_RANGE_BYTES)))
    if request.content_length != past - first:
        raise bad_header("Content-Length", str(request.content_length))
    check_md5_header(request)
    file_to_write(service, request, past)
    body = await request.body(MAX_RANGE_BYTES)
    if "content-md5" in request.headers:
        # Nothing may be written that is not what was sent.
        compare_md5(request, await md5_of(body))
    pending = begin_md5(body) if service.settings.answer_md5 else None
    node = await write_bytes(service, request, first, body)
    headers = [*written_headers(request, node), *encrypted(request, writing=True)]
    if pending is not None:
        headers.append(("Content-MD5", await finish_md5(pending)))
    return Response(201, headers)


async def write_bytes(
    service: Service, request: Request, first: int, body: bytes | bytearray
) -> Node:
    """Write *body* into the file of *request* and return the file as it is then."""
    store = service.store
    past = first + len(body)
    place, node = file_to_write(service, request, past)
    given = lease_id(request.headers, "x-ms-lease-id")
    while True:
        node, target = files.prepare(store, place.share, node)
        # Before the bytes go where the old ones are: a refused write changes nothing.
        files.check_quota(store, place.share, target, first, past)
        if await off_loop(len(body), store.blobs.write, target.blob, first, body):
            place.share = service.reload_share(place.share)
            node = service.reload(node)
            check_writable(node, given, past)
            if not files.still_holds(store, place.share, node, target):
                continue
        with store.transaction():
            files.commit(store, place.share, target, first, past)
            return entries.change(store, place.share, node, write_times(request, node))


async def clear_range(service: Service, request: Request) -> Response:
    """Put Range, clear: make a range within the file a hole."""
    first, past = write_range(request)
    if request.content_length:
        raise bad_header("Content-Length", str(request.content_length))
    if "content-md5" in request.headers:
        raise bad_header("Content-MD5", request.headers["content-md5"])
    place, node = file_to_write(service, request, past)
    store, share = service.store, place.share
    if past == node.size:
        # The page that holds the end of the file is a whole one.
        past = -(-past // 512) * 512
    with store.transaction():
        node, target = files.prepare(store, share, node)
        files.clear(store, share, target, first, past)
        node = entries.change(store, share, node, write_times(request, node))
    head, tail = -(-first // 512) * 512, past // 512 * 512
    if head < tail:
        store.blobs.punch(target.blob, head, tail - head)
    return Response(201, written_headers(request, node))


async def list_ranges(service: Service, request: Request) -> Response:
    """List Ranges: what was written and not cleared, or what changed since a snapshot."""
    given = lease_id(request.headers, "x-ms-lease-id")
    asked = requested_range(request)
    place, node = service.file(request)
    check_file(node, given, writing=False)
    extents = files.extents_of(service.store, node, 0, node.size)
    written, cleared = allocation.pages(extents, node.size), list[tuple[int, int]]()
    if "prevsharesnapshot" in request.query and request.version >= DIFF_SINCE:
        before = _extents_before(service, request, place, node)
        written, cleared = allocation.changes(before, extents, node.size)
    first, last = asked or (0, None)
    last = node.size - 1 if last is None else last
    found = [
        (max(start, first), min(end, last), tag)
        for start, end, tag in sorted(
            [(*r, "Range") for r in written] + [(*r, "ClearRange") for r in cleared]
        )
        if end >= first and start <= last
    ]
    body = document(_ranges(request, found))
    return xml_response(body, [*identity(node), ("x-ms-content-length", str(node.size))])


def _ranges(request: Request, found: list[tuple[int, int, str]]) -> str:
    """Return the XML of one page; older versions know no pages."""
    following = ""
    if request.version >= PAGES_SINCE:
        limit, marker = request.limit(), request.query.get("marker", "")
        begin = decode_marker(marker) if marker else "0"
        if not begin.isdigit():
            raise Refusal(ErrorCode.INVALID_CONTINUATION_TOKEN)
        found = [entry for entry in found if entry[0] >= int(begin)]
        following = encode_marker(str(found[limit][0])) if len(found) > limit else ""
        found = found[:limit]
    content = "".join(
        f"<{tag}><Start>{start}</Start><End>{end}</End></{tag}>" for start, end, tag in found
    )
    if request.version >= PAGES_SINCE:
        content += element("NextMarker", following)
    return f"<Ranges>{content}</Ranges>" if content else "<Ranges />"


def _extents_before(
    service: Service, request: Request, place: Place, node: Node
) -> list[allocation.Extent]:
    """Return the extents that the file had in `prevsharesnapshot`, none if it was not there."""
    snapshot = service.snapshot(request, place.share, "prevsharesnapshot")
    old = entries.node_at(service.store, node.id, snapshot)
    path = request.path(nfs=place.share.is_nfs)
    try:
        there = entries.find(service.store, place.share, path, snapshot).node
    except Refusal:
        there = None
    if there is not None and there.id != node.id:
        raise Refusal(FILE_GENERATION_MISMATCH)
    renamed = request.version >= RENAMES_SINCE and request.flag("x-ms-file-support-rename")
    if old is not None and there is None and not renamed:
        raise Refusal(FILE_GENERATION_MISMATCH)
    return files.extents_of(service.store, old, 0, old.size) if old else []
