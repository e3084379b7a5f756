"""What the real service answered, fed through the client, must come out as the right values."""

import base64
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from azfuse.rest import handles, models, service_properties, share_access
from azfuse.rest.account import Account
from azfuse.rest.directory import Directory
from azfuse.rest.errors import AzureFilesError, ServiceError, ServiceUnavailable
from azfuse.rest.file import File
from azfuse.rest.retry import RetryPolicy
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport
from azfuse.rest.wire import NEWEST_VERSION, time_of_etag
from tests.rest.fakes import transport_to

pytestmark = pytest.mark.anyio

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
LEASE = "11111111-2222-3333-4444-555555555555"
Run = Callable[[Transport], Awaitable[Any]]


async def _read(transport: Transport) -> bytes:
    async with File(transport, "shr").get_file("f") as download:
        return b"".join([chunk async for chunk in download.iter_bytes()])


async def _read_into(transport: Transport) -> tuple[models.FileProperties, int]:
    return await File(transport, "shr").read_file_into("f", memoryview(bytearray(2**20)), offset=0)


def _share(transport: Transport) -> Share:
    return Share(transport, "shr")


def _lease_actions(owner: str, action: str) -> Run:
    if owner == "LeaseFile":
        return {
            "acquire": lambda t: File(t, "shr").acquire_lease("f"),
            "release": lambda t: File(t, "shr").release_lease("f", LEASE),
            "change": lambda t: File(t, "shr").change_lease("f", LEASE, LEASE),
            "break": lambda t: File(t, "shr").break_lease("f"),
        }[action]
    return {
        "acquire": lambda t: _share(t).acquire_share_lease(),
        "release": lambda t: _share(t).release_share_lease(LEASE),
        "renew": lambda t: _share(t).renew_share_lease(LEASE),
        "change": lambda t: _share(t).change_share_lease(LEASE, LEASE),
        "break": lambda t: _share(t).break_share_lease(),
    }[action]


#: What to call for an operation, and what must come of a good answer.
RUNS: dict[str, tuple[Run, Any]] = {
    "AbortCopyFile": (lambda t: File(t, "shr").abort_copy("f", "id"), type(None)),
    "CopyFile": (lambda t: File(t, "shr").copy_file("f", "g"), models.CopyStarted),
    "CreateDirectory": (lambda t: Directory(t, "shr").create_directory("d"), models.Written),
    "CreateFile": (lambda t: File(t, "shr").create_file("f", 0), models.Written),
    "CreateHardLink": (lambda t: File(t, "shr").create_hard_link("f", "g"), models.Written),
    "CreatePermission": (lambda t: _share(t).create_permission("O:BA"), str),
    "CreateShare": (lambda t: _share(t).create_share(), models.Written),
    "CreateSymbolicLink": (
        lambda t: File(t, "shr").create_symbolic_link("f", "g"),
        models.Written,
    ),
    "DeleteDirectory": (lambda t: Directory(t, "shr").delete_directory("d"), type(None)),
    "DeleteFile": (lambda t: File(t, "shr").delete_file("f"), type(None)),
    "DeleteShare": (lambda t: _share(t).delete_share(), type(None)),
    "GetDirectoryProperties": (
        lambda t: Directory(t, "shr").get_directory_properties("d"),
        models.DirectoryProperties,
    ),
    "ForceCloseHandles": (
        lambda t: Directory(t, "shr").force_close_handles("d", recursive=True),
        handles.ClosedHandles,
    ),
    "GetDirectoryMetadata": (lambda t: Directory(t, "shr").get_directory_metadata("d"), dict),
    "GetFile": (_read, bytes),
    "GetFileMetadata": (lambda t: File(t, "shr").get_file_metadata("f"), dict),
    "GetFileProperties": (
        lambda t: File(t, "shr").get_file_properties("f"),
        models.FileProperties,
    ),
    "GetPermission": (lambda t: _share(t).get_permission("1*2"), str),
    "GetServiceProperties": (
        lambda t: Account(t).get_file_service_properties(),
        service_properties.ServiceProperties,
    ),
    "GetShareAcl": (lambda t: _share(t).get_share_acl(), share_access.ShareAcl),
    "GetShareMetadata": (lambda t: _share(t).get_share_metadata(), dict),
    "GetShareProperties": (lambda t: _share(t).get_share_properties(), models.ShareProperties),
    "GetShareStats": (lambda t: _share(t).get_share_stats(), int),
    "GetSymbolicLink": (lambda t: File(t, "shr").get_symbolic_link("f"), str),
    "ListDirectoriesAndFiles": (
        lambda t: Directory(t, "shr").list_directories_and_files("d"),
        models.DirectoryPage,
    ),
    "ListHandles": (lambda t: File(t, "shr").list_handles("f"), handles.HandlePage),
    "ListRanges": (lambda t: File(t, "shr").list_ranges("f"), models.RangeList),
    "ListShares": (lambda t: Account(t).list_shares(), models.SharePage),
    "PutRange": (lambda t: File(t, "shr").put_range("f", 0, 1, b"x"), models.Written),
    "PutRange(clear)": (lambda t: File(t, "shr").clear_range("f", 0, 1), models.Written),
    "PutRangeFromURL": (
        lambda t: File(t, "shr").put_range_from_url("f", 0, 1, "https://x/y", 0),
        models.Written,
    ),
    "RenameDirectory": (lambda t: Directory(t, "shr").rename_directory("a", "b"), models.Written),
    "RenameFile": (lambda t: File(t, "shr").rename_file("a", "b"), models.Written),
    "RestoreShare": (lambda t: _share(t).restore_share("01D"), models.Written),
    "SetDirectoryMetadata": (
        lambda t: Directory(t, "shr").set_directory_metadata("d", {}),
        models.Written,
    ),
    "SetDirectoryProperties": (
        lambda t: Directory(t, "shr").set_directory_properties("d"),
        models.Written,
    ),
    "SetFileMetadata": (lambda t: File(t, "shr").set_file_metadata("f", {}), models.Written),
    "SetFileProperties": (lambda t: File(t, "shr").set_file_properties("f"), models.Written),
    "SetServiceProperties": (
        lambda t: Account(t).set_file_service_properties(service_properties.ServiceProperties()),
        type(None),
    ),
    "SetShareAcl": (lambda t: _share(t).set_share_acl([]), models.Written),
    "SetShareMetadata": (lambda t: _share(t).set_share_metadata({}), models.Written),
    "SetShareProperties": (lambda t: _share(t).set_share_properties(quota=1), models.Written),
    "SnapshotShare": (lambda t: _share(t).snapshot_share(), str),
}


def exchanges() -> Iterator[dict[str, Any]]:
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def run_of(exchange: dict[str, Any]) -> tuple[Run, Any] | None:
    operation = exchange["operation"]
    if operation in ("LeaseFile", "LeaseShare"):
        action = exchange["request"]["headers"].get("x-ms-lease-action")
        return None if action is None else (_lease_actions(operation, action), models.Lease)
    return RUNS.get(operation)


def response_of(exchange: dict[str, Any]) -> httpx.Response | None:
    """Make the recorded answer again; None where the recording lacks a part of it."""
    recorded = exchange["response"]
    incomplete = recorded.get("body_truncated") or any(
        "response-body" in part for part in exchange.get("not_recorded", [])
    )
    if incomplete and exchange["operation"] != "GetFile":
        return None
    body = recorded["body"] or ""
    content = base64.b64decode(body) if recorded.get("body_encoding") == "base64" else body.encode()
    if incomplete:
        content = content.ljust(int(recorded["headers"].get("content-length", 0)), b"\0")
    case = {name.lower(): name for name in recorded.get("original_header_case", [])}
    headers = {case.get(name, name): value for name, value in recorded["headers"].items()}
    if exchange["request"]["method"] != "HEAD":
        # Sanitizing changed lengths.
        headers.pop("content-length", None)
        headers["content-length"] = str(len(content))
    headers.pop("transfer-encoding", None)

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield content

    return httpx.Response(recorded["status"], headers=headers, stream=Body())


async def outcome(call: Run, transport: Transport) -> Any:
    try:
        return await call(transport)
    except AzureFilesError as error:
        return error


def check(exchange: dict[str, Any], value: Any, expected: Any) -> bool:
    """Check one outcome; say whether the service had said yes."""
    where = f"{exchange['source']} {exchange['test']} {exchange['seq']}: {value!r}"
    recorded = exchange["response"]
    if recorded["status"] < 300:
        assert isinstance(value, expected), where
        check_good(exchange, value)
        return True
    if isinstance(value, ServiceUnavailable):
        assert recorded["status"] >= 500, where
        return False
    assert isinstance(value, ServiceError), where
    assert value.status == recorded["status"], where
    assert value.code == recorded["headers"].get("x-ms-error-code", value.code), where
    return False


def check_good(exchange: dict[str, Any], value: Any) -> None:
    headers = exchange["response"]["headers"]
    if "etag" in headers and hasattr(value, "etag"):
        assert value.etag == headers["etag"]
        time = time_of_etag(value.etag)
        assert time is not None
        assert time // 1_000_000_000 == value.last_modified // 1_000_000_000
    if isinstance(value, models.Written) and "x-ms-file-id" in headers:
        assert str(value.smb.file_id) == headers["x-ms-file-id"]
    if isinstance(value, handles.HandlePage):
        body = exchange["response"]["body"]
        assert [handle.handle_id for handle in value.handles] == re.findall(
            "<HandleId>(.*?)</HandleId>", body
        )
    if isinstance(value, service_properties.ServiceProperties):
        assert len(value.cors or ()) == exchange["response"]["body"].count("<CorsRule>")
        assert (value.hour_metrics is None) == ("<HourMetrics>" not in exchange["response"]["body"])
    if isinstance(value, share_access.ShareAcl):
        assert len(value.policies) == exchange["response"]["body"].count("<SignedIdentifier>")
    if hasattr(value, "metadata"):
        recorded = {
            name.removeprefix("x-ms-meta-"): text
            for name, text in headers.items()
            if name.startswith("x-ms-meta-")
        }
        assert {name.lower(): text for name, text in value.metadata.items()} == recorded


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}")
async def test_recorded_answers():
    good: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for exchange in exchanges():
        operation = exchange["operation"]
        run, response = run_of(exchange), response_of(exchange)
        if run is None or response is None:
            skipped[operation] += 1
            continue
        answer = response

        async def handler(request: httpx.Request, answer: httpx.Response = answer) -> Any:
            return answer

        transport = transport_to(handler, version=NEWEST_VERSION, retry=RetryPolicy(timeout=0))
        call, expected = run
        value = await outcome(call, transport)
        if check(exchange, value, expected):
            good[operation] += 1
        else:
            refused[operation] += 1
    for operation in sorted({*good, *refused, *skipped}):
        print(
            f"{operation:26} good {good[operation]:5} refused {refused[operation]:4} "
            f"skipped {skipped[operation]:4}"
        )
    print(f"{'total':26} good {good.total():5} refused {refused.total():4} {skipped.total():4}")
    assert good.total() > 7000
