"""Operations on directories."""

from collections.abc import Mapping
from typing import Final

from azfuse.rest.errors import ServiceError
from azfuse.rest.exchange import Call
from azfuse.rest.handles import DirectoryHandles
from azfuse.rest.headers import (
    metadata_headers,
    nfs_headers,
    parse_directory_properties,
    parse_written,
    smb_headers,
    written_of,
)
from azfuse.rest.models import (
    DirectoryPage,
    DirectoryProperties,
    NfsSettings,
    SmbSettings,
    Written,
)
from azfuse.rest.resource import may_be_created, may_be_deleted, may_be_renamed, or_none
from azfuse.rest.wire import MAX_PAGE_ENTRIES
from azfuse.rest.xml import parse_directory_page

#: First version whose listings can hold more than names and sizes.
_EXTENDED_SINCE: Final = "2020-04-08"
_EXTENDED: Final = "Timestamps,ETag,Attributes,PermissionKey"
#: What a full page of 5,000 extended entries has, roughly: it gets time for that.
_PAGE_BYTES: Final = 4 * 1024 * 1024
_DIRECTORY: Final = ("restype", "directory")


class Directory(DirectoryHandles):
    """Directories of a share. Paths are share-relative, the root is ''.

    Every method raises ServiceError, ConnectionFailed, ServiceUnavailable and
    InvalidResponse, and ValueError for a path that cannot be sent.
    """

    async def create_directory(
        self,
        path: str,
        *,
        smb: SmbSettings | None = None,
        nfs: NfsSettings | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written:
        """Create Directory. One that a lost try has already made counts as created."""
        extra = metadata_headers(metadata)

        def build(version: str) -> Call:
            headers = {
                **smb_headers(smb, version, "create", nfs=nfs is not None),
                **nfs_headers(nfs, version),
                **extra,
            }
            return self._call("CreateDirectory", "PUT", path, version, _DIRECTORY, headers=headers)

        try:
            exchange, _ = await self.transport.request(build)
        except ServiceError as error:
            if not may_be_created(error):
                raise
            found = await or_none(self.get_directory_properties(path))
            if found is None:  # A file has the name: the refusal was no echo of our own try.
                raise
            return written_of(found)
        return parse_written(exchange)

    async def get_directory_properties(self, path: str) -> DirectoryProperties:
        """Get Directory Properties. Metadata comes with it."""

        def build(version: str) -> Call:
            return self._call("GetDirectoryProperties", "GET", path, version, _DIRECTORY)

        exchange, _ = await self.transport.request(build)
        return parse_directory_properties(exchange)

    async def set_directory_properties(
        self, path: str, *, smb: SmbSettings | None = None, nfs: NfsSettings | None = None
    ) -> Written:
        """Set Directory Properties. What is left None stays, except for the change time."""

        def build(version: str) -> Call:
            headers = {
                **smb_headers(smb, version, "set", nfs=nfs is not None),
                **nfs_headers(nfs, version),
            }
            return self._call(
                "SetDirectoryProperties",
                "PUT",
                path,
                version,
                _DIRECTORY,
                ("comp", "properties"),
                headers=headers,
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def get_directory_metadata(self, path: str) -> dict[str, str]:
        """Get Directory Metadata. `get_directory_properties` answers it as well."""

        def build(version: str) -> Call:
            return self._call(
                "GetDirectoryMetadata", "GET", path, version, _DIRECTORY, ("comp", "metadata")
            )

        exchange, _ = await self.transport.request(build)
        return exchange.metadata

    async def set_directory_metadata(self, path: str, metadata: Mapping[str, str]) -> Written:
        """Set Directory Metadata: *metadata* replaces all there is."""
        headers = metadata_headers(metadata)

        def build(version: str) -> Call:
            return self._call(
                "SetDirectoryMetadata",
                "PUT",
                path,
                version,
                _DIRECTORY,
                ("comp", "metadata"),
                headers=headers,
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def delete_directory(self, path: str) -> None:
        """Delete Directory, which must be empty. One that a lost try has deleted counts as done."""

        def build(version: str) -> Call:
            return self._call("DeleteDirectory", "DELETE", path, version, _DIRECTORY)

        try:
            await self.transport.request(build)
        except ServiceError as error:
            if not may_be_deleted(error):
                raise

    async def rename_directory(
        self,
        source: str,
        target: str,
        *,
        smb: SmbSettings | None = None,
        replace_if_exists: bool = False,
        ignore_read_only: bool = False,
        source_lease_id: str | None = None,
        destination_lease_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        expected_file_id: int | None = None,
    ) -> Written:
        """Rename Directory with all that is in it. *replace_if_exists* replaces a file only.

        Given *expected_file_id*, a rename that a lost try has already done is
        recognised by it. Needs 2021-04-10, else UnsupportedByVersion.
        """
        extra = metadata_headers(metadata)

        def build(version: str) -> Call:
            headers = self._rename_headers(
                source,
                version,
                smb=smb,
                replace_if_exists=replace_if_exists,
                ignore_read_only=ignore_read_only,
                source_lease_id=source_lease_id,
                destination_lease_id=destination_lease_id,
            )
            return self._call(
                "RenameDirectory",
                "PUT",
                target,
                version,
                _DIRECTORY,
                ("comp", "rename"),
                headers={**headers, **extra},
            )

        try:
            exchange, _ = await self.transport.request(build)
        except ServiceError as error:
            if not may_be_renamed(error, expected_file_id):
                raise
            found = await or_none(self.get_directory_properties(target))
            if found is None or found.smb.file_id != expected_file_id:
                raise
            return written_of(found)
        return parse_written(exchange)

    async def list_directories_and_files(
        self,
        path: str,
        *,
        prefix: str | None = None,
        marker: str | None = None,
        max_results: int | None = None,
        extended: bool = True,
    ) -> DirectoryPage:
        """List Directories and Files: one page, at most 5,000 entries.

        A page may be short or empty and still have a `next_marker`. *extended*
        asks for times, ETags, attributes and permission keys, which versions
        before 2020-04-08 do not have. Raises ValueError for *max_results* outside 1 to 5000.
        """
        if max_results is not None and not 1 <= max_results <= MAX_PAGE_ENTRIES:
            raise ValueError(f"a page has 1 to {MAX_PAGE_ENTRIES} entries, not {max_results}")

        def build(version: str) -> Call:
            query = [_DIRECTORY, ("comp", "list")]
            if prefix:
                query.append(("prefix", prefix))
            if marker is not None:
                query.append(("marker", marker))
            if max_results is not None:
                query.append(("maxresults", str(max_results)))
            headers: dict[str, str] = {}
            if extended and version >= _EXTENDED_SINCE:
                query.append(("include", _EXTENDED))
                headers["x-ms-file-extended-info"] = "true"
            return self._call(
                "ListDirectoriesAndFiles",
                "GET",
                path,
                version,
                *query,
                headers=headers,
                answer_length=_PAGE_BYTES,
            )

        _, body = await self.transport.request(build)
        return parse_directory_page(body)
