"""Handles: REST holds none, so there are none to list or to close."""

import re
from typing import Final

from azfuse.emulator.errors import Refusal, bad_header, bad_query
from azfuse.emulator.listing import decode_marker
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.rows import Kind, Node
from azfuse.emulator.service import Service
from azfuse.emulator.xml import document, element
from azfuse.rest.errors import ErrorCode

_FAILED_SINCE: Final = "2019-07-07"


def _node(service: Service, request: Request) -> Node:
    node = service.place(request).node
    if node is None:
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
    return node


async def list_handles(service: Service, request: Request) -> Response:
    """List Handles: an empty list for whatever exists."""
    request.limit()
    marker = request.query.get("marker", "")
    if marker:
        try:
            # Nothing here gives one out, but a client may go on with one that the service gave it.
            decode_marker(marker)
        except Refusal:
            raise bad_query("marker", marker) from None
    _node(service, request)
    inner = "".join(
        element(tag, request.query[name])
        for tag, name in (("Marker", "marker"), ("MaxResults", "maxresults"))
        if request.query.get(name)
    )
    inner += "<Entries /><NextMarker />"
    return xml_response(document(f"<EnumerationResults>{inner}</EnumerationResults>"))


async def force_close_handles(service: Service, request: Request) -> Response:
    """Force Close Handles: closes none."""
    handle = request.required("x-ms-handle-id")
    if re.fullmatch(r"\*|\d{1,20}", handle, re.ASCII) is None:
        raise bad_header("x-ms-handle-id", handle)
    recursive = request.flag("x-ms-recursive")
    if _node(service, request).kind != Kind.DIRECTORY and recursive:
        raise bad_header("x-ms-recursive", request.headers["x-ms-recursive"])
    headers = [("x-ms-number-of-handles-closed", "0")]
    if request.version >= _FAILED_SINCE:
        headers.append(("x-ms-number-of-handles-failed", "0"))
    return Response(200, headers)
