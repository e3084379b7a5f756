"""Credentials: how a request proves who sends it.

A `Credentials` object changes a `Signable` request just before each try. It
knows no HTTP library. `repr()` of nothing in here shows a secret.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

import trio

from azfuse.rest.endpoint import DEFAULT_ENDPOINT_SUFFIX, DEVELOPMENT_ENDPOINT, Endpoint
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, DEVELOPMENT_PORT

log = logging.getLogger(__name__)

#: The OAuth scope of every storage account.
STORAGE_SCOPE: Final = "https://storage.azure.com/.default"
#: A token this close to its end (seconds) is fetched anew.
_TOKEN_MARGIN: Final = 300
#: Wait between two renewals, in seconds, where one failed or brought no longer time.
_RENEWAL_PAUSE: Final = 30
#: Standard headers of the string to sign, in its order (reference, 2.1).
_SIGNED_HEADERS: Final = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type",
    "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip


@dataclass(slots=True)
class Signable:
    """What a signature covers: names of *headers* in lower case, *query* decoded."""

    method: str
    #: The path exactly as it will be sent, percent-encoded, without the query.
    raw_path: str
    query: Sequence[tuple[str, str]]
    headers: dict[str, str]


class Credentials(Protocol):
    """Something that authorizes requests."""

    @property
    def query(self) -> str:
        """Encoded query to add to each URL, empty where a header does the work."""

    async def authorize(self, request: Signable) -> None:
        """Add the headers that authorize *request*. May wait, for a token say."""

    def refused(self, authorization: str) -> bool:
        """Hear that the service did not accept that header; say whether another try may help."""

    def complaint(self, now: float) -> str:
        """Say what is wrong with them at *now* (Unix seconds), empty if nothing is known."""


def sign(key: bytes, text: str) -> str:
    """Return the HMAC-SHA256 of *text* in base64: every signature of the service is that."""
    return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode("ascii")


class SharedKey:
    """The account's name and key (base64). Raises ValueError for a key that is not base64."""

    def __init__(self, account: str, key: str) -> None:
        try:
            self._key = base64.b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("the account key is not base64") from None
        if not self._key:
            raise ValueError("the account key is empty")
        self.account = account

    def __repr__(self) -> str:
        return f"SharedKey({self.account!r}, ***)"

    @property
    def query(self) -> str:
        """Return nothing: the signature goes into a header."""
        return ""

    async def authorize(self, request: Signable) -> None:
        """Sign *request* as it is; nothing that is signed may change afterwards."""
        signature = self.sign(string_to_sign(request, self.account))
        request.headers["authorization"] = f"SharedKey {self.account}:{signature}"

    def sign(self, text: str) -> str:
        """Return the signature (base64) of *text*, of a request or of a SAS."""
        return sign(self._key, text)

    def refused(self, authorization: str) -> bool:
        """Return False: the key does not change by itself."""
        del authorization
        return False

    def complaint(self, now: float) -> str:
        """Return nothing: a key has no end."""
        del now
        return ""


@functools.lru_cache(maxsize=1024)
def _culture_key(name: str) -> tuple[str, str]:
    """Order header names as the service does: `-` weighs nothing, `_` least, digits, letters.

    Names that differ in hyphens only: at the first difference the one without goes first.
    """
    return name.replace("-", "").replace("_", "!"), name.replace("-", "~")


def canonicalized_headers(headers: Mapping[str, str]) -> str:
    """Return the `x-ms-` headers (names in lower case) as they are signed."""
    names = sorted([name for name in headers if name.startswith("x-ms-")], key=_culture_key)
    return "".join([f"{name}:{_fold(headers[name])}\n" for name in names])


def _fold(value: str) -> str:
    """Fold linear whitespace outside of quotes to one blank, and trim."""
    if "  " not in value and "\t" not in value:
        return value.strip()
    parts = value.strip().split('"')
    folded = [
        part if index % 2 else _fold_unquoted(part) for index, part in enumerate(parts)
    ]  # odd parts are inside quotes
    return '"'.join(folded)


def _fold_unquoted(text: str) -> str:
    words = " ".join(text.split())
    head = " " if text[:1].isspace() else ""
    tail = " " if words and text[-1:].isspace() else ""
    return f"{head}{words}{tail}"


def canonicalized_resource(account: str, raw_path: str, query: Iterable[tuple[str, str]]) -> str:
    """Return account, path and query as they are signed (account twice in path style)."""
    by_name: dict[str, list[str]] = {}
    for name, value in query:
        by_name.setdefault(name.lower(), []).append(value)
    lines = [f"\n{name}:{','.join(sorted(by_name[name]))}" for name in sorted(by_name)]
    return f"/{account}{raw_path}{''.join(lines)}"


def string_to_sign(request: Signable, account: str) -> str:
    """Return the text that SharedKey signs (reference, 2.1)."""
    headers = request.headers
    values = [headers.get(name, "") for name in _SIGNED_HEADERS]
    # A length of 0 is signed as empty from 2015-02-21 on, as "0" before.
    if values[2] == "0" and headers.get("x-ms-version", "") >= "2015-02-21":
        values[2] = ""
    standard = "\n".join(values)
    resource = canonicalized_resource(account, request.raw_path, request.query)
    return f"{request.method}\n{standard}\n{canonicalized_headers(headers)}{resource}"


class Sas:
    """A shared access signature: a query that is added to every URL.

    Raises ValueError for a text without a signature. `expires_at` (Unix seconds)
    is read from `se`; None where a stored policy holds it.
    """

    def __init__(self, token: str) -> None:
        self._query = token.strip().lstrip("?").strip("&")
        fields = dict(parse_qsl(self._query))
        if not fields.get("sig"):
            raise ValueError("the shared access signature has no sig= field")
        self.expires_at = _parse_sas_time(fields["se"]) if fields.get("se") else None
        self.permissions = fields.get("sp", "")

    def __repr__(self) -> str:
        return f"Sas(permissions={self.permissions!r}, expires_at={self.expires_at})"

    @property
    def query(self) -> str:
        """Return the token as it was given."""
        return self._query

    async def authorize(self, request: Signable) -> None:
        """Do nothing: the URL has it all."""

    def refused(self, authorization: str) -> bool:
        """Return False: a signature does not change by itself."""
        del authorization
        return False

    def complaint(self, now: float) -> str:
        """Name the expiry once it is past."""
        if self.expires_at is None or now < self.expires_at:
            return ""
        end = datetime.fromtimestamp(self.expires_at, UTC)
        return f"The shared access signature expired at {end:%Y-%m-%dT%H:%M:%SZ}."


def _parse_sas_time(text: str) -> float | None:
    """Read a date, minutes or seconds as a SAS may have them; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class AccessToken(NamedTuple):
    """An OAuth token and its end in Unix seconds (the shape azure-identity uses)."""

    token: str
    expires_on: float

    def __repr__(self) -> str:
        return f"AccessToken(***, expires_on={self.expires_on})"


class TokenUnavailable(Exception):  # noqa: N818 # says what happened
    """A provider has no token now; `lasting` where asking again soon would not help."""

    def __init__(self, reason: str, *, lasting: bool) -> None:
        self.lasting = lasting
        super().__init__(reason)


class TokenProvider(Protocol):
    """Where bearer tokens come from."""

    async def get_token(self, scope: str) -> AccessToken:
        """Return a token for *scope*, a new one where the last was not good any more.

        Raises TokenUnavailable.
        """


class Bearer:
    """OAuth tokens of *provider*, renewed 5 minutes before their end, one renewal at a time.

    While a token is still good, requests use it: they neither wait for a renewal
    that another has begun, nor fail because it failed. *now* tells Unix seconds.
    """

    def __init__(
        self,
        provider: TokenProvider,
        *,
        scope: str = STORAGE_SCOPE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._provider = provider
        self._scope = scope
        self._now = now
        self._token: AccessToken | None = None
        self._fetching = trio.Lock()
        #: No renewal of a token that is still good before this, in Unix seconds.
        self._next_renewal = 0.0

    def __repr__(self) -> str:
        return f"Bearer({type(self._provider).__name__}, scope={self._scope!r})"

    @property
    def query(self) -> str:
        """Return nothing: the token goes into a header."""
        return ""

    async def authorize(self, request: Signable) -> None:
        """Add the token, and the intent without which the service takes none.

        Raises TokenUnavailable.
        """
        token = self._token
        now = self._now()
        if token is None or token.expires_on <= now:
            token = await self._fetch(token)
        elif now >= self._next_renewal and not self._fetching.locked():
            token = await self._renew(token)
        request.headers["authorization"] = f"Bearer {token.token}"
        request.headers["x-ms-file-request-intent"] = "backup"

    async def _fetch(self, stale: AccessToken | None) -> AccessToken:
        """Fetch one token for all who wait: whoever finds *stale* replaced is served."""
        async with self._fetching:
            if self._token is None or self._token is stale:
                token = await self._provider.get_token(self._scope)
                self._token = token
                soonest = self._now() + _RENEWAL_PAUSE
                self._next_renewal = max(token.expires_on - _TOKEN_MARGIN, soonest)
            return self._token

    async def _renew(self, token: AccessToken) -> AccessToken:
        """Fetch the successor of *token*; return *token* where there is none yet."""
        try:
            return await self._fetch(token)
        except TokenUnavailable as error:
            left = token.expires_on - self._now()
            if left <= 0:
                raise
            self._next_renewal = self._now() + _RENEWAL_PAUSE
            log.warning("the access token ends in %.0f s and is not renewed yet: %s", left, error)
            return token

    def refused(self, authorization: str) -> bool:
        """Forget the token if it is the one refused, so that the next try asks for another."""
        if self._token is not None and authorization == f"Bearer {self._token.token}":
            self._token = None
        return True

    def complaint(self, now: float) -> str:
        """Name the end of a token that is past."""
        if self._token is None or now < self._token.expires_on:
            return ""
        return "The access token has expired."


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """An Azure storage connection string. `credentials` is None where it has none."""

    endpoint: Endpoint
    credentials: SharedKey | Sas | None

    @classmethod
    def parse(cls, text: str) -> "ConnectionString":
        """Read `Name=value;...`. Raises ValueError, which never holds a value of a secret."""
        fields = _split_connection_string(text)
        if fields.get("usedevelopmentstorage", "").lower() == "true":
            emulator = DEVELOPMENT_ENDPOINT
            if proxy := fields.get("developmentstorageproxyuri"):
                # An emulator on another host: the URI names scheme and host, no port.
                emulator = f"{proxy.rstrip('/')}:{DEVELOPMENT_PORT}/{DEVELOPMENT_ACCOUNT}"
            return cls(
                Endpoint.parse(emulator),
                SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
            )
        account = fields.get("accountname")
        if url := fields.get("fileendpoint"):
            url, _, sas_in_url = url.partition("?")
            endpoint = Endpoint.parse(url, account=account)
        elif account:
            sas_in_url = ""
            scheme = fields.get("defaultendpointsprotocol", "https")
            suffix = fields.get("endpointsuffix", DEFAULT_ENDPOINT_SUFFIX)
            endpoint = Endpoint.parse(f"{scheme}://{account}.file.{suffix}")
        else:
            raise ValueError("the connection string has neither AccountName nor FileEndpoint")
        if key := fields.get("accountkey"):
            return cls(endpoint, SharedKey(endpoint.account, key))
        sas = fields.get("sharedaccesssignature") or sas_in_url
        return cls(endpoint, Sas(sas) if sas else None)


def _split_connection_string(text: str) -> dict[str, str]:
    """Return the fields by lower-cased name. Empty fields between semicolons are skipped."""
    fields: dict[str, str] = {}
    for number, part in enumerate(filter(None, text.strip().split(";")), start=1):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"field {number} of the connection string is not Name=value")
        if name.strip().lower() in fields:
            raise ValueError(f"the connection string has {name.strip()} twice")
        fields[name.strip().lower()] = value.strip()
    if not fields:
        raise ValueError("the connection string is empty")
    return fields
