"""Directories, names, listings, renames, copies and links."""

from urllib.parse import quote

import pytest

from azfuse.emulator.names import fold
from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT

pytestmark = pytest.mark.anyio
NASTY = "äöü ß !'();[]@&%=+$,#~ \U0001f600 ɐ"


@pytest.fixture
async def share(client):
    await client.share()
    return client


def url(path):
    return f"http://localhost/{ACCOUNT}{path}"


async def mkdir(client, path, **headers):
    answer = await client("PUT", path, "restype=directory", headers)
    assert answer.status_code == 201, answer.text
    return answer


async def rename(client, source, target, query="comp=rename", **headers):
    headers = {"x-ms-file-rename-source": url(source), **headers}
    return await client("PUT", target, query, headers)


async def test_directories(share):
    made = await mkdir(share, "/share/d", **{"x-ms-meta-a": "1"})
    assert made.headers["x-ms-file-attributes"] == "Directory"
    assert code(await share("PUT", "/share/D", "restype=directory")) == (
        409, "ResourceAlreadyExists",
    )  # fmt: skip
    inside = await mkdir(share, "/share/d%2Fsub/")
    assert inside.headers["x-ms-file-parent-id"] == made.headers["x-ms-file-id"]
    assert inside.headers["x-ms-file-id"] == "11529285414812647424"
    third = await mkdir(share, "/share/e")
    assert third.headers["x-ms-file-id"] == str(0xE000400000000000)
    head = await share("HEAD", "/share/d", "restype=directory")
    assert (head.status_code, head.headers["x-ms-meta-a"]) == (200, "1")
    assert head.headers["etag"] == made.headers["etag"]
    assert code(await share("DELETE", "/share/d", "restype=directory")) == (
        409, "DirectoryNotEmpty",
    )  # fmt: skip
    assert (await share("DELETE", "/share/d/sub", "restype=directory")).status_code == 202
    assert (await share("DELETE", "/share/d", "restype=directory")).status_code == 202
    assert code(await share("HEAD", "/share/d/sub", "restype=directory")) == (
        404, "ParentNotFound",
    )  # fmt: skip
    root = await share("GET", "/share", "restype=directory")
    assert root.headers["x-ms-file-id"] == "0"
    assert code(await share("HEAD", "/share/e")) == (404, "ResourceNotFound")


async def test_directory_properties_and_metadata(share):
    made = await mkdir(share, "/share/d")
    headers = {"x-ms-file-attributes": "Hidden", "x-ms-file-creation-time": "now"}
    answer = await share("PUT", "/share/d", "restype=directory&comp=properties", headers)
    assert answer.headers["x-ms-file-attributes"] == "Hidden | Directory"
    assert answer.headers["x-ms-file-last-write-time"] == made.headers["x-ms-file-last-write-time"]
    answer = await share("PUT", "/share/d", "restype=directory&comp=metadata", {"x-ms-meta-b": "2"})
    assert answer.status_code == 200
    head = await share("GET", "/share/d", "restype=directory&comp=metadata")
    assert head.headers["x-ms-meta-b"] == "2"
    assert head.headers["etag"] == answer.headers["etag"]


async def test_nasty_names_round_trip(share):
    await mkdir(share, f"/share/{quote(NASTY)}")
    await share.file(f"/share/{quote(NASTY)}/{quote('x' + NASTY)}", 1)
    assert await share.names("/share") == [NASTY]
    assert await share.names(f"/share/{quote(NASTY)}") == ["x" + NASTY]
    # Case folds beyond ASCII, one character to one.
    assert (await share("HEAD", f"/share/{quote(NASTY.replace('ä', 'Ä'))}", "restype=directory")
            ).status_code == 200  # fmt: skip


def test_folding():
    assert fold("aé") == fold("AÉ")
    assert fold("ß") != fold("ss")
    assert fold("ﬁ") != fold("fi")
    assert fold("\u03c3") == fold("\u03c2") == fold("\u03a3")  # three forms of sigma
    assert fold("𐐨") != fold("𐐀")  # outside the Basic Multilingual Plane nothing folds


async def test_names_xml_cannot_hold(share):
    await share.file("/share/prefix%EF%BF%BFfile", 0)
    answer = await share("GET", "/share", "restype=directory&comp=list&prefix=prefix%EF%BF%BF")
    assert '<Name Encoded="true">prefix%EF%BF%BFfile</Name>' in answer.text
    assert '<Prefix Encoded="true">prefix%EF%BF%BF</Prefix>' in answer.text


async def test_listing_document(share):
    await mkdir(share, "/share/d")
    await mkdir(share, "/share/d/b")
    made = await share.file("/share/d/a%26", 5)
    answer = await share("GET", "/share/d", "restype=directory&comp=list")
    assert answer.headers["transfer-encoding"] == "chunked"
    identifier = made.headers["x-ms-file-id"]
    assert answer.text.startswith(
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults '
        f'ServiceEndpoint="http://localhost/{ACCOUNT}/" ShareName="share" DirectoryPath="d">'
        f"<DirectoryId>13835128424026341376</DirectoryId><Entries><File><Name>a&amp;</Name>"
        f"<FileId>{identifier}</FileId><Properties><Content-Length>5</Content-Length></Properties>"
        "</File><Directory><Name>b</Name><FileId>11529285414812647424</FileId><Properties />"
        "</Directory></Entries><NextMarker /></EnumerationResults>"
    )
    query = "restype=directory&comp=list&include=Timestamps%2CEtag%2CAttributes%2CPermissionKey"
    entry = xml(await share("GET", "/share/d", query)).find("Entries/File")
    assert [child.tag for child in entry] == [
        "Name", "FileId", "Properties", "Attributes", "PermissionKey",
    ]  # fmt: skip
    assert [child.tag for child in entry.find("Properties")] == [
        "Content-Length", "CreationTime", "LastAccessTime", "LastWriteTime", "ChangeTime",
        "Last-Modified", "Etag",
    ]  # fmt: skip
    assert entry.findtext("Properties/Etag") == made.headers["etag"]
    old = await share("GET", "/share/d", query, version="2020-08-04")
    assert "FileId" not in old.text


async def test_pages_and_order(share):
    for name in ("b", "List", "dirB", "A", "dirA", "_", "Z"):
        await share.file(f"/share/{name}")
    assert await share.names("/share") == ["A", "b", "dirA", "dirB", "List", "Z", "_"]
    answer = await share("GET", "/share", "restype=directory&comp=list&maxresults=2")
    marker = xml(answer).findtext("NextMarker")
    assert marker == "1!8!ZGlyQQ--"
    assert await share.names("/share", "&maxresults=2") == await share.names("/share")
    # Markers survive the coming and going of entries.
    await share("DELETE", "/share/dirA")
    await share.file("/share/c")
    rest = await share("GET", "/share", f"restype=directory&comp=list&marker={marker}")
    assert [e.findtext("Name") for e in xml(rest).find("Entries")] == ["dirB", "List", "Z", "_"]
    assert await share.names("/share", "&prefix=DIR") == ["dirB"]
    for bad in ("0", "-1"):
        answer = await share("GET", "/share", f"restype=directory&comp=list&maxresults={bad}")
        assert code(answer) == (400, "OutOfRangeQueryParameterValue")
        assert xml(answer).findtext("MaximumAllowed") == "2147483647"
    answer = await share("GET", "/share", "restype=directory&comp=list&marker=x")
    assert code(answer) == (400, "InvalidContinuationToken")
    answer = await share("GET", "/share/none", "restype=directory&comp=list")
    assert code(answer) == (404, "ResourceNotFound")


async def test_rename_keeps_everything_but_the_change_time(share):
    made = await share.file("/share/a", 3, b"abc", **{"x-ms-meta-a": "1"})
    await mkdir(share, "/share/d")
    before = (await share("HEAD", "/share/a")).headers
    answer = await rename(share, "/share/a", "/share/d/%C3%A4")
    assert answer.status_code == 200
    assert answer.headers["x-ms-file-id"] == made.headers["x-ms-file-id"]
    assert answer.headers["x-ms-file-parent-id"] == "11529285414812647424"
    after = (await share("GET", "/share/d/%C3%84")).headers
    for name in ("x-ms-file-creation-time", "x-ms-file-last-write-time", "x-ms-meta-a"):
        assert after[name] == before[name]
    assert after["etag"] == answer.headers["etag"] > before["etag"]
    assert code(await share("HEAD", "/share/a")) == (404, "ResourceNotFound")
    assert code(await rename(share, "/share/a", "/share/b")) == (404, "ResourceNotFound")


async def test_rename_onto_files(share):
    a = await share.file("/share/a", 1, b"a")
    await share.file("/share/b", 1, b"b")
    assert code(await rename(share, "/share/a", "/share/b")) == (409, "ResourceAlreadyExists")
    await share("PUT", "/share/b", "comp=properties", {"x-ms-file-attributes": "ReadOnly"})
    replace = {"x-ms-file-rename-replace-if-exists": "true"}
    assert code(await rename(share, "/share/a", "/share/b", **replace)) == (
        409, "ReadOnlyAttribute",
    )  # fmt: skip
    replace["x-ms-file-rename-ignore-readonly"] = "true"
    answer = await rename(share, "/share/a", "/share/B", **replace)
    assert answer.headers["x-ms-file-id"] == a.headers["x-ms-file-id"]
    assert await share.names("/share") == ["B"]
    assert (await share("GET", "/share/b")).content == b"a"
    assert len(list(share.app.service.store.blobs)) == 1


async def test_rename_that_only_changes_case(share):
    await share.file("/share/readme", 1)
    assert (await rename(share, "/share/readme", "/share/README")).status_code == 200
    assert await share.names("/share") == ["README"]


async def test_rename_directories(share):
    await mkdir(share, "/share/a")
    await mkdir(share, "/share/a/b")
    await share.file("/share/a/b/f", 1, b"x")
    query = "restype=directory&comp=rename"
    assert (await rename(share, "/share/a", "/share/c", query)).status_code == 200
    assert (await share("GET", "/share/c/b/f")).content == b"x"
    assert code(await rename(share, "/share/c", "/share/c/b/x", query)) == (400, "InvalidInput")
    assert code(await rename(share, "/share/c", "/share/x/y", query)) == (404, "ParentNotFound")
    assert code(await rename(share, "/share/c", "/share/d")) == (404, "ResourceNotFound")
    await mkdir(share, "/share/d")
    replace = {"x-ms-file-rename-replace-if-exists": "true"}
    assert code(await rename(share, "/share/c", "/share/d", query, **replace)) == (
        409, "ResourceAlreadyExists",
    )  # fmt: skip
    await share.file("/share/f", 1)
    assert (await rename(share, "/share/c", "/share/f", query, **replace)).status_code == 200
    assert await share.names("/share/f") == ["b"]
    old = await share("PUT", "/share/g", query, {"x-ms-file-rename-source": url("/share/f")},
                      version="2021-02-12")  # fmt: skip
    assert code(old) == (400, "InvalidQueryParameterValue") or old.status_code == 400


async def test_rename_and_leases(share):
    await share.file("/share/a", 1)
    await share.file("/share/b", 1)
    take = {"x-ms-lease-action": "acquire"}
    a = (await share("PUT", "/share/a", "comp=lease", take)).headers["x-ms-lease-id"]
    b = (await share("PUT", "/share/b", "comp=lease", take)).headers["x-ms-lease-id"]
    replace = {"x-ms-file-rename-replace-if-exists": "true"}
    for leases, expected in (
        ({}, 412), ({"x-ms-source-lease-id": a}, 412), ({"x-ms-destination-lease-id": b}, 412),
        ({"x-ms-source-lease-id": b, "x-ms-destination-lease-id": a}, 412),
        ({"x-ms-source-lease-id": a, "x-ms-destination-lease-id": b}, 200),
    ):  # fmt: skip
        answer = await rename(share, "/share/a", "/share/b", **replace, **leases)
        assert answer.status_code == expected, leases
    assert (await share("HEAD", "/share/b")).headers["x-ms-lease-state"] == "leased"


async def test_copies_share_bytes_until_one_is_written(share):
    await share.file("/share/a", 2000, b"a" * 2000, **{"x-ms-meta-k": "v"})
    headers = {"x-ms-copy-source": url("/share/a")}
    answer = await share("PUT", "/share/b", headers=headers)
    assert (answer.status_code, answer.headers["x-ms-copy-status"]) == (202, "success")
    assert len(list(share.app.service.store.blobs)) == 1
    head = (await share("HEAD", "/share/b")).headers
    assert head["x-ms-copy-id"] == answer.headers["x-ms-copy-id"]
    assert (head["x-ms-copy-progress"], head["x-ms-meta-k"]) == ("2000/2000", "v")
    await share.put("/share/b", 0, b"b" * 10)
    await share.put("/share/a", 1990, b"c" * 10)
    assert (await share("GET", "/share/a")).content == b"a" * 1990 + b"c" * 10
    assert (await share("GET", "/share/b")).content == b"b" * 10 + b"a" * 1990
    await share("DELETE", "/share/a")
    await share("DELETE", "/share/b")
    assert list(share.app.service.store.blobs) == []
    assert code(await share("PUT", "/share/b", headers=headers)) == (404, "ResourceNotFound")
    answer = await share("PUT", "/share/b", headers={"x-ms-copy-source": "nonsense"})
    assert code(answer) == (400, "InvalidHeaderValue")


async def test_abort_copy(share):
    await share.file("/share/a", 1)
    abort = {"x-ms-copy-action": "abort"}
    answer = await share("PUT", "/share/a", "comp=copy&copyid=id", abort)
    assert xml(answer).findtext("Reason") == "copyid needs to be valid Guid."
    query = "comp=copy&copyid=24beecbc-633d-4746-bcb9-fbbd3bc4933a"
    assert code(await share("PUT", "/share/a", query, abort)) == (409, "NoPendingCopyOperation")


async def test_links(client):
    await client.share("nfs", **{"x-ms-enabled-protocols": "NFS"})
    made = await client.file("/nfs/a", 3, b"abc")
    headers = {"x-ms-type": "file", "x-ms-file-target-file": "/a"}
    answer = await client("PUT", "/nfs/b", "restype=hardlink", headers)
    assert (answer.status_code, answer.headers["x-ms-link-count"]) == (201, "2")
    assert answer.headers["x-ms-file-id"] == made.headers["x-ms-file-id"]
    assert answer.headers["x-ms-request-server-encrypted"] == "false"
    gone = await client("DELETE", "/nfs/a")
    assert gone.headers["x-ms-link-count"] == "1"
    answer = await client("GET", "/nfs/b")
    assert (answer.content, answer.headers["x-ms-link-count"]) == (b"abc", "1")
    headers = {"x-ms-link-text": quote("/some where/ä", safe="")}
    answer = await client("PUT", "/nfs/l", "restype=symboliclink", headers)
    assert (answer.status_code, answer.headers["x-ms-file-file-type"]) == (201, "SymLink")
    assert answer.headers["x-ms-mode"] == "0777"
    answer = await client("GET", "/nfs/l", "restype=symboliclink")
    assert answer.headers["x-ms-link-text"] == headers["x-ms-link-text"]
    answer = await client("HEAD", "/nfs/l")
    assert answer.headers["x-ms-file-file-type"] == "SymLink"
    assert answer.headers["content-length"] == str(len("/some where/ä".encode()))
    assert code(await client("GET", "/nfs/l")) == (404, "ResourceNotFound")
    answer = await client("PUT", "/nfs/l", "comp=properties", {"x-ms-owner": "7"})
    assert (answer.status_code, answer.headers["x-ms-owner"]) == (200, "7")
    answer = await client("PUT", "/nfs/l", "comp=properties", {"x-ms-content-length": "1"})
    assert code(answer) == (409, "ResourceTypeMismatch")
    assert (await client("DELETE", "/nfs/l")).status_code == 202
    await client.share("smb")
    answer = await client("PUT", "/smb/l", "restype=symboliclink", headers)
    assert code(answer) == (400, "UnsupportedQueryParameter")


async def test_handles(share):
    await share.file("/share/a", 1)
    answer = await share("GET", "/share/a", "comp=listhandles")
    assert "<EnumerationResults><Entries /><NextMarker /></EnumerationResults>" in answer.text
    answer = await share("PUT", "/share/a", "comp=forceclosehandles", {"x-ms-handle-id": "*"})
    assert answer.headers["x-ms-number-of-handles-closed"] == "0"
    answer = await share("PUT", "/share/a", "comp=forceclosehandles", {"x-ms-handle-id": "x"})
    assert code(answer) == (400, "InvalidHeaderValue")


async def test_only_directories_close_handles_recursively(share):
    await share.file("/share/a", 1)
    await share("PUT", "/share/d", "restype=directory")
    headers = {"x-ms-handle-id": "*", "x-ms-recursive": "true"}
    answer = await share("PUT", "/share/a", "comp=forceclosehandles", headers)
    assert code(answer) == (400, "InvalidHeaderValue")
    assert xml(answer).findtext("HeaderName") == "x-ms-recursive"
    for path in ("/share/d", "/share"):
        answer = await share("PUT", path, "restype=directory&comp=forceclosehandles", headers)
        assert answer.status_code == 200
    headers["x-ms-recursive"] = "false"
    answer = await share("PUT", "/share/a", "comp=forceclosehandles", headers)
    assert answer.status_code == 200


async def test_pages_of_handles(share):
    await share.file("/share/a", 1)
    for marker in ("elsewhere", "1!9!eGdB", "2!4!eGdB"):
        answer = await share("GET", "/share/a", f"comp=listhandles&marker={marker}")
        assert code(answer) == (400, "InvalidQueryParameterValue")
        assert xml(answer).findtext("QueryParameterName") == "marker"
    answer = await share("GET", "/share/a", "comp=listhandles&marker=1!4!eGdB")
    assert xml(answer).findtext("Marker") == "1!4!eGdB"
    answer = await share("GET", "/share/a", "comp=listhandles&marker=&maxresults=1")
    assert xml(answer).findtext("MaxResults") == "1"
    for most in ("0", "-1"):
        answer = await share("GET", "/share/a", f"comp=listhandles&maxresults={most}")
        assert code(answer) == (400, "OutOfRangeQueryParameterValue")


async def test_requests_the_service_does_not_know(share):
    assert code(await share("GET", "/share/a", "comp=nonsense"))[0] == 400
    assert code(await share("GET", "/share/a", "restype=nonsense"))[0] == 400
    answer = await share("GET", "/share/a", version="1999-01-01")
    assert answer.status_code == 400
    assert xml(answer).findtext("HeaderName") == "x-ms-version"
    assert "x-ms-version" not in answer.headers
    assert answer.headers["server"] == "Microsoft-HTTPAPI/2.0"
    answer = await share("POST", "/share/a")
    assert answer.status_code in (400, 405)
