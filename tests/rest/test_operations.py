"""What goes over the wire for each operation."""

from urllib.parse import parse_qsl

import httpx
import pytest

from azfuse.rest.account import Account
from azfuse.rest.directory import Directory
from azfuse.rest.errors import InvalidResponse
from azfuse.rest.file import File
from azfuse.rest.links import CopyOptions
from azfuse.rest.models import ContentSettings, NfsSettings, SmbSettings, SourceChecks
from azfuse.rest.share import Share
from azfuse.rest.wire import MAX_FILE_BYTES, MAX_RANGE_BYTES, FileAttributes
from tests.rest.fakes import ETAG, FILE_ID, GOOD, HOST_ENDPOINT, Script, good, transport_to

pytestmark = pytest.mark.anyio

#: Headers that every request has, and that other tests look at.
COMMON = {
    "authorization",
    "content-length",
    "host",
    "user-agent",
    "x-ms-allow-trailing-dot",
    "x-ms-date",
    "x-ms-version",
}


def sent(script: Script) -> tuple[str, str, dict[str, str], dict[str, str]]:
    request = script.requests[-1]
    raw_path, _, query = request.url.raw_path.decode().partition("?")
    headers = {k: v for k, v in request.headers.items() if k not in COMMON}
    return request.method, raw_path, dict(parse_qsl(query)), headers


@pytest.fixture
def script() -> Script:
    return Script(last=good(200, content_length="0", x_ms_lease_id="id"))


@pytest.fixture
def file(script) -> File:
    return File(transport_to(script, endpoint=HOST_ENDPOINT), "s")


@pytest.fixture
def directory(script) -> Directory:
    return Directory(transport_to(script, endpoint=HOST_ENDPOINT), "s")


@pytest.fixture
def share(script) -> Share:
    return Share(transport_to(script, endpoint=HOST_ENDPOINT), "abc")


@pytest.mark.parametrize(
    "name", ["#%+?'&", "a b", "é日\U0001f600", "a;b=c,d@e!$()", "x.", "~-_.z", "\uf022", "100%25"]
)
async def test_nasty_names_arrive_as_sent(script, file, name):
    await file.delete_file(f"{name}/{name}")
    assert script.requests[-1].url.path == f"/s/{name}/{name}"
    assert script.requests[-1].url.query == b""


async def test_create_file(script, file):
    written = await file.create_file(
        "d/f",
        10,
        body=b"abc",
        body_length=3,
        content_md5=b"\0" * 16,
        content=ContentSettings(content_type="text/plain", content_md5=b"\1" * 16),
        smb=SmbSettings(
            attributes=FileAttributes.HIDDEN | FileAttributes.ARCHIVE,
            creation_time=0,
            last_write_time="now",
            permission_key="1*2",
        ),
        metadata={"Foo": "bar"},
        lease_id="lease",
        property_semantics="Restore",
    )
    assert sent(script) == (
        "PUT",
        "/s/d/f",
        {},
        {
            "x-ms-type": "file",
            "x-ms-content-length": "10",
            "x-ms-lease-id": "lease",
            "x-ms-content-type": "text/plain",
            "x-ms-content-md5": "AQEBAQEBAQEBAQEBAQEBAQ==",
            "x-ms-meta-foo": "bar",
            "content-md5": "AAAAAAAAAAAAAAAAAAAAAA==",
            "x-ms-file-attributes": "Hidden | Archive",
            "x-ms-file-creation-time": "1970-01-01T00:00:00.0000000Z",
            "x-ms-file-last-write-time": "now",
            "x-ms-file-permission-key": "1*2",
            "x-ms-file-property-semantics": "Restore",
        },
    )
    assert script.bodies == [b"abc"]
    assert script.requests[0].headers["content-length"] == "3"
    assert b"x-ms-meta-Foo" in [name for name, _ in script.requests[0].headers.raw]
    assert (written.etag, written.smb.file_id) == (ETAG, FILE_ID)
    assert written.smb.attributes == FileAttributes.ARCHIVE


async def test_empty_bodies_have_a_length(script, file):
    await file.create_file("f", 0)
    assert script.requests[-1].headers["content-length"] == "0"
    await file.get_file_properties("f")
    assert "content-length" not in script.requests[-1].headers


async def test_nfs(script, file, directory):
    await file.create_file("f", 0, nfs=NfsSettings(mode=0o4755, owner=1, group=2))
    assert sent(script)[3] == {
        "x-ms-type": "file",
        "x-ms-content-length": "0",
        "x-ms-mode": "4755",
        "x-ms-owner": "1",
        "x-ms-group": "2",
    }
    script.last = good(200, x_ms_mode="0664", x_ms_owner="3", x_ms_link_count="2")
    written = await directory.set_directory_properties("d", nfs=NfsSettings(mode=0o7))
    assert (written.nfs.mode, written.nfs.owner, written.nfs.link_count) == (0o664, 3, 2)
    assert sent(script)[3] == {"x-ms-mode": "0007"}


async def test_ranges(script, file):
    written = await file.put_range(
        "f", 512, 4, b"abcd", lease_id="l", last_write_time="preserve", content_md5=b"\0" * 16
    )
    assert sent(script) == (
        "PUT",
        "/s/f",
        {"comp": "range"},
        {
            "x-ms-range": "bytes=512-515",
            "x-ms-write": "update",
            "x-ms-lease-id": "l",
            "content-md5": "AAAAAAAAAAAAAAAAAAAAAA==",
            "x-ms-file-last-write-time": "preserve",
        },
    )
    assert written.smb.last_write_time is not None
    await file.clear_range("f", 0, MAX_FILE_BYTES)
    assert sent(script)[3] == {
        "x-ms-range": f"bytes=0-{MAX_FILE_BYTES - 1}",
        "x-ms-write": "clear",
    }
    await file.put_range_from_url("f", 0, 5, "https://x/y", 7)
    assert sent(script)[3] == {
        "x-ms-range": "bytes=0-4",
        "x-ms-write": "update",
        "x-ms-copy-source": "https://x/y",
        "x-ms-source-range": "bytes=7-11",
        "x-ms-source-allow-trailing-dot": "true",
    }


async def test_checks_of_a_source(script, file):
    script.last = good(201, x_ms_content_crc64="AQEBAQEBAQE=")
    checks = SourceChecks(crc64=b"\1" * 8, if_match=b"\2" * 8, if_none_match=b"\3" * 8)
    written = await file.put_range_from_url(
        "f", 0, 5, "https://x/y", 7, source_checks=checks, source_authorization="Bearer t"
    )
    headers = sent(script)[3]
    assert headers["x-ms-source-content-crc64"] == "AQEBAQEBAQE="
    assert headers["x-ms-source-if-match-crc64"] == "AgICAgICAgI="
    assert headers["x-ms-source-if-none-match-crc64"] == "AwMDAwMDAwM="
    assert headers["x-ms-copy-source-authorization"] == "Bearer t"
    assert written.content_crc64 == b"\1" * 8


async def test_list_ranges(script, file):
    script.last = good(
        200,
        b"<Ranges><Range><Start>0</Start><End>511</End></Range></Ranges>",
        x_ms_content_length="1000",
    )
    ranges = await file.list_ranges("f", offset=0, length=1000, previous_snapshot="2022")
    assert (ranges.size, ranges.ranges[0].last) == (1000, 511)
    assert sent(script)[2:] == (
        {"comp": "rangelist", "prevsharesnapshot": "2022"},
        {"x-ms-range": "bytes=0-999"},
    )
    await file.list_ranges("f", offset=5)
    assert sent(script)[3] == {"x-ms-range": f"bytes=5-{MAX_FILE_BYTES - 1}"}
    script.last = good(200, b"<Ranges />")
    with pytest.raises(InvalidResponse):
        await file.list_ranges("f")


async def test_arguments_are_checked_before_anything_is_sent(script, file, directory, share):
    too_much = MAX_RANGE_BYTES + 1
    for call in (
        lambda: file.put_range("f", 0, too_much, bytes(too_much)),
        lambda: file.put_range("f", 0, 0, b""),
        lambda: file.put_range("f", -1, 1, b"x"),
        lambda: file.put_range("f", 0, 2, b"x"),
        lambda: file.put_range_from_url("f", 0, too_much, "https://x", 0),
        lambda: file.clear_range("f", 0, 0),
        lambda: file.create_file("f", -1),
        lambda: file.create_file("f", MAX_FILE_BYTES + 1),
        lambda: file.create_file("f", 1, body=b"x", body_length=2),
        lambda: file.create_file("f", too_much, body=bytes(too_much), body_length=too_much),
        lambda: file.create_file("f", 0, metadata={"a-b": "x"}),
        lambda: file.create_file("f", 0, metadata={"": "x"}),
        lambda: file.create_file("f", 0, metadata={"a": "é"}),
        lambda: file.create_file("f", 0, metadata={"a": "x\r\ny"}),
        lambda: file.create_file("f", 0, metadata={"a": "x", "A": "y"}),
        lambda: file.create_file("f", 0, content=ContentSettings(content_type="a\nb")),
        lambda: file.create_file("f", 0, smb=SmbSettings(permission="x", permission_key="1*2")),
        lambda: file.create_file("a//b", 0),
        lambda: file.list_ranges("f", offset=0, length=0),
        lambda: directory.list_directories_and_files("", max_results=0),
        lambda: directory.list_directories_and_files("", max_results=5001),
        lambda: directory.create_directory("a/../b"),
        lambda: share.create_share(quota=0),
        lambda: share.acquire_share_lease(duration=5),
        lambda: Account(share.transport).list_shares(max_results=0),
    ):
        with pytest.raises(ValueError):
            await call()
    assert script.requests == []


@pytest.mark.parametrize("name", ["", "ab", "Abc", "a--b", "-ab", "ab-", "a_b", "a/b", "a" * 64])
def test_share_names(share, name):
    with pytest.raises(ValueError):
        Share(share.transport, name)


async def test_set_file(script, file):
    await file.set_file_properties("f", size=5, lease_id="l")
    assert sent(script) == (
        "PUT",
        "/s/f",
        {"comp": "properties"},
        {"x-ms-content-length": "5", "x-ms-lease-id": "l"},
    )
    await file.set_file_metadata("f", {"a": "1", "B": ""})
    assert sent(script)[2:] == ({"comp": "metadata"}, {"x-ms-meta-a": "1", "x-ms-meta-b": ""})


async def test_file_properties(script, file):
    script.last = httpx.Response(
        200,
        headers=GOOD
        | {
            "content-length": "1024",
            "content-type": "text/plain",
            "content-md5": "AQEBAQEBAQEBAQEBAQEBAQ==",
            "x-ms-meta-Foo": "bar",
            "x-ms-lease-state": "leased",
            "x-ms-lease-status": "locked",
            "x-ms-lease-duration": "infinite",
            "x-ms-server-encrypted": "true",
            "x-ms-copy-id": "c",
            "x-ms-copy-status": "success",
            "x-ms-copy-completion-time": "Wed, 28 Sep 2022 21:46:27 GMT",
        },
    )
    properties = await file.get_file_properties("f")
    assert sent(script)[0] == "HEAD"
    assert properties.size == 1024
    assert properties.metadata == {"Foo": "bar"}
    assert properties.content == ContentSettings(content_type="text/plain", content_md5=b"\1" * 16)
    assert properties.lease.duration == "infinite"
    assert properties.copy.completion_time == properties.last_modified
    assert properties.server_encrypted is True
    assert properties.range_md5 is None


async def test_rename(script, file, directory):
    await file.rename_file(
        "a #",
        "b/c",
        content_type="text/plain",
        replace_if_exists=True,
        ignore_read_only=True,
        source_lease_id="1",
        destination_lease_id="2",
        metadata={"k": "v"},
        smb=SmbSettings(attributes=FileAttributes.NONE),
    )
    assert sent(script) == (
        "PUT",
        "/s/b/c",
        {"comp": "rename"},
        {
            "x-ms-file-rename-source": "https://acct.file.core.windows.net/s/a%20%23",
            "x-ms-file-rename-replace-if-exists": "true",
            "x-ms-file-rename-ignore-readonly": "true",
            "x-ms-source-lease-id": "1",
            "x-ms-destination-lease-id": "2",
            "x-ms-source-allow-trailing-dot": "true",
            "x-ms-content-type": "text/plain",
            "x-ms-meta-k": "v",
            "x-ms-file-attributes": "None",
        },
    )
    await directory.rename_directory("a", "b")
    assert sent(script)[2] == {"restype": "directory", "comp": "rename"}


async def test_directories(script, directory):
    await directory.create_directory("d", metadata={"a": "b"})
    assert sent(script) == ("PUT", "/s/d", {"restype": "directory"}, {"x-ms-meta-a": "b"})
    await directory.get_directory_properties("")
    assert sent(script)[:3] == ("GET", "/s", {"restype": "directory"})
    await directory.set_directory_metadata("d", {})
    assert sent(script)[2] == {"restype": "directory", "comp": "metadata"}
    await directory.delete_directory("d")
    assert sent(script)[:3] == ("DELETE", "/s/d", {"restype": "directory"})


async def test_listing(script, directory):
    script.last = httpx.Response(
        200,
        content=b"<EnumerationResults><Entries /><NextMarker /></EnumerationResults>",
    )
    page = await directory.list_directories_and_files(
        "d", prefix="é&", marker="1!4!Zg--", max_results=7
    )
    assert (list(page.entries), page.next_marker, page.directory_id) == ([], None, None)
    assert sent(script) == (
        "GET",
        "/s/d",
        {
            "restype": "directory",
            "comp": "list",
            "prefix": "é&",
            "marker": "1!4!Zg--",
            "maxresults": "7",
            "include": "Timestamps,ETag,Attributes,PermissionKey",
        },
        {"x-ms-file-extended-info": "true"},
    )
    await directory.list_directories_and_files("", extended=False)
    assert sent(script)[1:] == ("/s", {"restype": "directory", "comp": "list"}, {})


async def test_snapshots(script):
    transport = transport_to(script, endpoint=HOST_ENDPOINT)
    snapshot = "2022-10-05T22:14:14.0000000Z"
    await File(transport, "s", snapshot=snapshot).get_file_properties("f")
    assert sent(script)[2] == {"sharesnapshot": snapshot}
    assert b"sharesnapshot=2022-10-05T22%3A14%3A14.0000000Z" in script.requests[-1].url.query
    await Directory(transport, "s", snapshot=snapshot).get_directory_properties("f")
    assert sent(script)[2] == {"restype": "directory", "sharesnapshot": snapshot}


async def test_leases(script, file):
    await file.acquire_lease("f", proposed_id="p")
    assert sent(script) == (
        "PUT",
        "/s/f",
        {"comp": "lease"},
        {
            "x-ms-lease-action": "acquire",
            "x-ms-lease-duration": "-1",
            "x-ms-proposed-lease-id": "p",
        },
    )
    await file.change_lease("f", "a", "b")
    assert sent(script)[3] == {
        "x-ms-lease-action": "change",
        "x-ms-lease-id": "a",
        "x-ms-proposed-lease-id": "b",
    }
    await file.release_lease("f", "a")
    assert sent(script)[3] == {"x-ms-lease-action": "release", "x-ms-lease-id": "a"}
    script.last = good(202, x_ms_lease_time="0")
    assert (await file.break_lease("f")).break_time == 0
    assert sent(script)[3] == {"x-ms-lease-action": "break"}


async def test_copy(script, file):
    script.last = good(202, x_ms_copy_id="c", x_ms_copy_status="success")
    started = await file.copy_file(
        "f", "a b", source_snapshot="2022", options=CopyOptions(ignore_read_only=True)
    )
    assert (started.copy_id, started.status) == ("c", "success")
    assert sent(script)[3] == {
        "x-ms-copy-source": "https://acct.file.core.windows.net/s/a%20b?sharesnapshot=2022",
        "x-ms-file-copy-ignore-readonly": "true",
        "x-ms-source-allow-trailing-dot": "true",
    }
    await file.copy_file("f", "https://other.example.org/x?sig=1")
    assert sent(script)[3]["x-ms-copy-source"] == "https://other.example.org/x?sig=1"
    await file.abort_copy("f", "c")
    assert sent(script)[2:] == ({"comp": "copy", "copyid": "c"}, {"x-ms-copy-action": "abort"})


async def test_links(script, file):
    await file.create_hard_link("l", "d/t x")
    assert sent(script)[2:] == (
        {"restype": "hardlink"},
        {"x-ms-type": "file", "x-ms-file-target-file": "/d/t%20x"},
    )
    await file.create_symbolic_link("l", "../é", nfs=NfsSettings(owner=1))
    assert sent(script)[2:] == (
        {"restype": "symboliclink"},
        {"x-ms-link-text": "..%2F%C3%A9", "x-ms-owner": "1"},
    )
    script.last = good(200, x_ms_link_text="%2Fdir%2F%C3%A9")
    assert await file.get_symbolic_link("l") == "/dir/é"


async def test_share(script, share):
    await share.create_share(
        quota=5, metadata={"a": "b"}, enabled_protocols="NFS", root_squash="RootSquash"
    )
    assert sent(script) == (
        "PUT",
        "/abc",
        {"restype": "share"},
        {
            "x-ms-share-quota": "5",
            "x-ms-meta-a": "b",
            "x-ms-enabled-protocols": "NFS",
            "x-ms-root-squash": "RootSquash",
        },
    )
    script.last = good(
        200,
        x_ms_share_quota="7",
        x_ms_enabled_protocols="SMB;NFS",
        x_ms_access_tier="Hot",
        x_ms_meta_k="v",
        x_ms_has_legal_hold="false",
    )
    properties = await share.get_share_properties()
    assert properties.quota == 7
    assert properties.enabled_protocols == {"SMB", "NFS"}
    assert properties.access_tier == "Hot"
    assert properties.metadata == {"k": "v"}
    assert properties.raw["x-ms-has-legal-hold"] == "false"
    script.last = good(200, b"<ShareStats><ShareUsageBytes>5</ShareUsageBytes></ShareStats>")
    assert await share.get_share_stats() == 5
    await share.delete_share(delete_snapshots="include")
    assert sent(script)[3] == {"x-ms-delete-snapshots": "include"}
    script.last = good(201, x_ms_snapshot="2022", x_ms_file_permission_key="1*2")
    assert await share.snapshot_share() == "2022"
    assert await share.create_permission("O:BA") == "1*2"
    assert script.bodies[-1] == b'{"permission": "O:BA"}'
    script.last = good(200, b'{"permission":"O:BA"}')
    assert await share.get_permission("1*2") == "O:BA"
    for body in (b"", b"[]", b'{"permission":1}'):
        script.last = good(200, body)
        with pytest.raises(InvalidResponse):
            await share.get_permission("1*2")


async def test_list_shares(script):
    script.last = httpx.Response(
        200, content=b"<EnumerationResults><Shares /><NextMarker /></EnumerationResults>"
    )
    for endpoint, path in ((HOST_ENDPOINT, "/"), (None, "/devstoreaccount1/")):
        transport = transport_to(script, endpoint=endpoint) if endpoint else transport_to(script)
        page = await Account(transport).list_shares(
            prefix="p", include=["metadata", "snapshots"], max_results=5
        )
        assert (list(page.shares), page.next_marker) == ([], None)
        assert sent(script)[:3] == (
            "GET",
            path,
            {"comp": "list", "prefix": "p", "include": "metadata,snapshots", "maxresults": "5"},
        )
