"""List Directories and Files."""

import base64
import binascii
import re
from typing import Final

from azfuse.emulator import clock, entries
from azfuse.emulator.errors import Refusal, bad_query
from azfuse.emulator.properties import attributes_text
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.rows import Kind, Listed
from azfuse.emulator.service import Service
from azfuse.emulator.xml import attribute, document, element, encoded_element, escape, is_legal
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

FILE_IDS_SINCE: Final = "2020-10-02"
_INCLUDE_SINCE: Final = "2020-04-08"
_PREFIX_SINCE: Final = "2016-05-31"
_CHANGE_TIMES_SINCE: Final = "2020-06-12"
_INCLUDES: Final = frozenset({"timestamps", "etag", "attributes", "permissionkey"})
_MARKER: Final = re.compile(r"1!(\d{1,6})!([A-Za-z0-9+/_-]*)", re.ASCII)


def encode_marker(name: str) -> str:
    """Write the first name of the next page as the service does."""
    text = base64.b64encode(name.encode()).decode().replace("=", "-")
    return f"1!{len(text)}!{text}"


def decode_marker(marker: str) -> str:
    """Return the name a marker holds; refuses what is no marker."""
    match = _MARKER.fullmatch(marker)
    if match is None or int(match[1]) != len(match[2]):
        raise Refusal(ErrorCode.INVALID_CONTINUATION_TOKEN)
    try:
        return base64.b64decode(match[2].replace("-", "=")).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal(ErrorCode.INVALID_CONTINUATION_TOKEN) from None


async def list_directories_and_files(service: Service, request: Request) -> Response:
    """List one page of a directory in the order of its folded names."""
    limit = request.limit()
    include = _include(request)
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    prefix = prefix if request.version >= _PREFIX_SINCE else ""
    start = decode_marker(marker) if marker else ""
    place, node = service.directory(request)
    found = entries.listing(
        service.store, place, prefix=prefix,
        start=entries.fold_for(place.share, start), limit=limit + 1,
    )  # fmt: skip
    following = encode_marker(found[limit].name) if len(found) > limit else ""
    path = "/".join(request.path(nfs=place.share.is_nfs))
    parts = [_opening(request, path)]
    # A name XML cannot hold comes back encoded, in the prefix as in the entries.
    parts += [encoded_element("Prefix", prefix)] if prefix else []
    parts += [element("Marker", marker)] if marker else []
    if "maxresults" in request.query:
        parts.append(element("MaxResults", request.query["maxresults"]))
    with_ids = request.version >= FILE_IDS_SINCE
    if with_ids:
        parts.append(element("DirectoryId", node.file_id))
    parts.append("<Entries>" if found else "<Entries />")
    parts += [_entry(entry, include, request.version, with_ids=with_ids) for entry in found[:limit]]
    parts += ["</Entries>"] if found else []
    parts.append(element("NextMarker", following))
    parts.append("</EnumerationResults>")
    return xml_response(document("".join(parts)))


def _include(request: Request) -> frozenset[str]:
    text = request.query.get("include", "")
    include = frozenset(word.strip().lower() for word in text.split(",") if word.strip())
    if request.version < _INCLUDE_SINCE:
        return frozenset()
    if not include <= _INCLUDES:
        raise bad_query("include", text)
    return include


def _opening(request: Request, path: str) -> str:
    attributes = [
        ("ServiceEndpoint", request.endpoint),
        ("ShareName", request.share),
        ("ShareSnapshot", request.query.get("sharesnapshot")),
        *([] if is_legal(path) else [("Encoded", "true")]),
        ("DirectoryPath", path if is_legal(path) else _encoded(path)),
    ]
    written = "".join(
        f' {name}="{attribute(value)}"' for name, value in attributes if value is not None
    )
    return f"<EnumerationResults{written}>"


def _encoded(path: str) -> str:
    return encoded_element("P", path).partition(">")[2].removesuffix("</P>")


def _entry(entry: Listed, include: frozenset[str], version: str, *, with_ids: bool) -> str:
    node, name = entry.node, entry.name
    tag = "Directory" if node.kind == Kind.DIRECTORY else "File"
    shown = f"<Name>{escape(name)}</Name>" if name.isascii() else encoded_element("Name", name)
    if with_ids:
        shown += f"<FileId>{node.file_id}</FileId>"
    inner = ""
    if node.kind != Kind.DIRECTORY:
        inner = f"<Content-Length>{node.size}</Content-Length>"
    if "timestamps" in include:
        inner += (
            f"<CreationTime>{clock.iso(node.created)}</CreationTime>"
            f"<LastAccessTime>{clock.iso(node.accessed)}</LastAccessTime>"
            f"<LastWriteTime>{clock.iso(node.written)}</LastWriteTime>"
        )
        if version >= _CHANGE_TIMES_SINCE:
            inner += (
                f"<ChangeTime>{clock.iso(node.changed)}</ChangeTime>"
                f"<Last-Modified>{clock.http_date(node.modified)}</Last-Modified>"
            )
    if "etag" in include:
        inner += f"<Etag>{wire.etag_of_time(node.modified)}</Etag>"
    shown += f"<Properties>{inner}</Properties>" if inner else "<Properties />"
    if "attributes" in include:
        shown += f"<Attributes>{attributes_text(node.attributes)}</Attributes>"
    if "permissionkey" in include:
        shown += f"<PermissionKey>{node.permission_key}</PermissionKey>"
    return f"<{tag}>{shown}</{tag}>"
