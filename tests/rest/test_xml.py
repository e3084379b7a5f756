"""Listings, ranges, statistics and errors as XML."""

import time

import pytest

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.models import FileRange
from azfuse.rest.wire import FileAttributes, parse_time
from azfuse.rest.xml import (
    parse_directory_page,
    parse_error,
    parse_ranges,
    parse_share_page,
    parse_share_usage,
)

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>'
FILE = (
    "<File><Name>{name}</Name><FileId>13835128424026341376</FileId><Properties>"
    "<Content-Length>5</Content-Length><CreationTime>2026-10-05T10:00:00.1234567Z</CreationTime>"
    "<LastAccessTime>2026-10-05T10:00:01.0000000Z</LastAccessTime>"
    "<LastWriteTime>2026-10-05T10:00:02.0000001Z</LastWriteTime>"
    "<ChangeTime>2026-10-05T10:00:03.0000000Z</ChangeTime>"
    "<Last-Modified>Mon, 05 Oct 2026 10:00:03 GMT</Last-Modified>"
    '<Etag>"0x8DAA19AE5AE2C21"</Etag></Properties><Attributes>ReadOnly | Archive</Attributes>'
    "<PermissionKey>1*2</PermissionKey></File>"
)
ODD = "<File><Extra>1</Extra><Name>{name}</Name><Properties><New>2</New></Properties></File>"


def listing(*entries: str, marker: str = "<NextMarker />", encoded: str = "") -> bytes:
    return (
        f'{HEAD}<EnumerationResults ServiceEndpoint="https://a/" ShareName="s" DirectoryPath="d">'
        f"<Prefix>p</Prefix><DirectoryId>7</DirectoryId><Entries>{''.join(entries)}</Entries>"
        f"{marker}<Unknown><X/></Unknown></EnumerationResults>"
    ).encode()


def test_extended_entry():
    page = parse_directory_page(listing(FILE.format(name="a.txt")))
    (entry,) = page.entries
    assert entry.name == "a.txt"
    assert not entry.is_directory
    assert entry.file_id == 13835128424026341376
    assert entry.size == 5
    assert entry.etag == '"0x8DAA19AE5AE2C21"'
    assert entry.creation_time == parse_time("2026-10-05T10:00:00.1234567Z")
    assert entry.last_access_time == parse_time("2026-10-05T10:00:01.0000000Z")
    assert entry.last_write_time == parse_time("2026-10-05T10:00:02.0000001Z")
    assert entry.change_time == parse_time("2026-10-05T10:00:03.0000000Z")
    assert entry.last_modified == parse_time("2026-10-05T10:00:03Z")
    assert entry.attributes == FileAttributes.READ_ONLY | FileAttributes.ARCHIVE
    assert entry.permission_key == "1*2"
    assert (page.directory_id, page.next_marker) == (7, None)


def test_plain_entries_of_old_versions():
    page = parse_directory_page(
        listing(
            "<File><Name>f</Name><Properties><Content-Length>9</Content-Length></Properties></File>",
            "<Directory><Name>d</Name><Properties /></Directory>",
            marker="<NextMarker>1!4!Zg--</NextMarker>",
        )
    )
    assert [(entry.name, entry.is_directory, entry.size) for entry in page.entries] == [
        ("f", False, 9),
        ("d", True, 0),
    ]
    assert (page.entries[0].etag, page.entries[0].file_id) == (None, None)
    assert page.entries[0].creation_time is None
    assert page.next_marker == "1!4!Zg--"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ("a&#x20;b&quot;", 'a b"'),
        ("%41", "%41"),
        ("é日\U0001f600", "é日\U0001f600"),
        ("  x ", "  x "),
    ],
)
def test_names(written: str, name: str):
    page = parse_directory_page(listing(FILE.format(name=written), ODD.format(name=written)))
    assert [entry.name for entry in page.entries] == [name, name]


def test_encoded_names():
    text = FILE.format(name="p%EF%BF%BF%25").replace("<Name>", '<Name Encoded="true">')
    odd = ODD.format(name="p%EF%BF%BF%25").replace("<Name>", '<Name Encoded="true">')
    names = [entry.name for entry in parse_directory_page(listing(text, odd, text)).entries]
    assert names == ["p\uffff%"] * 3


def test_entries_keep_their_order_whatever_their_form():
    entries = [FILE.format(name="1"), ODD.format(name="2"), FILE.format(name="3")]
    page = parse_directory_page(listing(*entries))
    assert [entry.name for entry in page.entries] == ["1", "2", "3"]
    assert page.entries[2] == parse_directory_page(listing(FILE.format(name="3"))).entries[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>hello</body></html>",
        b"\xff\xfe",
        listing(FILE.format(name="x"))[:-10],
        listing(FILE.format(name="x").replace("</Name>", "")),
        listing("<File><Properties /></File>"),
        listing(FILE.format(name="x").replace("2026-10-05T10:00:02", "yesterday")),
        listing(FILE.format(name="x").replace("ReadOnly", "Wrong")),
        listing(FILE.format(name="x").replace("Mon, 05 Oct 2026", "Mon, 05 Xyz 2026")),
        f"{HEAD}<Ranges />".encode(),
    ],
)
def test_broken_listings(body: bytes):
    with pytest.raises(InvalidResponse):
        parse_directory_page(body)


def test_speed_of_a_full_page():
    body = listing(*(FILE.format(name=f"file-{number:05d}") for number in range(5000)))
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        assert len(parse_directory_page(body).entries) == 5000
        best = min(best, time.perf_counter() - start)
    print(f"5,000 entries in {best * 1000:.1f} ms")
    assert best < 0.15  # three times what a slow machine takes; the figure is printed


def test_shares():
    page = parse_share_page(
        f"{HEAD}<EnumerationResults><Shares><Share><Name>s</Name>"
        "<Snapshot>2022-10-05T22:14:14.0000000Z</Snapshot><Deleted>true</Deleted>"
        "<Version>01D</Version><Properties><Last-Modified>Mon, 05 Oct 2026 10:00:00 GMT"
        '</Last-Modified><Etag>"0x8D"</Etag><Quota>5120</Quota><AccessTier>Hot</AccessTier>'
        "<EnabledProtocols>NFS</EnabledProtocols></Properties><Metadata><k>v</k></Metadata>"
        "</Share></Shares><NextMarker>/a/b</NextMarker></EnumerationResults>".encode()
    )
    (share,) = page.shares
    assert (share.name, share.quota, share.deleted, share.version) == ("s", 5120, True, "01D")
    assert share.snapshot == "2022-10-05T22:14:14.0000000Z"
    assert share.metadata == {"k": "v"}
    assert share.properties == {"AccessTier": "Hot", "EnabledProtocols": "NFS"}
    assert page.next_marker == "/a/b"


def test_ranges():
    ranges, marker = parse_ranges(
        f"{HEAD}<Ranges><Range><Start>0</Start><End>511</End></Range><ClearRange><Start>512"
        "</Start><End>1023</End></ClearRange></Ranges>".encode()
    )
    assert ranges == [FileRange(0, 511), FileRange(512, 1023, cleared=True)]
    assert marker is None
    assert parse_ranges(f"{HEAD}<Ranges />".encode()) == ([], None)
    with pytest.raises(InvalidResponse):
        parse_ranges(b"<Ranges><Range><Start>x</Start></Range></Ranges>")


def test_usage():
    assert parse_share_usage(b"<ShareStats><ShareUsageBytes>9</ShareUsageBytes></ShareStats>") == 9
    assert parse_share_usage(b"<ShareStats><ShareUsage>2</ShareUsage></ShareStats>") == 2 * 1024**3
    with pytest.raises(InvalidResponse):
        parse_share_usage(b"<ShareStats />")


def test_errors():
    body = (
        f"{HEAD}<Error><Code>Md5Mismatch</Code><Message>No.\nRequestId:1</Message>"
        "<UserSpecifiedMd5>a</UserSpecifiedMd5></Error>"
    ).encode()
    assert parse_error(body) == ("Md5Mismatch", "No.\nRequestId:1", {"UserSpecifiedMd5": "a"})
    assert parse_error(b"<html>") == ("", "", {})
    assert parse_error(b"<html></html>") == ("", "", {})
    assert parse_error(b"") == ("", "", {})
