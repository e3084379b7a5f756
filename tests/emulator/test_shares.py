"""Shares, their snapshots, permissions and access policies; the account."""

import json

import pytest

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT, KEY

pytestmark = pytest.mark.anyio
SHARE = "restype=share"


async def test_life_of_a_share(client):
    await client.share("abc", **{"x-ms-meta-k": "v", "x-ms-share-quota": "7"})
    assert code(await client("PUT", "/abc", SHARE)) == (409, "ShareAlreadyExists")
    head = await client("HEAD", "/abc", SHARE)
    expected = {
        "x-ms-share-quota": "7", "x-ms-meta-k": "v", "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false", "x-ms-access-tier": "TransactionOptimized",
        "x-ms-lease-state": "available", "x-ms-lease-status": "unlocked",
    }  # fmt: skip
    assert {name: head.headers[name] for name in expected} == expected
    answer = await client("PUT", "/abc", f"{SHARE}&comp=properties", {"x-ms-share-quota": "9"})
    assert answer.headers["etag"] > head.headers["etag"]
    await client("PUT", "/abc", f"{SHARE}&comp=metadata", {"x-ms-meta-z": "1"})
    head = await client("GET", "/abc", f"{SHARE}&comp=metadata")
    assert "x-ms-meta-k" not in head.headers
    assert (await client("DELETE", "/abc", SHARE)).status_code == 202
    assert code(await client("GET", "/abc", SHARE)) == (404, "ShareNotFound")
    await client.share("abc")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ab", "OutOfRangeInput"), ("a" * 64, "OutOfRangeInput"), ("a--b", "InvalidResourceName"),
     ("Abc", "InvalidResourceName"), ("-abc", "InvalidResourceName"),
     ("a_bc", "InvalidResourceName")],
)  # fmt: skip
async def test_bad_names(client, name, expected):
    assert code(await client("PUT", f"/{name}", SHARE)) == (400, expected)


async def test_bad_quota(client):
    for quota in ("0", "-1", "9999999", "x"):
        answer = await client("PUT", "/abc", SHARE, {"x-ms-share-quota": quota})
        assert code(answer) == (400, "InvalidHeaderValue")


async def test_deleted_names_rest_for_a_while(app, client):
    app.service.settings.share_delete_seconds = 30
    await client.share("abc")
    await client("DELETE", "/abc", SHARE)
    assert code(await client("PUT", "/abc", SHARE)) == (409, "ShareBeingDeleted")


async def test_what_a_deleted_share_held_is_collected(app, client):
    await client.share("abc")
    for number in range(100):
        await client.file(f"/abc/{number}", 1, b"x")
    await client("DELETE", "/abc", SHARE)
    for _ in range(10):
        await client("GET", "/", "comp=list")
    assert list(app.service.store.blobs) == []
    for table in ("shares", "nodes", "names", "contents", "extents", "permissions"):
        assert app.service.store.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_list_shares(client):
    for name in ("bbb", "aaa", "abc"):
        await client.share(name, **{"x-ms-meta-k": name})
    answer = await client("GET", "/", "comp=list&include=metadata&prefix=a&maxresults=1")
    root = xml(answer)
    assert [child.tag for child in root] == ["Prefix", "MaxResults", "Shares", "NextMarker"]
    assert root.findtext("Shares/Share/Metadata/k") == "aaa"
    assert root.findtext("NextMarker") == f"/{ACCOUNT}/abc"
    marker = root.findtext("NextMarker")
    root = xml(await client("GET", "/", f"comp=list&prefix=a&marker={marker}"))
    assert [s.findtext("Name") for s in root.find("Shares")] == ["abc"]
    assert [p.tag for p in root.find("Shares/Share/Properties")] == [
        "Last-Modified", "Etag", "LeaseStatus", "LeaseState", "Quota", "AccessTier",
        "AccessTierChangeTime", "DefaultEncryptionScope", "DenyEncryptionScopeOverride",
    ]  # fmt: skip
    assert code(await client("GET", "/", "comp=list&maxresults=0")) == (
        400, "OutOfRangeQueryParameterValue",
    )  # fmt: skip


async def test_snapshots_see_what_was(app, client):
    await client.share("abc")
    await client("PUT", "/abc/d", "restype=directory")
    await client.file("/abc/d/changed", 2000, b"1" * 2000, **{"x-ms-meta-k": "old"})
    await client.file("/abc/d/deleted", 3, b"del")
    await client.file("/abc/d/moved", 3, b"mov")
    answer = await client("PUT", "/abc", f"{SHARE}&comp=snapshot")
    assert answer.status_code == 201
    taken = answer.headers["x-ms-snapshot"]
    assert taken.endswith(".0000000Z")
    blobs = len(list(app.service.store.blobs))
    # Now everything changes.
    await client.put("/abc/d/changed", 0, b"2" * 1000)
    await client("PUT", "/abc/d/changed", "comp=metadata", {"x-ms-meta-k": "new"})
    await client("DELETE", "/abc/d/deleted")
    await client.file("/abc/d/new", 1, b"n")
    source = {"x-ms-file-rename-source": f"http://localhost/{ACCOUNT}/abc/d/moved"}
    await client("PUT", "/abc/d/moved2", "comp=rename", source)
    source = {"x-ms-file-rename-source": f"http://localhost/{ACCOUNT}/abc/d"}
    await client("PUT", "/abc/e", "restype=directory&comp=rename", source)
    at = f"sharesnapshot={taken}"
    names = await client.names("/abc/d", f"&{at}")
    assert names == ["changed", "deleted", "moved"]
    assert await client.names("/abc/e") == ["changed", "moved2", "new"]
    answer = await client("GET", "/abc/d/changed", at)
    assert (answer.content, answer.headers["x-ms-meta-k"]) == (b"1" * 2000, "old")
    assert "x-ms-lease-state" not in answer.headers
    assert (await client("GET", "/abc/d/deleted", at)).content == b"del"
    assert (await client("GET", "/abc/e/changed")).content == b"2" * 1000 + b"1" * 1000
    assert await client.names("/abc/d", f"&{at}&prefix=MO") == ["moved"]
    assert await client.names("/abc/d", f"&{at}&maxresults=1") == names
    # A snapshot is never written, and changes since it are known.
    assert code(await client("DELETE", "/abc/d/deleted", at)) == (
        400, "InvalidQueryParameterValue",
    )  # fmt: skip
    query = f"comp=rangelist&prevsharesnapshot={taken}"
    assert code(await client("GET", "/abc/e/changed", query)) == (409, "FileGenerationMismatch")
    answer = await client("GET", "/abc/e/changed", query, {"x-ms-file-support-rename": "true"})
    assert [r.findtext("End") for r in xml(answer).iter("Range")] == ["1023"]
    await client.clear("/abc/e/changed", 1024, 1999)
    answer = await client("GET", "/abc/e/changed", query, {"x-ms-file-support-rename": "true"})
    assert [r.tag for r in xml(answer)] == ["Range", "ClearRange", "NextMarker"]
    # Deleting the snapshot gives everything back that only it could see.
    assert code(await client("DELETE", "/abc", SHARE)) == (409, "ShareHasSnapshots")
    assert (await client("DELETE", "/abc", f"{SHARE}&{at}")).status_code == 202
    for table in ("past_names", "past_nodes"):
        assert app.service.store.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    # Left: the old and the new bytes of `changed`, `moved`, `new`; those of `deleted` are gone.
    assert blobs == 3
    assert sorted(app.service.store.blobs) == [1, 3, 4, 5]
    assert code(await client("DELETE", "/abc", f"{SHARE}&{at}")) == (404, "ShareSnapshotNotFound")
    assert code(await client("GET", "/abc/e/new", at)) == (404, "ShareNotFound")


async def test_snapshot_names_and_metadata(client):
    await client.share("abc", **{"x-ms-meta-k": "share"})
    first = await client("PUT", "/abc", f"{SHARE}&comp=snapshot")
    second = await client("PUT", "/abc", f"{SHARE}&comp=snapshot", {"x-ms-meta-k": "own"})
    times = [a.headers["x-ms-snapshot"] for a in (first, second)]
    assert times[0] < times[1]
    shown = [
        (await client("GET", "/abc", f"{SHARE}&sharesnapshot={t}")).headers["x-ms-meta-k"]
        for t in times
    ]
    assert shown == ["share", "own"]
    listed = xml(await client("GET", "/", "comp=list&include=snapshots")).find("Shares")
    assert [s.findtext("Snapshot") for s in listed] == [*times, None]
    bad = await client("GET", "/abc", f"{SHARE}&sharesnapshot=then")
    assert code(bad) == (400, "InvalidQueryParameterValue")
    include = {"x-ms-delete-snapshots": "include"}
    assert (await client("DELETE", "/abc", SHARE, include)).status_code == 202


async def test_restore():
    import httpx

    from tests.emulator.conftest import Client

    app = build(None, {ACCOUNT: KEY}, settings=Settings(soft_delete_days=7))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), trust_env=False) as http:
        client = Client(app, http)
        await client.share("abc")
        await client.file("/abc/f", 1, b"x")
        await client("DELETE", "/abc", SHARE)
        listed = xml(await client("GET", "/", "comp=list&include=deleted")).find("Shares/Share")
        assert listed.findtext("Deleted") == "true"
        headers = {
            "x-ms-deleted-share-name": "abc",
            "x-ms-deleted-share-version": listed.findtext("Version"),
        }
        answer = await client("PUT", "/abd", f"{SHARE}&comp=undelete", headers)
        assert code(answer) == (400, "InvalidHeaderValue")
        answer = await client("PUT", "/abc", f"{SHARE}&comp=undelete", headers)
        assert answer.status_code == 201
        assert (await client("GET", "/abc/f")).content == b"x"
        answer = await client("PUT", "/abc", f"{SHARE}&comp=undelete", headers)
        assert code(answer) == (409, "ShareAlreadyExists")
    app.service.store.close()


async def test_permissions(client):
    await client.share("abc")
    query = f"{SHARE}&comp=filepermission"
    sddl = "O:SYG:SYD:(A;;FA;;;SY)"
    answer = await client("PUT", "/abc", query, body=json.dumps({"permission": sddl}).encode())
    assert answer.status_code == 201
    key = answer.headers["x-ms-file-permission-key"]
    answer = await client("GET", "/abc", query, {"x-ms-file-permission-key": key})
    assert answer.json() == {"permission": f"{sddl}S:NO_ACCESS_CONTROL"}
    assert "content-type" not in answer.headers
    made = await client("PUT", "/abc/d", "restype=directory")
    inherited = {"x-ms-file-permission-key": made.headers["x-ms-file-permission-key"]}
    answer = await client("GET", "/abc", query, inherited)
    assert answer.json()["permission"].startswith("O:SYG:SYD:(A;OICI;FA;;;BA)")
    for body in (b"", b"{}", b'{"permission": 1}', b'{"permission": "x"}'):
        assert (await client("PUT", "/abc", query, body=body)).status_code == 400


async def test_access_policies(client):
    await client.share("abc")
    query = f"{SHARE}&comp=acl"
    empty = await client("GET", "/abc", query)
    assert empty.text.endswith("<SignedIdentifiers />")
    one = (
        "<SignedIdentifier><Id>p</Id><AccessPolicy><Start>2016-05-31</Start>"
        "<Permission>rl</Permission></AccessPolicy></SignedIdentifier>"
    )
    body = f"<SignedIdentifiers>{one}</SignedIdentifiers>".encode()
    assert (await client("PUT", "/abc", query, body=body)).status_code == 200
    answer = await client("GET", "/abc", query)
    assert "<Start>2016-05-31T00:00:00.0000000Z</Start><Permission>rl</Permission>" in answer.text
    for bad in (one * 6, one.replace("rl", "rx"), "<Nonsense/>", "<"):
        body = f"<SignedIdentifiers>{bad}</SignedIdentifiers>".encode()
        answer = await client("PUT", "/abc", query, body=body)
        assert code(answer) == (400, "InvalidXmlDocument")


async def test_policies_have_ids_of_their_own_and_letters_in_order(client):
    await client.share("abc")
    one = (
        "<SignedIdentifier><Id>p</Id><AccessPolicy><Permission>ldcrw</Permission></AccessPolicy>"
        "</SignedIdentifier>"
    )
    query = f"{SHARE}&comp=acl"
    twice = f"<SignedIdentifiers>{one * 2}</SignedIdentifiers>".encode()
    assert code(await client("PUT", "/abc", query, body=twice)) == (400, "InvalidXmlDocument")
    body = f"<SignedIdentifiers>{one}</SignedIdentifiers>".encode()
    assert (await client("PUT", "/abc", query, body=body)).status_code == 200
    answer = await client("GET", "/abc", query)
    assert xml(answer).findtext(".//Permission") == "rcwdl"


async def test_service_properties(client):
    query = "restype=service&comp=properties"
    cors = (
        "<Cors><CorsRule><AllowedOrigins>*</AllowedOrigins><AllowedMethods>GET</AllowedMethods>"
        "<AllowedHeaders>x-ms-meta-data*,x-ms-meta-abc</AllowedHeaders><ExposedHeaders />"
        "<MaxAgeInSeconds>5</MaxAgeInSeconds></CorsRule></Cors>"
    )
    body = f"<StorageServiceProperties>{cors}</StorageServiceProperties>".encode()
    assert (await client("PUT", "/", query, body=body)).status_code == 202
    answer = await client("GET", "/", query)
    assert "<AllowedHeaders>x-ms-meta-abc,x-ms-meta-data*</AllowedHeaders>" in answer.text
    assert [child.tag for child in xml(answer)] == [
        "HourMetrics", "MinuteMetrics", "Cors", "ProtocolSettings",
    ]  # fmt: skip
    bad = body.replace(b"GET", b"TAKE")
    answer = await client("PUT", "/", query, body=bad)
    assert code(answer) == (400, "InvalidXmlNodeValue")
