"""Makes shared access signatures: service SAS, account SAS, user delegation SAS.

Nothing in here talks to anyone. A SAS is a secret: whoever has it may do what it says.
"""

import base64
import binascii
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from azfuse.rest.auth import SharedKey, sign
from azfuse.rest.endpoint import encode_path
from azfuse.rest.models import UserDelegationKey
from azfuse.rest.share_access import MAX_POLICY_ID
from azfuse.rest.wire import VERSIONS, format_seconds

#: `sv` unless told otherwise: old enough for every region, new enough for every permission.
SAS_VERSION: Final = "2022-11-02"
#: Permission letters in the order in which the service wants them.
SHARE_PERMISSIONS: Final = "rcwdl"
FILE_PERMISSIONS: Final = "rcwd"
ACCOUNT_PERMISSIONS: Final = "rwdlacup"
#: Resource types of an account SAS: the service, shares, directories and files.
RESOURCE_TYPES: Final = "sco"

_SERVICE_SAS_SINCE: Final = "2015-02-21"
_ACCOUNT_SAS_SINCE: Final = "2015-04-05"
#: From here on addresses and protocols are signed, and with them the account SAS exists.
_ADDRESS_SINCE: Final = "2015-04-05"
_ENCRYPTION_SCOPE_SINCE: Final = "2020-12-06"
_DELEGATION_SINCE: Final = "2026-02-06"

Protocols = Literal["https", "https,http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHeaders:
    """Headers that Get File answers instead of the stored ones."""

    cache_control: str = ""
    content_disposition: str = ""
    content_encoding: str = ""
    content_language: str = ""
    content_type: str = ""

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields of the query, in the order in which they are signed."""
        return [
            ("rscc", self.cache_control),
            ("rscd", self.content_disposition),
            ("rsce", self.content_encoding),
            ("rscl", self.content_language),
            ("rsct", self.content_type),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SasTerms:
    """What a SAS allows, when and to whom. Times are Unix nanoseconds, cut to seconds.

    `permissions` and `expiry` may be left to the stored access policy `policy_id`,
    and must be where it says them. `ip` is an address or `first-last`.
    """

    permissions: str = ""
    expiry: int | None = None
    start: int | None = None
    ip: str = ""
    protocols: Protocols | None = None
    policy_id: str = ""
    version: str = SAS_VERSION
    response_headers: ResponseHeaders = ResponseHeaders()

    def check(self, letters: str, since: str) -> None:
        """Raise ValueError for what no SAS of this kind can say."""
        if self.version not in VERSIONS or self.version < since:
            raise ValueError(f"version {self.version} has no such SAS (it needs {since} or later)")
        _ordered(self.permissions, letters, "permissions")
        if not self.policy_id and not (self.permissions and self.expiry is not None):
            raise ValueError("a SAS needs permissions and an expiry, or a stored access policy")
        if len(self.policy_id) > MAX_POLICY_ID:
            raise ValueError(f"the id of an access policy has at most {MAX_POLICY_ID} characters")
        if self.start is not None and self.expiry is not None and self.start >= self.expiry:
            raise ValueError("the SAS would expire before it starts")
        if self.version < _ADDRESS_SINCE and (self.ip or self.protocols):
            raise ValueError(f"addresses and protocols need version {_ADDRESS_SINCE}")
        _check_addresses(self.ip)

    def times(self) -> tuple[str, str]:
        """Return start and expiry as they are written, empty for what is not said."""
        return _time(self.start), _time(self.expiry)


def _time(moment: int | None) -> str:
    return "" if moment is None else format_seconds(moment)


def _ordered(given: str, letters: str, what: str) -> str:
    """Return *given* in the order of *letters*. Raises ValueError for any other letter."""
    unknown = sorted(set(given) - set(letters))
    if unknown:
        raise ValueError(f"{what} {given!r}: only letters of {letters!r} are known")
    return "".join(letter for letter in letters if letter in given)


def _check_addresses(text: str) -> None:
    if not text:
        return
    first, dash, last = text.partition("-")
    try:
        low = ipaddress.IPv4Address(first)
        high = ipaddress.IPv4Address(last if dash else first)
    except ValueError:
        raise ValueError(f"not an IPv4 address or range (first-last): {text!r}") from None
    if low > high:
        raise ValueError(f"the address range {text!r} is empty")


def _query(fields: Sequence[tuple[str, str]]) -> str:
    return "&".join([f"{name}={quote(value, safe='')}" for name, value in fields if value])


def _resource(account: str, share: str, path: str) -> tuple[str, str, str]:
    """Return kind, permission letters and canonical resource of a share or a file in it."""
    encode_path(path)  # refuses what is no path
    if not share:
        raise ValueError("a service SAS is for a share or a file: it needs the share's name")
    if path:
        return "f", FILE_PERMISSIONS, f"/file/{account}/{share}/{path}"
    return "s", SHARE_PERMISSIONS, f"/file/{account}/{share}"


def make_service_sas(key: SharedKey, share: str, path: str = "", *, terms: SasTerms) -> str:
    """Make a SAS for *share*, or for the file *path* in it; return it as a query without `?`.

    Raises ValueError for terms that no such SAS can have.
    """
    kind, letters, resource = _resource(key.account, share, path)
    terms.check(letters, _SERVICE_SAS_SINCE)
    permissions = _ordered(terms.permissions, letters, "permissions")
    start, expiry = terms.times()
    overrides = terms.response_headers.fields()
    addresses = [terms.ip, terms.protocols or ""] if terms.version >= _ADDRESS_SINCE else []
    text = "\n".join(
        [
            permissions,
            start,
            expiry,
            resource,
            terms.policy_id,
            *addresses,
            terms.version,
            *(value for _, value in overrides),
        ]
    )
    return _query(
        [
            ("sv", terms.version),
            ("sr", kind),
            ("si", terms.policy_id),
            ("sp", permissions),
            ("st", start),
            ("se", expiry),
            ("sip", terms.ip),
            ("spr", terms.protocols or ""),
            *overrides,
            ("sig", key.sign(text)),
        ]
    )


def make_account_sas(key: SharedKey, resource_types: str, *, terms: SasTerms) -> str:
    """Make a SAS for the File service of the account; return it as a query without `?`.

    *resource_types* are letters of `sco`. Raises ValueError, also for a stored
    policy and for response headers, which an account SAS cannot have.
    """
    types = _ordered(resource_types, RESOURCE_TYPES, "resource types")
    if not types:
        raise ValueError(f"resource types are needed, letters of {RESOURCE_TYPES!r}")
    if terms.policy_id or terms.response_headers != ResponseHeaders():
        raise ValueError("an account SAS has neither a stored access policy nor response headers")
    terms.check(ACCOUNT_PERMISSIONS, _ACCOUNT_SAS_SINCE)
    permissions = _ordered(terms.permissions, ACCOUNT_PERMISSIONS, "permissions")
    start, expiry = terms.times()
    protocols = terms.protocols or ""
    lines = [key.account, permissions, "f", types, start, expiry, terms.ip, protocols]
    lines.append(terms.version)
    if terms.version >= _ENCRYPTION_SCOPE_SINCE:
        lines.append("")  # signedEncryptionScope: files have none
    text = "\n".join([*lines, ""])
    return _query(
        [
            ("sv", terms.version),
            ("ss", "f"),
            ("srt", types),
            ("sp", permissions),
            ("st", start),
            ("se", expiry),
            ("sip", terms.ip),
            ("spr", protocols),
            ("sig", key.sign(text)),
        ]
    )


def make_user_delegation_sas(
    account: str,
    key: UserDelegationKey,
    share: str,
    path: str = "",
    *,
    terms: SasTerms,
    delegated_user_oid: str = "",
) -> str:
    """Make a SAS for *share* or a file in it that an Entra identity answers for.

    `terms.version` below 2026-02-06 is raised to that. Raises ValueError, also for
    a stored policy, which such a SAS cannot have.
    """
    kind, letters, resource = _resource(account, share, path)
    if terms.policy_id:
        raise ValueError("a user delegation SAS has no stored access policy")
    version = max(terms.version, _DELEGATION_SINCE)
    terms.check(letters, _SERVICE_SAS_SINCE)
    try:
        secret = base64.b64decode(key.value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the user delegation key is not base64") from None
    permissions = _ordered(terms.permissions, letters, "permissions")
    start, expiry = terms.times()
    overrides = terms.response_headers.fields()
    delegation = [
        ("skoid", key.signed_oid),
        ("sktid", key.signed_tid),
        ("skt", key.signed_start),
        ("ske", key.signed_expiry),
        ("sks", key.signed_service),
        ("skv", key.signed_version),
        ("skdutid", key.signed_delegated_user_tid or ""),
        ("sduoid", delegated_user_oid),
    ]
    tail = [("sip", terms.ip), ("spr", terms.protocols or ""), ("sv", version), *overrides]
    head = [("sp", permissions), ("st", start), ("se", expiry)]
    text = "\n".join(
        [
            *(value for _, value in head),
            resource,
            *(value for _, value in delegation),
            *(value for _, value in tail),
        ]
    )
    return _query([*head, ("sr", kind), *delegation, *tail, ("sig", sign(secret, text))])
