"""Operations on files."""

from collections.abc import Mapping
from typing import Final, Literal

from azfuse.rest.errors import ServiceError
from azfuse.rest.exchange import Call
from azfuse.rest.handles import FileHandles
from azfuse.rest.headers import (
    check_value,
    content_headers,
    lease_header,
    md5_header,
    metadata_headers,
    nfs_headers,
    parse_written,
    require,
    smb_headers,
    written_of,
)
from azfuse.rest.leases import FileLeases
from azfuse.rest.links import FileLinks
from azfuse.rest.models import (
    Body,
    ContentSettings,
    NfsSettings,
    SmbSettings,
    Written,
)
from azfuse.rest.ranges import FileRanges, check_body
from azfuse.rest.resource import may_be_deleted, may_be_renamed, or_none
from azfuse.rest.wire import MAX_FILE_BYTES

#: First version whose Create File takes a body, and `property_semantics`.
BODY_SINCE: Final = "2026-06-06"
_RENAME_CONTENT_TYPE_SINCE: Final = "2021-06-08"


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_FILE_BYTES:
        raise ValueError(f"a file has 0 to {MAX_FILE_BYTES} bytes, not {size}")


class File(FileLinks, FileRanges, FileLeases, FileHandles):
    """Files of a share. Paths are share-relative.

    Every method raises ServiceError, ConnectionFailed, ServiceUnavailable and
    InvalidResponse, and ValueError for arguments that cannot be sent.
    """

    async def create_file(
        self,
        path: str,
        size: int,
        *,
        body: Body | None = None,
        body_length: int = 0,
        content_md5: bytes | None = None,
        content: ContentSettings | None = None,
        smb: SmbSettings | None = None,
        nfs: NfsSettings | None = None,
        metadata: Mapping[str, str] | None = None,
        lease_id: str | None = None,
        property_semantics: Literal["New", "Restore"] | None = None,
    ) -> Written:
        """Create File of *size* bytes, or replace the file of that name.

        The file is all zeros but for *body* (at most 4 MiB, *body_length* bytes),
        which becomes its beginning and needs 2026-06-06, else UnsupportedByVersion.
        A file that is replaced keeps its id and its lease.
        """
        _check_size(size)
        payload = b"" if body is None else body
        check_body(payload, body_length)
        fixed = {
            "x-ms-type": "file",
            "x-ms-content-length": str(size),
            **lease_header(lease_id),
            **content_headers(content),
            **metadata_headers(metadata),
            **md5_header(content_md5),
        }

        def build(version: str) -> Call:
            headers = {
                **fixed,
                **smb_headers(smb, version, "create", nfs=nfs is not None),
                **nfs_headers(nfs, version),
            }
            if body is not None:
                require(version, BODY_SINCE, "Create File with a body")
            if property_semantics is not None:
                require(version, BODY_SINCE, "property semantics")
                headers["x-ms-file-property-semantics"] = property_semantics
            call = self._call("CreateFile", "PUT", path, version, headers=headers)
            call.body, call.body_length = payload, body_length
            return call

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def get_file_metadata(self, path: str, *, lease_id: str | None = None) -> dict[str, str]:
        """Get File Metadata. `get_file_properties` answers it as well."""

        def build(version: str) -> Call:
            return self._call(
                "GetFileMetadata",
                "GET",
                path,
                version,
                ("comp", "metadata"),
                headers=lease_header(lease_id),
            )

        exchange, _ = await self.transport.request(build)
        return exchange.metadata

    async def set_file_properties(
        self,
        path: str,
        *,
        size: int | None = None,
        content: ContentSettings | None = None,
        smb: SmbSettings | None = None,
        nfs: NfsSettings | None = None,
        lease_id: str | None = None,
    ) -> Written:
        """Set File Properties: resize to *size* bytes, content headers, SMB or NFS properties.

        What is left None stays, except for the change time, for the last write time
        where the size is given, and for the content headers: they stay where only the
        size is given, and are cleared where one of them is given or where neither is
        (recorded; the reference says otherwise).
        """
        fixed = {**lease_header(lease_id), **content_headers(content)}
        if size is not None:
            _check_size(size)
            fixed["x-ms-content-length"] = str(size)

        def build(version: str) -> Call:
            headers = {
                **fixed,
                **smb_headers(smb, version, "set", nfs=nfs is not None),
                **nfs_headers(nfs, version),
            }
            return self._call(
                "SetFileProperties", "PUT", path, version, ("comp", "properties"), headers=headers
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def set_file_metadata(
        self, path: str, metadata: Mapping[str, str], *, lease_id: str | None = None
    ) -> Written:
        """Set File Metadata: *metadata* replaces all there is."""
        headers = {**metadata_headers(metadata), **lease_header(lease_id)}

        def build(version: str) -> Call:
            return self._call(
                "SetFileMetadata", "PUT", path, version, ("comp", "metadata"), headers=headers
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def delete_file(self, path: str, *, lease_id: str | None = None) -> None:
        """Delete File. One that a lost try has deleted counts as done."""

        def build(version: str) -> Call:
            return self._call("DeleteFile", "DELETE", path, version, headers=lease_header(lease_id))

        try:
            await self.transport.request(build)
        except ServiceError as error:
            if not may_be_deleted(error):
                raise

    async def rename_file(
        self,
        source: str,
        target: str,
        *,
        smb: SmbSettings | None = None,
        content_type: str | None = None,
        replace_if_exists: bool = False,
        ignore_read_only: bool = False,
        source_lease_id: str | None = None,
        destination_lease_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expected_file_id: int | None = None,
    ) -> Written:
        """Rename File, within the share. *replace_if_exists* replaces a file atomically.

        Given *expected_file_id*, a rename that a lost try has already done is
        recognised by it. Needs 2021-04-10, else UnsupportedByVersion.
        """
        extra = metadata_headers(metadata)
        if content_type is not None:
            extra["x-ms-content-type"] = check_value(content_type, "content type")

        def build(version: str) -> Call:
            if content_type is not None:
                require(version, _RENAME_CONTENT_TYPE_SINCE, "a content type with a rename")
            headers = self._rename_headers(
                source,
                version,
                smb=smb,
                replace_if_exists=replace_if_exists,
                ignore_read_only=ignore_read_only,
                source_lease_id=source_lease_id,
                destination_lease_id=destination_lease_id,
            )
            headers.update(extra)
            return self._call(
                "RenameFile", "PUT", target, version, ("comp", "rename"), headers=headers
            )

        try:
            exchange, _ = await self.transport.request(build)
        except ServiceError as error:
            if not may_be_renamed(error, expected_file_id):
                raise
            found = await or_none(self.get_file_properties(target))
            if found is None or found.smb.file_id != expected_file_id:
                raise
            return written_of(found)
        return parse_written(exchange)
