"""Operations on a share."""

import re
from collections.abc import Mapping
from typing import Final, Literal

from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.exchange import Call
from azfuse.rest.headers import (
    NFS_SINCE,
    lease_header,
    metadata_headers,
    need,
    parse_written,
    require,
)
from azfuse.rest.models import ShareFeatures, ShareProperties, Written
from azfuse.rest.resource import or_none
from azfuse.rest.share_access import ShareAccess
from azfuse.rest.share_settings import ShareSettings, parse_share_properties
from azfuse.rest.transport import Transport
from azfuse.rest.xml import parse_share_usage

Protocol = Literal["SMB", "NFS"]
RootSquash = Literal["NoRootSquash", "RootSquash", "AllSquash"]

_NAME: Final = re.compile(r"\$root|\$logs|[a-z0-9](?:-?[a-z0-9])+", re.ASCII)

#: First versions of share operations (reference, 1.2).
_SNAPSHOT_SINCE: Final = "2017-04-17"
_RESTORE_SINCE: Final = "2019-12-12"


class Share(ShareAccess):
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
        features: ShareFeatures | None = None,
    ) -> Written:
        """Create Share of *quota* GiB. One that a lost try has already made counts as created."""
        settings = ShareSettings(quota, access_tier, root_squash, features)
        fixed = metadata_headers(metadata)
        if enabled_protocols is not None:
            fixed["x-ms-enabled-protocols"] = enabled_protocols

        def build(version: str) -> Call:
            if enabled_protocols == "NFS":
                require(version, NFS_SINCE, "an NFS share over REST")
            headers = {**settings.headers(version), **fixed}
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

    async def get_share_properties(
        self, *, snapshot: str | None = None, lease_id: str | None = None
    ) -> ShareProperties:
        """Get Share Properties, of the share or of its *snapshot*. Metadata comes with it."""

        def build(version: str) -> Call:
            del version
            headers = lease_header(lease_id)
            return self._share_call("GetShareProperties", "GET", headers=headers, snapshot=snapshot)

        exchange, _ = await self.transport.request(build)
        return parse_share_properties(exchange)

    async def get_share_metadata(
        self, *, snapshot: str | None = None, lease_id: str | None = None
    ) -> dict[str, str]:
        """Get Share Metadata. `get_share_properties` answers it as well."""

        def build(version: str) -> Call:
            del version
            return self._share_call(
                "GetShareMetadata",
                "GET",
                ("comp", "metadata"),
                headers=lease_header(lease_id),
                snapshot=snapshot,
            )

        exchange, _ = await self.transport.request(build)
        return exchange.metadata

    async def set_share_properties(
        self,
        *,
        quota: int | None = None,
        access_tier: str | None = None,
        root_squash: RootSquash | None = None,
        features: ShareFeatures | None = None,
        lease_id: str | None = None,
    ) -> Written:
        """Set Share Properties. What is left None stays."""
        settings = ShareSettings(quota, access_tier, root_squash, features)

        def build(version: str) -> Call:
            headers = {**settings.headers(version), **lease_header(lease_id)}
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

    async def get_share_stats(self, *, lease_id: str | None = None) -> int:
        """Get Share Stats: bytes in use, approximately and lagging."""

        def build(version: str) -> Call:
            del version
            headers = lease_header(lease_id)
            return self._share_call("GetShareStats", "GET", ("comp", "stats"), headers=headers)

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
