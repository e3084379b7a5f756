"""Shared access signatures: account SAS, and service or user delegation SAS on a share or a file.

A SAS is checked in the service's order: fields, signature, times, then protocol, address, service,
resource type and permission.
"""

import hmac
import ipaddress
import json
from collections.abc import Mapping
from typing import Final

from azfuse.emulator import delegation
from azfuse.emulator.errors import Refusal
from azfuse.emulator.operations import Operation
from azfuse.emulator.request import Access, Request
from azfuse.emulator.sharedkey import failed, sign
from azfuse.emulator.store import Store
from azfuse.emulator.tokens import Identity
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

_HEADER_OVERRIDES: Final = ("rscc", "rscd", "rsce", "rscl", "rsct")
_SAS_SINCE: Final = "2015-02-21"
_ACCOUNT_SAS_SINCE: Final = "2015-04-05"
_ENCRYPTION_SCOPE_SINCE: Final = "2020-12-06"
_RESOURCE_TYPE: Final = {"service": "s", "share": "c", "path": "o"}
_TIME_ENDINGS: Final = ("", ":00Z", "T00:00:00Z")


def verify(
    request: Request,
    operation: Operation,
    keys: Mapping[str, bytes],
    store: Store,
    now: int,
    identity: Identity | None = None,
) -> Access:
    """Check the SAS in the query of a request and return what it allows.

    *identity* is that of a bearer token beside it. Refuses with AuthenticationFailed or one of the
    Authorization... codes.
    """
    query = request.query
    key = keys.get(request.account)
    if key is None:
        raise failed(f"Cannot find the claimed account {request.account}.")
    version = query.get("sv", "")
    if version not in wire.VERSIONS:
        raise failed(f"sv is mandatory. {'Cannot be empty' if not version else 'Unknown value'}")
    accounts = "ss" in query or "srt" in query
    if version < (_ACCOUNT_SAS_SINCE if accounts else _SAS_SINCE):
        raise failed(f"There are no such signatures in version {version}")
    if accounts:
        fields = _account_fields(request, key, version)
    else:
        fields = _service_fields(request, key, version, store)
    _check_times(fields.get("st"), fields["se"], now)
    if "skoid" in query:
        _check_times(query["skt"], query["ske"], now)
        _check_user(query, identity)
    if fields.get("spr") == "https" and request.scheme != "https":
        raise Refusal(ErrorCode.AUTHORIZATION_PROTOCOL_MISMATCH)
    if fields.get("sip") and not _in_range(request.client, fields["sip"]):
        raise Refusal(ErrorCode.AUTHORIZATION_SOURCE_IP_MISMATCH, ("SourceIP", request.client))
    access = Access(letters=fields.get("sp", ""), is_service_sas="ss" not in query)
    _check_scope(operation, query, access)
    if not access.allows(operation.letters):
        raise Refusal(ErrorCode.AUTHORIZATION_PERMISSION_MISMATCH)
    return access


def _check_scope(operation: Operation, query: Mapping[str, str], access: Access) -> None:
    if not access.is_service_sas:
        if "f" not in query.get("ss", ""):
            raise Refusal(ErrorCode.AUTHORIZATION_SERVICE_MISMATCH)
        if _RESOURCE_TYPE[operation.level] not in query.get("srt", ""):
            raise Refusal(ErrorCode.AUTHORIZATION_RESOURCE_TYPE_MISMATCH)
        return
    if operation.level == "path":
        return
    # A service SAS reaches no share operation but those on permissions.
    if operation.name not in ("CreatePermission", "GetPermission") or query.get("sr") != "s":
        raise Refusal(ErrorCode.AUTHORIZATION_FAILURE)


def _account_fields(request: Request, key: bytes, version: str) -> dict[str, str]:
    query = request.query
    for name in ("ss", "srt", "sp", "se"):
        if not query.get(name):
            raise failed(f"{name} is mandatory. Cannot be empty")
    lines = [
        request.account,
        *(query.get(n, "") for n in ("sp", "ss", "srt", "st", "se", "sip", "spr")),
    ]
    lines += [version, ""]
    if version >= _ENCRYPTION_SCOPE_SINCE:
        lines[-1:] = [query.get("ses", ""), ""]
    _check_signature(key, ["\n".join(lines)], query["sig"])
    return dict(query)


def _service_fields(request: Request, key: bytes, version: str, store: Store) -> dict[str, str]:
    query = request.query
    kind = query.get("sr", "")
    if not kind:
        raise failed("sr is mandatory. Cannot be empty")
    if kind not in ("s", "f"):
        raise failed(f"sr={kind} is not a resource of the file service")
    if "skoid" in query:
        key = delegation.key_of_sas(key, query)
        holder = [query.get(n, "") for n in (*delegation.DESCRIPTION, "sduoid")]
    else:
        holder = [query.get("si", "")]
    resource = f"/file/{request.account}/{request.share}"
    if kind == "f":
        resource += "".join(f"/{part}" for part in request.parts)
    address = [query.get("sip", ""), query.get("spr", "")] if version >= "2015-04-05" else []
    text = "\n".join(
        [
            *(query.get(name, "") for name in ("sp", "st", "se")),
            resource,
            *holder,
            *address,
            version,
            *(query.get(name, "") for name in _HEADER_OVERRIDES),
        ]
    )
    _check_signature(key, [text], query["sig"])
    fields = dict(query)
    if query.get("si"):
        _apply_policy(request, store, fields)
    for name in ("sp", "se"):
        if not fields.get(name):
            raise failed(f"{name} is mandatory. Cannot be empty")
    return fields


def _apply_policy(request: Request, store: Store, fields: dict[str, str]) -> None:
    share = store.share(request.account, request.share)
    policies: list[dict[str, str]] = json.loads(share.acl) if share and share.acl else []
    for policy in policies:
        if policy["Id"] == fields["si"]:
            break
    else:
        raise failed(f"The stored access policy {fields['si']} does not exist.")
    for field, part in (("sp", "Permission"), ("st", "Start"), ("se", "Expiry")):
        if policy.get(part):
            if fields.get(field):
                raise failed(f"{field} is given by the policy and by the signature.")
            fields[field] = policy[part]


def _check_signature(key: bytes, strings: list[str], signature: str) -> None:
    if any(hmac.compare_digest(sign(key, text), signature) for text in strings):
        return
    raise failed(f"Signature did not match. String to sign used was {strings[0]}")


def _check_times(start: str | None, expiry: str, now: int) -> None:
    if start and now < parse_sas_time(start):
        raise failed(f"Signature not valid in the specified time frame: Start [{start}]")
    if now >= parse_sas_time(expiry):
        raise failed(f"Signature not valid in the specified time frame: Expiry [{expiry}]")


def _check_user(query: Mapping[str, str], identity: Identity | None) -> None:
    """Refuse a SAS made for one user who is not the one that shows a token beside it."""
    wanted, tenant = query.get("sduoid"), query.get("skdutid")
    if wanted and (identity is None or identity.oid != wanted):
        raise failed("The SAS is for another user than the token")
    if wanted and tenant and identity is not None and identity.tid != tenant:
        raise failed("The SAS is for a user of another tenant than the token")


def parse_sas_time(text: str) -> int:
    """Read a time of a SAS or a policy: to the second, the minute or the day."""
    for ending in _TIME_ENDINGS:
        try:
            return wire.parse_time(text.removesuffix("Z") + ending if ending else text)
        except ValueError:
            continue
    raise failed(f"{text!r} is not a valid time")


def _in_range(client: str, allowed: str) -> bool:
    first, _, last = allowed.partition("-")
    try:
        address = ipaddress.ip_address(client)
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
    except ValueError:
        return False
    return int(low) <= int(address) <= int(high) and low.version == address.version
