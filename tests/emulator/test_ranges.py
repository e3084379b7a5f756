"""Get File, Put Range, Clear Range, List Ranges, Put Range From URL."""

import base64
import hashlib
import os

import pytest

from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT, file_sas

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


@pytest.fixture
async def share(client):
    await client.share()
    return client


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


async def test_whole_and_part(share):
    await share.file("/share/a", 1024, b"x" * 1024, **{"x-ms-content-md5": md5(b"whole")})
    answer = await share("GET", "/share/a")
    assert (answer.status_code, answer.headers["content-md5"]) == (200, md5(b"whole"))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-ms-type"] == "File"
    for name in ("x-ms-range", "Range"):
        answer = await share("GET", "/share/a", headers={name: "bytes=0-33554431"})
        assert (answer.status_code, len(answer.content)) == (206, 1024)
        assert answer.headers["content-range"] == "bytes 0-1023/1024"
        assert answer.headers["x-ms-content-md5"] == md5(b"whole")
        assert "content-md5" not in answer.headers
    answer = await share("GET", "/share/a", headers={"x-ms-range": "bytes=None-"})
    assert answer.status_code == 200
    head = {"x-ms-range": "bytes=1-2", "x-ms-range-get-content-md5": "true"}
    answer = await share("GET", "/share/a", headers=head)
    assert (answer.content, answer.headers["content-md5"]) == (b"xx", md5(b"xx"))
    answer = await share("GET", "/share/a", headers={"x-ms-range-get-content-md5": "true"})
    assert code(answer) == (400, "InvalidHeaderValue")


async def test_ranges_that_are_not_there(share):
    await share.file("/share/empty")
    answer = await share("GET", "/share/empty", headers={"x-ms-range": "bytes=0-0"})
    assert code(answer) == (416, "InvalidRange")
    assert answer.headers["content-range"] == "bytes */0"
    await share.file("/share/a", 8)
    answer = await share("GET", "/share/a", headers={"x-ms-range": "bytes=8-"})
    assert answer.headers["content-range"] == "bytes */8"
    await share.put("/share/a", 7, b"xx", 416)
    headers = {"x-ms-write": "clear", "x-ms-range": "bytes=0-8"}
    assert code(await share("PUT", "/share/a", "comp=range", headers)) == (416, "InvalidRange")


async def test_put_range_answers_and_moves_times(share):
    made = await share.file("/share/a", 8)
    answer = await share.put("/share/a", 1, b"abc")
    assert answer.headers["content-md5"] == md5(b"abc")
    assert answer.headers["etag"] > made.headers["etag"]
    head = await share("HEAD", "/share/a")
    assert head.headers["x-ms-file-last-write-time"] == answer.headers["x-ms-file-last-write-time"]
    assert head.headers["x-ms-file-change-time"] == answer.headers["x-ms-file-last-write-time"]
    kept = await share.put("/share/a", 1, b"x", **{"x-ms-file-last-write-time": "preserve"})
    assert kept.headers["x-ms-file-last-write-time"] == answer.headers["x-ms-file-last-write-time"]
    assert kept.headers["etag"] > answer.headers["etag"]
    old = {"x-ms-write": "update", "x-ms-range": "bytes=0-0"}
    answer = await share("PUT", "/share/a", "comp=range", old, b"y", version="2021-04-10")
    assert "x-ms-file-last-write-time" not in answer.headers
    after = await share("HEAD", "/share/a")
    assert after.headers["etag"] > kept.headers["etag"]
    for name in ("x-ms-file-last-write-time",):
        assert after.headers[name] == head.headers[name]


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"x-ms-range": "bytes=0-0"}, b"x", (400, "MissingRequiredHeader")),
        ({"x-ms-write": "update"}, b"x", (400, "MissingRequiredHeader")),
        ({"x-ms-write": "append", "x-ms-range": "bytes=0-0"}, b"x", (400, "InvalidHeaderValue")),
        ({"x-ms-write": "update", "x-ms-range": "bytes=0-1"}, b"x", (400, "InvalidHeaderValue")),
        ({"x-ms-write": "update", "x-ms-range": "bytes=0-"}, b"x", (400, "InvalidHeaderValue")),
        ({"x-ms-write": "update", "x-ms-range": "bytes=0-0", "Content-MD5": md5(b"y")}, b"x",
         (400, "Md5Mismatch")),
        ({"x-ms-write": "clear", "x-ms-range": "bytes=0-0", "Content-MD5": md5(b"y")}, b"",
         (400, "InvalidHeaderValue")),
        ({"x-ms-write": "clear", "x-ms-range": "bytes=0-0"}, b"x", (400, "InvalidHeaderValue")),
        ({"x-ms-write": "update", "x-ms-range": f"bytes=0-{4 * MIB}"}, b"x",
         (413, "RequestBodyTooLarge")),
    ],
)  # fmt: skip
async def test_put_range_refusals(share, headers, body, expected):
    await share.file("/share/a", 8 * MIB)
    assert code(await share("PUT", "/share/a", "comp=range", headers, body)) == expected


async def test_list_ranges_in_pages_of_512(share):
    await share.file("/share/a", 10_000)
    await share.put("/share/a", 600, b"x" * 10)
    await share.put("/share/a", 9_990, b"x" * 10)
    assert await share.ranges("/share/a") == [(512, 1023), (9728, 9999)]
    await share.put("/share/a", 1024, b"x" * 512)
    assert await share.ranges("/share/a") == [(512, 1535), (9728, 9999)]
    answer = await share(
        "GET", "/share/a", "comp=rangelist", headers={"x-ms-range": "bytes=600-1200"}
    )
    assert answer.headers["x-ms-content-length"] == "10000"
    found = [r.findtext("Start") + "-" + r.findtext("End") for r in xml(answer).iter("Range")]
    assert found == ["600-1200"]
    for offset in (2048, 3072, 4096):
        await share.put("/share/a", offset, b"x")
    every = await share.ranges("/share/a")
    assert await share.ranges("/share/a", "comp=rangelist&maxresults=2") == every
    assert len(every) == 5


async def test_clearing_frees_whole_pages_only(share):
    await share.file("/share/a", 4096, b"x" * 4096)
    await share.clear("/share/a", 100, 1999)
    assert await share.ranges("/share/a") == [(0, 511), (1536, 4095)]
    expected = b"x" * 100 + bytes(1900) + b"x" * 2096
    assert (await share("GET", "/share/a")).content == expected
    await share.clear("/share/a", 10, 20)
    assert await share.ranges("/share/a") == [(0, 511), (1536, 4095)]
    await share.clear("/share/a", 0, 4095)
    assert await share.ranges("/share/a") == []
    assert (await share("GET", "/share/a")).content == bytes(4096)


async def test_resizing(share):
    await share.file("/share/a", 2000, b"x" * 2000)
    for size in (1000, 3000):
        headers = {"x-ms-content-length": str(size), "x-ms-file-last-write-time": "preserve"}
        before = await share("HEAD", "/share/a")
        answer = await share("PUT", "/share/a", "comp=properties", headers)
        assert answer.status_code == 200
        # A resize moves the last-write time even so.
        assert (
            answer.headers["x-ms-file-last-write-time"]
            > before.headers["x-ms-file-last-write-time"]
        )
    answer = await share("GET", "/share/a")
    assert answer.content == b"x" * 1000 + bytes(2000)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert await share.ranges("/share/a") == [(0, 1023)]


async def test_content_headers_come_and_go_together(share):
    await share.file("/share/a", 1, **{"x-ms-content-language": "de"})
    answer = await share("PUT", "/share/a", "comp=properties", {"x-ms-cache-control": "no-cache"})
    assert answer.status_code == 200
    head = await share("HEAD", "/share/a")
    assert head.headers["cache-control"] == "no-cache"
    assert not {"content-type", "content-language"} & set(head.headers)


async def test_large_ranges_take_the_threads(share):
    data = os.urandom(4 * MIB)
    await share.file("/share/a", 12 * MIB)
    for offset in (0, 5 * MIB, 8 * MIB):
        await share.put("/share/a", offset, data)
    expected = data + bytes(MIB) + data[: 3 * MIB] + data
    assert (await share("GET", "/share/a")).content == expected
    answer = await share("GET", "/share/a", headers={"x-ms-range": f"bytes=3-{9 * MIB}"})
    assert answer.content == expected[3 : 9 * MIB + 1]
    assert await share.ranges("/share/a") == [(0, 4 * MIB - 1), (5 * MIB, 12 * MIB - 1)]


async def test_put_range_from_url(share):
    await share.file("/share/a%20b", 1024, bytes(range(256)) * 4)
    await share.file("/share/t", 1024)
    url = f"http://localhost/{ACCOUNT}/share/a%20b?{file_sas('share', '/a b')}"
    headers = {
        "x-ms-write": "update", "x-ms-range": "bytes=512-767", "x-ms-copy-source": url,
        "x-ms-source-range": "bytes=256-511",
    }  # fmt: skip
    answer = await share("PUT", "/share/t", "comp=range", headers)
    assert answer.status_code == 201
    assert "x-ms-content-crc64" in answer.headers
    assert (await share("GET", "/share/t")).content == bytes(512) + bytes(range(256)) + bytes(256)
    headers["x-ms-source-if-match-crc64"] = "AAAAAAAAAAA="
    answer = await share("PUT", "/share/t", "comp=range", headers)
    assert code(answer) == (412, "Crc64ConditionNotMet")
    del headers["x-ms-source-if-match-crc64"]
    headers["x-ms-copy-source"] = url.partition("?")[0]
    answer = await share("PUT", "/share/t", "comp=range", headers)
    assert code(answer) == (404, "CannotVerifyCopySource")
    headers["x-ms-copy-source"] = url.replace("a%20b", "gone")
    answer = await share("PUT", "/share/t", "comp=range", headers)
    assert code(answer) == (403, "CannotVerifyCopySource")


async def test_quota_of_ranges(share):
    await share.file("/share/a", MIB)
    share.app.faults.replace({"quota_bytes": {"*": 1000}})
    await share.put("/share/a", 0, b"x" * 1000)
    await share.put("/share/a", 500, b"y" * 500)
    answer = await share.put("/share/a", 900, b"z" * 101, 409)
    assert code(answer) == (409, "ShareSizeLimitReached")
    content = (await share("GET", "/share/a", headers={"x-ms-range": "bytes=0-999"})).content
    assert content == b"x" * 500 + b"y" * 500
    stats = await share("GET", "/share", "restype=share&comp=stats")
    assert xml(stats).findtext("ShareUsageBytes") == "1000"
    await share.clear("/share/a", 0, MIB - 1)
    stats = await share("GET", "/share", "restype=share&comp=stats")
    assert xml(stats).findtext("ShareUsageBytes") == "0"


async def test_read_only_files(share):
    await share.file("/share/a", 8, **{"x-ms-file-attributes": "ReadOnly"})
    await share.put("/share/a", 0, b"x", 409)
    assert code(await share("DELETE", "/share/a")) == (409, "ReadOnlyAttribute")
    headers = {"x-ms-file-attributes": "None"}
    answer = await share("PUT", "/share/a", "comp=properties", headers)
    assert answer.headers["x-ms-file-attributes"] == "None"
    await share.put("/share/a", 0, b"x")
    assert (await share("DELETE", "/share/a")).status_code == 202
