"""The versions of the service, row by row of the reference's table (1.2): what each has and lacks.

Each test asks with the version that brought a thing and with the one before.
"""

import base64
import hashlib
import json

import httpx
import pytest

from azfuse.emulator.setup import build
from azfuse.rest.wire import VERSIONS
from tests.emulator.conftest import Client, code, xml
from tests.emulator.signing import ACCOUNT, KEY, account_sas, file_sas, service_sas

pytestmark = pytest.mark.anyio
SERVICE = "restype=service&comp=properties"
LIST = "restype=directory&comp=list"
SDDL = "O:SYG:SYD:(A;;FA;;;SY)"
UNKNOWN = (400, "InvalidQueryParameterValue")
#: Headers that creates and sets had to have from 2019-02-02 until 2021-06-08.
SMB = {
    "x-ms-file-permission": "inherit", "x-ms-file-attributes": "None",
    "x-ms-file-creation-time": "now", "x-ms-file-last-write-time": "now",
}  # fmt: skip
FILE = {"x-ms-type": "file", "x-ms-content-length": "1024"}


def before(version):
    return VERSIONS[VERSIONS.index(version) - 1]


@pytest.fixture
async def share(client):
    await client.share("share")
    await client.file("/share/f", 1024, bytes(1024))
    return client


async def both(client, version, *request, **more):
    """Return the answers of the version before and of *version* itself."""
    old = await client(*request, version=before(version), **more)
    return old, await client(*request, version=version, **more)


async def test_2014_02_14_shares_directories_files_and_ranges(client):
    for method, path, query, headers in (
        ("PUT", "/abc", "restype=share", {}),
        ("PUT", "/abc/d", "restype=directory", {}),
        ("PUT", "/abc/d/f", "", FILE),
        ("GET", "/abc/d", LIST, {}),
        ("GET", "/abc/d/f", "", {}),
        ("GET", "/abc/d/f", "comp=rangelist", {}),
        ("GET", "/", "comp=list", {}),
    ):
        answer = await client(method, path, query, headers, version="2014-02-14")
        assert answer.status_code in (200, 201), (path, answer.text)
        assert answer.headers["x-ms-version"] == "2014-02-14"


@pytest.mark.parametrize(
    ("version", "method", "path", "query"),
    [
        ("2015-02-21", "GET", "/", SERVICE),
        ("2015-02-21", "GET", "/share", "restype=share&comp=stats"),
        ("2015-02-21", "GET", "/share", "restype=share&comp=acl"),
        ("2015-02-21", "GET", "/share/d", "restype=directory&comp=metadata"),
        ("2018-11-09", "GET", "/share/f", "comp=listhandles"),
        ("2016-10-16", "PUT", "/share", "restype=share&comp=snapshot"),
    ],
)
async def test_operations_begin_with_a_version(share, version, method, path, query):
    await share("PUT", "/share/d", "restype=directory")
    old, new = await both(share, version, method, path, query)
    # Before 2017-07-29 errors had no header with their code.
    assert old.status_code == 400
    assert xml(old).findtext("Code") == "InvalidQueryParameterValue"
    assert new.status_code in (200, 201)


@pytest.mark.parametrize(
    ("version", "path", "query", "headers"),
    [
        ("2018-11-09", "/share/f", "comp=forceclosehandles", {"x-ms-handle-id": "*"}),
        ("2019-02-02", "/share/f", "comp=lease", {"x-ms-lease-action": "acquire"}),
        ("2019-02-02", "/share/d", "restype=directory&comp=properties", SMB),
        ("2020-02-10", "/share", "restype=share&comp=lease", {"x-ms-lease-action": "acquire"}),
        ("2021-04-10", "/share/g", "comp=rename", {"x-ms-file-rename-source": "/share/f"}),
    ],
)
async def test_more_operations_begin_with_a_version(share, version, path, query, headers):
    await share("PUT", "/share/d", "restype=directory")
    if "x-ms-file-rename-source" in headers:
        headers = {"x-ms-file-rename-source": f"http://localhost/{ACCOUNT}/share/f"}
    old, new = await both(share, version, "PUT", path, query, headers)
    assert code(old) == UNKNOWN
    assert new.status_code in (200, 201), new.text


async def test_2015_02_21_copies(share):
    headers = {"x-ms-copy-source": f"http://localhost/{ACCOUNT}/share/f"}
    old, new = await both(share, "2015-02-21", "PUT", "/share/copy", "", headers)
    assert old.status_code == 400
    assert new.status_code == 202


async def test_2015_02_21_an_empty_length_is_signed_as_nothing(share):
    # `signed` writes 0 into the string for 2014-02-14, nothing later; the server does the same.
    old, new = await both(share, "2015-02-21", "PUT", "/share/f", "comp=metadata")
    assert (old.status_code, new.status_code) == (200, 200)


async def get(client, path, query, headers=None):
    return await client.http.get(f"http://localhost/{ACCOUNT}{path}?{query}", headers=headers)


async def test_2015_02_21_service_signatures_and_2015_04_05_addresses_in_them(share):
    fields = {"sr": "f", "sp": "r", "se": "2099-01-01"}
    for version, status in (("2014-02-14", 403), ("2015-02-21", 200), ("2015-04-05", 200)):
        query = service_sas({**fields, "sv": version}, "/share/f")
        assert (await get(share, "/share/f", query)).status_code == status
    # The address is part of the string from 2015-04-05 on only.
    sip = "127.0.0.1"
    query = service_sas({**fields, "sv": "2015-04-05", "sip": sip}, "/share/f")
    assert (await get(share, "/share/f", query)).status_code == 200
    assert (await get(share, "/share/f", query.replace(sip, "127.0.0.2"))).status_code == 403


async def test_2015_04_05_account_signatures(share):
    fields = {"ss": "f", "srt": "sco", "sp": "rl", "se": "2099-01-01"}
    for version, status in (("2015-02-21", 403), ("2015-04-05", 200), ("2020-12-06", 200)):
        query = account_sas({**fields, "sv": version})
        assert (await get(share, "/share/f", query)).status_code == status


async def test_2016_05_31_prefix_of_listings(share):
    await share.file("/share/g")
    query = f"{LIST}&prefix=g"
    old, new = await both(share, "2016-05-31", "GET", "/share", query)
    assert [e.findtext("Name") for e in xml(old).find("Entries")] == ["f", "g"]
    assert [e.findtext("Name") for e in xml(new).find("Entries")] == ["g"]


async def test_2016_05_31_the_whole_files_md5_beside_a_range(share):
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    await share("PUT", "/share/f", "comp=properties", {"x-ms-content-md5": md5})
    headers = {"x-ms-range": "bytes=0-1"}
    old, new = await both(share, "2016-05-31", "GET", "/share/f", "", headers)
    assert "x-ms-content-md5" not in old.headers
    assert new.headers["x-ms-content-md5"] == md5


async def test_2017_04_17_snapshots_and_encryption(share):
    taken = (await share("PUT", "/share", "restype=share&comp=snapshot")).headers["x-ms-snapshot"]
    # 2016-10-16 was a preview of it (recorded).
    old = await share("GET", "/share/f", f"sharesnapshot={taken}", version="2016-05-31")
    new = await share("GET", "/share/f", f"sharesnapshot={taken}", version="2017-04-17")
    assert old.status_code == 400
    assert xml(old).findtext("Code") == "FeatureVersionMismatch"
    assert new.status_code == 200
    old = await share("GET", "/share/f", version="2016-05-31")
    assert "x-ms-server-encrypted" not in old.headers
    assert new.headers["x-ms-server-encrypted"] == "true"
    old = await share("GET", "/", "comp=list&include=snapshots", version="2016-05-31")
    new = await share("GET", "/", "comp=list&include=snapshots", version="2017-04-17")
    assert (old.status_code, new.status_code) == (400, 200)


async def test_2017_07_29_the_error_code_is_a_header(share):
    old, new = await both(share, "2017-07-29", "GET", "/share/none")
    assert "x-ms-error-code" not in old.headers
    assert new.headers["x-ms-error-code"] == "ResourceNotFound"


async def test_2018_11_09_stats_in_bytes(share):
    old, new = await both(share, "2018-11-09", "GET", "/share", "restype=share&comp=stats")
    assert xml(old).findtext("ShareUsage") == "1"
    assert xml(new).findtext("ShareUsageBytes") == "1024"


async def test_2019_02_02_smb_properties_and_permissions(share):
    old, new = await both(share, "2019-02-02", "PUT", "/share/f", "", {**FILE, **SMB})
    assert "x-ms-file-id" not in old.headers
    assert new.headers["x-ms-file-attributes"] == "Archive"
    body = json.dumps({"permission": SDDL}).encode()
    query = "restype=share&comp=filepermission"
    old, new = await both(share, "2019-02-02", "PUT", "/share", query, body=body)
    assert code(old) == UNKNOWN
    assert new.status_code == 201


@pytest.mark.parametrize("missing", sorted(SMB))
@pytest.mark.parametrize("version", ["2019-02-02", "2020-02-10", "2021-04-10"])
@pytest.mark.parametrize(
    ("path", "query", "headers"),
    [
        ("/share/new", "", FILE),
        ("/share/new", "restype=directory", {}),
        ("/share/f", "comp=properties", {}),
        ("/share/d", "restype=directory&comp=properties", {}),
    ],
)
async def test_2019_02_02_to_2021_04_10_smb_headers_are_required(
    share, version, path, query, headers, missing
):
    await share("PUT", "/share/d", "restype=directory")
    sent = {**headers, **{n: v for n, v in SMB.items() if n != missing}}
    answer = await share("PUT", path, query, sent, version=version)
    assert code(answer) == (400, "MissingRequiredHeader")
    assert xml(answer).findtext("HeaderName") == missing
    answer = await share("PUT", path, query, {**headers, **SMB}, version=version)
    assert answer.status_code in (200, 201)


@pytest.mark.parametrize("version", ["2018-11-09", "2021-06-08", "2026-10-06"])
async def test_smb_headers_are_not_required_before_and_after(share, version):
    for path, query, headers in (
        ("/share/new", "", FILE),
        ("/share/dir", "restype=directory", {}),
        ("/share/f", "comp=properties", {"x-ms-content-length": "5"}),
    ):
        answer = await share("PUT", path, query, headers, version=version)
        assert answer.status_code in (200, 201), answer.text


async def test_2019_07_07_smb_properties_of_copies_and_failed_handles(share):
    source = f"http://localhost/{ACCOUNT}/share/f"
    headers = {"x-ms-copy-source": source, "x-ms-file-attributes": "Hidden"}
    for version, attributes in (("2019-02-02", "Archive"), ("2019-07-07", "Hidden | Archive")):
        await share("PUT", "/share/copy", "", headers, version=version)
        answer = await share("HEAD", "/share/copy")
        assert answer.headers["x-ms-file-attributes"] == attributes
    headers = {"x-ms-handle-id": "*"}
    query = "comp=forceclosehandles"
    old, new = await both(share, "2019-07-07", "PUT", "/share/f", query, headers)
    assert "x-ms-number-of-handles-failed" not in old.headers
    assert new.headers["x-ms-number-of-handles-failed"] == "0"


async def test_2019_12_12_soft_delete_and_tiers(app, share):
    app.service.settings.soft_delete_days = 1
    query = "comp=list&include=deleted"
    old, new = await both(share, "2019-12-12", "GET", "/", query)
    assert (code(old), new.status_code) == (UNKNOWN, 200)
    assert "x-ms-access-tier" not in (
        await share("GET", "/share", "restype=share", version="2019-10-10")).headers  # fmt: skip
    answer = await share("GET", "/share", "restype=share", version="2019-12-12")
    assert answer.headers["x-ms-access-tier"] == "TransactionOptimized"
    await share("DELETE", "/share", "restype=share")
    version = app.service.store.deleted_shares(ACCOUNT, "share")[0].version
    headers = {"x-ms-deleted-share-name": "share", "x-ms-deleted-share-version": version}
    query = "restype=share&comp=undelete"
    old, new = await both(share, "2019-12-12", "PUT", "/share", query, headers)
    assert (code(old), new.status_code) == (UNKNOWN, 201)


async def test_2020_02_10_changes_since_a_snapshot(share):
    taken = (await share("PUT", "/share", "restype=share&comp=snapshot")).headers["x-ms-snapshot"]
    await share.clear("/share/f", 0, 511)
    query = f"comp=rangelist&prevsharesnapshot={taken}"
    old, new = await both(share, "2020-02-10", "GET", "/share/f", query)
    assert [e.tag for e in xml(old)] == ["Range"]
    assert [e.tag for e in xml(new)] == ["ClearRange"]


async def listed(client, version, include=""):
    answer = await client("GET", "/share", f"{LIST}&include={include}", version=version)
    return xml(answer)


async def test_2020_04_08_2020_06_12_and_2020_10_02_what_listings_tell(share):
    every = "Timestamps,ETag,Attributes,PermissionKey"
    old = (await listed(share, "2020-02-10", every)).find("Entries/File")
    assert [e.tag for e in old] == ["Name", "Properties"]
    new = (await listed(share, "2020-04-08", every)).find("Entries/File")
    assert [e.tag for e in new] == ["Name", "Properties", "Attributes", "PermissionKey"]
    times = ["Content-Length", "CreationTime", "LastAccessTime", "LastWriteTime"]
    assert [e.tag for e in new.find("Properties")] == [*times, "Etag"]
    newer = (await listed(share, "2020-06-12", every)).find("Entries/File/Properties")
    assert [e.tag for e in newer] == [*times, "ChangeTime", "Last-Modified", "Etag"]
    root = await listed(share, "2020-10-02")
    assert root.find("DirectoryId") is not None
    assert root.find("Entries/File/FileId") is not None
    assert (await listed(share, "2020-08-04")).find("DirectoryId") is None


async def test_2021_06_08_change_time_and_preserve(share):
    then = "2020-01-01T00:00:00.0000000Z"
    headers = {**SMB, "x-ms-file-change-time": then}
    old, new = await both(share, "2021-06-08", "PUT", "/share/f", "comp=properties", headers)
    assert old.headers["x-ms-file-change-time"] != then
    assert new.headers["x-ms-file-change-time"] == then
    written = new.headers["x-ms-file-last-write-time"]
    headers = {"x-ms-write": "update", "x-ms-range": "bytes=0-0",
               "x-ms-file-last-write-time": "preserve"}  # fmt: skip
    old, new = await both(share, "2021-06-08", "PUT", "/share/f", "comp=range", headers, body=b"x")
    assert "x-ms-file-last-write-time" not in old.headers
    assert new.headers["x-ms-file-last-write-time"] == written


async def test_2021_06_08_content_type_of_a_rename(share):
    for version, name, expected in (
        ("2021-04-10", "g", "application/octet-stream"), ("2021-06-08", "h", "text/plain"),
    ):  # fmt: skip
        headers = {"x-ms-file-rename-source": f"http://localhost/{ACCOUNT}/share/f",
                   "x-ms-content-type": "text/plain"}  # fmt: skip
        assert (await share("PUT", f"/share/{name}", "comp=rename", headers, version=version)
                ).status_code == 200  # fmt: skip
        answer = await share("HEAD", f"/share/{name}")
        assert answer.headers["content-type"] == expected
        await share.file("/share/f")


async def test_2021_12_02_names_that_xml_cannot_hold(share):
    await share.file("/share/%EF%BF%BF")
    new = await share("GET", "/share", LIST, version="2021-12-02")
    assert xml(new).find("Entries")[1].find("Name").attrib == {"Encoded": "true"}


async def test_2022_11_02_trailing_dots(share):
    headers = {**FILE, **SMB, "x-ms-allow-trailing-dot": "true"}
    old, new = await both(share, "2022-11-02", "PUT", "/share/dots..", "", headers)
    assert (old.status_code, new.status_code) == (201, 201)
    names = await share.names("/share")
    assert names == ["dots", "dots..", "f"]


async def test_2024_05_04_changes_of_renamed_files(share):
    taken = (await share("PUT", "/share", "restype=share&comp=snapshot")).headers["x-ms-snapshot"]
    headers = {"x-ms-file-rename-source": f"http://localhost/{ACCOUNT}/share/f"}
    await share("PUT", "/share/g", "comp=rename", headers)
    query = f"comp=rangelist&prevsharesnapshot={taken}"
    headers = {"x-ms-file-support-rename": "true"}
    old, new = await both(share, "2024-05-04", "GET", "/share/g", query, headers)
    assert (old.status_code, new.status_code) == (409, 200)


async def test_2024_11_04_binary_descriptors(share):
    raw = base64.b64encode(bytes([1, 0, 4, 128]) + bytes(16)).decode()
    headers = {"x-ms-file-permission": raw, "x-ms-file-permission-format": "binary"}
    old, new = await both(share, "2024-11-04", "PUT", "/share/f", "comp=properties", headers)
    assert code(old) == (400, "FileInvalidPermission")
    assert new.status_code == 200


async def test_2025_05_05_nfs_and_2025_07_05_symbolic_links(client):
    await client.share("nfs", **{"x-ms-enabled-protocols": "NFS"})
    old, new = await both(client, "2025-05-05", "PUT", "/nfs/f", "", FILE)
    assert code(old) == (400, "FeatureVersionMismatch")
    assert new.headers["x-ms-mode"] == "0664"
    headers = {"x-ms-type": "file", "x-ms-file-target-file": "/f"}
    old, new = await both(client, "2025-05-05", "PUT", "/nfs/g", "restype=hardlink", headers)
    assert (code(old), new.status_code) == (UNKNOWN, 201)
    headers = {"x-ms-link-text": "f"}
    old, new = await both(client, "2025-07-05", "PUT", "/nfs/s", "restype=symboliclink", headers)
    assert (code(old), new.status_code) == (UNKNOWN, 201)


async def test_2025_11_05_how_the_source_of_a_copy_answered(share):
    bad = file_sas("share", "/f", permission="w")
    headers = {"x-ms-copy-source": f"http://localhost/{ACCOUNT}/share/f?{bad}"}
    old, new = await both(share, "2025-11-05", "PUT", "/share/copy", "", headers)
    assert code(old) == code(new) == (403, "CannotVerifyCopySource")
    assert xml(old).find("CopySourceStatusCode") is None
    assert xml(new).findtext("CopySourceStatusCode") == "403"
    assert xml(new).findtext("CopySourceErrorCode") == "AuthorizationPermissionMismatch"
    assert "using this permission" in xml(new).findtext("CopySourceErrorMessage")


async def test_2026_06_06_create_with_content_and_semantics(share):
    old, new = await both(share, "2026-06-06", "PUT", "/share/g", "", FILE, body=b"x" * 1024)
    assert code(old) == (400, "InvalidHeaderValue")
    assert new.status_code == 201
    headers = {**FILE, "x-ms-file-property-semantics": "Other"}
    old, new = await both(share, "2026-06-06", "PUT", "/share/g", "", headers)
    assert (old.status_code, new.status_code) == (201, 400)


async def test_2026_10_06_pages_of_ranges(share):
    await share.clear("/share/f", 256, 767)
    query = "comp=rangelist&maxresults=1"
    old, new = await both(share, "2026-10-06", "GET", "/share/f", query)
    assert xml(old).find("NextMarker") is None
    assert xml(new).find("NextMarker") is not None


async def test_unknown_versions_are_refused(client):
    for version in ("2013-08-15", "2026-12-06", "2099-01-01", "newest"):
        answer = await client("GET", "/", "comp=list", version=version)
        assert answer.status_code == 400
        assert "x-ms-error-code" not in answer.headers or version >= "2017-07-29"
        assert xml(answer).findtext("HeaderName") == "x-ms-version"
        assert xml(answer).findtext("HeaderValue") == version


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_version_makes_writes_reads_and_deletes_a_file(version):
    app = build(None, {ACCOUNT: KEY}, shares=["share"])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        client = Client(app, http)
        smb = SMB if version >= "2019-02-02" else {}
        made = await client("PUT", "/share/f", "", {**FILE, **smb}, version=version)
        assert made.status_code == 201
        headers = {"x-ms-write": "update", "x-ms-range": "bytes=0-4"}
        put = await client("PUT", "/share/f", "comp=range", headers, b"hello", version=version)
        assert put.status_code == 201
        got = await client("GET", "/share/f", version=version)
        assert got.content == b"hello" + bytes(1019)
        assert (await client("DELETE", "/share/f", version=version)).status_code == 202
    app.service.store.close()
