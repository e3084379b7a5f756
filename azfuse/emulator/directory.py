"""Directories: one handler an operation. Listing has a module of its own."""

from azfuse.emulator import entries
from azfuse.emulator.errors import Refusal
from azfuse.emulator.file import check_semantics, store_metadata
from azfuse.emulator.properties import (
    create_columns,
    encrypted,
    identity,
    metadata_headers,
    set_columns,
    system_headers,
)
from azfuse.emulator.request import Request, Response
from azfuse.emulator.rows import Kind
from azfuse.emulator.service import Service
from azfuse.rest.errors import ErrorCode


async def create_directory(service: Service, request: Request) -> Response:
    """Create Directory: the parent must be there, the name must be free."""
    check_semantics(request)
    place = service.place(request)
    columns = create_columns(service.store, request, place.share, Kind.DIRECTORY)
    if place.node is not None:
        raise Refusal(ErrorCode.RESOURCE_ALREADY_EXISTS)
    node = entries.create(service.store, place, Kind.DIRECTORY, columns)
    headers = [
        *identity(node),
        *encrypted(request, writing=True),
        *system_headers(request, place, node, file_type=True),
    ]
    return Response(201, headers)


async def get_directory_properties(service: Service, request: Request) -> Response:
    """Get Directory Properties, of the root too."""
    place, node = service.directory(request)
    headers = [
        *identity(node),
        *encrypted(request, writing=False, root=not place.name),
        *system_headers(request, place, node, file_type=True),
        *metadata_headers(node.metadata),
    ]
    return Response(200, headers)


async def get_directory_metadata(service: Service, request: Request) -> Response:
    """Get Directory Metadata: metadata, ETag and Last-Modified."""
    _, node = service.directory(request)
    return Response(200, [*identity(node), *metadata_headers(node.metadata)])


async def set_directory_properties(service: Service, request: Request) -> Response:
    """Set Directory Properties: SMB or POSIX properties."""
    place, node = service.directory(request)
    columns = set_columns(service.store, request, place.share, node)
    node = entries.change(service.store, place.share, node, columns)
    headers = [
        *identity(node),
        *encrypted(request, writing=True),
        *system_headers(request, place, node),
    ]
    return Response(200, headers)


async def set_directory_metadata(service: Service, request: Request) -> Response:
    """Set Directory Metadata: replace all of it."""
    metadata = request.metadata()
    place, node = service.directory(request)
    node = store_metadata(service, place, node, metadata)
    return Response(200, [*identity(node), *encrypted(request, writing=True)])


async def delete_directory(service: Service, request: Request) -> Response:
    """Delete Directory: only an empty one, never the root."""
    place, node = service.directory(request)
    if not place.name:
        raise Refusal(ErrorCode.INVALID_RESOURCE_NAME)
    store = service.store
    if not entries.is_empty(store, node.id):
        raise Refusal(ErrorCode.DIRECTORY_NOT_EMPTY)
    with store.transaction():
        entries.unlink(store, place)
        entries.drop_node(store, place.share, node)
    return Response(202)
