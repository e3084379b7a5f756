"""Leases on shares: against deletion of the share, not against anything done to its files."""

import uuid
from typing import Final

from azfuse.rest.exchange import Call
from azfuse.rest.headers import lease_header, parse_lease, require
from azfuse.rest.models import Lease
from azfuse.rest.transport import Transport

#: First version with leases on shares.
_SHARE_LEASE_SINCE: Final = "2020-02-10"


class ShareLeases:
    """The actions of Lease Share, on the share or on one of its snapshots."""

    def __init__(self, transport: Transport, share: str) -> None:
        self.transport = transport
        self.share = share

    async def acquire_share_lease(
        self, *, duration: int = -1, proposed_id: str | None = None, snapshot: str | None = None
    ) -> Lease:
        """Acquire for *duration* seconds, 15 to 60, or -1 for ever. An id is always proposed."""
        if duration != -1 and not 15 <= duration <= 60:
            raise ValueError(f"a share is leased for 15 to 60 seconds or -1, not {duration}")
        headers = {
            "x-ms-lease-duration": str(duration),
            "x-ms-proposed-lease-id": proposed_id or str(uuid.uuid4()),
        }
        return await self._lease("acquire", headers, snapshot)

    async def renew_share_lease(self, lease_id: str, *, snapshot: str | None = None) -> Lease:
        """Renew for the time it was acquired for."""
        return await self._lease("renew", lease_header(lease_id), snapshot)

    async def change_share_lease(
        self, lease_id: str, proposed_id: str, *, snapshot: str | None = None
    ) -> Lease:
        """Change the id."""
        headers = {**lease_header(lease_id), "x-ms-proposed-lease-id": proposed_id}
        return await self._lease("change", headers, snapshot)

    async def release_share_lease(self, lease_id: str, *, snapshot: str | None = None) -> Lease:
        """Release."""
        return await self._lease("release", lease_header(lease_id), snapshot)

    async def break_share_lease(
        self, *, period: int | None = None, snapshot: str | None = None
    ) -> Lease:
        """Break, after *period* seconds (0 to 60) or at the lease's end, whichever is first."""
        headers = {} if period is None else {"x-ms-lease-break-period": str(period)}
        return await self._lease("break", headers, snapshot)

    async def _lease(self, action: str, headers: dict[str, str], snapshot: str | None) -> Lease:
        def build(version: str) -> Call:
            require(version, _SHARE_LEASE_SINCE, "a lease on a share")
            return self._share_call(
                "LeaseShare",
                "PUT",
                ("comp", "lease"),
                headers={"x-ms-lease-action": action, **headers},
                snapshot=snapshot,
            )

        exchange, _ = await self.transport.request(build)
        return parse_lease(exchange)

    def _share_call(
        self,
        operation: str,
        method: str,
        *query: tuple[str, str],
        headers: dict[str, str] | None = None,
        snapshot: str | None = None,
    ) -> Call:
        params = [("restype", "share"), *query]
        if snapshot is not None:
            params.append(("sharesnapshot", snapshot))
        path = self.transport.endpoint.path_of(self.share)
        return Call(operation, method, path, params, dict(headers or {}))
