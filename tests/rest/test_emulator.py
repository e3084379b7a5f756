"""The client against our own emulator, in one process: both sides read the reference alone."""

import time

import httpx
import pytest

from azfuse.emulator.app import Emulator
from azfuse.emulator.setup import build
from azfuse.rest.account import Account
from azfuse.rest.auth import ConnectionString, SharedKey
from azfuse.rest.directory import Directory
from azfuse.rest.errors import ServiceError
from azfuse.rest.file import File
from azfuse.rest.models import ContentSettings, SmbSettings, SourceChecks
from azfuse.rest.sas import SasTerms, make_service_sas
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, VERSIONS, FileAttributes

pytestmark = pytest.mark.anyio

NAMES = ["plain", "#%+'&", "a b", "é日\U0001f600", "dots..", "UPPER", "x=1;y,z@!$()[]{}~`^"]


@pytest.fixture
def emulator():
    return build(None, {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY}, shares=["shr"])


def connect(emulator: Emulator, version: str | None = None) -> Transport:
    where = ConnectionString.parse("UseDevelopmentStorage=true")
    assert where.credentials is not None
    return Transport(
        where.endpoint,
        where.credentials,
        http_transport=httpx.ASGITransport(emulator),
        version=version,
    )


async def test_life_of_a_file(emulator):
    async with connect(emulator) as transport:
        directory, file = Directory(transport, "shr"), File(transport, "shr")
        await directory.create_directory("d")
        for name in NAMES:
            written = await file.create_file(
                f"d/{name}",
                10,
                body=b"0123456789" if transport.supports("2026-06-06") else None,
                body_length=10,
                content=ContentSettings(content_type="text/plain"),
                metadata={"key": "value"},
                smb=SmbSettings(last_write_time=1_000_000_000, attributes=FileAttributes.HIDDEN),
            )
            assert written.smb.last_write_time == 1_000_000_000
        page = await directory.list_directories_and_files("d")
        assert {entry.name for entry in page.entries} == set(NAMES)
        assert all(entry.size == 10 and entry.attributes is not None for entry in page.entries)
        buffer = bytearray(20)
        for name in NAMES:
            path = f"d/{name}"
            assert (await file.put_range(path, 2, 3, b"abc")).smb.last_write_time is not None
            properties, count = await file.read_file_into(path, memoryview(buffer), offset=1)
            assert bytes(buffer[:count]) == b"1abc56789"
            assert properties.content.content_type == "text/plain"
            assert (properties.size, properties.metadata["key"]) == (10, "value")
            await file.set_file_properties(path, size=0)
            properties, count = await file.read_file_into(path, memoryview(buffer), offset=0)
            assert (properties.size, count) == (0, 0)
            moved = await file.rename_file(path, f"{name}.moved", expected_file_id=1)
            assert moved.smb.file_id == properties.smb.file_id
            await file.delete_file(f"{name}.moved")
        await directory.delete_directory("d")
        with pytest.raises(ServiceError, match="ResourceNotFound"):
            await directory.get_directory_properties("d")
        assert transport.counters.totals()["retries"] == 0


async def test_ranges_and_leases(emulator):
    async with connect(emulator) as transport:
        file = File(transport, "shr")
        await file.create_file("f", 8192)
        lease = await file.acquire_lease("f")
        with pytest.raises(ServiceError, match="LeaseIdMissing"):
            await file.put_range("f", 0, 4096, bytes(4096))
        await file.put_range("f", 4096, 4096, b"x" * 4096, lease_id=lease.lease_id)
        ranges = await file.list_ranges("f")
        assert [(found.first, found.last) for found in ranges.ranges] == [(4096, 8191)]
        await file.clear_range("f", 0, 8192, lease_id=lease.lease_id)
        assert list((await file.list_ranges("f")).ranges) == []
        assert lease.lease_id is not None
        await file.release_lease("f", lease.lease_id)
        assert (await file.get_file_properties("f")).lease.state == "available"
        with pytest.raises(ServiceError, match="InvalidRange"):
            await file.put_range("f", 8192, 1, b"x")
        started = await file.copy_file("g", "f")
        assert started.status == "success"


async def test_copied_bytes_are_checked(emulator):
    async with connect(emulator) as transport:
        file = File(transport, "shr")
        await file.create_file("from", 5)
        await file.put_range("from", 0, 5, b"hello")
        await file.create_file("to", 5)
        source = make_service_sas(
            SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY),
            "shr",
            "from",
            terms=SasTerms(permissions="r", expiry=time.time_ns() + 3600 * 10**9),
        )
        url = f"{transport.url_of('shr', 'from')}?{source}"
        written = await file.put_range_from_url("to", 0, 5, url, 0)
        crc64 = written.content_crc64
        assert crc64 is not None
        assert len(crc64) == 8
        same = SourceChecks(crc64=crc64, if_match=crc64)
        await file.put_range_from_url("to", 0, 5, url, 0, source_checks=same)
        for other in (SourceChecks(if_none_match=crc64), SourceChecks(if_match=bytes(8))):
            with pytest.raises(ServiceError, match="Crc64ConditionNotMet"):
                await file.put_range_from_url("to", 0, 5, url, 0, source_checks=other)


async def test_shares(emulator):
    async with connect(emulator) as transport:
        share = Share(transport, "another")
        await share.create_share(quota=7, metadata={"a": "b"})
        assert (await share.get_share_properties()).quota == 7
        assert await share.get_share_stats() >= 0
        snapshot = await share.snapshot_share()
        page = await Account(transport).list_shares(include=["metadata", "snapshots"])
        assert [(item.name, item.snapshot) for item in page.shares] == [
            ("another", snapshot),
            ("another", None),
            ("shr", None),
        ]
        old = Directory(transport, "another", snapshot=snapshot)
        assert list((await old.list_directories_and_files("")).entries) == []
        sddl = "O:SYG:SYD:(A;;FA;;;SY)"
        key = await share.create_permission(sddl)
        assert (await share.get_permission(key)).startswith(sddl)
        await share.delete_share(delete_snapshots="include")


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= "2018-11-09"])
async def test_versions(emulator, version):
    async with connect(emulator, version) as transport:
        directory, file = Directory(transport, "shr"), File(transport, "shr")
        await directory.create_directory("d")
        await file.create_file("d/f", 5)
        await file.put_range("d/f", 0, 5, b"hello")
        await file.set_file_properties("d/f", size=4)
        assert (await file.get_file_properties("d/f")).size == 4
        page = await directory.list_directories_and_files("d")
        assert [(entry.name, entry.size) for entry in page.entries] == [("f", 4)]
        if version >= "2021-04-10":
            await file.rename_file("d/f", "g")
        assert transport.counters.totals()["errors"] == 0
