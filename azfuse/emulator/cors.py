"""Cross-origin requests: the rules of an account, preflight answers, headers on all the others.

Preflight answers follow the documentation (none was recorded). The headers on ordinary answers are
as recorded: a request without Origin is told `*` if a rule allows everybody, else that the answer
would vary with the Origin.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from azfuse.emulator.errors import CORS_PREFLIGHT_FAILURE, Refusal
from azfuse.emulator.request import Request, Response
from azfuse.emulator.service import Service
from azfuse.rest.errors import ErrorCode

Headers = list[tuple[str, str]]

#: Headers that every answer exposes first and last where everything is exposed (recorded).
_FIRST: Final = (
    "x-ms-request-id", "x-ms-client-request-id", "Server", "x-ms-version", "x-ms-error-code",
    "Content-Type", "Content-MD5", "x-ms-lease-id", "Last-Modified", "ETag",
)  # fmt: skip
_LAST: Final = ("Content-Length", "Date", "Transfer-Encoding")
#: Operations whose Content-Type is not among the exposed headers (recorded).
_HIDES_TYPE: Final = frozenset({"GetShareAcl", "GetServiceProperties"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One CORS rule, its lists taken apart."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    allowed: tuple[str, ...]
    exposed: tuple[str, ...]
    age: str

    def admits(self, origin: str, method: str) -> bool:
        """Say whether the rule is for this origin and method."""
        return method in self.methods and any(_is_origin(o, origin) for o in self.origins)

    def exposes(self, name: str) -> bool:
        """Say whether a page may see the response header *name*."""
        return _covers(self.exposed, name)

    @property
    def is_for_all(self) -> bool:
        """Say whether every origin is allowed."""
        return "*" in self.origins


def _is_origin(pattern: str, origin: str) -> bool:
    """Compare case-sensitively; `https://*.example.org` stands for all its subdomains."""
    if pattern in ("*", origin):
        return True
    scheme, star, domain = pattern.partition("://*.")
    return bool(star) and origin.startswith(f"{scheme}://") and origin.endswith(f".{domain}")


def _covers(patterns: Sequence[str], name: str) -> bool:
    lowered = name.lower()
    return any(
        lowered.startswith(p[:-1].lower()) if p.endswith("*") else p.lower() == lowered
        for p in patterns
    )


def rules_of(service: Service, account: str) -> tuple[Rule, ...]:
    """Return the rules of an account; read once, until they are set anew."""
    found = service.cors.get(account)
    if account not in service.keys:
        return ()
    if found is None:
        row = service.store.db.execute(
            "SELECT properties FROM services WHERE account = ?", (account,)
        ).fetchone()
        stored = json.loads(row[0]).get("Cors", []) if row else []
        found = service.cors[account] = tuple(_rule(rule) for rule in stored)
    return found


def _rule(stored: dict[str, str]) -> Rule:
    def words(name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in stored[name].split(",") if word.strip())

    methods = tuple(method.upper() for method in words("AllowedMethods"))
    return Rule(
        words("AllowedOrigins"), methods, words("AllowedHeaders"), words("ExposedHeaders"),
        stored["MaxAgeInSeconds"],
    )  # fmt: skip


async def preflight(service: Service, request: Request) -> Response:
    """Preflight File Request: 200 if a rule allows what the browser asks for, else 403."""
    asked = {}
    for name in ("Origin", "Access-Control-Request-Method"):
        value = request.headers.get(name.lower(), "")
        if not value:
            raise Refusal(
                ErrorCode.INVALID_HEADER_VALUE,
                ("MessageDetails", f"Invalid required CORS header {name}"),
                status=400, message="A required CORS header is not present.",
            )  # fmt: skip
        asked[name] = value
    origin, method = asked.values()
    text = request.headers.get("access-control-request-headers", "")
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for rule in rules_of(service, request.account):
        if rule.admits(origin, method) and all(_covers(rule.allowed, name) for name in wanted):
            headers = [
                *_allowing(rule, origin),
                ("Access-Control-Allow-Methods", method),
                *([("Access-Control-Allow-Headers", text)] if wanted else []),
                ("Access-Control-Max-Age", rule.age),
            ]
            return Response(200, headers)
    raise Refusal(CORS_PREFLIGHT_FAILURE, ("MessageDetails", "No CORS rules matches this request"))


def _allowing(rule: Rule, origin: str) -> Headers:
    if rule.is_for_all:
        return [("Access-Control-Allow-Origin", "*")]
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
    ]


def headers_for(service: Service, request: Request, sent: Headers, *, failed: bool) -> Headers:
    """Return the CORS headers of an ordinary answer that has the headers *sent*."""
    rules = rules_of(service, request.account)
    origin = request.headers.get("origin")
    reads = request.method in ("GET", "HEAD")
    if not rules or not (reads or origin):
        return []
    for rule in rules:
        if origin is None and not (rule.is_for_all and request.method in rule.methods):
            continue
        if origin is not None and not rule.admits(origin, request.method):
            continue
        exposed = _exposed(rule, request, [name for name, _ in sent], failed=failed)
        vary = [("Vary", "Origin")] if reads and not rule.is_for_all else []
        return [
            *_allowing(rule, origin or ""),
            *([("Access-Control-Expose-Headers", ",".join(exposed))] if exposed else []),
            *vary,
        ]
    return [("Vary", "Origin")] if reads else []


def _exposed(rule: Rule, request: Request, names: list[str], *, failed: bool) -> list[str]:
    if not rule.exposed:
        return []
    hidden = {"Content-Type"} if failed or request.operation in _HIDES_TYPE else set()
    first = [name for name in _FIRST if name in names]
    rest = [name for name in names if name not in (*_FIRST, *_LAST)]
    last = list(_LAST) if "*" in rule.exposed else [name for name in _LAST if name in names]
    return [n for n in (*first, *rest, *last) if n not in hidden and rule.exposes(n)]
