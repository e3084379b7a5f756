"""The official SDK, azure-storage-file-share, against a real emulator: sync and aio."""

import asyncio
import io
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.fileshare import (
    AccessPolicy,
    AccountSasPermissions,
    ContentSettings,
    FileSasPermissions,
    NTFSAttributes,
    ResourceTypes,
    ShareFileClient,
    ShareSasPermissions,
    ShareServiceClient,
    generate_account_sas,
    generate_file_sas,
    generate_share_sas,
)
from azure.storage.fileshare.aio import ShareServiceClient as AsyncService

from tests.emulator.signing import ACCOUNT, KEY

MIB = 1024 * 1024
SOON = datetime.now(UTC) + timedelta(hours=1)


def error_code(error):
    """Return the service's own word for an error of the SDK."""
    return getattr(error.value, "error_code", None)


@pytest.fixture
def service(emulator):
    with ShareServiceClient.from_connection_string(emulator.connection_string) as service:
        yield service


@pytest.fixture
def share(service):
    share = service.create_share(f"sdk-{uuid.uuid4().hex[:12]}")
    yield share
    share.delete_share(delete_snapshots="include")


def test_every_directory_operation(share):
    directory = share.create_directory("a", metadata={"Key": "value"})
    inner = directory.create_subdirectory("b c#%+ü")
    inner_id = inner.get_directory_properties().file_id
    assert directory.exists()
    assert directory.get_directory_properties().metadata == {"Key": "value"}
    directory.set_directory_metadata({"Other": "1"})
    attributes = NTFSAttributes(read_only=False, hidden=True, directory=True)
    when = datetime(2020, 1, 2, 3, 4, 5, 678901)
    directory.set_http_headers(
        file_attributes=attributes, file_creation_time=when, file_last_write_time=when
    )
    properties = directory.get_directory_properties()
    assert properties.metadata == {"Other": "1"}
    assert "Hidden" in properties.file_attributes
    assert properties.creation_time == when.replace(tzinfo=UTC)
    with pytest.raises(ResourceExistsError):
        share.create_directory("A")
    with pytest.raises(HttpResponseError) as error:
        directory.delete_directory()
    assert error_code(error) == "DirectoryNotEmpty"
    moved = inner.rename_directory("moved")
    assert moved.get_directory_properties().file_id == inner_id
    assert [d["name"] for d in share.list_directories_and_files()] == ["a", "moved"]
    moved.delete_directory()
    directory.delete_directory()
    assert not directory.exists()
    assert list(share.get_directory_client("").list_handles()) == []


def test_every_file_operation(share):
    data = os.urandom(5 * MIB + 7)
    file = share.get_file_client("big.bin")
    file.upload_file(data, metadata={"UPPER": "1", "Capital": "2"})
    assert file.download_file().readall() == data
    assert file.download_file(offset=5, length=4 * MIB).readall() == data[5 : 5 + 4 * MIB]
    properties = file.get_file_properties()
    assert (properties.size, properties.metadata) == (len(data), {"UPPER": "1", "Capital": "2"})
    assert [(r.start, r.end) for r in file.list_ranges()] == [(0, len(data) - 1)]
    file.resize_file(6 * MIB)
    file.clear_range(0, MIB)
    file.upload_range(b"xyz", offset=10, length=3)
    assert [r.end for r in file.list_ranges(results_per_page=1)] == [511, 5 * MIB + 511]
    assert file.download_file().readall()[:14] == bytes(10) + b"xyz\0"
    file.set_file_metadata({"only": "this"})
    copy = share.get_file_client("copy.bin")
    started = copy.start_copy_from_url(file.url)
    assert started["copy_status"] == "success"
    assert copy.get_file_properties().size == 6 * MIB
    moved = copy.rename_file("big.bin", overwrite=True)
    assert moved.get_file_properties().metadata == {"only": "this"}
    with pytest.raises(ResourceNotFoundError):
        copy.get_file_properties()
    with pytest.raises(HttpResponseError):
        moved.upload_range(b"x", offset=6 * MIB, length=1)
    assert list(moved.list_handles()) == []
    assert moved.close_all_handles()["closed_handles_count"] == 0
    moved.delete_file()


def test_create_with_data_and_properties(share):
    file = share.get_file_client("f")
    when = datetime(2001, 2, 3, 4, 5, 6, 123456)
    file.create_file(
        10, file_attributes="ReadOnly", file_creation_time=when, file_change_time=when,
        data=b"0123456789",
    )  # fmt: skip
    properties = file.get_file_properties()
    assert properties.file_attributes == "ReadOnly | Archive"
    assert properties.creation_time == properties.change_time == when.replace(tzinfo=UTC)
    assert file.download_file().readall() == b"0123456789"
    with pytest.raises(HttpResponseError) as error:
        file.delete_file()
    assert error_code(error) == "ReadOnlyAttribute"
    file.set_http_headers(ContentSettings(content_type="a/b"), file_attributes="None")
    file.delete_file()


def test_leases(share):
    file = share.get_file_client("f")
    file.create_file(1)
    lease = file.acquire_lease()
    with pytest.raises(HttpResponseError) as error:
        file.delete_file()
    assert error_code(error) == "LeaseIdMissing"
    assert file.get_file_properties().lease.state == "leased"
    lease.change("aaaaaaaa-0000-4000-8000-000000000000")
    file.set_file_metadata({"a": "b"}, lease=lease)
    assert lease.break_lease() == 0
    file.delete_file()
    taken = share.acquire_lease(lease_duration=15)
    taken.renew()
    taken.release()


NAMES = [
    "plain", "with space", "ümläut", "日本語", "emoji😀", "a+b=c&d", "100%", "#hash", "it's",
    "[brackets]", "semi;colon", "comma,dot.", "~tilde", "…", "ß", "dot.in.name", "(x)",
]  # fmt: skip


def test_nasty_names(share):
    for name in NAMES:
        file = share.get_file_client(name)
        file.upload_file(name.encode())
        assert file.download_file().readall().decode() == name
    listed = {entry["name"] for entry in share.list_directories_and_files()}
    # The SDK of this version asks for trailing dots only when told to.
    assert {name.rstrip(".") for name in NAMES} == listed
    for name in NAMES:
        renamed = share.get_file_client(name).rename_file(f"x{name}")
        assert renamed.get_file_properties().size == len(name.encode())


def test_shares_snapshots_and_service(service, share):
    share.set_share_metadata({"Key": "value"})
    share.set_share_quota(3)
    properties = share.get_share_properties()
    assert (properties.quota, properties.metadata) == (3, {"Key": "value"})
    share.get_file_client("f").upload_file(b"before")
    snapshot = share.create_snapshot()["snapshot"]
    share.get_file_client("f").upload_file(b"after!")
    before = service.get_share_client(share.share_name, snapshot=snapshot)
    assert before.get_file_client("f").download_file().readall() == b"before"
    changed = share.get_file_client("f").list_ranges_diff(snapshot)
    assert [(r.start, r.end, r.cleared) for r in changed] == [(0, 5, False)]
    listed = list(service.list_shares(share.share_name, include_snapshots=True))
    assert [s.snapshot for s in listed] == [snapshot, None]
    assert share.get_share_stats() == 6
    key = share.create_permission_for_share("O:SYG:SYD:(A;;FA;;;SY)")
    assert share.get_permission_for_share(key).startswith("O:SYG:SYD:")
    properties = service.get_service_properties()
    service.set_service_properties(hour_metrics=properties["hour_metrics"])


def test_signatures_made_by_the_sdk(emulator, service, share):
    share.get_file_client("d ir.txt").upload_file(b"hello")
    endpoint = f"{emulator.url}/{ACCOUNT}"
    common: dict[str, Any] = {"account_name": ACCOUNT, "account_key": KEY, "expiry": SOON}
    sas = generate_file_sas(
        share_name=share.share_name, file_path=["d ir.txt"],
        permission=FileSasPermissions(read=True), **common,
    )  # fmt: skip
    with ShareFileClient(endpoint, share.share_name, "d ir.txt", credential=sas) as file:
        assert file.download_file().readall() == b"hello"
        with pytest.raises(HttpResponseError) as error:
            file.delete_file()
        assert error_code(error) == "AuthorizationPermissionMismatch"
    sas = generate_share_sas(
        share_name=share.share_name,
        permission=ShareSasPermissions(read=True, list=True, create=True), **common,
    )  # fmt: skip
    with ShareServiceClient(endpoint, credential=sas) as other:
        limited = other.get_share_client(share.share_name)
        assert len(list(limited.list_directories_and_files())) == 1
        limited.get_file_client("new").create_file(1)
        with pytest.raises(HttpResponseError) as error:
            limited.get_file_client("new").create_file(1)
        assert error_code(error) == "AuthorizationPermissionMismatch"
        with pytest.raises(HttpResponseError) as error:
            limited.get_share_properties()
        assert error_code(error) == "AuthorizationFailure"
    sas = generate_account_sas(
        resource_types=ResourceTypes(service=True, object=True),
        permission=AccountSasPermissions(read=True, list=True), **common,
    )  # fmt: skip
    with ShareServiceClient(endpoint, credential=sas) as other:
        assert share.share_name in [s.name for s in other.list_shares()]
        file = other.get_share_client(share.share_name).get_file_client("d ir.txt")
        assert file.download_file().readall() == b"hello"
        with pytest.raises(HttpResponseError) as error:
            other.get_share_client(share.share_name).get_share_properties()
        assert error_code(error) == "AuthorizationResourceTypeMismatch"
    with ShareServiceClient(endpoint, credential=KEY.replace("E", "F", 1)) as other:
        with pytest.raises((ClientAuthenticationError, HttpResponseError)) as error:
            list(other.list_shares())
        assert error.value.status_code == 403


def test_stored_access_policies(emulator, share):
    policy = AccessPolicy(permission=ShareSasPermissions(read=True), expiry=SOON)
    share.set_share_access_policy({"readers": policy})
    assert [p.id for p in share.get_share_access_policy()["signed_identifiers"]] == ["readers"]
    share.get_file_client("f").upload_file(b"x")
    sas = generate_share_sas(ACCOUNT, share.share_name, KEY, policy_id="readers")
    endpoint = f"{emulator.url}/{ACCOUNT}"
    with ShareFileClient(endpoint, share.share_name, "f", credential=sas) as file:
        assert file.download_file().readall() == b"x"
        share.set_share_access_policy({})
        with pytest.raises(HttpResponseError) as error:
            file.download_file()
        assert error.value.status_code == 403


@pytest.mark.timeout(240)
@pytest.mark.long
def test_listing_12000_entries(emulator):
    async def work():
        service = AsyncService.from_connection_string(emulator.connection_string)
        async with service:
            share = await service.create_share(f"many-{uuid.uuid4().hex[:12]}")
            limiter = asyncio.Semaphore(16)

            async def make(number):
                async with limiter:
                    await share.get_file_client(f"f{number:05}").create_file(0)

            await asyncio.gather(*(make(n) for n in range(12_000)))
            listing = share.list_directories_and_files(include=["timestamps", "etag", "attributes"])
            pages = [[entry["name"] async for entry in page] async for page in listing.by_page()]
            await share.delete_share()
            return pages

    pages = asyncio.run(work())
    assert [len(page) for page in pages] == [5000, 5000, 2000]
    assert [name for page in pages for name in page] == [f"f{n:05}" for n in range(12_000)]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the SDK does
def test_aio_round_trip(emulator):
    async def work():
        service = AsyncService.from_connection_string(emulator.connection_string)
        async with service:
            share = await service.create_share(f"aio-{uuid.uuid4().hex[:12]}")
            directory = await share.create_directory("d ü")
            file = directory.get_file_client("f #ä 日")
            data = os.urandom(9 * MIB)
            await file.upload_file(io.BytesIO(data), max_concurrency=4)
            assert await (await file.download_file(max_concurrency=4)).readall() == data
            renamed = await file.rename_file("g")
            assert (await renamed.get_file_properties()).size == len(data)
            await renamed.delete_file()
            await directory.delete_directory()
            await share.delete_share()

    asyncio.run(work())
