"""Leases on files: infinite, exclusive for writing, and no handle dies with its owner."""

import uuid

from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.exchange import Call
from azfuse.rest.headers import lease_header, parse_file_properties, parse_lease
from azfuse.rest.models import FileProperties, Lease
from azfuse.rest.resource import Resource, or_none

_OPERATION = "LeaseFile"


class FileLeases(Resource):
    """The actions of Lease File. A lease changes neither ETag nor times."""

    async def acquire_lease(self, path: str, *, proposed_id: str | None = None) -> Lease:
        """Acquire. An id (a GUID) is always proposed, so that a repeated try gets the same lease.

        Raises ServiceError LeaseAlreadyPresent where another id holds it.
        """
        lease_id = proposed_id or str(uuid.uuid4())
        return await self._lease(
            path, "acquire", {"x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": lease_id}
        )

    async def release_lease(self, path: str, lease_id: str) -> Lease:
        """Release. A lease that a lost try has already released counts as released."""
        try:
            return await self._lease(path, "release", lease_header(lease_id))
        except ServiceError as error:
            gone = (
                ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION,
                ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION,
            )
            if not error.retried or error.code not in gone:
                raise
        properties = await self._properties_with_lease(path, None)
        return Lease(properties.etag, properties.last_modified)

    async def change_lease(self, path: str, lease_id: str, proposed_id: str) -> Lease:
        """Change the id. A change that a lost try has already done counts as done."""
        headers = {**lease_header(lease_id), "x-ms-proposed-lease-id": proposed_id}
        try:
            return await self._lease(path, "change", headers)
        except ServiceError as error:
            if not error.retried or error.code != ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION:
                raise
            # A read with an id is refused unless that id holds the lease.
            held = await or_none(self._properties_with_lease(path, proposed_id))
            if held is None:
                raise
            return Lease(held.etag, held.last_modified, proposed_id)

    async def break_lease(self, path: str) -> Lease:
        """Break, at once and without the id. Breaking a broken lease succeeds again."""
        return await self._lease(path, "break", {})

    async def _lease(self, path: str, action: str, headers: dict[str, str]) -> Lease:
        def build(version: str) -> Call:
            return self._call(
                _OPERATION,
                "PUT",
                path,
                version,
                ("comp", "lease"),
                headers={"x-ms-lease-action": action, **headers},
            )

        exchange, _ = await self.transport.request(build)
        return parse_lease(exchange)

    async def _properties_with_lease(self, path: str, lease_id: str | None) -> FileProperties:
        def build(version: str) -> Call:
            headers = lease_header(lease_id)
            return self._call("GetFileProperties", "HEAD", path, version, headers=headers)

        exchange, _ = await self.transport.request(build)
        return parse_file_properties(exchange)
