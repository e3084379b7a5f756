"""A service that answers from a script, and transports that talk to it."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from azfuse.rest.auth import Credentials, SharedKey
from azfuse.rest.endpoint import Endpoint
from azfuse.rest.retry import RetryPolicy
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY

ETAG = '"0x8DAA19AE5AE2C21"'
DATE = "Wed, 28 Sep 2022 21:46:27 GMT"
#: What every good answer about a file or directory has.
GOOD = {
    "etag": ETAG,
    "last-modified": DATE,
    "x-ms-version": "2026-10-06",
    "x-ms-request-id": "11111111-2222-3333-4444-555555000000",
    "x-ms-file-attributes": "Archive",
    "x-ms-file-creation-time": "2022-09-28T21:46:27.8040747Z",
    "x-ms-file-last-write-time": "2022-09-28T21:46:27.8040747Z",
    "x-ms-file-change-time": "2022-09-28T21:46:27.8040747Z",
    "x-ms-file-id": "13835128424026341376",
    "x-ms-file-parent-id": "0",
    "x-ms-file-permission-key": "17100207456270243504*9622787259914961209",
}
FILE_ID = 13835128424026341376

ENDPOINT = Endpoint.parse("http://127.0.0.1:10004/devstoreaccount1")
HOST_ENDPOINT = Endpoint.parse("https://acct.file.core.windows.net")

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


def good(status: int = 201, content: bytes = b"", **headers: str) -> httpx.Response:
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=GOOD | extra, content=content)


def error(status: int, code: str, details: str = "", **headers: str) -> httpx.Response:
    body = (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>It is so.'
        f"\nRequestId:x\nTime:2022-10-05T22:14:46.5458024Z</Message>{details}</Error>"
    )
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(
        status,
        headers={"x-ms-error-code": code, "x-ms-request-id": "x", "x-ms-version": "2026-10-06"}
        | extra,
        content=body.encode(),
    )


def version_refusal() -> httpx.Response:
    response = error(
        400,
        "InvalidHeaderValue",
        "<HeaderName>x-ms-version</HeaderName><HeaderValue>x</HeaderValue>",
    )
    for name in ("x-ms-error-code", "x-ms-version"):
        del response.headers[name]
    return response


class Script:
    """Gives one answer after the other: responses, exceptions, or functions of the request."""

    def __init__(self, *answers: Any, last: Any = None) -> None:
        self.answers = list(answers)
        self.last = last
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(await request.aread())
        answer = self.answers.pop(0) if self.answers else self.last
        if answer is None:
            raise AssertionError(f"unexpected request: {request.method} {request.url}")
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
            if isinstance(answer, Awaitable):
                answer = await answer
        assert isinstance(answer, httpx.Response)
        return answer


class CutBody(httpx.AsyncByteStream):
    """A response body that breaks off."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    async def __aiter__(self):
        for chunk in self.chunks:
            yield chunk
        raise httpx.ReadError("connection reset")


def transport_to(
    handler: Any,
    *,
    credentials: Credentials | None = None,
    endpoint: Endpoint = ENDPOINT,
    retry: RetryPolicy | None = None,
    version: str | None = None,
    max_connections: int = 16,
    http_transport: httpx.AsyncBaseTransport | None = None,
) -> Transport:
    return Transport(
        endpoint,
        credentials or SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
        retry=retry,
        max_connections=max_connections,
        http_transport=http_transport or httpx.MockTransport(handler),
        version=version,
    )
