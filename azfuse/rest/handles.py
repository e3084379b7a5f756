"""Handles that SMB clients have open: to list them, and to close them against their will."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.exchange import Call
from azfuse.rest.headers import parse_int, require
from azfuse.rest.resource import Resource
from azfuse.rest.wire import parse_http_date
from azfuse.rest.xml import parse_xml, text_of_name

_HANDLES_SINCE: Final = "2018-11-09"
_HANDLE_ID: Final = re.compile(r"\*|[0-9]{1,20}", re.ASCII)
#: The handle id that means every handle.
ALL_HANDLES: Final = "*"


@dataclass(frozen=True, slots=True)
class Handle:
    """One open handle. `path` is share-relative, times are Unix nanoseconds.

    `access_rights` (`Read`, `Write`, `Delete`) are there from 2023-01-03 on,
    `client_name` from 2024-05-04 on.
    """

    handle_id: str
    path: str
    file_id: int | None
    parent_id: int | None
    session_id: str
    client_ip: str
    client_name: str | None
    open_time: int | None
    last_reconnect_time: int | None
    access_rights: Sequence[str]


@dataclass(frozen=True, slots=True)
class HandlePage:
    """One page of handles. `next_marker` is None on the last page."""

    handles: Sequence[Handle]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class ClosedHandles:
    """How many handles were closed, and how many could not be. Go on while `next_marker` is set."""

    closed: int
    failed: int
    next_marker: str | None


def parse_handle_page(body: bytes) -> HandlePage:
    """Read List Handles. Raises InvalidResponse."""
    what = "ListHandles"
    root = parse_xml(body, what)
    # Documents of old called the list HandleList; every recorded answer says Entries.
    entries = root.find("Entries")
    if root.tag != "EnumerationResults" or entries is None:
        raise InvalidResponse(f"{what}: not a listing but <{root.tag}>")
    try:
        handles = [_read_handle(element) for element in entries.iterfind("Handle")]
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None
    return HandlePage(handles, root.findtext("NextMarker") or None)


def _read_handle(element: ET.Element) -> Handle:
    def number(tag: str) -> int | None:
        text = element.findtext(tag)
        return int(text) if text else None

    def date(tag: str) -> int | None:
        text = element.findtext(tag)
        return parse_http_date(text) if text else None

    handle_id, path = element.findtext("HandleId"), element.find("Path")
    if not handle_id:
        raise ValueError("a handle has no id")
    return Handle(
        handle_id=handle_id,
        path="" if path is None else text_of_name(path),
        file_id=number("FileId"),
        parent_id=number("ParentId"),
        session_id=element.findtext("SessionId") or "",
        client_ip=element.findtext("ClientIp") or "",
        client_name=element.findtext("ClientName") or None,
        open_time=date("OpenTime"),
        last_reconnect_time=date("LastReconnectTime"),
        access_rights=[right.text or "" for right in element.iterfind("AccessRightList/*")],
    )


class _Handles(Resource):
    """What files and directories have in common."""

    async def _list_handles(
        self, path: str, marker: str | None, max_results: int | None, headers: dict[str, str]
    ) -> HandlePage:
        if max_results is not None and max_results < 1:
            raise ValueError(f"a page has at least 1 handle, not {max_results}")
        query = [("comp", "listhandles")]
        if marker is not None:
            query.append(("marker", marker))
        if max_results is not None:
            query.append(("maxresults", str(max_results)))

        def build(version: str) -> Call:
            require(version, _HANDLES_SINCE, "listing handles")
            return self._call("ListHandles", "GET", path, version, *query, headers=headers)

        _, body = await self.transport.request(build)
        return parse_handle_page(body)

    async def _force_close_handles(
        self, path: str, handle_id: str, marker: str | None, headers: dict[str, str]
    ) -> ClosedHandles:
        if _HANDLE_ID.fullmatch(handle_id) is None:
            raise ValueError(f"a handle id is a number, or * for all, not {handle_id!r}")
        query = [("comp", "forceclosehandles")]
        if marker is not None:
            query.append(("marker", marker))

        def build(version: str) -> Call:
            require(version, _HANDLES_SINCE, "closing handles")
            return self._call(
                "ForceCloseHandles",
                "PUT",
                path,
                version,
                *query,
                headers={"x-ms-handle-id": handle_id, **headers},
            )

        exchange, _ = await self.transport.request(build)
        return ClosedHandles(
            closed=parse_int(exchange, "x-ms-number-of-handles-closed") or 0,
            failed=parse_int(exchange, "x-ms-number-of-handles-failed") or 0,
            next_marker=exchange.headers.get("x-ms-marker") or None,
        )


class FileHandles(_Handles):
    """List Handles and Force Close Handles of a file."""

    async def list_handles(
        self, path: str, *, marker: str | None = None, max_results: int | None = None
    ) -> HandlePage:
        """List Handles: one page of the handles on *path*. Needs 2018-11-09."""
        return await self._list_handles(path, marker, max_results, {})

    async def force_close_handles(
        self, path: str, handle_id: str = ALL_HANDLES, *, marker: str | None = None
    ) -> ClosedHandles:
        """Force Close Handles: close one handle on *path*, or all. Needs 2018-11-09."""
        return await self._force_close_handles(path, handle_id, marker, {})


def _recursion(recursive: bool) -> dict[str, str]:
    return {"x-ms-recursive": "true"} if recursive else {}


class DirectoryHandles(_Handles):
    """List Handles and Force Close Handles of a directory, *recursive* with all below it."""

    async def list_handles(
        self,
        path: str,
        *,
        recursive: bool = False,
        marker: str | None = None,
        max_results: int | None = None,
    ) -> HandlePage:
        """List Handles: one page of the handles on *path*. Needs 2018-11-09."""
        return await self._list_handles(path, marker, max_results, _recursion(recursive))

    async def force_close_handles(
        self,
        path: str,
        handle_id: str = ALL_HANDLES,
        *,
        recursive: bool = False,
        marker: str | None = None,
    ) -> ClosedHandles:
        """Force Close Handles: close one handle on *path*, or all. Needs 2018-11-09."""
        return await self._force_close_handles(path, handle_id, marker, _recursion(recursive))
