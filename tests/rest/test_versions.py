"""Which version is spoken, and what changes with it."""

import httpx
import pytest
import trio
import trio.testing

from azfuse.rest.directory import Directory
from azfuse.rest.errors import ServiceError, UnsupportedByVersion
from azfuse.rest.file import File
from azfuse.rest.models import NfsSettings, SmbSettings
from azfuse.rest.wire import NEWEST_VERSION, VERSIONS, FileAttributes
from tests.rest.fakes import Script, error, good, transport_to, version_refusal

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class OldService:
    """Knows versions up to *newest*, answers everything else well after a second."""

    def __init__(self, newest: str, *, code_header: bool = False) -> None:
        self.newest = newest
        self.seen: list[str] = []
        self.code_header = code_header

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        version = request.headers["x-ms-version"]
        self.seen.append(version)
        await trio.sleep(1)
        if version > self.newest:
            response = version_refusal()
            if self.code_header:
                response.headers["x-ms-error-code"] = "InvalidHeaderValue"
            if request.method == "HEAD":
                return httpx.Response(400, headers=response.headers)
            return response
        if request.method == "HEAD":
            return good(200, content_length="5")
        return good(200)


async def test_newest_first():
    service = OldService(NEWEST_VERSION)
    transport = transport_to(service)
    assert transport.version == NEWEST_VERSION
    await File(transport, "s").delete_file("f")
    assert service.seen == [NEWEST_VERSION]
    assert transport.supports("2026-06-06")


@pytest.mark.parametrize("code_header", [True, False])
@pytest.mark.parametrize("operation", ["delete_file", "get_file_properties"])
async def test_steps_down(operation, code_header):
    service = OldService("2026-02-06", code_header=code_header)
    transport = transport_to(service)
    await getattr(File(transport, "s"), operation)("f")
    assert transport.version == "2026-02-06"
    assert not transport.supports("2026-06-06")
    steps = VERSIONS[VERSIONS.index("2026-02-06") :][::-1]
    assert list(dict.fromkeys(service.seen)) == list(steps)
    service.seen.clear()
    await File(transport, "s").delete_file("f")
    assert service.seen == ["2026-02-06"]


async def test_many_first_requests_do_not_storm():
    service = OldService("2025-11-05")
    transport = transport_to(service)
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(File(transport, "s").delete_file, f"f{number}")
    steps = len(VERSIONS) - VERSIONS.index("2025-11-05")
    assert len(service.seen) == 50 + steps - 1
    assert transport.version == "2025-11-05"


async def test_first_requests_do_not_queue_behind_a_dead_network():
    async def hang(request):
        await trio.sleep(20)
        raise httpx.ConnectTimeout("slow")

    calls = 0

    async def handler(request):
        nonlocal calls
        calls += 1
        return await (hang(request) if calls <= 11 else OldService("2026-06-06")(request))

    transport = transport_to(handler)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(File(transport, "s").delete_file, f"f{number}")
    # one hangs alone, then the others all at once, then all is well
    assert trio.current_time() - start < 60
    assert transport.version == "2026-06-06"


async def test_pinned():
    transport = transport_to(Script(version_refusal()), version="2025-05-05")
    with pytest.raises(ServiceError) as caught:
        await File(transport, "s").delete_file("f")
    assert caught.value.details["HeaderName"] == "x-ms-version"
    assert transport.version == "2025-05-05"


async def test_nothing_left():
    transport = transport_to(Script(*[version_refusal() for _ in VERSIONS]))
    with pytest.raises(ServiceError, match="InvalidHeaderValue"):
        await File(transport, "s").delete_file("f")


async def test_head_that_is_bad_for_another_reason():
    script = Script(httpx.Response(400), error(400, "InvalidResourceName"))
    with pytest.raises(ServiceError):
        await File(transport_to(script), "s").get_file_properties("f")
    assert [request.method for request in script.requests] == ["HEAD", "GET"]


async def test_body_of_create_file_is_refused_when_the_version_turns_out_too_old():
    service = OldService("2026-04-06")
    files = File(transport_to(service), "s")
    with pytest.raises(UnsupportedByVersion):
        await files.create_file("f", 3, body=b"abc", body_length=3)
    assert service.seen == ["2026-10-06", "2026-06-06"]
    await files.create_file("f", 3)
    assert service.seen[-1] == "2026-04-06"


@pytest.mark.parametrize(
    ("version", "dots"), [("2021-12-02", False), ("2022-11-02", True), (NEWEST_VERSION, True)]
)
async def test_trailing_dots(version, dots):
    script = Script(last=good(200))
    transport = transport_to(script, version=version)
    await File(transport, "s").rename_file("a.", "b.")
    headers = script.requests[0].headers
    assert headers.get("x-ms-allow-trailing-dot") == ("true" if dots else None)
    assert headers.get("x-ms-source-allow-trailing-dot") == ("true" if dots else None)
    assert script.requests[0].url.raw_path.startswith(b"/devstoreaccount1/s/b.?")


@pytest.mark.parametrize("version", ["2019-02-02", "2021-04-10"])
async def test_versions_that_insist_on_smb_headers(version):
    script = Script(last=good(200))
    transport = transport_to(script, version=version)
    await File(transport, "s").create_file("f", 0)
    await Directory(transport, "s").create_directory("d", smb=SmbSettings(permission_key="1*2"))
    await File(transport, "s").set_file_properties(
        "f", smb=SmbSettings(attributes=FileAttributes.READ_ONLY, last_write_time=0)
    )
    create, directory, change = (
        {
            name.removeprefix("x-ms-file-"): value
            for name, value in request.headers.items()
            if name.startswith("x-ms-file-")
        }
        for request in script.requests
    )
    assert create == {
        "permission": "inherit",
        "attributes": "None",
        "creation-time": "now",
        "last-write-time": "now",
    }
    assert directory["permission-key"] == "1*2"
    assert "permission" not in directory
    assert change == {
        "permission": "preserve",
        "attributes": "ReadOnly",
        "creation-time": "preserve",
        "last-write-time": "1970-01-01T00:00:00.0000000Z",
    }


@pytest.mark.parametrize("version", ["2018-11-09", "2021-06-08", NEWEST_VERSION])
async def test_versions_that_do_not(version):
    script = Script(last=good(200))
    await File(transport_to(script, version=version), "s").create_file("f", 0)
    assert not [name for name in script.requests[0].headers if name.startswith("x-ms-file-")]


async def test_what_old_versions_lack():
    def files(version: str) -> File:
        return File(transport_to(Script(last=good(200)), version=version), "s")

    with pytest.raises(UnsupportedByVersion):
        await files("2018-11-09").set_file_properties("f", smb=SmbSettings(creation_time=0))
    with pytest.raises(UnsupportedByVersion):
        await files("2021-04-10").set_file_properties("f", smb=SmbSettings(change_time=0))
    with pytest.raises(UnsupportedByVersion):
        await files("2025-01-05").set_file_properties("f", nfs=NfsSettings(mode=0o644))
    with pytest.raises(UnsupportedByVersion):
        await files("2021-02-12").rename_file("a", "b")
    with pytest.raises(UnsupportedByVersion):
        await files("2026-06-06").list_ranges("f", max_results=1)
    with pytest.raises(UnsupportedByVersion):
        await files("2021-04-10").put_range("f", 0, 1, b"a", last_write_time="now")
    with pytest.raises(UnsupportedByVersion):
        await files("2025-05-05").create_symbolic_link("f", "x")


async def test_listing_of_old_versions_is_plain():
    listing = b"<EnumerationResults><Entries /><NextMarker>n</NextMarker></EnumerationResults>"
    for version, extended in (("2020-02-10", False), ("2020-04-08", True)):
        script = Script(httpx.Response(200, content=listing))
        directory = Directory(transport_to(script, version=version), "s")
        page = await directory.list_directories_and_files("d")
        assert page.next_marker == "n"
        assert ("include" in script.requests[0].url.params) is extended
        assert ("x-ms-file-extended-info" in script.requests[0].headers) is extended
