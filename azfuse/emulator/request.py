"""One request as the handlers see it, and the responses they give."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from azfuse.emulator.errors import Refusal, bad_header, bad_query, missing_header
from azfuse.emulator.names import clean_path, split_path
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Key in `scope["extensions"]` under which the server keeps the header names as they were written,
#: by their lower-cased form.
WRITTEN_NAMES: Final = "azfuse.written_names"

_METADATA_NAME: Final = re.compile(r"[^\W\d]\w*", re.UNICODE)
MAX_METADATA_BYTES: Final = 8 * 1024
_TRAILING_DOT_SINCE: Final = "2022-11-02"


class ClientGone(Exception):  # noqa: N818 (it says what happened)
    """The client closed the connection before its request was read."""


@dataclass(slots=True)
class Access:
    """What the request's authorization allows.

    `letters` are the permissions of a SAS; None is the account key or a token, which may do
    everything. `oid` and `tid` say for whom a token speaks.
    """

    letters: str | None = None
    is_service_sas: bool = False
    oid: str = ""
    tid: str = ""

    def allows(self, letters: str) -> bool:
        """Say whether any of *letters* is granted."""
        return self.letters is None or any(letter in self.letters for letter in letters)


@dataclass(slots=True)
class Request:
    """A request, taken apart. Header names are lower-cased, query names too."""

    method: str
    raw_path: str
    scheme: str
    client: str
    host: str
    account: str
    share: str
    parts: list[str]
    path_style: bool
    query: dict[str, str]
    headers: dict[str, str]
    header_list: list[tuple[str, str]]
    written_names: dict[str, str]
    receive: Receive
    version: str = ""
    operation: str = ""
    access: Access = field(default_factory=Access)
    body_read: int = 0
    #: Seconds for which a copy is to stay pending; infinite is possible, None is not at all.
    pending: float | None = None

    @property
    def endpoint(self) -> str:
        """The address of the account, as XML answers name it."""
        path = f"{self.account}/" if self.path_style else ""
        return f"{self.scheme}://{self.host}/{path}"

    def path(self, *, nfs: bool) -> tuple[str, ...]:
        """Return the checked components below the share."""
        return clean_path(self.parts, keep_dots=self.flag("x-ms-allow-trailing-dot"), nfs=nfs)

    def flag(self, name: str) -> bool:
        """Read a boolean header, False when absent or when the version lacks trailing dots."""
        value = self.headers.get(name, "").lower()
        if value not in ("", "true", "false"):
            raise bad_header(name, value)
        return value == "true" and (
            not name.endswith("trailing-dot") or self.version >= _TRAILING_DOT_SINCE
        )

    def required(self, name: str) -> str:
        """Return a header; refuses when it is missing."""
        try:
            return self.headers[name]
        except KeyError:
            raise missing_header(name) from None

    def integer(self, name: str) -> int | None:
        """Return a header as an integer, None when absent."""
        value = self.headers.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
            raise bad_header(name, value)
        return int(value)

    def limit(self, most: int = wire.MAX_PAGE_ENTRIES) -> int:
        """Return `maxresults`, the cap if it is absent or larger."""
        text = self.query.get("maxresults")
        if not text:
            return most
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
            raise bad_query("maxresults", text)
        if not 1 <= int(text) <= 2**31 - 1:
            raise Refusal(
                ErrorCode.OUT_OF_RANGE_QUERY_PARAMETER_VALUE,
                ("QueryParameterName", "maxresults"),
                ("QueryParameterValue", text),
                ("MinimumAllowed", "1"),
                ("MaximumAllowed", "2147483647"),
            )
        return min(int(text), most)

    def metadata(self) -> list[list[str]] | None:
        """Return the metadata sent, in the letter case it was written in; None if there is none."""
        found: list[list[str]] = []
        for name, value in self.header_list:
            if name.startswith(wire.METADATA_PREFIX):
                written = self.written_names.get(name, name)[len(wire.METADATA_PREFIX) :]
                found.append([written, value])
        for name, value in found:
            if not name:
                raise Refusal(ErrorCode.EMPTY_METADATA_KEY, ("MetadataValue", value))
            if _METADATA_NAME.fullmatch(name) is None:
                raise Refusal(ErrorCode.INVALID_METADATA)
        if sum(len(name) + len(value) for name, value in found) > MAX_METADATA_BYTES:
            raise Refusal(ErrorCode.METADATA_TOO_LARGE)
        return found or None

    @property
    def content_length(self) -> int:
        """The announced length of the body, 0 if none was announced."""
        value = self.headers.get("content-length", "0") or "0"
        if not value.isascii() or not value.isdigit():
            raise bad_header("Content-Length", value)
        return int(value)

    async def body(self, most: int) -> bytearray:
        """Read the whole body; refuses what is longer than *most* bytes. Checkpoints."""
        if self.content_length > most:
            raise Refusal(ErrorCode.REQUEST_BODY_TOO_LARGE, ("MaxLimit", str(most)))
        data = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            data += message.get("body", b"")
            if len(data) > most:
                raise Refusal(ErrorCode.REQUEST_BODY_TOO_LARGE, ("MaxLimit", str(most)))
            if not message.get("more_body", False):
                break
        self.body_read += len(data)
        return data


@dataclass(slots=True)
class Response:
    """An answer. `body` is bytes, or pieces of which `length` bytes come in all."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
    length: int | None = None
    chunked: bool = False


def xml_response(body: bytes, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return a 200 with an XML body, chunked as the service sends it."""
    return Response(
        200, [*(headers or []), ("Content-Type", "application/xml")], body, chunked=True
    )


def parse(scope: Scope, receive: Receive, accounts: frozenset[str]) -> Request:
    """Take the scope of a request apart. Refuses what no account or name can be read from.

    The account is the first label of a Host like `account.file.anything`, else the first
    component of the path.
    """
    header_list = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in scope["headers"]]
    headers = dict(header_list)
    host = headers.get("host", "")
    label, _, rest = host.partition(".")
    raw_path: str = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    parts = split_path(raw_path)
    path_style = not rest.startswith("file.")
    if path_style:
        account, parts = (parts[0], parts[1:]) if parts else ("", [])
    else:
        account = label.removesuffix("-secondary") if label not in accounts else label
    client = scope.get("client") or ("", 0)
    extensions = scope.get("extensions") or {}
    return Request(
        method=scope["method"],
        raw_path=raw_path,
        scheme=scope.get("scheme", "http"),
        client=client[0],
        host=host,
        account=account,
        share=parts[0] if parts else "",
        parts=parts[1:],
        path_style=path_style,
        query=parse_query(scope["query_string"].decode("latin-1")),
        headers=headers,
        header_list=header_list,
        written_names=extensions.get(WRITTEN_NAMES)
        or {n.decode("latin-1").lower(): n.decode("latin-1") for n, _ in scope["headers"]},
        receive=receive,
    )


def parse_query(text: str) -> dict[str, str]:
    """Decode a query; names are lower-cased, repeated values sorted and joined with commas."""
    query: dict[str, list[str]] = {}
    # A plus sign is a plus sign in this protocol, not a blank.
    for name, value in parse_qsl(text.replace("+", "%2B"), keep_blank_values=True):
        query.setdefault(name.lower(), []).append(value)
    return {name: values[0] if len(values) == 1 else ",".join(sorted(values))
            for name, values in query.items()}  # fmt: skip
