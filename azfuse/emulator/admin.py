"""The admin path `/-/`: health for everyone, faults and the request log for loopback only.

GET    /-/health           {"status": "ok"}
GET    /-/admin/requests   counts and bytes by operation      DELETE: start afresh
GET    /-/admin/faults     the faults in force                DELETE: switch all off
PUT    /-/admin/faults     replace them (faults.py says by what)
GET    /-/admin/settings   how the service behaves            PUT: change those named
"""

import ipaddress
import json
from collections.abc import Callable
from typing import Any, Final

from azfuse.emulator.faults import Faults
from azfuse.emulator.request import Receive, Scope, Send
from azfuse.emulator.requestlog import RequestLog
from azfuse.emulator.service import Settings

PREFIX: Final = b"/-/"
_MAX_BODY: Final = 1024 * 1024


class Admin:
    """Answers requests below `/-/`."""

    def __init__(self, faults: Faults, log: RequestLog, settings: Settings) -> None:
        self._faults = faults
        self._log = log
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, answer = await self._answer(scope, receive)
        body = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        path, method = scope["path"], scope["method"]
        if path == "/-/health" and method in ("GET", "HEAD"):
            return 200, {"status": "ok"}
        if not _is_loopback(scope):
            return 403, {"error": "the admin path answers to loopback only"}
        if path == "/-/admin/requests":
            if method == "DELETE":
                self._log.reset()
            return 200, self._log.to_json()
        if path == "/-/admin/faults":
            if method == "DELETE":
                self._faults.replace({})
            elif method == "PUT":
                return await _apply(self._faults.replace, self._faults.to_json, receive)
            return 200, self._faults.to_json()
        if path == "/-/admin/settings":
            if method == "PUT":
                return await _apply(self._settings.change, self._settings.to_json, receive)
            return 200, self._settings.to_json()
        return 404, {"error": f"no such admin path: {path}"}


async def _apply(
    change: Callable[[dict[str, Any]], None], show: Callable[[], Any], receive: Receive
) -> tuple[int, Any]:
    try:
        wanted = json.loads(await _body(receive))
        if not isinstance(wanted, dict):
            return 400, {"error": "settings are a JSON object"}
        change(wanted)
    except ValueError as error:
        return 400, {"error": str(error)}
    return 200, show()


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None:
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


async def _body(receive: Receive) -> bytes:
    data = b""
    while len(data) < _MAX_BODY:
        message = await receive()
        data += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return data
