"""The page of Create File, remark by remark and attribute by attribute, on both sides.

Every test runs twice: with requests written by hand to the emulator, and through `azfuse.rest`,
whose requests the emulator answers in this process.
"""

import base64
import hashlib
import json
from datetime import UTC, datetime

import httpx
import pytest

from azfuse.rest.auth import ConnectionString
from azfuse.rest.errors import AzureFilesError, ServiceError
from azfuse.rest.file import File
from azfuse.rest.models import ContentSettings, SmbSettings
from azfuse.rest.transport import Transport
from azfuse.rest.wire import MAX_FILE_BYTES, FileAttributes, format_time
from tests.emulator.conftest import xml

pytestmark = pytest.mark.anyio
SDDL = "O:SYG:SYD:(A;OICI;FA;;;SY)S:NO_ACCESS_CONTROL"
LEASE = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
MOMENT = int(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 10**9 + 678_901_200


class ByHand:
    """Create File as a request put together here."""

    def __init__(self, client, app):
        self.client = client

    async def __call__(self, path="f", size=0, **given):
        headers = {"x-ms-type": "file", "x-ms-content-length": str(size)}
        for name, value in given.items():
            if name == "metadata":
                headers |= {f"x-ms-meta-{key}": text for key, text in value.items()}
            elif name == "content":
                headers |= value
            elif name not in ("body", "md5"):
                headers[HEADERS[name]] = format_time(value) if isinstance(value, int) else value
        if "md5" in given:
            headers["Content-MD5"] = base64.b64encode(given["md5"]).decode()
        answer = await self.client("PUT", f"/share/{path}", "", headers, given.get("body", b""))
        if answer.status_code == 201:
            return 201, ""
        return answer.status_code, answer.headers["x-ms-error-code"]


class ByClient:
    """Create File as `azfuse.rest` asks for it."""

    def __init__(self, client, app):
        where = ConnectionString.parse("UseDevelopmentStorage=true")
        assert where.credentials is not None
        transport = httpx.ASGITransport(app)
        self.file = File(
            Transport(where.endpoint, where.credentials, http_transport=transport), "share"
        )

    async def __call__(self, path="f", size=0, **given):
        smb = {n: given[n] for n in SMB_FIELDS if n in given}
        if "attributes" in smb:
            words = smb["attributes"].replace(" ", "").split("|")
            flags = [FLAGS[word.lower()] for word in words]
            smb["attributes"] = FileAttributes(sum(int(flag) for flag in flags))
        content = {NAMES[n]: v for n, v in given.get("content", {}).items()}
        if "content_md5" in content:
            content["content_md5"] = base64.b64decode(content["content_md5"])
        body = given.get("body")
        try:
            await self.file.create_file(
                path, size, smb=SmbSettings(**smb) if smb else None,
                content=ContentSettings(**content) if content else None,
                metadata=given.get("metadata"), lease_id=given.get("lease"), body=body,
                body_length=len(body or b""), content_md5=given.get("md5"),
                property_semantics=given.get("semantics"),
            )  # fmt: skip
        except ServiceError as error:
            return error.status, error.code
        except (AzureFilesError, ValueError):
            return REFUSED_UNSENT
        return 201, ""


#: What the client itself does not even send.
REFUSED_UNSENT = (0, "")
HEADERS = {
    "attributes": "x-ms-file-attributes", "creation_time": "x-ms-file-creation-time",
    "last_write_time": "x-ms-file-last-write-time", "change_time": "x-ms-file-change-time",
    "permission": "x-ms-file-permission", "permission_key": "x-ms-file-permission-key",
    "permission_format": "x-ms-file-permission-format", "lease": "x-ms-lease-id",
    "semantics": "x-ms-file-property-semantics",
}  # fmt: skip
SMB_FIELDS = [name for name in HEADERS if name not in ("lease", "semantics")]
FLAGS = {flag.name.lower().replace("_", ""): flag for flag in FileAttributes if flag.name}
FLAGS["none"] = FileAttributes.NONE
NAMES = {
    "x-ms-content-type": "content_type", "x-ms-content-encoding": "content_encoding",
    "x-ms-content-language": "content_language", "x-ms-cache-control": "cache_control",
    "x-ms-content-disposition": "content_disposition", "x-ms-content-md5": "content_md5",
}  # fmt: skip


@pytest.fixture(params=[ByHand, ByClient], ids=["emulator", "client"])
async def create(request, client, app):
    await client.share()
    return request.param(client, app)


async def head(client, path="f"):
    answer = await client("HEAD", f"/share/{path}")
    assert answer.status_code == 200
    return answer.headers


@pytest.mark.parametrize(
    ("attribute", "stored"),
    [
        ("ReadOnly", "ReadOnly | Archive"),
        ("Hidden", "Hidden | Archive"),
        ("System", "System | Archive"),
        ("None", "Archive"),
        ("Archive", "Archive"),
        ("Temporary", "Archive | Temporary"),
        ("Offline", "Archive | Offline"),
        ("NotContentIndexed", "Archive | NotContentIndexed"),
        ("NoScrubData", "Archive | NoScrubData"),
        ("Hidden | NoScrubData", "Hidden | Archive | NoScrubData"),
    ],
)
async def test_attribute(create, client, attribute, stored):
    assert await create(attributes=attribute) == (201, "")
    assert (await head(client))["x-ms-file-attributes"] == stored


async def test_attributes_are_archive_by_default(create, client):
    await create()
    assert (await head(client))["x-ms-file-attributes"] == "Archive"


async def test_up_to_4_tib(create, client):
    assert await create(size=MAX_FILE_BYTES) == (201, "")
    assert (await head(client))["content-length"] == str(MAX_FILE_BYTES)
    assert await create(size=MAX_FILE_BYTES + 1) in (REFUSED_UNSENT, (400, "OutOfRangeInput"))


async def test_content_is_put_later_and_size_set_anew(create, client):
    await create(size=10)
    assert (await client("GET", "/share/f")).content == bytes(10)
    await client.put("/share/f", 5, b"12345")
    await client("PUT", "/share/f", "comp=properties", {"x-ms-content-length": "7"})
    assert (await client("GET", "/share/f")).content == bytes(5) + b"12"


async def test_initial_content_and_its_md5(create, client):
    md5 = hashlib.md5(b"hello").digest()
    assert await create(size=8, body=b"hello", md5=md5) == (201, "")
    assert (await client("GET", "/share/f")).content == b"hello" + bytes(3)
    assert await create(size=8, body=b"other", md5=md5) == (400, "Md5Mismatch")
    assert (await client("GET", "/share/f")).content == b"hello" + bytes(3)


async def test_initial_content_of_more_than_4_mib(create):
    large = bytes(4 * 1024 * 1024 + 1)
    refused = await create(size=len(large), body=large)
    assert refused in (REFUSED_UNSENT, (413, "RequestBodyTooLarge"))


async def test_missing_share_or_parent_is_404_where_the_page_says_412(create, client):
    """The recordings win: 404 ParentNotFound, 404 ShareNotFound (observed behaviour, 7)."""
    assert await create("none/f") == (404, "ParentNotFound")
    await client("DELETE", "/share", "restype=share")
    assert await create() == (404, "ShareNotFound")


async def test_an_existing_file_is_replaced_and_keeps_its_id(create, client):
    await create(size=5, metadata={"a": "1"}, attributes="Hidden")
    before = await head(client)
    await create(size=6)
    after = await head(client)
    assert after["x-ms-file-id"] == before["x-ms-file-id"]
    assert (after["content-length"], after["x-ms-file-attributes"]) == ("6", "Archive")
    assert "x-ms-meta-a" not in after
    assert after["etag"] != before["etag"]


async def acquire(client, lease=LEASE):
    headers = {"x-ms-lease-action": "acquire", "x-ms-proposed-lease-id": lease}
    assert (await client("PUT", "/share/f", "comp=lease", headers)).status_code == 201


async def test_412_without_the_id_of_an_active_lease(create, client):
    await create()
    await acquire(client)
    assert await create() == (412, "LeaseIdMissing")


async def test_412_with_another_id_than_that_of_the_lease(create, client):
    await create()
    await acquire(client)
    assert await create(lease=OTHER) == (412, "LeaseIdMismatchWithFileOperation")


async def test_412_with_an_id_where_there_is_no_lease(create):
    assert await create("new", lease=LEASE) == (412, "LeaseNotPresentWithFileOperation")
    await create()
    assert await create(lease=LEASE) == (412, "LeaseNotPresentWithFileOperation")


async def test_a_lease_persists_when_the_file_is_replaced(create, client):
    await create()
    await acquire(client)
    assert await create(size=9, lease=LEASE) == (201, "")
    headers = await head(client)
    assert (headers["x-ms-lease-state"], headers["content-length"]) == ("leased", "9")


async def test_a_file_with_read_only_attribute_is_not_replaced(create):
    await create(attributes="ReadOnly")
    assert await create() == (409, "ReadOnlyAttribute")


async def test_a_directory_is_not_replaced(create, client):
    await client("PUT", "/share/f", "restype=directory")
    assert await create() == (409, "ResourceTypeMismatch")


async def test_times_default_to_now(create, client):
    await create()
    headers = await head(client)
    times = {headers[f"x-ms-file-{n}-time"] for n in ("creation", "last-write", "change")}
    assert len(times) == 1
    assert headers["x-ms-file-creation-time"][:10] == datetime.now(UTC).strftime("%Y-%m-%d")


async def test_times_may_say_now(create, client):
    now = {"creation_time": "now", "last_write_time": "now", "change_time": "now"}
    assert await create(**now) == (201, "")
    await test_times_default_to_now(create, client)


async def test_times_may_be_dates_of_100_ns(create, client):
    await create(creation_time=MOMENT, last_write_time=MOMENT + 100, change_time=MOMENT + 200)
    headers = await head(client)
    assert headers["x-ms-file-creation-time"] == "2020-01-02T03:04:05.6789012Z"
    assert headers["x-ms-file-last-write-time"] == "2020-01-02T03:04:05.6789013Z"
    assert headers["x-ms-file-change-time"] == "2020-01-02T03:04:05.6789014Z"


async def key_of(client, text=SDDL):
    body = json.dumps({"permission": text}).encode()
    answer = await client("PUT", "/share", "restype=share&comp=filepermission", body=body)
    return answer.headers["x-ms-file-permission-key"]


async def test_permission_is_inherited_by_default(create, client):
    await create("a")
    await create("b", permission="inherit")
    keys = [(await head(client, name))["x-ms-file-permission-key"] for name in "ab"]
    assert keys[0] == keys[1]


async def test_permission_as_sddl(create, client):
    assert await create(permission=SDDL) == (201, "")
    assert (await head(client))["x-ms-file-permission-key"] == await key_of(client)


async def test_permission_by_key(create, client):
    key = await key_of(client)
    assert await create(permission_key=key) == (201, "")
    assert (await head(client))["x-ms-file-permission-key"] == key


async def test_permission_in_binary_form(create, client):
    raw = base64.b64encode(bytes([1, 0, 4, 128]) + bytes(16)).decode()
    assert await create(permission=raw, permission_format="binary") == (201, "")
    assert await create(permission="eA==", permission_format="binary") == (
        400,
        "FileInvalidPermission",
    )


async def test_permission_and_key_exclude_each_other(create, client):
    key = await key_of(client)
    refused = await create(permission=SDDL, permission_key=key)
    assert refused in (REFUSED_UNSENT, (400, "InvalidHeaderValue"))


async def test_permission_that_is_no_descriptor(create):
    assert await create(permission="no descriptor") == (400, "FileInvalidPermission")


async def test_permission_of_more_than_8_kib_needs_a_key(create, client):
    long = "O:SYG:SYD:" + "(A;OICI;FA;;;SY)" * 600
    refused = await create(permission=long)
    assert refused in (REFUSED_UNSENT, (400, "InvalidHeaderValue"))
    assert await create(permission_key=await key_of(client, long)) == (201, "")


CONTENT = {
    "x-ms-content-type": "text/plain", "x-ms-content-encoding": "gzip",
    "x-ms-content-language": "de", "x-ms-cache-control": "no-cache",
    "x-ms-content-disposition": "attachment",
    "x-ms-content-md5": base64.b64encode(hashlib.md5(b"any").digest()).decode(),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENT)
async def test_content_header(create, client, name):
    assert await create(content={name: CONTENT[name]}) == (201, "")
    plain = name.removeprefix("x-ms-").replace("-", "-")
    headers = await head(client)
    assert headers[plain] == CONTENT[name]
    assert headers["x-ms-file-attributes"] == "Archive"


async def test_content_type_is_octet_stream_by_default(create, client):
    await create()
    assert (await head(client))["content-type"] == "application/octet-stream"


async def test_metadata(create, client):
    assert await create(metadata={"first": "1", "second_2": "two words"}) == (201, "")
    headers = await head(client)
    assert (headers["x-ms-meta-first"], headers["x-ms-meta-second_2"]) == ("1", "two words")


@pytest.mark.parametrize("name", ["", "a-b", "1st", "a.b"])
async def test_metadata_names_are_identifiers(create, name):
    refused = await create(metadata={name: "value"})
    code = "InvalidMetadata" if name else "EmptyMetadataKey"
    assert refused in (REFUSED_UNSENT, (400, code))


async def test_property_semantics(create):
    for word in ("New", "Restore"):
        assert await create(semantics=word) == (201, "")


async def test_a_snapshot_is_read_only(client):
    await client.share()
    taken = (await client("PUT", "/share", "restype=share&comp=snapshot")).headers["x-ms-snapshot"]
    headers = {"x-ms-type": "file", "x-ms-content-length": "0"}
    answer = await client("PUT", "/share/f", f"sharesnapshot={taken}", headers)
    assert answer.status_code == 400
    assert answer.headers["x-ms-error-code"] == "InvalidQueryParameterValue"
    assert xml(answer).findtext("QueryParameterName") == "sharesnapshot"


async def test_trailing_dots_are_kept_by_the_client_and_stripped_without_the_header(create, client):
    await create("dots..")
    assert await client.names("/share") == (["dots"] if isinstance(create, ByHand) else ["dots.."])
