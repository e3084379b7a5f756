"""Replay of recorded exchanges with the real service against a fresh emulator each.

What recorders left out of requests is inferred (infer.py). Whatever the service made up (snapshots,
lease ids, copy ids, permission keys, versions of deleted shares) is exchanged for what the emulator
made up instead. What a recorded answer takes for granted and the recording does not show (a share
of another run, thinned-out requests) is made beforehand.
"""

import base64
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from azfuse.rest.wire import VERSIONS
from tests.emulator.infer import Inference, NotInferred, code_of, parts_of, path_of
from tests.emulator.prepare import ACCOUNT, KEY, Preparation
from tests.emulator.signing import account_sas, file_sas, service_sas, signed

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
HOST = "account.file.core.windows.net"
#: Headers that are set anew or say nothing.
DROPPED = {
    "authorization", "host", "content-length", "x-ms-date", "date", "connection",
    "transfer-encoding", "expect", "accept-encoding",
}  # fmt: skip
SAS = {
    "sig", "sv", "se", "st", "sp", "sr", "ss", "srt", "spr", "sip", "si", "sdd", "skoid", "sktid",
    "skt", "ske", "sks", "skv", "rscc", "rscd", "rsce", "rscl", "rsct",
}  # fmt: skip
#: Values that the service makes up, by response header.
MADE_UP = ("x-ms-snapshot", "x-ms-lease-id", "x-ms-copy-id", "x-ms-file-permission-key")
_VERSION = re.compile(r"<Name>([^<]+)</Name><Deleted>true</Deleted><Version>([^<]+)</Version>")
#: Answers that depend on load, on the clock or on keys of other accounts.
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
        for run in runs.values():
            yield path.name, run


def cannot_be_sent(exchange):
    """Return why a request cannot be sent to the emulator at all, None if it can."""
    request, response = exchange["request"], exchange["response"]
    missing = exchange.get("not_recorded") or ()
    if request["query"] is None or "query" in missing:
        return "the query was not recorded"
    if exchange["operation"].startswith("?"):
        return "no operation of the service"
    if ".blob." in (request["headers"] or {}).get("x-ms-copy-source", ""):
        return "the source is a blob"
    code = code_of(exchange)
    if response["status"] >= 500 or code in UNPREDICTABLE:
        return "depends on load, time or another account"
    if "<HeaderName>x-ms-version<" in str(response["body"]):
        return "depends on load, time or another account"
    if response["status"] in (401, 403) and "sp" not in request["query"]:
        return "depends on load, time or another account"
    return None


class Replay(Preparation):
    """One run against one emulator."""

    def __init__(self, run):
        self.run = run
        self.known: dict[str, str] = {}
        self.inference = Inference(run)
        settings = Settings(soft_delete_days=7, accept_tokens=True)
        self.app = build(None, {ACCOUNT: KEY}, settings=settings)
        self.http: Any = None

    async def play(self):
        """Send every request; yield each exchange with our answer, or why it was not sent."""
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as self.http:
            for index, exchange in enumerate(self.run):
                exchange["after_guess"] = any("guessed" in e for e in self.run[:index])
                reason = cannot_be_sent(exchange)
                if reason is None:
                    try:
                        self.inference.complete(index)
                        await self.prepare(exchange)
                    except NotInferred as error:
                        reason = f"not recorded and not inferred: {error}"
                if reason is None:
                    yield exchange, await self.send(exchange)
                else:
                    yield exchange, reason
        self.app.service.store.close()

    # A request

    async def request(self, method, path, query, headers, body, *, sign=True):
        sent = headers
        if sign:
            sent = signed(method, path, query, headers, body, account=ACCOUNT, key=KEY)
        target = (path + ("?" + query if query else "")).encode()
        url = httpx.URL(scheme="https", host=HOST, raw_path=target)
        return await self.http.request(
            method, url, content=body,
            headers=[("Host", HOST), *((n.encode(), v.encode("utf-8")) for n, v in sent)],
        )  # fmt: skip

    def exchanged(self, text):
        for theirs, ours in self.known.items():
            if theirs in text:
                text = text.replace(theirs, ours)
        return text

    async def send(self, exchange):
        request, response = exchange["request"], exchange["response"]
        pairs = [
            f"{quote(name, safe='')}={quote(self.exchanged(value), safe='')}"
            for name, values in request["query"].items()
            if name.lower() not in SAS
            for value in (values if isinstance(values, list) else [values or ""])
        ]
        body = self.body(exchange)
        headers = self.headers(exchange)
        path = path_of(exchange)
        credentials = self.credentials(exchange)
        if isinstance(credentials, str):
            pairs.append(credentials)
        elif credentials:
            headers += credentials
        answer = await self.request(
            request["method"], path, "&".join(pairs), headers, body,
            sign=credentials is None,
        )  # fmt: skip
        self.learn(response, answer)
        return answer

    def headers(self, exchange):
        request, response = exchange["request"], exchange["response"]
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
        if request.get("body_truncated") or exchange["operation"] == "PutRange":
            headers = [(n, v) for n, v in headers if n.lower() != "content-md5"
                       or response["status"] >= 400]  # fmt: skip
        headers = [(n, sign_source(v) if n == "x-ms-copy-source" else v) for n, v in headers]
        if exchange["operation"] == "PutRangeFromURL":
            # The bytes of the source were not recorded in full: nor is their checksum ours.
            headers = [(n, v) for n, v in headers if "crc64" not in n or response["status"] == 412]
        return headers

    def credentials(self, exchange):
        """Return a query, headers, [] for none, or None where the account key is to sign."""
        request = exchange["request"]
        query, code = request["query"], code_of(exchange)
        restricted = code == "FileOAuthManagementApiRestrictedToSrp"
        no_intent = "<HeaderName>x-ms-file-request-intent<" in str(exchange["response"]["body"])
        if "x-ms-file-request-intent" in request["headers"] or restricted or no_intent:
            return [("Authorization", "Bearer token")]
        if is_anonymous(exchange):
            return []
        overrides = any(name.startswith("rsc") for name in query)
        if not (query.get("sp") or query.get("si") or overrides):
            return None
        kept = {n: v for n, v in query.items() if n in SAS and v and n not in ("sig", "st", "sip")}
        kept["sv"] = kept.get("sv") if kept.get("sv") in VERSIONS else "2020-02-10"
        if "si" not in query:
            kept.setdefault("sp", "r")
        if "sr" not in kept and "ss" not in kept:
            kept["sr"] = "f"
        if "se" in query or "si" not in query:
            kept["se"] = "2099-01-01T00:00:00Z"
        if "ss" in query:
            return account_sas(kept, account=ACCOUNT, key=KEY)
        parts = parts_of(exchange)
        resource = parts if query.get("sr") == "f" else parts[:1]
        return service_sas(kept, "/" + "/".join(resource), account=ACCOUNT, key=KEY)

    def body(self, exchange):
        request = exchange["request"]
        body = request["body"] or ""
        raw = base64.b64decode(body) if request.get("body_encoding") == "base64" else body.encode()
        length = request.get("body_length")
        if exchange["operation"] == "PutRange" and not raw and "guessed" in exchange:
            length = None
        if length is None:
            if not raw and exchange["operation"] in ("PutRange", "CreateFile"):
                length = int(request["headers"].get("content-length") or 0)
                if exchange["operation"] == "PutRange":
                    span = request["headers"].get("x-ms-range") or request["headers"].get("range")
                    if span and not length and request["headers"].get("x-ms-write") != "clear":
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


class Totals:
    """Counts by operation: exchanges in all, agreeing, differing on purpose, not sent."""

    def __init__(self):
        self.all: Counter[str] = Counter()
        self.agreed: Counter[str] = Counter()
        self.meant: Counter[str] = Counter()
        self.guessed: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.differences: list[str] = []

    def lines(self):
        """Yield a table."""
        yield f"{'':28} {'recorded':>8} {'agree':>6} {'meant':>6} {'inferred':>8}"
        rows: dict[str, Any] = dict.fromkeys(sorted(self.all))
        for operation in rows:
            yield (
                f"{operation:28} {self.all[operation]:8} {self.agreed[operation]:6} "
                f"{self.meant[operation]:6} {self.guessed[operation]:8}"
            )
        yield (
            f"{'in all':28} {self.all.total():8} {self.agreed.total():6} {self.meant.total():6} "
            f"{self.guessed.total():8}"
        )
        for reason, count in self.reasons.most_common():
            yield f"meant: {reason}: {count}"
        for reason, count in self.skipped.most_common():
            yield f"not replayed: {reason}: {count}"
