"""What test_sdk.py leaves of the official SDK's public methods, and that none is left out."""

import asyncio
import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import (
    FileSasPermissions,
    ShareClient,
    ShareDirectoryClient,
    ShareFileClient,
    ShareLeaseClient,
    ShareServiceClient,
    generate_file_sas,
)
from azure.storage.fileshare.aio import ShareServiceClient as AsyncService

from tests.emulator.conftest import Process
from tests.emulator.signing import ACCOUNT, KEY
from tests.emulator.test_sdk import error_code

MIB = 1024 * 1024


class AnyToken:
    """A credential whose tokens the emulator's development mode accepts."""

    def get_token(self, *scopes, **options):
        return AccessToken("opaque", int(datetime.now(UTC).timestamp()) + 3600)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """An emulator over TLS that takes tokens and keeps deleted shares."""
    data = tmp_path_factory.mktemp("sdk-rest")
    options = ("--tls-self-signed", "--accept-tokens", "--soft-delete-days", "7")
    process = Process("--data", str(data), *options)
    yield process
    assert process.stop() == (0, "")


@pytest.fixture(scope="module")
def authority(process):
    """The certificate that vouches for the emulator's."""
    return process.process.stdout.readline().split()[-1]


@pytest.fixture
def service(process, authority):
    with ShareServiceClient(
        f"{process.url}/{ACCOUNT}", credential=KEY, connection_verify=authority
    ) as service:
        yield service


def test_the_key_of_a_user(process, authority):
    client = ShareServiceClient(
        f"{process.url}/{ACCOUNT}",
        credential=AnyToken(),
        token_intent="backup",
        connection_verify=authority,
    )
    now = datetime.now(UTC)
    with client:
        key = client.get_user_delegation_key(start=now, expiry=now + timedelta(hours=1))
    assert key.value
    assert key.signed_service == "f"


def test_a_deleted_share_comes_back(service):
    share = service.create_share("comes-back")
    share.get_file_client("f").upload_file(b"x")
    share.delete_share()
    found = [s for s in service.list_shares(include_deleted=True) if s.name == "comes-back"]
    restored = service.undelete_share("comes-back", found[0].version)
    assert restored.get_file_client("f").download_file().readall() == b"x"


def test_share_properties_are_set(service):
    share = service.create_share("properties")
    share.set_share_properties(quota=7, access_tier="Cool")
    properties = share.get_share_properties()
    assert (properties.quota, properties.access_tier) == (7, "Cool")


def test_directories_below_directories(service):
    top = service.create_share("below").create_directory("top")
    top.create_subdirectory("sub")
    assert top.get_subdirectory_client("sub").exists()
    assert list(top.list_handles()) == []
    assert top.close_handle("1").get("closed_handles_count") == 0
    top.delete_subdirectory("sub")
    assert not top.get_subdirectory_client("sub").exists()


def test_ranges_from_elsewhere_and_their_lists(service):
    share = service.create_share("ranges")
    source, target = share.get_file_client("source"), share.get_file_client("target")
    source.upload_file(b"abcdefgh" * 512)
    target.create_file(2 * MIB)
    token = generate_file_sas(
        ACCOUNT, "ranges", ["source"], KEY, permission=FileSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    target.upload_range_from_url(f"{source.url}?{token}", MIB, 1024, 8)
    assert target.download_file(MIB, 8).readall() == b"abcdefgh"
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert target.get_ranges() == [{"start": MIB, "end": MIB + 1023}]
    snapshot = share.create_snapshot()["snapshot"]
    target.upload_range(b"x" * 512, 0, 512)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        changed, cleared = target.get_ranges_diff(snapshot)
    assert changed == [{"start": 0, "end": 511}]
    assert cleared == []
    assert target.close_handle("1").get("closed_handles_count") == 0
    share.delete_share(delete_snapshots="include")


def test_a_copy_that_is_over_cannot_be_aborted(service):
    share = service.create_share("copies")
    share.get_file_client("one").upload_file(b"x")
    target = share.get_file_client("two")
    copy = target.start_copy_from_url(share.get_file_client("one").url)
    with pytest.raises(HttpResponseError) as error:
        target.abort_copy(copy["copy_id"])
    assert error_code(error) == "NoPendingCopyOperation"


def test_links_on_an_nfs_share(service):
    share = service.create_share("links", protocols="NFS")
    share.get_file_client("file").create_file(5, file_mode="0640", owner="7", group="8")
    linked = share.get_file_client("hard").create_hardlink("/file")
    assert linked["link_count"] == 2
    share.get_file_client("soft").create_symlink("file")
    assert share.get_file_client("soft").get_symlink()["link_text"] == "file"
    properties = share.get_file_client("file").get_file_properties()
    assert (properties.file_mode, properties.owner) == ("0640", "7")


def test_leases_by_their_own_client(service):
    share = service.create_share("leases")
    file = share.get_file_client("file")
    file.create_file(1)
    lease = ShareLeaseClient(file)
    lease.acquire()
    assert file.get_file_properties().lease.state == "leased"
    lease.release()


def test_the_same_over_aio(process, authority):
    async def scene():
        async with AsyncService(
            f"{process.url}/{ACCOUNT}", credential=KEY, connection_verify=authority
        ) as client:
            share = await client.create_share("aio-rest")
            await share.set_share_properties(quota=9, access_tier="Hot")
            top = await share.create_directory("top")
            await top.create_subdirectory("sub")
            assert await top.get_subdirectory_client("sub").exists()
            await top.delete_subdirectory("sub")
            file = share.get_file_client("file")
            await file.create_file(MIB)
            await file.upload_range(b"x" * 512, 0, 512)
            found = [(r.start, r.end) async for r in file.list_ranges()]
            assert found == [(0, 511)]
            assert (await top.close_handle("1"))["closed_handles_count"] == 0
            await share.delete_share()
            names = [s async for s in client.list_shares(include_deleted=True)]
            version = next(s.version for s in names if s.name == "aio-rest")
            restored = await client.undelete_share("aio-rest", str(version))
            assert (await restored.get_share_properties()).quota == 9

    asyncio.run(scene())


def test_every_public_method_is_called_somewhere():
    here = Path(__file__).parent
    tests = "".join(path.read_text() for path in here.glob("test_sdk*.py"))
    for client in (
        ShareServiceClient, ShareClient, ShareDirectoryClient, ShareFileClient, ShareLeaseClient,
    ):  # fmt: skip
        for name, _ in inspect.getmembers(client, inspect.isfunction):
            if not name.startswith("_") and name != "close":  # `with` closes
                assert re.search(rf"\.{name}\(", tests), f"{client.__name__}.{name}"
