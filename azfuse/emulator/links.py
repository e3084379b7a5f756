"""Symbolic and hard links, on NFS shares only."""

from urllib.parse import quote, unquote

from azfuse.emulator import clock, entries
from azfuse.emulator.errors import Refusal, bad_header
from azfuse.emulator.leases import check_file, lease_id
from azfuse.emulator.names import clean_path, split_path
from azfuse.emulator.properties import create_columns, identity, system_headers
from azfuse.emulator.request import Request, Response
from azfuse.emulator.rows import Kind, Place
from azfuse.emulator.service import Service
from azfuse.rest.errors import ErrorCode
from azfuse.rest.wire import MAX_LINK_TEXT, MAX_LINKS


def _place_for_link(service: Service, request: Request) -> Place:
    place = service.place(request)
    if not place.share.is_nfs:
        raise Refusal(
            ErrorCode.UNSUPPORTED_QUERY_PARAMETER,
            ("QueryParameterName", "restype"),
            ("QueryParameterValue", request.query["restype"]),
        )
    if not place.name:
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    if place.node is not None:
        raise Refusal(ErrorCode.RESOURCE_ALREADY_EXISTS)
    return place


async def create_symbolic_link(service: Service, request: Request) -> Response:
    """Create Symbolic Link: any text, which need not lead anywhere."""
    text = unquote(request.required("x-ms-link-text"))
    if not 1 <= len(text.encode()) <= MAX_LINK_TEXT:
        raise bad_header("x-ms-link-text", request.headers["x-ms-link-text"])
    given = lease_id(request.headers, "x-ms-lease-id")
    place = _place_for_link(service, request)
    check_file(None, given, writing=True)
    columns = create_columns(service.store, request, place.share, Kind.SYMLINK)
    columns |= {"link_text": text, "size": len(text.encode()), "mode": 0o777}
    node = entries.create(service.store, place, Kind.SYMLINK, columns)
    headers = [
        *identity(node),
        ("x-ms-request-server-encrypted", "false"),
        *system_headers(request, place, node, file_type=True),
    ]
    return Response(201, headers)


async def get_symbolic_link(service: Service, request: Request) -> Response:
    """Get Symbolic Link: its text, percent-encoded throughout."""
    _, node = service.entry(request, Kind.SYMLINK)
    text = quote(node.link_text or "", safe="")
    return Response(200, [*identity(node), ("x-ms-link-text", text)])


async def create_hard_link(service: Service, request: Request) -> Response:
    """Create Hard Link: one more name for a file of the same share."""
    kind = request.required("x-ms-type")
    if kind.lower() != "file":
        raise bad_header("x-ms-type", kind)
    wanted = request.required("x-ms-file-target-file")
    place = _place_for_link(service, request)
    share = place.share
    path = clean_path(split_path(wanted), keep_dots=True, nfs=True)
    node = entries.find(service.store, share, path).node
    if node is None:
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
    if node.kind == Kind.DIRECTORY:
        raise Refusal(ErrorCode.RESOURCE_TYPE_MISMATCH)
    if node.links >= MAX_LINKS:
        raise Refusal(ErrorCode.OUT_OF_RANGE_INPUT, message="The file has too many hard links.")
    moment = clock.now(node.modified)
    with service.store.transaction():
        entries.link(service.store, place, node)
        node = entries.change(
            service.store, share, node,
            {"links": node.links + 1, "modified": moment, "changed": moment},
        )  # fmt: skip
    headers = [
        *identity(node),
        ("x-ms-request-server-encrypted", "false"),
        *system_headers(request, place, node, file_type=True, links=True),
    ]
    return Response(201, headers)
