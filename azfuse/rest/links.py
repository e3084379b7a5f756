"""Copies within the service, and the links of NFS shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote

from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.exchange import Call
from azfuse.rest.headers import (
    NFS_SINCE,
    TRAILING_DOT_SINCE,
    lease_header,
    metadata_headers,
    need,
    nfs_headers,
    parse_last_modified,
    parse_written,
    require,
    smb_headers,
    written_of,
)
from azfuse.rest.models import CopyStarted, NfsSettings, SmbSettings, Written
from azfuse.rest.reading import FileReading
from azfuse.rest.resource import may_be_created, or_none

CopyMode = Literal["source", "override"]

_SMB_COPY_SINCE: Final = "2019-07-07"
_SYMBOLIC_LINK_SINCE: Final = "2025-07-05"


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How Copy File treats what is not content. None takes the service's default."""

    #: `override` takes the permission given in the SMB settings.
    permission: CopyMode | None = None
    #: NFS: `override` takes mode, or owner and group, from the NFS settings.
    mode: CopyMode | None = None
    owner: CopyMode | None = None
    #: Overwrite a target that is read-only.
    ignore_read_only: bool = False
    #: Whether the target bears the Archive attribute.
    set_archive: bool | None = None

    def headers(self) -> dict[str, str]:
        """Return them as headers."""
        headers: dict[str, str] = {}
        if self.permission is not None:
            headers["x-ms-file-permission-copy-mode"] = self.permission
        if self.mode is not None:
            headers["x-ms-file-mode-copy-mode"] = self.mode
        if self.owner is not None:
            headers["x-ms-file-owner-copy-mode"] = self.owner
        if self.ignore_read_only:
            headers["x-ms-file-copy-ignore-readonly"] = "true"
        if self.set_archive is not None:
            headers["x-ms-file-copy-set-archive"] = "true" if self.set_archive else "false"
        return headers


class FileLinks(FileReading):
    """Copy File, and symbolic and hard links, beside reading."""

    async def copy_file(
        self,
        path: str,
        source: str,
        *,
        source_snapshot: str | None = None,
        smb: SmbSettings | None = None,
        nfs: NfsSettings | None = None,
        metadata: Mapping[str, str] | None = None,
        lease_id: str | None = None,
        options: CopyOptions | None = None,
    ) -> CopyStarted:
        """Copy File onto *path*, replacing what is there.

        *source* is a path of the same share (*source_snapshot* a snapshot of it)
        or an http(s) URL. Within one account the copy is done with the answer
        (`status` success); otherwise Get File Properties tells how far it is.
        """
        if source.startswith(("https://", "http://")):
            source_url = self.transport.readable_url(source)
        else:
            source_url = self.transport.url_of(self.share, source, snapshot=source_snapshot)
        extra = {**metadata_headers(metadata), **lease_header(lease_id)}
        chosen = (options or CopyOptions()).headers()

        def build(version: str) -> Call:
            headers = {"x-ms-copy-source": source_url, **extra, **chosen}
            headers.update(smb_headers(smb, version, "rename"))
            headers.update(nfs_headers(nfs, version))
            if smb is not None or chosen:
                require(version, _SMB_COPY_SINCE, "SMB properties with a copy")
            if version >= TRAILING_DOT_SINCE:
                headers["x-ms-source-allow-trailing-dot"] = "true"
            return self._call("CopyFile", "PUT", path, version, headers=headers)

        exchange, _ = await self.transport.request(build)
        return CopyStarted(
            etag=need(exchange, "etag"),
            last_modified=parse_last_modified(exchange),
            copy_id=need(exchange, "x-ms-copy-id"),
            status=need(exchange, "x-ms-copy-status"),
        )

    async def abort_copy(self, path: str, copy_id: str, *, lease_id: str | None = None) -> None:
        """Abort Copy File: leave *path* with length 0. One that a lost try has done counts."""

        def build(version: str) -> Call:
            headers = {"x-ms-copy-action": "abort", **lease_header(lease_id)}
            return self._call(
                "AbortCopyFile",
                "PUT",
                path,
                version,
                ("comp", "copy"),
                ("copyid", copy_id),
                headers=headers,
            )

        try:
            await self.transport.request(build)
        except ServiceError as error:
            if not error.retried or error.code != ErrorCode.NO_PENDING_COPY_OPERATION:
                raise

    async def create_hard_link(
        self,
        path: str,
        target: str,
        *,
        lease_id: str | None = None,
        expected_file_id: int | None = None,
    ) -> Written:
        """Create Hard Link (NFS, 2025-05-05): give the file *target* a further name *path*.

        Given *expected_file_id*, a link that a lost try has already made is recognised by it.
        """
        # The root is "/"; the service reads the rest like a URL path.
        fixed = {
            "x-ms-type": "file",
            "x-ms-file-target-file": "/" + quote(target),
            **lease_header(lease_id),
        }

        def build(version: str) -> Call:
            require(version, NFS_SINCE, "a hard link")
            return self._call(
                "CreateHardLink", "PUT", path, version, ("restype", "hardlink"), headers=fixed
            )

        try:
            exchange, _ = await self.transport.request(build)
        except ServiceError as error:
            if not may_be_created(error):
                raise
            found = await or_none(self.get_file_properties(path))
            if found is None or found.smb.file_id != expected_file_id:
                raise
            return written_of(found)
        return parse_written(exchange)

    async def create_symbolic_link(
        self,
        path: str,
        text: str,
        *,
        smb: SmbSettings | None = None,
        nfs: NfsSettings | None = None,
        metadata: Mapping[str, str] | None = None,
        lease_id: str | None = None,
    ) -> Written:
        """Create Symbolic Link (NFS, 2025-07-05) that holds *text*."""
        fixed = {
            "x-ms-link-text": quote(text, safe=""),
            **metadata_headers(metadata),
            **lease_header(lease_id),
        }

        def build(version: str) -> Call:
            require(version, _SYMBOLIC_LINK_SINCE, "a symbolic link")
            headers = {
                **fixed,
                **smb_headers(smb, version, "create", nfs=True),
                **nfs_headers(nfs, version),
            }
            return self._call(
                "CreateSymbolicLink",
                "PUT",
                path,
                version,
                ("restype", "symboliclink"),
                headers=headers,
            )

        try:
            exchange, _ = await self.transport.request(build)
        except ServiceError as error:
            if not may_be_created(error):
                raise
            if await or_none(self.get_symbolic_link(path)) != text:
                raise
            return written_of(await self.get_file_properties(path))
        return parse_written(exchange)

    async def get_symbolic_link(self, path: str) -> str:
        """Get Symbolic Link (NFS, 2025-07-05): the text that the link holds."""

        def build(version: str) -> Call:
            require(version, _SYMBOLIC_LINK_SINCE, "a symbolic link")
            return self._call("GetSymbolicLink", "GET", path, version, ("restype", "symboliclink"))

        exchange, _ = await self.transport.request(build)
        return unquote(need(exchange, "x-ms-link-text"))
