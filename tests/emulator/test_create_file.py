"""Create File: every remark of the reference, section 4.4, and of the observed behaviour."""

import base64
import hashlib

import pytest

from tests.emulator.conftest import code, xml

pytestmark = pytest.mark.anyio

SMB_RESPONSE = {
    "x-ms-file-attributes", "x-ms-file-creation-time", "x-ms-file-last-write-time",
    "x-ms-file-change-time", "x-ms-file-id", "x-ms-file-parent-id", "x-ms-file-permission-key",
}  # fmt: skip
COMMON = {"server", "x-ms-request-id", "x-ms-version", "date", "content-length"}


def create(**more):
    return {"x-ms-type": "file", "x-ms-content-length": "1024", **more}


@pytest.fixture
async def share(client):
    await client.share()
    return client


async def test_header_set_and_first_ids(share):
    answer = await share("PUT", "/share/a", headers=create())
    assert answer.status_code == 201
    assert set(answer.headers) == (
        COMMON | SMB_RESPONSE | {"etag", "last-modified", "x-ms-request-server-encrypted"}
    )
    assert answer.headers["x-ms-file-id"] == "13835128424026341376"
    assert answer.headers["x-ms-file-parent-id"] == "0"
    assert answer.headers["content-length"] == "0"
    assert answer.headers["x-ms-file-attributes"] == "Archive"
    created = answer.headers["x-ms-file-creation-time"]
    assert created == answer.headers["x-ms-file-last-write-time"]
    assert created == answer.headers["x-ms-file-change-time"]
    assert answer.headers["server"] == "Windows-Azure-File/1.0 Microsoft-HTTPAPI/2.0"
    assert answer.headers["x-ms-request-id"].endswith("000000")


async def test_is_a_sparse_file_of_zeros(share):
    await share.file("/share/a", 1 << 40)
    answer = await share("GET", "/share/a", headers={"x-ms-range": "bytes=1099511627000-"})
    assert answer.status_code == 206
    assert answer.content == bytes(776)
    assert await share.ranges("/share/a") == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-ms-content-length": "1"}, (400, "MissingRequiredHeader")),
        ({"x-ms-type": "file"}, (400, "MissingRequiredHeader")),
        ({"x-ms-type": "blob", "x-ms-content-length": "1"}, (400, "InvalidHeaderValue")),
        (create(**{"x-ms-content-length": "x"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-content-length": "-1"}), (400, "OutOfRangeInput")),
        (create(**{"x-ms-content-length": str(4 * 1024**4)}), (201, None)),
        (create(**{"x-ms-content-length": str(4 * 1024**4 + 1)}), (400, "OutOfRangeInput")),
        (create(**{"x-ms-file-permission": "nonsense"}), (400, "FileInvalidPermission")),
        (create(**{"x-ms-file-permission": "O:SYG:SYD:(A;;FA;;;SY)"}), (201, None)),
        (create(**{"x-ms-file-permission": "O:SYD:(A;;FA;;;SY)"}), (400, "FileInvalidPermission")),
        (create(**{"x-ms-file-permission": "x" * 8193}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-permission-key": "1*2"}), (400, "FileInvalidPermissionKey")),
        (create(**{"x-ms-file-permission-key": "?"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-creation-time": "yesterday"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-last-write-time": "2020-01-01T00:00:00.12345678Z"}),
         (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-attributes": "Shiny"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-attributes": "None|ReadOnly"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-attributes": "Directory"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-meta-1": "x"}), (400, "InvalidMetadata")),
        (create(**{"x-ms-meta-": "x"}), (400, "EmptyMetadataKey")),
        (create(**{"x-ms-meta-a": "x" * 9000}), (400, "MetadataTooLarge")),
        (create(**{"x-ms-structured-body": "XSM/1.0; properties=crc64"}),
         (400, "UnsupportedHeader")),
        (create(**{"x-ms-file-property-semantics": "Old"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-file-property-semantics": "Restore"}), (201, None)),
        (create(**{"x-ms-lease-id": "not a guid"}), (400, "InvalidHeaderValue")),
        (create(**{"x-ms-lease-id": "5ee1d8ad-5f9c-4a2d-a2bd-5d1c7a0ff9f1"}),
         (412, "LeaseNotPresentWithFileOperation")),
    ],
)  # fmt: skip
async def test_headers(share, headers, expected):
    assert code(await share("PUT", "/share/a", headers=headers)) == expected


async def test_permission_and_key_exclude_each_other(share):
    answer = await share("PUT", "/share/a", headers=create())
    key = answer.headers["x-ms-file-permission-key"]
    both = create(**{"x-ms-file-permission": "inherit", "x-ms-file-permission-key": key})
    assert code(await share("PUT", "/share/b", headers=both)) == (400, "InvalidHeaderValue")
    answer = await share("PUT", "/share/b", headers=create(**{"x-ms-file-permission-key": key}))
    assert answer.headers["x-ms-file-permission-key"] == key


async def test_binary_permission(share):
    descriptor = base64.b64encode(b"\x01" + bytes(30)).decode()
    headers = create(
        **{"x-ms-file-permission": descriptor, "x-ms-file-permission-format": "binary"}
    )
    assert (await share("PUT", "/share/a", headers=headers)).status_code == 201
    headers["x-ms-file-permission"] = "AAAA"
    assert code(await share("PUT", "/share/b", headers=headers)) == (400, "FileInvalidPermission")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("None", "Archive"),
        ("readonly", "ReadOnly | Archive"),
        ("Hidden | System", "Hidden | System | Archive"),
        ("NotContentIndexed|Temporary|Offline|NoScrubData",
         "Archive | Temporary | Offline | NotContentIndexed | NoScrubData"),
    ],
)  # fmt: skip
async def test_attributes_always_gain_archive(share, sent, stored):
    answer = await share("PUT", "/share/a", headers=create(**{"x-ms-file-attributes": sent}))
    assert answer.headers["x-ms-file-attributes"] == stored


async def test_times_are_stored_to_100_ns_and_etag_is_now(share):
    times = {
        "x-ms-file-creation-time": "2001-02-03T04:05:06.1234567Z",
        "x-ms-file-last-write-time": "2002-02-03T04:05:06.1Z",
        "x-ms-file-change-time": "2003-02-03T04:05:06Z",
    }
    answer = await share("PUT", "/share/a", headers=create(**times))
    assert answer.headers["x-ms-file-creation-time"] == "2001-02-03T04:05:06.1234567Z"
    assert answer.headers["x-ms-file-last-write-time"] == "2002-02-03T04:05:06.1000000Z"
    assert answer.headers["x-ms-file-change-time"] == "2003-02-03T04:05:06.0000000Z"
    assert int(answer.headers["etag"].strip('"'), 16) > 638_000_000_000_000_000


async def test_etag_is_the_ticks_of_the_change_time(share):
    from azfuse.rest import wire

    answer = await share("PUT", "/share/a", headers=create())
    changed = wire.parse_time(answer.headers["x-ms-file-change-time"])
    assert answer.headers["etag"] == wire.etag_of_time(changed)
    assert answer.headers["last-modified"] == wire.format_http_date(changed)


async def test_content_headers_are_stored(share):
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    headers = create(**{
        "x-ms-content-type": "text/plain", "x-ms-content-encoding": "gzip",
        "x-ms-content-language": "de", "x-ms-content-disposition": "inline",
        "x-ms-cache-control": "no-cache", "x-ms-content-md5": md5,
    })  # fmt: skip
    answer = await share("PUT", "/share/a", headers=headers)
    assert "content-type" not in answer.headers
    answer = await share("HEAD", "/share/a")
    shown = {
        "content-type": "text/plain", "content-encoding": "gzip", "content-language": "de",
        "content-disposition": "inline", "cache-control": "no-cache", "content-md5": md5,
    }  # fmt: skip
    assert {name: answer.headers[name] for name in shown} == shown


async def test_default_type_and_ordinary_content_type(share):
    await share("PUT", "/share/a", headers=create())
    assert (await share("HEAD", "/share/a")).headers["content-type"] == "application/octet-stream"
    await share("PUT", "/share/a", headers=create(**{"Content-Type": "text/html"}))
    assert (await share("HEAD", "/share/a")).headers["content-type"] == "text/html"


async def test_replacing_keeps_the_id_and_nothing_else(share):
    first = await share.file(
        "/share/a", 5, b"hello", **{"x-ms-meta-a": "1", "x-ms-content-type": "a/b"}
    )
    second = await share.file("/share/A", 3)
    assert second.headers["x-ms-file-id"] == first.headers["x-ms-file-id"]
    assert second.headers["x-ms-file-creation-time"] > first.headers["x-ms-file-creation-time"]
    assert second.headers["etag"] > first.headers["etag"]
    answer = await share("GET", "/share/a")
    assert answer.content == bytes(3)
    assert "x-ms-meta-a" not in answer.headers
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_lease_persists_and_needs_its_id(share):
    await share.file("/share/a", 1)
    answer = await share("PUT", "/share/a", "comp=lease", {"x-ms-lease-action": "acquire"})
    lease = answer.headers["x-ms-lease-id"]
    assert code(await share("PUT", "/share/a", headers=create())) == (412, "LeaseIdMissing")
    wrong = create(**{"x-ms-lease-id": "5ee1d8ad-5f9c-4a2d-a2bd-5d1c7a0ff9f1"})
    assert code(await share("PUT", "/share/a", headers=wrong)) == (
        412, "LeaseIdMismatchWithFileOperation",
    )  # fmt: skip
    answer = await share("PUT", "/share/a", headers=create(**{"x-ms-lease-id": lease}))
    assert answer.status_code == 201
    assert (await share("HEAD", "/share/a")).headers["x-ms-lease-state"] == "leased"


async def test_places_where_no_file_can_be(share):
    await share("PUT", "/share/d", "restype=directory")
    await share.file("/share/f")
    assert code(await share("PUT", "/share/d", headers=create())) == (409, "ResourceTypeMismatch")
    assert code(await share("PUT", "/share/no/a", headers=create())) == (404, "ParentNotFound")
    assert code(await share("PUT", "/share/f/a", headers=create())) == (404, "ParentNotFound")
    assert code(await share("PUT", "/other/a", headers=create())) == (404, "ShareNotFound")
    assert code(await share("PUT", "/share/a%3Ab", headers=create())) == (
        400,
        "InvalidResourceName",
    )
    assert code(await share("PUT", "/share/CON", headers=create())) == (400, "InvalidResourceName")
    assert code(await share("PUT", "/share/%FF", headers=create())) == (400, "InvalidResourceName")
    long = "a" * 256
    assert code(await share("PUT", f"/share/{long}", headers=create())) == (
        400, "InvalidFileOrDirectoryPathName",
    )  # fmt: skip
    assert (await share("PUT", f"/share/{long[1:]}", headers=create())).status_code == 201


async def test_read_only_target(share):
    await share.file("/share/a", 1, **{"x-ms-file-attributes": "ReadOnly"})
    assert code(await share("PUT", "/share/a", headers=create())) == (409, "ReadOnlyAttribute")


async def test_body_is_the_first_bytes(share):
    body = b"hello"
    answer = await share("PUT", "/share/a", headers=create(), body=body)
    assert answer.status_code == 201
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert answer.headers["content-md5"] == md5
    answer = await share("GET", "/share/a")
    assert answer.content == body + bytes(1019)
    assert await share.ranges("/share/a") == [(0, 511)]
    # The stored hash of the whole file is the client's business.
    assert "content-md5" not in answer.headers


async def test_large_body_is_written_and_hashed_in_threads(share):
    body = bytes(range(256)) * 16384
    headers = create(**{"x-ms-content-length": str(len(body))})
    await share("PUT", "/share/a", headers=headers, body=b"old")
    assert (await share("PUT", "/share/a", headers=headers, body=body)).status_code == 201
    assert (await share("GET", "/share/a")).content == body
    assert len(list(share.app.service.store.blobs)) == 1


async def test_bodies_that_are_refused(share):
    big = 4 * 1024 * 1024 + 1
    headers = create(**{"x-ms-content-length": str(big)})
    answer = await share("PUT", "/share/a", headers=headers, body=bytes(big))
    assert code(answer) == (413, "RequestBodyTooLarge")
    answer = await share("PUT", "/share/a", headers=create(), body=bytes(1025))
    assert code(answer) == (400, "InvalidHeaderValue")
    answer = await share("PUT", "/share/a", headers=create(), body=b"x", version="2026-04-06")
    assert code(answer) == (400, "InvalidHeaderValue")
    wrong = create(**{"Content-MD5": base64.b64encode(bytes(16)).decode()})
    answer = await share("PUT", "/share/a", headers=wrong, body=b"x")
    assert code(answer) == (400, "Md5Mismatch")
    assert {child.tag for child in xml(answer)} == {
        "Code", "Message", "UserSpecifiedMd5", "ServerCalculatedMd5",
    }  # fmt: skip
    odd = create(**{"Content-MD5": "AAAA"})
    answer = await share("PUT", "/share/a", headers=odd, body=b"x")
    assert code(answer) == (400, "InvalidMd5")
    assert code(await share("HEAD", "/share/a")) == (404, "ResourceNotFound")


async def test_quota(share):
    share.app.faults.replace({"quota_bytes": {"share": 1000}})
    answer = await share("PUT", "/share/a", headers=create(), body=bytes(1001))
    assert code(answer) == (409, "ShareSizeLimitReached")
    assert code(await share("HEAD", "/share/a")) == (404, "ResourceNotFound")
    # A file of zeros holds nothing, and can be made on a full share.
    assert (await share("PUT", "/share/a", headers=create())).status_code == 201
    assert (await share("PUT", "/share/a", headers=create(), body=bytes(1000))).status_code == 201
    answer = await share("PUT", "/share/b", headers=create(), body=b"x")
    assert code(answer) == (409, "ShareSizeLimitReached")
    await share("DELETE", "/share/a")
    assert (await share("PUT", "/share/b", headers=create(), body=b"x")).status_code == 201


async def test_trailing_dots(share):
    keep = {"x-ms-allow-trailing-dot": "true"}
    await share("PUT", "/share/a...", headers=create())
    assert await share.names("/share") == ["a"]
    await share("PUT", "/share/a..", headers=create(**keep))
    assert await share.names("/share") == ["a", "a.."]
    assert (await share("HEAD", "/share/a.")).status_code == 200
    assert code(await share("HEAD", "/share/a.", headers=keep)) == (404, "ResourceNotFound")
    # Older versions do not know the header.
    answer = await share("PUT", "/share/b.", headers=create(**keep), version="2021-12-02")
    assert answer.status_code == 201
    assert await share.names("/share") == ["a", "a..", "b"]
    assert code(await share("PUT", "/share/...", headers=create())) == (400, "InvalidResourceName")


@pytest.mark.parametrize(
    "missing", ["permission", "attributes", "creation-time", "last-write-time"]
)
async def test_smb_headers_were_once_required(share, missing):
    headers = create(**{
        "x-ms-file-permission": "inherit", "x-ms-file-attributes": "None",
        "x-ms-file-creation-time": "now", "x-ms-file-last-write-time": "now",
    })  # fmt: skip
    answer = await share("PUT", "/share/a", headers=headers, version="2021-04-10")
    assert answer.status_code == 201
    del headers[f"x-ms-file-{missing}"]
    for version, status in (("2018-11-09", 201), ("2019-02-02", 400), ("2021-04-10", 400),
                            ("2021-06-08", 201)):  # fmt: skip
        answer = await share("PUT", "/share/a", headers=headers, version=version)
        assert answer.status_code == status, version
        if status == 400:
            assert answer.headers["x-ms-error-code"] == "MissingRequiredHeader"


async def test_old_versions_answer_less(share):
    answer = await share("PUT", "/share/a", headers=create(), version="2018-11-09")
    assert not set(answer.headers) & SMB_RESPONSE
    answer = await share("PUT", "/share/no/a", headers=create(), version="2017-04-17")
    assert answer.status_code == 404
    assert "x-ms-error-code" not in answer.headers
    assert xml(answer).findtext("Code") == "ParentNotFound"


async def test_nfs_defaults_and_properties(client):
    await client.share("nfs", **{"x-ms-enabled-protocols": "NFS"})
    answer = await client.file("/nfs/a", 1)
    shown = {n: v for n, v in answer.headers.items() if n.startswith("x-ms-")}
    assert shown["x-ms-mode"] == "0664"
    assert shown["x-ms-owner"] == shown["x-ms-group"] == "0"
    assert shown["x-ms-file-file-type"] == "Regular"
    assert shown["x-ms-file-parent-id"] == "1"
    assert not {"x-ms-file-attributes", "x-ms-file-permission-key", "x-ms-link-count"} & set(shown)
    answer = await client.file(
        "/nfs/a", 1, **{"x-ms-mode": "4755", "x-ms-owner": "1000", "x-ms-group": "5"}
    )
    assert answer.headers["x-ms-mode"] == "4755"
    assert (answer.headers["x-ms-owner"], answer.headers["x-ms-group"]) == ("1000", "5")
    await client.file("/nfs/A", 1)
    assert await client.names("/nfs") == ["A", "a"]
    headers = create(**{"x-ms-file-attributes": "None"})
    assert code(await client("PUT", "/nfs/b", headers=headers)) == (400, "UnsupportedHeader")
    headers = create(**{"x-ms-mode": "rwx"})
    assert code(await client("PUT", "/nfs/b", headers=headers)) == (400, "InvalidHeaderValue")
