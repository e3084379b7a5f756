"""Operations on a share."""

import json
import re
from collections.abc import Mapping
from typing import Final, Literal

from azfuse.rest.errors import ErrorCode, InvalidResponse, ServiceError
from azfuse.rest.exchange import Call, Exchange
from azfuse.rest.headers import (
    BINARY_PERMISSION_SINCE,
    NFS_SINCE,
    lease_header,
    metadata_headers,
    need,
    parse_int,
    parse_last_modified,
    parse_lease_properties,
    parse_written,
    require,
)
from azfuse.rest.models import ShareProperties, Written
from azfuse.rest.resource import or_none
from azfuse.rest.share_leases import ShareLeases
from azfuse.rest.transport import Transport
from azfuse.rest.wire import METADATA_PREFIX
from azfuse.rest.xml import parse_share_usage

Protocol = Literal["SMB", "NFS"]
RootSquash = Literal["NoRootSquash", "RootSquash", "AllSquash"]

_NAME: Final = re.compile(r"\$root|\$logs|[a-z0-9](?:-?[a-z0-9])+", re.ASCII)

#: First versions of share operations (reference, 1.2).
_SNAPSHOT_SINCE: Final = "2017-04-17"
_PERMISSION_SINCE: Final = "2019-02-02"
_RESTORE_SINCE: Final = "2019-12-12"
#: Headers of Get Share Properties that have a field of their own, or say nothing of the share.
_NAMED: Final = frozenset(
    {
        "x-ms-access-tier",
        "x-ms-client-request-id",
        "x-ms-enabled-protocols",
        "x-ms-lease-duration",
        "x-ms-lease-state",
        "x-ms-lease-status",
        "x-ms-request-id",
        "x-ms-root-squash",
        "x-ms-share-quota",
        "x-ms-version",
    }
)


class Share(ShareLeases):
    """The share *share*. Raises ValueError for a name that no share can have.

    Every method raises ServiceError, ConnectionFailed, ServiceUnavailable and
    InvalidResponse. A SAS of a share is not enough for any of them.
    """

    def __init__(self, transport: Transport, share: str) -> None:
        if not 3 <= len(share) <= 63 or _NAME.fullmatch(share) is None:
            raise ValueError(
                f"not a share name (3 to 63 of a-z, 0-9 and single hyphens between): {share!r}"
            )
        super().__init__(transport, share)

    async def create_share(
        self,
        *,
        quota: int | None = None,
        metadata: Mapping[str, str] | None = None,
        enabled_protocols: Protocol | None = None,
        access_tier: str | None = None,
        root_squash: RootSquash | None = None,
    ) -> Written:
        """Create Share of *quota* GiB. One that a lost try has already made counts as created."""
        headers = metadata_headers(metadata)
        headers.update(_settings_headers(quota, access_tier, root_squash))
        if enabled_protocols is not None:
            headers["x-ms-enabled-protocols"] = enabled_protocols

        def build(version: str) -> Call:
            if enabled_protocols == "NFS":
                require(version, NFS_SINCE, "an NFS share over REST")
            return self._share_call("CreateShare", "PUT", headers=headers)

        try:
            exchange, _ = await self.transport.request(build)
        except ServiceError as error:
            if not error.retried or error.code != ErrorCode.SHARE_ALREADY_EXISTS:
                raise
            found = await or_none(self.get_share_properties())
            if found is None:
                raise
            return Written(found.etag, found.last_modified)
        return parse_written(exchange)

    async def get_share_properties(self, *, snapshot: str | None = None) -> ShareProperties:
        """Get Share Properties, of the share or of its *snapshot*."""

        def build(version: str) -> Call:
            del version
            return self._share_call("GetShareProperties", "GET", snapshot=snapshot)

        exchange, _ = await self.transport.request(build)
        return _parse_share_properties(exchange)

    async def set_share_properties(
        self,
        *,
        quota: int | None = None,
        access_tier: str | None = None,
        root_squash: RootSquash | None = None,
        lease_id: str | None = None,
    ) -> Written:
        """Set Share Properties. What is left None stays."""
        headers = {
            **_settings_headers(quota, access_tier, root_squash),
            **lease_header(lease_id),
        }

        def build(version: str) -> Call:
            del version
            return self._share_call(
                "SetShareProperties", "PUT", ("comp", "properties"), headers=headers
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def set_share_metadata(
        self, metadata: Mapping[str, str], *, lease_id: str | None = None
    ) -> Written:
        """Set Share Metadata: *metadata* replaces all there is."""
        headers = {**metadata_headers(metadata), **lease_header(lease_id)}

        def build(version: str) -> Call:
            del version
            return self._share_call(
                "SetShareMetadata", "PUT", ("comp", "metadata"), headers=headers
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def get_share_stats(self) -> int:
        """Get Share Stats: bytes in use, approximately and lagging."""

        def build(version: str) -> Call:
            del version
            return self._share_call("GetShareStats", "GET", ("comp", "stats"))

        _, body = await self.transport.request(build)
        return parse_share_usage(body)

    async def delete_share(
        self,
        *,
        snapshot: str | None = None,
        delete_snapshots: Literal["include", "include-leased"] | None = None,
        lease_id: str | None = None,
    ) -> None:
        """Delete Share, or only its *snapshot*. What a lost try has deleted counts as done.

        The name is free again after half a minute or more.
        """
        headers = lease_header(lease_id)
        if delete_snapshots is not None:
            headers["x-ms-delete-snapshots"] = delete_snapshots

        def build(version: str) -> Call:
            del version
            return self._share_call("DeleteShare", "DELETE", headers=headers, snapshot=snapshot)

        gone = (
            ErrorCode.SHARE_NOT_FOUND,
            ErrorCode.SHARE_BEING_DELETED,
            ErrorCode.SHARE_SNAPSHOT_NOT_FOUND,
        )
        try:
            await self.transport.request(build)
        except ServiceError as error:
            if not error.retried or error.code not in gone:
                raise

    async def restore_share(self, deleted_version: str) -> Written:
        """Restore Share: bring the deleted share of this name back (List Shares tells versions)."""
        headers = {
            "x-ms-deleted-share-name": self.share,
            "x-ms-deleted-share-version": deleted_version,
        }

        def build(version: str) -> Call:
            require(version, _RESTORE_SINCE, "restoring a share")
            return self._share_call("RestoreShare", "PUT", ("comp", "undelete"), headers=headers)

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def snapshot_share(self, *, metadata: Mapping[str, str] | None = None) -> str:
        """Snapshot Share; return the snapshot's name, an instant in the service's own words.

        A try whose answer was lost may leave a snapshot behind that nobody knows of.
        """
        headers = metadata_headers(metadata)

        def build(version: str) -> Call:
            require(version, _SNAPSHOT_SINCE, "a snapshot")
            return self._share_call("SnapshotShare", "PUT", ("comp", "snapshot"), headers=headers)

        exchange, _ = await self.transport.request(build)
        return need(exchange, "x-ms-snapshot")

    async def create_permission(
        self, permission: str, *, permission_format: Literal["sddl", "binary"] = "sddl"
    ) -> str:
        """Create Permission; return the key under which the share knows the descriptor.

        *permission* is SDDL or base64 binary. The same descriptor gets the same key.
        """
        document = {"permission": permission}
        if permission_format != "sddl":
            document["format"] = permission_format
        body = json.dumps(document).encode()

        def build(version: str) -> Call:
            require(version, _PERMISSION_SINCE, "a permission")
            if permission_format != "sddl":
                require(version, BINARY_PERMISSION_SINCE, "a binary permission")
            call = self._share_call(
                "CreatePermission",
                "PUT",
                ("comp", "filepermission"),
                headers={"content-type": "application/json"},
            )
            call.body, call.body_length = body, len(body)
            return call

        exchange, _ = await self.transport.request(build)
        return need(exchange, "x-ms-file-permission-key")

    async def get_permission(
        self, key: str, *, permission_format: Literal["sddl", "binary"] = "sddl"
    ) -> str:
        """Get Permission: the descriptor of *key*, in SDDL or base64 binary."""
        headers = {"x-ms-file-permission-key": key}
        if permission_format != "sddl":
            headers["x-ms-file-permission-format"] = permission_format

        def build(version: str) -> Call:
            require(version, _PERMISSION_SINCE, "a permission")
            if permission_format != "sddl":
                require(version, BINARY_PERMISSION_SINCE, "a binary permission")
            return self._share_call(
                "GetPermission", "GET", ("comp", "filepermission"), headers=headers
            )

        _, body = await self.transport.request(build)
        return parse_permission(body)


def parse_permission(body: bytes) -> str:
    """Read the JSON of Get Permission. Raises InvalidResponse."""
    try:
        permission = json.loads(body)["permission"]
    except (ValueError, KeyError, TypeError):
        permission = None
    if not isinstance(permission, str):
        raise InvalidResponse("GetPermission: the answer holds no permission")
    return permission


def _settings_headers(
    quota: int | None, access_tier: str | None, root_squash: RootSquash | None
) -> dict[str, str]:
    headers: dict[str, str] = {}
    if quota is not None:
        if quota < 1:
            raise ValueError(f"a quota is at least 1 GiB, not {quota}")
        headers["x-ms-share-quota"] = str(quota)
    if access_tier is not None:
        headers["x-ms-access-tier"] = access_tier
    if root_squash is not None:
        headers["x-ms-root-squash"] = root_squash
    return headers


def _parse_share_properties(exchange: Exchange) -> ShareProperties:
    headers = exchange.headers
    protocols = headers.get("x-ms-enabled-protocols", "")
    return ShareProperties(
        etag=need(exchange, "etag"),
        last_modified=parse_last_modified(exchange),
        # Before 2015-02-21 shares had no quota, and 5 TiB.
        quota=parse_int(exchange, "x-ms-share-quota") or 5120,
        metadata=exchange.metadata,
        enabled_protocols=frozenset(word.strip() for word in protocols.split(";") if word.strip()),
        access_tier=headers.get("x-ms-access-tier"),
        lease=parse_lease_properties(exchange),
        root_squash=headers.get("x-ms-root-squash"),
        raw={
            name: value
            for name, value in headers.items()
            if name.startswith("x-ms-")
            and name not in _NAMED
            and not name.startswith(METADATA_PREFIX)
        },
    )
