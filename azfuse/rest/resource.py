"""What directories and files of a share have in common."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.exchange import Call
from azfuse.rest.headers import TRAILING_DOT_SINCE, require, smb_headers
from azfuse.rest.models import EMPTY_METADATA, Body, SmbSettings
from azfuse.rest.transport import Transport

T = TypeVar("T")

#: First version with Rename File and Rename Directory.
RENAME_SINCE: Final = "2021-04-10"
#: Codes that say that an entry is not there.
MISSING: Final = frozenset({ErrorCode.RESOURCE_NOT_FOUND, ErrorCode.PARENT_NOT_FOUND})
_DONE_OR_REFUSED: Final = MISSING | {ErrorCode.RESOURCE_ALREADY_EXISTS}


class Resource:
    """Entries of *share*, or of its *snapshot* (the service's own text for the instant)."""

    def __init__(self, transport: Transport, share: str, *, snapshot: str | None = None) -> None:
        self.transport = transport
        self.share = share
        self.snapshot = snapshot

    def _call(
        self,
        operation: str,
        method: str,
        path: str,
        version: str,
        *query: tuple[str, str],
        headers: dict[str, str] | None = None,
        body: Body = b"",
        body_length: int = 0,
        answer_length: int = 0,
    ) -> Call:
        """Make a call; dots at the end of names count wherever the version has a header for it."""
        params = list(query)
        if self.snapshot is not None:
            params.append(("sharesnapshot", self.snapshot))
        all_headers = dict(headers or EMPTY_METADATA)
        if version >= TRAILING_DOT_SINCE:
            all_headers["x-ms-allow-trailing-dot"] = "true"
        return Call(
            operation,
            method,
            self.transport.endpoint.path_of(self.share, path),
            params,
            all_headers,
            body,
            body_length,
            answer_length,
        )

    def _rename_headers(
        self,
        source: str,
        version: str,
        *,
        smb: SmbSettings | None,
        replace_if_exists: bool,
        ignore_read_only: bool,
        source_lease_id: str | None,
        destination_lease_id: str | None,
    ) -> dict[str, str]:
        """Return the headers that both renames have. Raises UnsupportedByVersion."""
        require(version, RENAME_SINCE, "renaming")
        headers = smb_headers(smb, version, "rename")
        headers["x-ms-file-rename-source"] = self.transport.url_of(self.share, source)
        if replace_if_exists:
            headers["x-ms-file-rename-replace-if-exists"] = "true"
        if ignore_read_only:
            headers["x-ms-file-rename-ignore-readonly"] = "true"
        if source_lease_id is not None:
            headers["x-ms-source-lease-id"] = source_lease_id
        if destination_lease_id is not None:
            headers["x-ms-destination-lease-id"] = destination_lease_id
        if version >= TRAILING_DOT_SINCE:
            headers["x-ms-source-allow-trailing-dot"] = "true"
        return headers


def may_be_created(error: ServiceError) -> bool:
    """Say whether *error* may be the echo of a creation that a lost try has already done."""
    return error.retried and error.code == ErrorCode.RESOURCE_ALREADY_EXISTS


def may_be_deleted(error: ServiceError) -> bool:
    """Say whether *error* may be the echo of a deletion that a lost try has already done."""
    return error.retried and error.code in MISSING


def may_be_renamed(error: ServiceError, expected_file_id: int | None) -> bool:
    """Say whether *error* may be the echo of a rename that a lost try has already done."""
    return error.retried and expected_file_id is not None and error.code in _DONE_OR_REFUSED


async def or_none(answer: Awaitable[T]) -> T | None:
    """Return *answer*, None where the service refuses it."""
    try:
        return await answer
    except ServiceError:
        return None
