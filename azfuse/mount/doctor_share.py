"""`azfuse doctor SOURCE`: the way to a share, and what the credentials permit there."""

import http.client
import secrets
import socket
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import trio

from azfuse.mount.doctor import Finding
from azfuse.mount.explain import expired, explain
from azfuse.mount.plan import Plan
from azfuse.rest.directory import Directory
from azfuse.rest.endpoint import Endpoint
from azfuse.rest.errors import AzureFilesError, ServiceError
from azfuse.rest.file import File
from azfuse.rest.retry import RetryPolicy
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport
from azfuse.rest.wire import MAX_CLOCK_SKEW, parse_http_date

#: Bounds in seconds: of one connection, of the look at port 445, of one request with its tries.
_CONNECT_TIMEOUT: Final = 5.0
_SMB_TIMEOUT: Final = 2.0
_RETRY_TIMEOUT: Final = 8.0
#: From so many seconds on a clock is worth a word.
_SKEW_WARN: Final = 60.0
_LATENCY_SAMPLES: Final = 5
#: What tells whether something is permitted: it is not, or it is but there is nothing there.
_TELLING: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_RANGE: Final = 4 * 1024 * 1024
_RANGES: Final = 4


def examine_network(endpoint: Endpoint, account: str) -> Iterator[Finding]:
    """Look at name, connection, TLS and clock; end with the first failure. Sends no secret."""
    parts = urlsplit(endpoint.origin)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        addresses = sorted({str(info[4][0]) for info in socket.getaddrinfo(host, port)})
    except OSError as error:
        reason = error.strerror or str(error)
        advice = f"is the account {account} spelled right, and does DNS work here?"
        yield Finding("name", "fail", f"unknown host {host}: {reason}", advice)
        return
    yield Finding("name", "ok", f"{host} is {', '.join(addresses)}")
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_TIMEOUT)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_TIMEOUT, context=context
        )
    try:
        began = time.time()
        connection.request("GET", "/")  # refused, which is an answer
        answer = connection.getresponse()
        moment = (began + time.time()) / 2
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        advice = "is there a proxy, or a certificate authority that this machine must trust?"
        yield Finding("connection", "fail", f"no TLS with {host}:{port}: {reason}", advice)
        return
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        advice = "do firewalls let HTTPS out, and is the service there?"
        yield Finding("connection", "fail", f"no answer from {host}:{port}: {reason}", advice)
        return
    finally:
        connection.close()
    kind = "TLS" if parts.scheme == "https" else "plain HTTP"
    yield Finding("connection", "ok", f"{host}:{port} answers ({kind})")
    yield _clock(moment, answer.getheader("Date"))
    yield _smb(host)


def _clock(moment: float, date: str | None) -> Finding:
    try:
        skew = moment - parse_http_date(date or "") / 1_000_000_000
    except ValueError:
        return Finding("clock", "warn", "the service does not say its time")
    text = f"this clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service's"
    advice = "set the clock right (timedatectl set-ntp true)"
    if abs(skew) >= MAX_CLOCK_SKEW / 1_000_000_000:
        return Finding("clock", "fail", text, advice)
    if abs(skew) >= _SKEW_WARN:
        return Finding("clock", "warn", text, advice)
    return Finding("clock", "ok", "the clock agrees with the service's")


def _smb(host: str) -> Finding:
    try:
        socket.create_connection((host, 445), timeout=_SMB_TIMEOUT).close()
    except OSError:
        return Finding("port 445", "ok", "closed from here; azfuse does not need it")
    return Finding("port 445", "ok", "open as well; azfuse does not need it")


def examine_share(plan: Plan, *, write: bool) -> list[Finding]:
    """Ask the share what it is and what is permitted; *write* makes and removes a file in it."""
    if reason := expired(plan):
        return [Finding("credentials", "fail", reason, "get new ones")]
    examination = _Examination(plan, write=write)
    trio.run(examination.run)
    return examination.findings


class _Examination:
    def __init__(self, plan: Plan, *, write: bool) -> None:
        self._plan = plan
        self._write = write
        self._wrote = False
        self.findings: list[Finding] = []
        # A name that nobody has: to read or delete it changes nothing.
        self._nobody = "/".join(
            filter(None, [plan.source.directory, f"azfuse-doctor-{secrets.token_hex(8)}"])
        )

    async def run(self) -> None:
        login, share = self._plan.login, self._plan.source.share
        retry = RetryPolicy(_RETRY_TIMEOUT, connect_timeout=_CONNECT_TIMEOUT)
        async with Transport(login.endpoint, login.credentials, retry=retry) as transport:
            directory, file = Directory(transport, share), File(transport, share)
            path = self._plan.source.directory
            times: list[float] = []
            try:
                for _ in range(_LATENCY_SAMPLES):
                    began = trio.current_time()
                    page = await directory.list_directories_and_files(path, max_results=100)
                    times.append(trio.current_time() - began)
            except AzureFilesError as error:
                advice = "compare the source and the credentials with Azure's portal"
                self._add(Finding("share", "fail", explain(error, self._plan), advice))
                return
            self._add(Finding("share", "ok", f"{share} can be listed ({login.found_in})"))
            await self._properties(Share(transport, share), transport.version)
            await self._permissions(file)
            milliseconds = statistics.median(times) * 1000
            self._add(Finding("latency", "ok", f"{milliseconds:.0f} ms a request (median)"))
            largest = max(
                (entry for entry in page.entries if not entry.is_directory),
                key=lambda entry: entry.size,
                default=None,
            )
            if largest is None or not largest.size:
                self._add(Finding("throughput", "ok", "not measured: no file with content there"))
            else:
                name = "/".join(filter(None, [path, largest.name]))
                await self._throughput(file, name, largest.size)

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)

    async def _properties(self, share: Share, version: str) -> None:
        try:
            found = await share.get_share_properties()
        except AzureFilesError as error:
            reason = error.code if isinstance(error, ServiceError) else str(error)
            text = f"version {version}; quota and tier are not permitted to see ({reason})"
            self._add(Finding("service", "ok", text))
            return
        protocols = "/".join(sorted(found.enabled_protocols)) or "SMB"
        tier = found.access_tier or "not named"
        text = f"{protocols} share, version {version}, quota {found.quota} GiB, tier {tier}"
        self._add(Finding("service", "ok", text))

    async def _permissions(self, file: File) -> None:
        await self._permission("read", lambda: file.get_file_properties(self._nobody))
        if self._write:
            await self._permission("write", lambda: file.create_file(self._nobody, 1))
        else:
            self._add(Finding("write", "ok", "not tried: --write makes a file and removes it"))
        await self._permission("delete", lambda: file.delete_file(self._nobody))

    async def _permission(self, name: str, ask: Callable[[], Awaitable[object]]) -> None:
        try:
            await ask()
        except ServiceError as error:
            if error.status not in _TELLING:
                text = f"not known: the service answers {error.code or error.status}"
                self._add(Finding(name, "warn", text, "try again, and look at the log if it stays"))
                return
            if error.status != HTTPStatus.NOT_FOUND:
                text = f"not permitted ({error.code or error.status})"
                if name == "delete" and self._wrote:
                    text += f"; {self._nobody} stays on the share"
                advice = f"programs that {name} files will get EACCES; mount with -o ro if meant"
                self._add(Finding(name, "fail" if name == "read" else "warn", text, advice))
                return
        except AzureFilesError as error:
            self._add(Finding(name, "fail", explain(error, self._plan)))
            return
        self._wrote = self._wrote or name == "write"
        self._add(Finding(name, "ok", "permitted"))

    async def _throughput(self, file: File, path: str, size: int) -> None:
        length = min(size, _RANGE * _RANGES)
        began = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                for offset in range(0, length, _RANGE):
                    buffer = memoryview(bytearray(min(_RANGE, length - offset)))
                    nursery.start_soon(partial(file.read_file_into, path, buffer, offset=offset))
        except* AzureFilesError as errors:
            self._add(Finding("throughput", "warn", f"not measured: {errors.exceptions[0]}"))
        else:
            rate = length / max(trio.current_time() - began, 1e-6) / 1e6
            text = f"{rate:.1f} MB/s reading {length} bytes in ranges at once"
            self._add(Finding("throughput", "ok", text))
