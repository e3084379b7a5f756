"""Handles: REST holds none, so there are none to list or to close."""

import re
from typing import Final

from azfuse.emulator.errors import Refusal, bad_header
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.service import Service
from azfuse.emulator.xml import document, element
from azfuse.rest.errors import ErrorCode

_FAILED_SINCE: Final = "2019-07-07"


def _check(service: Service, request: Request) -> None:
    if service.place(request).node is None:
        raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)


async def list_handles(service: Service, request: Request) -> Response:
    """List Handles: an empty list for whatever exists."""
    request.limit()
    _check(service, request)
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
    _check(service, request)
    headers = [("x-ms-number-of-handles-closed", "0")]
    if request.version >= _FAILED_SINCE:
        headers.append(("x-ms-number-of-handles-failed", "0"))
    return Response(200, headers)
