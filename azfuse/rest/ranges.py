"""Writing, clearing and listing ranges of files."""

from typing import Final, Literal

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.exchange import Call
from azfuse.rest.headers import (
    TRAILING_DOT_SINCE,
    format_digest,
    lease_header,
    md5_header,
    need,
    parse_int,
    parse_last_modified,
    parse_written,
    require,
)
from azfuse.rest.models import Body, RangeList, SourceChecks, Written
from azfuse.rest.resource import Resource
from azfuse.rest.wire import MAX_FILE_BYTES, MAX_RANGE_BYTES, format_range
from azfuse.rest.xml import parse_ranges

LastWriteTime = Literal["now", "preserve"]

#: First versions of range headers (reference, 1.2).
_LAST_WRITE_TIME_SINCE: Final = "2021-06-08"
_RANGE_PAGES_SINCE: Final = "2026-10-06"
_RANGE_DIFFERENCE_SINCE: Final = "2020-02-10"
_RENAME_SUPPORT_SINCE: Final = "2024-05-04"
_FROM_URL_SINCE: Final = "2019-02-02"
_SOURCE_BEARER_SINCE: Final = "2020-10-02"
_RANGE: Final = ("comp", "range")


def check_length(length: int) -> None:
    """Raise ValueError where *length* is more than one request may move."""
    if length > MAX_RANGE_BYTES:
        raise ValueError(f"one request moves at most {MAX_RANGE_BYTES} bytes, not {length}")


def check_body(body: Body, length: int) -> None:
    """Raise ValueError where *body* is known not to have *length* bytes, or has too many."""
    check_length(length)
    if isinstance(body, bytes) and len(body) != length:
        raise ValueError(f"the body has {len(body)} bytes, not {length}")


def _check_range(offset: int, length: int) -> None:
    if offset < 0 or length < 1 or offset + length > MAX_FILE_BYTES:
        raise ValueError(f"not a range of a file: {length} bytes from {offset}")


def _time_header(setting: LastWriteTime | None, version: str) -> dict[str, str]:
    """Return the header for *setting*. Before 2021-06-08 a range never moved the time."""
    if setting is None:
        return {}
    if version < _LAST_WRITE_TIME_SINCE and setting == "preserve":
        return {}
    require(version, _LAST_WRITE_TIME_SINCE, "a last write time with a range")
    return {"x-ms-file-last-write-time": setting}


def _check_headers(checks: SourceChecks | None) -> dict[str, str]:
    if checks is None:
        return {}
    given = {
        "x-ms-source-content-crc64": checks.crc64,
        "x-ms-source-if-match-crc64": checks.if_match,
        "x-ms-source-if-none-match-crc64": checks.if_none_match,
    }
    return {name: format_digest(digest) for name, digest in given.items() if digest is not None}


class FileRanges(Resource):
    """Put Range in its three forms, and List Ranges."""

    async def put_range(
        self,
        path: str,
        offset: int,
        length: int,
        body: Body,
        *,
        lease_id: str | None = None,
        content_md5: bytes | None = None,
        last_write_time: LastWriteTime | None = None,
    ) -> Written:
        """Put Range: write *length* bytes (1 to 4 MiB) at *offset*, all within the file's size.

        Repeating it is harmless, so lost tries are simply sent again. The answer's
        `smb.last_write_time` is the new one where the version says it. Raises
        ServiceError InvalidRange past the end of the file.
        """
        _check_range(offset, length)
        check_body(body, length)
        extra = {**lease_header(lease_id), **md5_header(content_md5)}

        def build(version: str) -> Call:
            headers = {
                "x-ms-range": format_range(offset, length),
                "x-ms-write": "update",
                **extra,
                **_time_header(last_write_time, version),
            }
            return self._call(
                "PutRange",
                "PUT",
                path,
                version,
                _RANGE,
                headers=headers,
                body=body,
                body_length=length,
            )

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def clear_range(
        self,
        path: str,
        offset: int,
        length: int,
        *,
        lease_id: str | None = None,
        last_write_time: LastWriteTime | None = None,
    ) -> Written:
        """Put Range with `clear`: make *length* bytes zero, of any number within the file's size.

        Only whole blocks of 512 bytes are freed, the rest is written as zeros.
        """
        _check_range(offset, length)

        def build(version: str) -> Call:
            headers = {
                "x-ms-range": format_range(offset, length),
                "x-ms-write": "clear",
                **lease_header(lease_id),
                **_time_header(last_write_time, version),
            }
            return self._call("ClearRange", "PUT", path, version, _RANGE, headers=headers)

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def put_range_from_url(
        self,
        path: str,
        offset: int,
        length: int,
        source_url: str,
        source_offset: int,
        *,
        lease_id: str | None = None,
        last_write_time: LastWriteTime | None = None,
        source_authorization: str | None = None,
        source_checks: SourceChecks | None = None,
    ) -> Written:
        """Put Range From URL: the service copies *length* bytes (at most 4 MiB) of *source_url*.

        The URL must be readable by itself or through *source_authorization*
        (`Bearer ...`); `Transport.url_of` makes that of a file of this account.
        The answer has `content_crc64`. Raises ServiceError Crc64ConditionNotMet.
        """
        _check_range(offset, length)
        _check_range(source_offset, length)
        check_length(length)

        def build(version: str) -> Call:
            require(version, _FROM_URL_SINCE, "Put Range From URL")
            headers = {
                "x-ms-range": format_range(offset, length),
                "x-ms-write": "update",
                "x-ms-copy-source": source_url,
                "x-ms-source-range": format_range(source_offset, length),
                **lease_header(lease_id),
                **_time_header(last_write_time, version),
            }
            headers.update(_check_headers(source_checks))
            if source_authorization is not None:
                require(version, _SOURCE_BEARER_SINCE, "a token for the source")
                headers["x-ms-copy-source-authorization"] = source_authorization
            if version >= TRAILING_DOT_SINCE:
                headers["x-ms-source-allow-trailing-dot"] = "true"
            return self._call("PutRangeFromURL", "PUT", path, version, _RANGE, headers=headers)

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def list_ranges(
        self,
        path: str,
        *,
        offset: int | None = None,
        length: int | None = None,
        lease_id: str | None = None,
        previous_snapshot: str | None = None,
        support_rename: bool = False,
        marker: str | None = None,
        max_results: int | None = None,
    ) -> RangeList:
        """List Ranges: what was written and not cleared, sorted, in the window asked for.

        *length* without *offset* means from the start, *offset* without *length*
        to the end. With *previous_snapshot* the answer is the difference to it.
        Pages (*marker*, *max_results*) need 2026-10-06, else UnsupportedByVersion.
        """
        headers = lease_header(lease_id)
        if offset is not None or length is not None:
            first = offset or 0
            reach = MAX_FILE_BYTES - first if length is None else length
            _check_range(first, reach)
            headers["x-ms-range"] = format_range(first, reach)
        if support_rename:
            headers["x-ms-file-support-rename"] = "true"

        def build(version: str) -> Call:
            query = [("comp", "rangelist")]
            if previous_snapshot is not None:
                require(version, _RANGE_DIFFERENCE_SINCE, "a difference of ranges")
                query.append(("prevsharesnapshot", previous_snapshot))
            if support_rename:
                require(version, _RENAME_SUPPORT_SINCE, "a difference across renames")
            if marker is not None or max_results is not None:
                require(version, _RANGE_PAGES_SINCE, "pages of ranges")
            if marker is not None:
                query.append(("marker", marker))
            if max_results is not None:
                query.append(("maxresults", str(max_results)))
            return self._call("ListRanges", "GET", path, version, *query, headers=headers)

        exchange, body = await self.transport.request(build)
        ranges, next_marker = parse_ranges(body)
        size = parse_int(exchange, "x-ms-content-length")
        if size is None:
            raise InvalidResponse("ListRanges: the answer has no x-ms-content-length header")
        return RangeList(
            ranges, size, need(exchange, "etag"), parse_last_modified(exchange), next_marker
        )
