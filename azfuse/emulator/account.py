"""The account: List Shares, Get User Delegation Key. Service properties have their own module."""

import base64
import json
from typing import Final

from azfuse.emulator import clock, delegation
from azfuse.emulator.errors import Refusal, bad_query
from azfuse.emulator.features import feature_elements
from azfuse.emulator.leases import share_headers
from azfuse.emulator.policies import MAX_BODY, bad_xml, parse_document
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.rows import Share, Snapshot
from azfuse.emulator.sas import parse_sas_time
from azfuse.emulator.service import Service
from azfuse.emulator.share import DEFAULT_TIER, tier_transition
from azfuse.emulator.xml import attribute, document, element
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

#: What a list may include, and since when.
_INCLUDES: Final = {
    "metadata": "2014-02-14",
    "snapshots": "2016-10-16",
    "deleted": "2019-12-12",
}
_LEASES_SINCE: Final = "2020-02-10"
_TIERS_SINCE: Final = "2019-12-12"
#: Longest life of a user delegation key, in nanoseconds.
_MAX_DELEGATION: Final = 7 * 86_400_000_000_000


async def list_shares(service: Service, request: Request) -> Response:
    """List Shares: living ones in ordinal order, snapshots before their share."""
    query = request.query
    limit = request.limit()
    include = frozenset(w.strip().lower() for w in query.get("include", "").split(",") if w.strip())
    if not all(request.version >= _INCLUDES.get(word, "never") for word in include):
        raise bad_query("include", query["include"])
    prefix, marker = query.get("prefix", ""), query.get("marker", "")
    account = f"/{request.account}/"
    start, _, rest = marker.removeprefix(account).partition("/")
    shares = service.store.shares(request.account, prefix, start, limit + 1)
    rows = [row for share in shares for row in _rows(service, request, share, include)]
    if "deleted" in include:
        deleted = [s for s in service.store.deleted_shares(request.account)
                   if s.name.startswith(prefix) and s.name >= start]  # fmt: skip
        rows += [(share.name, share.version, _deleted(service, request, share, include))
                 for share in deleted]  # fmt: skip
        rows.sort(key=lambda row: row[0])
    if rest:
        skip = next(
            (i for i, row in enumerate(rows) if f"{row[0]}/{row[1]}" == f"{start}/{rest}"), 0
        )
        rows = rows[skip:]
    following = ""
    if len(rows) > limit:
        name, version, _ = rows[limit]
        following = f"{account}{name}" + (
            f"/{version}" if include & {"snapshots", "deleted"} else ""
        )
    parts = [f'<EnumerationResults ServiceEndpoint="{attribute(request.endpoint)}">']
    parts += [element(tag, query[name]) for tag, name in
              (("Prefix", "prefix"), ("Marker", "marker"), ("MaxResults", "maxresults"))
              if query.get(name)]  # fmt: skip
    content = "".join(xml for _, _, xml in rows[:limit])
    parts.append(f"<Shares>{content}</Shares>" if content else "<Shares />")
    parts += [element("NextMarker", following), "</EnumerationResults>"]
    return xml_response(document("".join(parts)))


def _rows(
    service: Service, request: Request, share: Share, include: frozenset[str]
) -> list[tuple[str, str, str]]:
    rows = []
    if "snapshots" in include:
        for snapshot in service.store.snapshots(share.id):
            taken = wire.format_time(snapshot.taken)
            inner = element("Name", share.name) + element("Snapshot", taken)
            inner += _properties(service, request, share, snapshot)
            if "metadata" in include:
                inner += _metadata(snapshot.metadata)
            rows.append((share.name, f"{share.version}/{taken}", f"<Share>{inner}</Share>"))
    inner = element("Name", share.name) + _properties(service, request, share, share)
    if "metadata" in include:
        inner += _metadata(share.metadata)
    last = f"{share.version}/9999-12-31T23:59:59.9999999Z"
    rows.append((share.name, last, f"<Share>{inner}</Share>"))
    return rows


def _deleted(service: Service, request: Request, share: Share, include: frozenset[str]) -> str:
    deleted = share.deleted or 0
    days = service.settings.soft_delete_days
    left = max(0, days - (clock.now() - deleted) // 86_400_000_000_000)
    properties = _properties(service, request, share, share).replace(
        "</Properties>",
        element("DeletedTime", clock.http_date(deleted))
        + element("RemainingRetentionDays", str(left))
        + "</Properties>",
    )
    inner = element("Name", share.name) + "<Deleted>true</Deleted>"
    inner += element("Version", share.version) + properties
    inner += _metadata(share.metadata) if "metadata" in include else ""
    return f"<Share>{inner}</Share>"


def _properties(service: Service, request: Request, share: Share, holder: Share | Snapshot) -> str:
    version = request.version
    settings = json.loads(share.settings)
    inner = element("Last-Modified", clock.http_date(holder.modified))
    inner += element("Etag", wire.etag_of_time(holder.modified))
    if version >= _LEASES_SINCE:
        tags = {"status": "LeaseStatus", "state": "LeaseState", "duration": "LeaseDuration"}
        for name, value in share_headers(holder, clock.now()):
            inner += element(tags[name.rpartition("-")[2]], value)
    if version >= "2015-02-21":
        inner += element("Quota", str(holder.quota))
    if share.is_nfs and version >= "2019-07-07":
        inner += element("EnabledProtocols", share.protocol)
        inner += element("RootSquash", settings.get("root_squash", "NoRootSquash"))
    if version >= _TIERS_SINCE:
        inner += element("AccessTier", settings.get("tier", DEFAULT_TIER))
        state = tier_transition(service, settings)
        inner += element("AccessTierChangeTime", clock.http_date(settings.get("tier_changed", 0)))
        inner += element("AccessTierTransitionState", state) if state else ""
        # None of them is older than the tiers.
        inner += "".join(element(*feature) for feature in feature_elements(share, version))
        inner += element("DefaultEncryptionScope", "$account-encryption-key")
        inner += element("DenyEncryptionScopeOverride", "false")
    return f"<Properties>{inner}</Properties>"


def _metadata(metadata: str | None) -> str:
    if not metadata:
        return "<Metadata />"
    inner = "".join(element(name, value) for name, value in json.loads(metadata))
    return f"<Metadata>{inner}</Metadata>"


async def get_user_delegation_key(service: Service, request: Request) -> Response:
    """Get User Delegation Key: one for the holder of the token, for at most seven days."""
    root = parse_document(await request.body(MAX_BODY), "KeyInfo")
    now = clock.now()
    begin = _key_time("Start", root.findtext("Start") or clock.iso(now)[:19] + "Z")
    end = _key_time("Expiry", root.findtext("Expiry") or "")
    if end <= max(begin, now) or end - max(begin, now) > _MAX_DELEGATION:
        raise _bad_node("Expiry", root.findtext("Expiry") or "")
    tenant = root.findtext("DelegatedUserTid") or ""
    if tenant and request.version < delegation.TENANTS_SINCE:
        raise bad_xml()
    description = dict(zip(
        delegation.DESCRIPTION,
        (request.access.oid, request.access.tid, _whole_second(begin), _whole_second(end), "f",
         request.version, tenant),
        strict=True,
    ))  # fmt: skip
    key = delegation.derive(service.keys[request.account], description)
    tags = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService",
            "SignedVersion", "SignedDelegatedUserTid")  # fmt: skip
    inner = "".join(
        element(tag, value) for tag, value in zip(tags, description.values(), strict=True) if value
    )
    inner += element("Value", base64.b64encode(key).decode())
    return xml_response(document(f"<UserDelegationKey>{inner}</UserDelegationKey>"))


def _whole_second(unix_ns: int) -> str:
    return clock.iso(unix_ns)[:19] + "Z"


def _key_time(name: str, text: str) -> int:
    try:
        return parse_sas_time(text)
    except Refusal:
        raise _bad_node(name, text) from None


def _bad_node(name: str, text: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_XML_NODE_VALUE, ("XmlNodeName", name), ("XmlNodeValue", text))
