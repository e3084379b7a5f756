"""The ASGI application: one request from its first byte to its last.

It needs no particular event loop: uvicorn runs it on asyncio, tests on trio through
`httpx.ASGITransport`. What only a server can do, resetting a connection, it asks for through
`scope["extensions"]`; without a server it raises ConnectionResetError instead.
"""

import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Final

import anyio

from azfuse.emulator import (
    account,
    authorization,
    clock,
    copies,
    cors,
    directory,
    file,
    handles,
    links,
    listing,
    policies,
    ranges,
    renames,
    service_properties,
    share,
    snapshots,
)
from azfuse.emulator.admin import PREFIX as ADMIN_PREFIX
from azfuse.emulator.admin import Admin
from azfuse.emulator.errors import Refusal
from azfuse.emulator.faults import ConnectionReset, Faults, Rule, before, refusal_of
from azfuse.emulator.operations import PREFLIGHT, identify
from azfuse.emulator.request import ClientGone, Receive, Request, Response, Scope, Send, parse
from azfuse.emulator.requestlog import RequestLog
from azfuse.emulator.service import Service, Settings
from azfuse.emulator.store import Store
from azfuse.emulator.xml import document, element
from azfuse.rest.errors import ErrorCode

log = logging.getLogger(__name__)

Handler = Callable[[Service, Request], Awaitable[Response]]

#: Key in `scope["extensions"]` of a function that resets the connection at once.
RESET: Final = "azfuse.reset"
#: Key of what a header name is made with, so that the server keeps its letter case.
_FRAMING: Final = frozenset({"Content-Length", "Transfer-Encoding", "Connection"})
HEADER_NAME: Final = "azfuse.header_name"
_SERVER: Final = "Windows-Azure-File/1.0 Microsoft-HTTPAPI/2.0"
_FRONT_SERVER: Final = "Microsoft-HTTPAPI/2.0"
_ERROR_HEADER_SINCE: Final = "2017-07-29"
#: Nodes of deleted shares collected after one request.
_COLLECT: Final = 64

HANDLERS: Final[Mapping[str, Handler]] = {
    "PreflightFileRequest": cors.preflight,
    "ListShares": account.list_shares,
    "GetUserDelegationKey": account.get_user_delegation_key,
    "GetServiceProperties": service_properties.get_service_properties,
    "SetServiceProperties": service_properties.set_service_properties,
    "CreateShare": share.create_share,
    "GetShareProperties": share.get_share_properties,
    "GetShareMetadata": share.get_share_metadata,
    "SetShareProperties": share.set_share_properties,
    "SetShareMetadata": share.set_share_metadata,
    "DeleteShare": share.delete_share,
    "RestoreShare": share.restore_share,
    "SnapshotShare": share.snapshot_share,
    "LeaseShare": share.lease_share,
    "GetShareStats": share.get_share_stats,
    "GetShareAcl": policies.get_share_acl,
    "SetShareAcl": policies.set_share_acl,
    "CreatePermission": policies.create_permission,
    "GetPermission": policies.get_permission,
    "CreateDirectory": directory.create_directory,
    "GetDirectoryProperties": directory.get_directory_properties,
    "GetDirectoryMetadata": directory.get_directory_metadata,
    "SetDirectoryProperties": directory.set_directory_properties,
    "SetDirectoryMetadata": directory.set_directory_metadata,
    "DeleteDirectory": directory.delete_directory,
    "RenameDirectory": renames.rename_directory,
    "ListDirectoriesAndFiles": listing.list_directories_and_files,
    "CreateFile": file.create_file,
    "GetFile": ranges.get_file,
    "GetFileProperties": file.get_file_properties,
    "GetFileMetadata": file.get_file_metadata,
    "SetFileProperties": file.set_file_properties,
    "SetFileMetadata": file.set_file_metadata,
    "DeleteFile": file.delete_file,
    "RenameFile": renames.rename_file,
    "PutRange": ranges.put_range,
    "ClearRange": ranges.clear_range,
    "PutRangeFromURL": copies.put_range_from_url,
    "ListRanges": ranges.list_ranges,
    "CopyFile": copies.copy_file,
    "AbortCopyFile": copies.abort_copy_file,
    "LeaseFile": file.lease_file,
    "CreateHardLink": links.create_hard_link,
    "CreateSymbolicLink": links.create_symbolic_link,
    "GetSymbolicLink": links.get_symbolic_link,
    "ListHandles": handles.list_handles,
    "ForceCloseHandles": handles.force_close_handles,
}


class Emulator:
    """The application. *keys* are the account keys, decoded, by account name."""

    def __init__(
        self,
        store: Store,
        keys: Mapping[str, bytes],
        *,
        settings: Settings | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.requests = RequestLog()
        settings = settings or Settings()
        settings.quota_bytes = self.faults.quota_bytes
        self.service = Service(store, dict(keys), settings)
        self._accounts = frozenset(keys)
        self._admin = Admin(self.faults, self.requests, settings)
        self._more_to_collect = True
        #: Collect after each request; a server switches this off and does it in quiet moments.
        self.collects = True
        # Half of a request id; the other half counts.
        self._id = uuid.uuid4().hex[:8]
        self._count = int.from_bytes(os.urandom(4), "big")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the lifespan of a server."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the emulator does not speak {scope['type']}")
        if scope.get("raw_path", b"").startswith(ADMIN_PREFIX):
            await self._admin(scope, receive, send)
            return
        try:
            await _Exchange(self, scope, receive, send).run()
        except ConnectionReset:
            reset = (scope.get("extensions") or {}).get(RESET)
            if reset is None:
                raise ConnectionResetError("the emulator reset the connection on purpose") from None
            reset()
        if self.collects:
            self.collect(_COLLECT)

    def collect(self, limit: int) -> None:
        """Collect up to *limit* nodes of deleted shares, if there are any."""
        if not self._more_to_collect:
            return
        settings, store = self.service.settings, self.service.store
        keep = max(settings.soft_delete_days, settings.share_delete_seconds / 86_400)
        snapshots.collect(store, keep_days=keep, limit=limit)
        self._more_to_collect = snapshots.any_deleted(store)

    def share_was_deleted(self) -> None:
        """Have the rows of deleted shares collected."""
        self._more_to_collect = True

    def next_request_id(self) -> str:
        """Return a GUID that ends in six zeros, as the service's do."""
        self._count = (self._count + 1) & 0xFFFFFFFF
        count = f"{self._count:08x}"
        return f"{self._id}-{count[:4]}-00{count[4:6]}-00{count[6:]}-000000000000"


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: Emulator, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request: Request | None = None
        self._rules: list[Rule] = []
        self._sent = 0
        self._announced: tuple[str, str] | None = None

    async def run(self) -> None:
        status = 0
        try:
            try:
                response = await self._handle()
            except Refusal as refusal:
                response = self._error(refusal)
            except ClientGone:
                return
            except ConnectionReset:
                raise
            except Exception:
                log.exception("%s %s failed", self._scope["method"], self._scope["path"])
                response = self._error(Refusal(ErrorCode.INTERNAL_ERROR))
            status = response.status
            await self._answer(response)
        except ConnectionReset:
            status = 0
            raise
        finally:
            self._log(status)

    def _log(self, status: int) -> None:
        request = self._request
        name = request.operation if request and request.operation else "Unknown"
        read = request.body_read if request else 0
        self._app.requests.count(name, status, read, self._sent)
        if name == "DeleteShare":
            self._app.share_was_deleted()
        log.debug("%s %s %s -> %d", name, self._scope["method"], self._scope["path"], status)

    async def _handle(self) -> Response:
        app = self._app
        request = self._request = parse(self._scope, self._receive, app._accounts)
        request.version = authorization.version_of(request)
        operation = identify(request)
        request.operation = operation.name
        request.access = authorization.authorize(app.service, request, operation, clock.now())
        if app.faults.rules:
            self._rules = app.faults.rules_for(operation.name, request.raw_path)
            request.pending = next((r.seconds or inf for r in self._rules if r.action == "pending"),
                                   None)  # fmt: skip
        await app.faults.wait(operation.name)
        await before(self._rules)
        if app.faults.bandwidth_mib is not None:
            await app.faults.carry(request.content_length)
        response = await HANDLERS[operation.name](app.service, request)
        for rule in self._rules:
            if rule.action in ("reset-after", "error-after"):
                raise refusal_of(rule)
        return response

    def _error(self, refusal: Refusal) -> Response:
        request = self._request
        request_id = self._app.next_request_id()
        now = clock.now()
        self._announced = (request_id, _FRONT_SERVER if refusal.front else _SERVER)
        message = f"{refusal.message}\nRequestId:{request_id}\nTime:{clock.iso(now)}"
        inner = element("Code", refusal.code) + element("Message", message)
        inner += "".join(element(name, text) for name, text in refusal.details)
        # To HEAD only headers can say what went wrong; there is no body to describe (recorded).
        has_body = self._scope["method"] != "HEAD"
        headers = [*refusal.headers, *([("Content-Type", "application/xml")] if has_body else [])]
        version = request.version if request else ""
        if version >= _ERROR_HEADER_SINCE:
            headers.append(("x-ms-error-code", refusal.code))
        body = document(f"<Error>{inner}</Error>")
        return Response(refusal.status, headers, body, length=len(body), chunked=not has_body)

    async def _answer(self, response: Response) -> None:
        request = self._request
        request_id, server = self._announced or (self._app.next_request_id(), _SERVER)
        headers = [
            *response.headers,
            ("Server", server),
            ("x-ms-request-id", request_id),
            ("Date", clock.http_date(clock.now())),
        ]
        if request is not None:
            if request.version and server == _SERVER:
                headers.append(("x-ms-version", request.version))
            client_id = request.headers.get("x-ms-client-request-id")
            if client_id and len(client_id) <= 1024:
                headers.append(("x-ms-client-request-id", client_id))
        if response.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif response.status != 204:
            length = response.length
            if length is None:
                length = len(response.body) if isinstance(response.body, bytes) else 0
            headers.append(("Content-Length", str(length)))
        if request is not None and request.operation != PREFLIGHT:
            failed = response.status >= 400
            headers += cors.headers_for(self._app.service, request, headers, failed=failed)
        await self._start(response.status, headers)
        await self._body(response)

    async def _start(self, status: int, headers: list[tuple[str, str]]) -> None:
        extensions = self._scope.get("extensions") or {}
        make: Callable[[bytes], bytes] = extensions.get(HEADER_NAME, bytes)

        def name_of(name: str) -> bytes:
            # The server must recognise the headers that frame the message.
            return name.lower().encode() if name in _FRAMING else make(name.encode("latin-1"))

        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name_of(n), v.encode("latin-1")) for n, v in headers],
            }
        )

    async def _body(self, response: Response) -> None:
        body = response.body
        if self._scope["method"] == "HEAD":
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if isinstance(body, bytes):
            await self._piece(body, more=False)
            return
        async for piece in body:
            await self._piece(piece, more=True)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _piece(self, piece: bytes, *, more: bool) -> None:
        for rule in self._rules:
            if rule.action not in ("cut", "stall") or self._sent + len(piece) <= rule.bytes:
                continue
            head = piece[: max(0, rule.bytes - self._sent)]
            await self._send({"type": "http.response.body", "body": head, "more_body": True})
            self._sent += len(head)
            piece = piece[len(head) :]
            if rule.action == "cut":
                raise ConnectionReset
            await self._stall(rule)
        await self._app.faults.carry(len(piece))
        self._sent += len(piece)
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    async def _stall(self, rule: Rule) -> None:
        with anyio.move_on_after(rule.seconds):
            while (await self._receive())["type"] != "http.disconnect":
                continue
            raise ConnectionReset
        rule.bytes = 1 << 62
