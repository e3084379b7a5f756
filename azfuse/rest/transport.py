"""Sends requests: signs, retries, negotiates the version, counts.

`request` is for answers that are read as a whole, `receive` for bodies that go
elsewhere within the try (a lost one is tried again), `open` for bodies that the
caller reads at leisure (a lost one is the caller's).
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx
import trio

from azfuse import __version__
from azfuse.rest.auth import Bearer, Credentials, Signable, TokenUnavailable
from azfuse.rest.counters import Counters
from azfuse.rest.endpoint import Endpoint
from azfuse.rest.errors import ConnectionFailed, ErrorCode, ServiceError, ServiceUnavailable
from azfuse.rest.exchange import BodyStream, Build, Call, Exchange, translated_errors
from azfuse.rest.pool import make_http_transport
from azfuse.rest.retry import Effort, RetryPolicy, TryFailed
from azfuse.rest.versions import VersionChoice, is_version_refusal
from azfuse.rest.wire import MAX_CLOCK_SKEW, format_http_date, parse_http_date
from azfuse.rest.xml import parse_error

T = TypeVar("T")

_USER_AGENT: Final = f"azfuse/{__version__}"


class Transport:
    """The way to one account.

    *max_connections* bounds the requests in flight; more wait for their turn.
    *http_transport* replaces the network, for tests. *version* pins the service
    version, which is negotiated otherwise. Use as an async context manager.
    Raises ValueError for a bearer token over plain HTTP to another machine.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        retry: RetryPolicy | None = None,
        max_connections: int = 16,
        http_transport: httpx.AsyncBaseTransport | None = None,
        version: str | None = None,
    ) -> None:
        if isinstance(credentials, Bearer) and not endpoint.secure:
            raise ValueError(f"a bearer token is not sent without TLS: {endpoint}")
        self.endpoint = endpoint
        self.credentials = credentials
        self.retry = retry or RetryPolicy()
        #: Set when nobody waits for more than the end: once a request has been given up, others
        #: are tried once, lest each of thousands finds out by itself that the service is away.
        self.ending = False
        self.counters = Counters()
        self._versions = VersionChoice(version)
        self._slots = trio.Semaphore(max_connections)
        self._host = endpoint.origin.partition("://")[2]
        self._network = http_transport or make_http_transport(endpoint, max_connections)
        self._timeout = {
            "connect": self.retry.connect_timeout,
            "read": self.retry.read_timeout,
            "write": self.retry.write_timeout,
            # Never reached: no more requests are in flight than there are connections.
            "pool": None,
        }

    async def __aenter__(self) -> Self:
        await self._network.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._network.__aexit__(exc_type, exc_value, traceback)

    @property
    def version(self) -> str:
        """Return the service version in use: a guess until the first answer, unless pinned."""
        return self._versions.version

    def supports(self, version: str) -> bool:
        """Say whether the version in use is *version* or a later one."""
        return self.version >= version

    def url_of(self, share: str, path: str, *, snapshot: str | None = None) -> str:
        """Return the whole URL of a file as a copy or rename source, with the SAS if there is one.

        Raises ValueError. The URL may hold a secret: do not log it.
        """
        url, secret = self.plain_url_of(share, path, snapshot=snapshot), self.credentials.query
        if not secret:
            return url
        return f"{url}{'?' if snapshot is None else '&'}{secret}"

    def plain_url_of(self, share: str, path: str, *, snapshot: str | None = None) -> str:
        """Return the URL of a file without credentials. Raises ValueError."""
        query = "" if snapshot is None else f"?sharesnapshot={quote(snapshot, safe='')}"
        return f"{self.endpoint.origin}{self.endpoint.path_of(share, path)}{query}"

    def readable_url(self, url: str) -> str:
        """Return *url* with the SAS added, where it is one of this account and has none.

        The URL may hold a secret: do not log it.
        """
        ours = url.startswith(self.endpoint.origin + self.endpoint.path_of())
        if not ours or not self.credentials.query or "sig=" in url:
            return url
        return f"{url}{'&' if '?' in url else '?'}{self.credentials.query}"

    async def request(self, build: Build) -> tuple[Exchange, bytes]:
        """Send what *build* makes and return the answer with its whole body.

        Raises ServiceError, ConnectionFailed, ServiceUnavailable, InvalidResponse,
        and whatever *build* raises.
        """

        async def read(exchange: Exchange) -> tuple[Exchange, bytes]:
            return exchange, await exchange.read()

        return await self.receive(build, read)

    async def receive(self, build: Build, consume: Callable[[Exchange], Awaitable[T]]) -> T:
        """Send what *build* makes and return what *consume* makes of the answer.

        *consume* is called anew with every try whose head was good. Raises as `request`.
        """
        effort = Effort(self.retry)
        while True:
            try:
                async with self._slots:
                    exchange, time_left = await self._head(build, effort)
                    try:
                        with translated_errors(), trio.fail_after(time_left):
                            return await consume(exchange)
                    finally:
                        await exchange.close()
            except TryFailed as failure:
                await self._recover(effort, failure)

    @asynccontextmanager
    async def open(self, build: Build) -> AsyncIterator[Exchange]:
        """Send what *build* makes; hold the answer open for reading.

        Raises as `request` before it yields. Reading then raises TryFailed.
        """
        effort = Effort(self.retry)
        while True:
            async with AsyncExitStack() as stack:
                try:
                    await stack.enter_async_context(self._slots)
                    exchange, _ = await self._head(build, effort)
                except TryFailed as failure:
                    lost = failure
                else:
                    stack.push_async_callback(exchange.close)
                    yield exchange
                    return
            await self._recover(effort, lost)

    async def _recover(self, effort: Effort, failure: TryFailed) -> None:
        """Count a lost try and wait for the next. Raises what the request ends with."""
        if not failure.answered:
            self.counters.of(effort.operation).errors += 1
        try:
            await effort.pause(failure)
        except (ConnectionFailed, ServiceUnavailable):
            if self.ending:
                self.retry = replace(self.retry, timeout=0.0)
            raise

    async def _head(self, build: Build, effort: Effort) -> tuple[Exchange, float]:
        """Make one try as far as the head of a good answer, and say what time its body has left.

        Goes down the versions, and once through new credentials, without counting a
        failure. Raises TryFailed and ServiceError.
        """
        while True:
            async with self._versions.trial() as version:
                call = build(version)
                effort.operation, effort.path = call.operation, call.path
                time_allowed = effort.try_time(call.body_length + call.answer_length)
                deadline = trio.current_time() + time_allowed
                with translated_errors(), trio.fail_after(time_allowed):
                    exchange = await self._send(call, version, effort)
                    if exchange.status < 300:
                        if call.authorized:  # Who answers others need not look at the version.
                            self._versions.accept()
                        return exchange, max(0.0, deadline - trio.current_time())
                    refusal = await self._read_refusal(exchange, effort)
                    if await self._goes_down(call, exchange, refusal, version, effort):
                        continue
            if (
                refusal.status == 401
                and not effort.reauthorized
                and self.credentials.refused(effort.authorization)
            ):
                effort.reauthorized = True
                continue
            failure = TryFailed.of_refusal(refusal, exchange.headers)
            raise failure or refusal

    async def _goes_down(
        self, call: Call, exchange: Exchange, refusal: ServiceError, version: str, effort: Effort
    ) -> bool:
        """Learn from a refusal what it says of the version; say whether to try a lower one."""
        if is_version_refusal(refusal):
            return self._versions.step_down(version)
        if self._versions.settled:
            return False
        vague = refusal.code in ("", ErrorCode.INVALID_HEADER_VALUE)
        if call.method == "HEAD" and refusal.status == 400 and vague:
            # A HEAD cannot say what was wrong. The same question with GET can.
            probe = Call(
                call.operation,
                "GET",
                call.path,
                [*call.query, ("comp", "metadata")],
                dict(call.headers),
            )
            answer = await self._send(probe, version, effort)
            if answer.status >= 300:
                reason = await self._read_refusal(answer, effort)
                if is_version_refusal(reason):
                    return self._versions.step_down(version)
            else:
                await answer.close()
        if "x-ms-request-id" in exchange.headers or "x-ms-version" in exchange.headers:
            # Versions are looked at before credentials: any other refusal accepts the version.
            self._versions.accept()
        return False

    async def _send(self, call: Call, version: str, effort: Effort) -> Exchange:
        """Sign *call* as of now and send it; return the head of any answer."""
        effort.tries += 1
        counters = self.counters.of(call.operation)
        counters.requests += 1
        if effort.tries > 1:
            counters.retries += 1
        try:
            request = await self._prepare(call, version)
        except TokenUnavailable as error:
            raise TryFailed(
                str(error), connected=False, uncertain=False, lasting=error.lasting
            ) from error
        effort.authorization = request.headers.get("authorization", "")
        body = BodyStream(call.body, call.body_length, counters)
        request.stream = body
        try:
            response = await self._network.handle_async_request(request)
        finally:
            await body.aclose()
        if response.status_code >= 400:
            counters.errors += 1
            if response.status_code == 503:
                counters.throttles += 1
        return Exchange(call, response, counters)

    async def _prepare(self, call: Call, version: str) -> httpx.Request:
        """Make the signed request of one try. The URL is signed as it is sent."""
        query = "&".join([f"{name}={quote(value, safe='')}" for name, value in call.query])
        if call.authorized and self.credentials.query:
            query = f"{query}&{self.credentials.query}" if query else self.credentials.query
        url = httpx.URL(f"{self.endpoint.origin}{call.path}{'?' if query else ''}{query}")
        headers = {name.lower(): value for name, value in call.headers.items()}
        headers["x-ms-date"] = format_http_date(time.time_ns())
        headers["x-ms-version"] = version
        if call.method == "PUT" or call.body_length:
            headers["content-length"] = str(call.body_length)
        raw_path = url.raw_path.partition(b"?")[0].decode("ascii")
        if call.authorized:
            await self.credentials.authorize(Signable(call.method, raw_path, call.query, headers))
        # Metadata names keep their case on the wire; they are signed in lower case.
        for name in call.headers:
            if not name.islower():
                headers[name] = headers.pop(name.lower())
        headers["host"] = self._host
        headers["user-agent"] = _USER_AGENT
        return httpx.Request(
            call.method,
            url,
            headers=headers,
            stream=httpx.ByteStream(b""),
            extensions={"timeout": self._timeout},
        )

    async def _read_refusal(self, exchange: Exchange, effort: Effort) -> ServiceError:
        """Read and close an answer that says no."""
        try:
            body = await exchange.read()
        finally:
            await exchange.close()
        headers = exchange.headers
        code, message, details = parse_error(body)
        code = code or headers.get("x-ms-error-code", "")
        if exchange.status in (401, 403):
            message = f"{self._complaint(exchange)}{message}"
        return ServiceError(
            exchange.status,
            code,
            message,
            operation=exchange.operation,
            request_id=headers.get("x-ms-request-id", ""),
            retried=effort.uncertain,
            details=details,
        )

    def _complaint(self, exchange: Exchange) -> str:
        """Say what may be wrong with the credentials, with a blank behind it."""
        now = time.time()
        if complaint := self.credentials.complaint(now):
            return complaint + " "
        try:
            skew = now - parse_http_date(exchange.headers["date"]) / 1_000_000_000
        except (KeyError, ValueError):
            return ""
        if abs(skew) < MAX_CLOCK_SKEW / 1_000_000_000:
            return ""
        return f"This machine's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}. "
