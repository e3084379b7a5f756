"""Shares: one handler an operation. Permissions and access policies have modules of their own."""

import json
import math
from typing import Any, Final

from azfuse.emulator import clock, snapshots
from azfuse.emulator.errors import (
    DELETE_SHARE_WHEN_SNAPSHOT_LEASED,
    SHARE_SNAPSHOT_COUNT_EXCEEDED,
    Refusal,
    bad_header,
    bad_query,
)
from azfuse.emulator.features import feature_headers, read_features
from azfuse.emulator.leases import act_on_share, check_share, lease_id, share_headers, share_state
from azfuse.emulator.names import check_share_name
from azfuse.emulator.permissions import store_inherited
from azfuse.emulator.properties import Headers, metadata_headers
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.rows import Share, Snapshot
from azfuse.emulator.service import Service
from azfuse.emulator.xml import document
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

_GIB: Final = 1024**3
MAX_SNAPSHOTS: Final = 200
DEFAULT_TIER: Final = "TransactionOptimized"
_TIERS: Final = (DEFAULT_TIER, "Hot", "Cool", "Premium")
_SQUASHES: Final = ("NoRootSquash", "RootSquash", "AllSquash")


def tier_transition(service: Service, settings: dict[str, Any]) -> str:
    """Return the state of a change of tier, empty once it is through."""
    old, changed = settings.get("tier_from"), settings.get("tier_changed", 0)
    if not old or clock.now() - changed >= service.settings.tier_seconds * 1_000_000_000:
        return ""
    return f"pending-from-{old[0].lower()}{old[1:]}"


def identity(holder: Share | Snapshot) -> Headers:
    """Return ETag and Last-Modified of a share or a snapshot."""
    return [
        ("ETag", wire.etag_of_time(holder.modified)),
        ("Last-Modified", clock.http_date(holder.modified)),
    ]


async def create_share(service: Service, request: Request) -> Response:
    """Create Share, SMB unless NFS is asked for."""
    check_share_name(request.share)
    quota = _quota(service, request) or service.settings.default_quota
    protocol = request.headers.get("x-ms-enabled-protocols", "SMB").upper()
    if protocol not in ("SMB", "NFS"):
        raise bad_header("x-ms-enabled-protocols", protocol)
    settings = {"tier_changed": clock.now(), **_settings(request, protocol)}
    share = make_share(
        service, request.account, request.share, quota=quota, protocol=protocol,
        settings=settings, metadata=request.metadata(),
    )  # fmt: skip
    return Response(201, identity(share))


def make_share(
    service: Service, account: str, name: str, *, quota: int, protocol: str = "SMB",
    settings: dict[str, Any] | None = None, metadata: list[list[str]] | None = None,
) -> Share:  # fmt: skip
    """Make a share; refuses a name that is in use or was until a moment ago."""
    store = service.store
    if store.share(account, name) is not None:
        raise Refusal(ErrorCode.SHARE_ALREADY_EXISTS)
    wait = service.settings.share_delete_seconds * 1_000_000_000
    for old in store.deleted_shares(account, name):
        if clock.now() - (old.deleted or 0) < wait:
            raise Refusal(ErrorCode.SHARE_BEING_DELETED)
    with store.transaction():
        share = store.create_share(
            account, name, quota=quota, protocol=protocol,
            settings=json.dumps(settings or {"tier_changed": clock.now()}),
            metadata=json.dumps(metadata) if metadata else None,
        )  # fmt: skip
        if not share.is_nfs:
            store_inherited(store, share)
    return share


def _quota(service: Service, request: Request) -> int | None:
    quota = request.integer("x-ms-share-quota")
    if quota is not None and not 1 <= quota <= service.settings.max_quota:
        raise bad_header("x-ms-share-quota", str(quota))
    return quota


def _settings(request: Request, protocol: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    tier = request.headers.get("x-ms-access-tier")
    if tier is not None:
        if tier not in _TIERS:
            raise bad_header("x-ms-access-tier", tier)
        settings |= {"tier": tier, "tier_changed": clock.now()}
    squash = request.headers.get("x-ms-root-squash")
    if squash is not None:
        # SMB knows no root to squash.
        if squash not in _SQUASHES or protocol != "NFS":
            raise bad_header("x-ms-root-squash", squash)
        settings["root_squash"] = squash
    return settings | read_features(request)


def _holder(service: Service, request: Request) -> tuple[Share, Share | Snapshot]:
    share = service.share(request)
    return share, service.snapshot(request, share) or share


async def get_share_properties(service: Service, request: Request) -> Response:
    """Get Share Properties, of a snapshot too."""
    given = lease_id(request.headers, "x-ms-lease-id")
    share, holder = _holder(service, request)
    check_share(holder, given, clock.now(), needed=False)
    version = request.version
    settings = json.loads(share.settings)
    headers = identity(holder)
    if version >= "2015-02-21":
        headers.append(("x-ms-share-quota", str(holder.quota)))
    if version >= "2017-11-09":
        headers += [("x-ms-has-immutability-policy", "false"), ("x-ms-has-legal-hold", "false")]
    if version >= "2019-12-12":
        changed = clock.http_date(settings.get("tier_changed", 0))
        headers += [
            ("x-ms-access-tier", settings.get("tier", DEFAULT_TIER)),
            ("x-ms-access-tier-change-time", changed),
        ]
        state = tier_transition(service, settings)
        headers += [("x-ms-access-tier-transition-state", state)] if state else []
    if share.is_nfs:
        headers.append(("x-ms-enabled-protocols", share.protocol))
        headers.append(("x-ms-root-squash", settings.get("root_squash", "NoRootSquash")))
    if version >= "2020-02-10":
        headers += share_headers(holder, clock.now())
    headers += feature_headers(share, version)
    return Response(200, [*headers, *metadata_headers(holder.metadata)])


async def get_share_metadata(service: Service, request: Request) -> Response:
    """Get Share Metadata, of a snapshot too."""
    given = lease_id(request.headers, "x-ms-lease-id")
    _, holder = _holder(service, request)
    check_share(holder, given, clock.now(), needed=False)
    return Response(200, [*identity(holder), *metadata_headers(holder.metadata)])


async def set_share_properties(service: Service, request: Request) -> Response:
    """Set Share Properties: quota, tier, root squash and features."""
    quota = _quota(service, request)
    given = lease_id(request.headers, "x-ms-lease-id")
    share = service.share(request)
    check_share(share, given, clock.now(), needed=False)
    old = json.loads(share.settings)
    settings = {**old, **_settings(request, share.protocol)}
    tier = old.get("tier", DEFAULT_TIER)
    if settings.get("tier", tier) != tier:
        settings["tier_from"] = tier
    return _changed(
        service, share, {"quota": quota or share.quota, "settings": json.dumps(settings)}
    )


async def set_share_metadata(service: Service, request: Request) -> Response:
    """Set Share Metadata: replace all of it."""
    metadata = request.metadata()
    given = lease_id(request.headers, "x-ms-lease-id")
    share = service.share(request)
    check_share(share, given, clock.now(), needed=True)
    return _changed(service, share, {"metadata": json.dumps(metadata) if metadata else None})


def _changed(service: Service, share: Share, changes: dict[str, Any]) -> Response:
    moment = clock.now(share.modified)
    service.store.update_share(share.id, **changes, modified=moment)
    share.modified = moment
    return Response(200, identity(share))


async def get_share_stats(service: Service, request: Request) -> Response:
    """Get Share Stats: the bytes the share holds."""
    given = lease_id(request.headers, "x-ms-lease-id")
    share = service.share(request)
    check_share(share, given, clock.now(), needed=False)
    if request.version < "2018-11-09":
        inner = f"<ShareUsage>{math.ceil(share.used / _GIB)}</ShareUsage>"
    else:
        inner = f"<ShareUsageBytes>{share.used}</ShareUsageBytes>"
    # No ETag and no Last-Modified, whatever the reference says (recorded).
    return xml_response(document(f"<ShareStats>{inner}</ShareStats>"))


async def delete_share(service: Service, request: Request) -> Response:
    """Delete Share, with its snapshots if the request says so; or one snapshot."""
    which = request.headers.get("x-ms-delete-snapshots", "").lower()
    if which not in ("", "include", "include-leased"):
        raise bad_header("x-ms-delete-snapshots", which)
    given = lease_id(request.headers, "x-ms-lease-id")
    share = service.share(request)
    if "sharesnapshot" in request.query:
        return _delete_snapshot(service, request, share, which)
    check_share(share, given, clock.now(), needed=True)
    taken = service.store.snapshots(share.id)
    if taken and not which:
        raise Refusal(ErrorCode.SHARE_HAS_SNAPSHOTS)
    leased = any(share_state(s, clock.now()) in ("leased", "breaking") for s in taken)
    if leased and which == "include":
        raise Refusal(DELETE_SHARE_WHEN_SNAPSHOT_LEASED)
    snapshots.delete_share(service.store, share)
    return Response(202)


def _delete_snapshot(service: Service, request: Request, share: Share, which: str) -> Response:
    if which and request.version >= "2020-02-10":
        raise bad_query(
            "sharesnapshot", request.query["sharesnapshot"],
            "This operation is only allowed on the base share. ShareSnapshot query parameter "
            "should not be provided.",
        )  # fmt: skip
    try:
        snapshot = service.snapshot(request, share)
    except Refusal as refusal:
        if refusal.code == ErrorCode.SHARE_NOT_FOUND:
            raise Refusal(ErrorCode.SHARE_SNAPSHOT_NOT_FOUND) from None
        raise
    if snapshot is None:
        raise RuntimeError("a snapshot was asked for, and neither found nor refused")
    given = lease_id(request.headers, "x-ms-lease-id")
    check_share(snapshot, given, clock.now(), needed=True)
    snapshots.delete_snapshot(service.store, share, snapshot)
    return Response(202)


async def restore_share(service: Service, request: Request) -> Response:
    """Restore Share: bring a deleted share back under its own name."""
    name = request.required("x-ms-deleted-share-name")
    version = request.required("x-ms-deleted-share-version")
    if name != request.share:
        raise bad_header("x-ms-deleted-share-name", name)
    if service.store.share(request.account, name) is not None:
        raise Refusal(ErrorCode.SHARE_ALREADY_EXISTS)
    for share in service.store.deleted_shares(request.account, name):
        if share.version == version and service.settings.soft_delete_days > 0:
            break
    else:
        raise Refusal(ErrorCode.SHARE_NOT_FOUND)
    return Response(201, _changed(service, share, {"deleted": None}).headers)


async def snapshot_share(service: Service, request: Request) -> Response:
    """Snapshot Share: freeze it as it is; nothing is copied."""
    metadata = request.metadata()
    share = service.share(request)
    if len(service.store.snapshots(share.id)) >= MAX_SNAPSHOTS:
        raise Refusal(SHARE_SNAPSHOT_COUNT_EXCEEDED)
    taken = snapshots.take(
        service.store, share, json.dumps(metadata) if metadata else share.metadata
    )
    return Response(201, [("x-ms-snapshot", wire.format_time(taken)), *identity(share)])


async def lease_share(service: Service, request: Request) -> Response:
    """Lease Share, or a snapshot of one."""
    _, holder = _holder(service, request)
    outcome = act_on_share(request, holder, clock.now())
    table = "shares" if isinstance(holder, Share) else "snapshots"
    service.store.update(table, holder.id, outcome.columns)
    return Response(outcome.status, [*identity(holder), *outcome.headers])
