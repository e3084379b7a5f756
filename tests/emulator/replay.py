"""Replay of recorded exchanges with the real service against a fresh emulator each.

A recorded test is replayed when all its requests were recorded well enough to be sent again.
Whatever the service made up (snapshots, lease ids, copy ids, permission keys, versions of deleted
shares) is exchanged for what the emulator made up instead.
"""

import base64
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import quote, unquote

import httpx

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from tests.emulator.signing import file_sas, signed

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
ACCOUNT, KEY = "account", base64.b64encode(b"a key for replays").decode()
#: Headers that are set anew or say nothing.
DROPPED = {
    "authorization", "host", "content-length", "x-ms-date", "date", "connection",
    "transfer-encoding", "expect", "accept-encoding",
}  # fmt: skip
SAS = {
    "sig", "sv", "se", "st", "sp", "sr", "ss", "srt", "spr", "sip", "si", "sdd", "skoid", "sktid",
    "skt", "ske", "sks", "skv",
}  # fmt: skip
#: Values that the service makes up: response header -> nothing but a place where they are found.
MADE_UP = ("x-ms-snapshot", "x-ms-lease-id", "x-ms-copy-id", "x-ms-file-permission-key")
_VERSION = re.compile(r"<Name>([^<]+)</Name><Deleted>true</Deleted><Version>([^<]+)</Version>")
#: Answers that depend on load, on time or on other accounts.
UNPREDICTABLE = {
    "ServerBusy", "OperationTimedOut", "ShareBeingDeleted", "AuthenticationFailed", "LeaseLost",
}  # fmt: skip


def groups():
    """Yield the exchanges of each recorded run, with the file they are from."""
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        runs = defaultdict(list)
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                exchange = json.loads(line)
                runs[exchange["test"], exchange["recording"]].append(exchange)
        for (name, _), run in runs.items():
            yield path.name, name, run


def why_not(run):
    """Return why a run cannot be replayed, None if it can."""
    if "java" in run[0]["source"]:
        return "few request headers recorded (Java)"
    for exchange in run:
        request = exchange["request"]
        missing = set(exchange.get("not_recorded") or ())
        if request["query"] is None or "query" in missing:
            return "query not recorded"
        if "request-headers" in missing or not request["headers"]:
            return "request headers not recorded"
        if exchange["operation"] in ("CreateFile", "PutRange", "RenameFile", "RenameDirectory"):
            needed = {"CreateFile": "x-ms-content-length", "PutRange": "x-ms-write"}
            if (
                needed.get(exchange["operation"], "x-ms-file-rename-source")
                not in request["headers"]
            ):
                return "request headers not recorded"
        if exchange["operation"].startswith("?"):
            return "not an operation"
        if "request-body" in missing and exchange["operation"] in (
            "SetShareAcl", "SetServiceProperties", "CreatePermission",
        ):  # fmt: skip
            return "request body not recorded"
    if not any(exchange["operation"] == "CreateShare" for exchange in run):
        return "begins in the middle"
    return None


class Replay:
    """One run against one emulator."""

    def __init__(self, run):
        self.run = run
        self.known = {}

    async def play(self):
        """Send every request; yield operation, expected, got, and the exchange."""
        app = build(None, {ACCOUNT: KEY}, settings=Settings(soft_delete_days=7))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
            results = [await self.send(http, exchange) for exchange in self.run]
        app.service.store.close()
        return results

    def exchanged(self, text):
        for theirs, ours in self.known.items():
            if theirs in text:
                text = text.replace(theirs, ours)
        return text

    async def send(self, http, exchange):
        request, response = exchange["request"], exchange["response"]
        query = "&".join(
            f"{quote(name, safe='')}={quote(self.exchanged(value), safe='')}"
            for name, values in request["query"].items()
            if name.lower() not in SAS
            for value in (values if isinstance(values, list) else [values or ""])
        )
        case = request.get("original_header_case") or {}
        if isinstance(case, list):
            case = {name.lower(): name for name in case}
        headers = [
            (case.get(name, name), self.exchanged(value))
            for name, value in request["headers"].items()
            if name not in DROPPED and value is not None
        ]
        if "x-ms-version" not in request["headers"]:
            version = (response["headers"] or {}).get("x-ms-version", "2026-06-06")
            headers.append(("x-ms-version", version))
        body = self.body(exchange)
        if request.get("body_truncated"):
            headers = [(n, v) for n, v in headers if n.lower() != "content-md5"]
        # Some recordings keep letters that were percent-encoded on the wire.
        path = quote(request["path"], safe="".join(map(chr, range(33, 127))))
        headers = [(n, sign_source(v) if n == "x-ms-copy-source" else v) for n, v in headers]
        if is_anonymous(exchange):
            sent = headers
        else:
            sent = signed(request["method"], path, query, headers, body, account=ACCOUNT, key=KEY)
        url = httpx.URL(
            scheme="https", host="account.file.core.windows.net",
            raw_path=(path + ("?" + query if query else "")).encode(),
        )  # fmt: skip
        answer = await http.request(
            request["method"], url, content=body,
            headers=[("Host", "account.file.core.windows.net"),
                     *((n.encode(), v.encode("utf-8")) for n, v in sent)],
        )  # fmt: skip
        self.learn(response, answer)
        expected = (response["status"], (response["headers"] or {}).get("x-ms-error-code"))
        got = (answer.status_code, answer.headers.get("x-ms-error-code"))
        return exchange, expected, got, answer

    def body(self, exchange):
        request = exchange["request"]
        body = request["body"] or ""
        raw = base64.b64decode(body) if request.get("body_encoding") == "base64" else body.encode()
        length = request.get("body_length")
        if length is None:
            if not raw and exchange["operation"] in ("PutRange", "CreateFile"):
                length = int(request["headers"].get("content-length") or 0)
                if exchange["operation"] == "PutRange":
                    span = request["headers"].get("x-ms-range") or request["headers"].get("range")
                    if span and not length:
                        first, last = span.removeprefix("bytes=").split("-")
                        length = int(last) - int(first) + 1
            else:
                length = len(raw)
        return raw[:length] + bytes(length - len(raw[:length]))

    def learn(self, response, answer):
        for name in MADE_UP:
            theirs = (response["headers"] or {}).get(name)
            ours = answer.headers.get(name)
            if theirs and ours and theirs != ours:
                self.known[theirs] = ours
        if isinstance(response["body"], str) and "<Deleted>true" in response["body"]:
            ours = dict(_VERSION.findall(answer.text))
            for name, version in _VERSION.findall(response["body"]):
                if name in ours:
                    self.known[version] = ours[name]


def is_anonymous(exchange):
    """Say whether a request was recorded without any credentials; only .NET shows it."""
    request = exchange["request"]
    return (
        "sdk-for-net" in exchange["source"]
        and "authorization" not in request["headers"]
        and "sig" not in request["query"]
    )


def sign_source(url):
    """Give the source of a copy a signature of ours in place of the recorded one."""
    base, _, query = url.partition("?")
    if "sig=" not in query:
        return url
    kept = [pair for pair in query.split("&") if pair.partition("=")[0] not in SAS]
    path = unquote(base.partition("://")[2].partition("/")[2])
    share, _, rest = path.partition("/")
    return f"{base}?{'&'.join([*kept, file_sas(share, '/' + rest, account=ACCOUNT, key=KEY)])}"


def comparable(expected):
    """Say whether the recorded answer is one that a replay can bring about."""
    return expected[0] < 500 and expected[0] not in (401, 403) and (
        expected[1] not in UNPREDICTABLE
    )  # fmt: skip


class Totals:
    """Counts by operation."""

    def __init__(self):
        self.played: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.differences = []

    def lines(self):
        yield f"{sum(self.agreed.values())} of {sum(self.played.values())} exchanges agree"
        for operation in sorted(self.played):
            yield f"{operation:28} {self.agreed[operation]:6} of {self.played[operation]:6}"
        for reason, count in self.skipped.most_common():
            yield f"not replayed: {reason}: {count}"
