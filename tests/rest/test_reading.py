"""Get File: into buffers, over cuts, changes and ends."""

import httpx
import pytest
import trio
import trio.testing

from azfuse.rest.errors import InvalidResponse, ServiceError, ServiceUnavailable
from azfuse.rest.file import File
from tests.rest.fakes import CutBody, Script, error, good, transport_to

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class StoredFile:
    """Serves one file, as the service does; the next *cuts* answers break off after 3 bytes."""

    def __init__(self, content: bytes, *, cuts: int = 0) -> None:
        self.content = content
        self.etag = 1
        self.cuts = cuts
        self.ranges: list[str] = []
        self.methods: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.methods.append(request.method)
        etag = f'"0x8DAA19AE5AE2C2{self.etag:X}"'
        size = len(self.content)
        if request.method == "HEAD":
            return good(200, etag=etag, content_length=str(size))
        text = request.headers.get("x-ms-range")
        if text is None:
            return good(200, self.content, etag=etag)
        self.ranges.append(text)
        first, _, last = text.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or size - 1), size - 1)
        if start >= size:
            return error(416, "InvalidRange", content_range=f"bytes */{size}")
        body = self.content[start : end + 1]
        content_range = f"bytes {start}-{end}/{size}"
        if self.cuts:
            self.cuts -= 1
            self.after_cut()
            response = good(206, etag=etag, content_range=content_range)
            return httpx.Response(
                206,
                headers=dict(response.headers) | {"content-length": str(len(body))},
                stream=CutBody(body[:3]),
            )
        return good(206, body, etag=etag, content_range=content_range)

    def after_cut(self) -> None:
        pass


async def read(service, size: int, offset: int = 0):
    buffer = bytearray(size)
    properties, count = await File(transport_to(service), "s").read_file_into(
        "f", memoryview(buffer), offset=offset
    )
    return properties, bytes(buffer[:count])


async def test_whole_and_part():
    service = StoredFile(b"0123456789")
    properties, content = await read(service, 10)
    assert (properties.size, content) == (10, b"0123456789")
    assert (await read(service, 4, 3))[1] == b"3456"
    assert (await read(service, 40, 8))[1] == b"89"
    assert service.ranges == ["bytes=0-9", "bytes=3-6", "bytes=8-47"]


async def test_cut_body_is_continued():
    service = StoredFile(b"0123456789", cuts=2)
    properties, content = await read(service, 8, 1)
    assert content == b"12345678"
    assert properties.etag == '"0x8DAA19AE5AE2C21"'
    assert service.ranges == ["bytes=1-8", "bytes=4-8", "bytes=7-8"]


async def test_cut_body_of_a_changed_file_is_read_anew():
    class Changing(StoredFile):
        def after_cut(self) -> None:
            self.content = b"abcdefghij"
            self.etag = 2

    service = Changing(b"0123456789", cuts=1)
    properties, content = await read(service, 8, 1)
    assert content == b"bcdefghi"
    assert properties.etag == '"0x8DAA19AE5AE2C22"'
    assert service.ranges == ["bytes=1-8", "bytes=4-8", "bytes=1-8"]


async def test_cut_body_of_a_shrunk_file_is_read_anew():
    class Shrinking(StoredFile):
        def after_cut(self) -> None:
            self.content = b"ab"
            self.etag = 2

    service = Shrinking(b"0123456789", cuts=1)
    properties, content = await read(service, 8)
    assert (properties.size, content) == (2, b"ab")


async def test_body_that_ends_early_without_a_word():
    short = good(206, b"012", content_range="bytes 0-9/10")
    short.headers["content-length"] = "10"
    rest = good(206, b"3456789", content_range="bytes 3-9/10")
    script = Script(short, rest)
    _, content = await read(script, 10)
    assert content == b"0123456789"


@pytest.mark.parametrize(("content", "offset"), [(b"", 0), (b"0123", 4), (b"0123", 9)])
async def test_at_and_past_the_end(content, offset):
    service = StoredFile(content)
    properties, got = await read(service, 4, offset)
    assert (properties.size, got) == (len(content), b"")
    assert service.methods == ["GET", "HEAD"]


async def test_file_that_grows_meanwhile():
    class Growing(StoredFile):
        def __call__(self, request):
            response = super().__call__(request)
            self.content = b"01234567"
            return response

    _, content = await read(Growing(b"01"), 4, 4)
    assert content == b"4567"


# httpx leaves its own generators to the collector when a body is given up half-read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_answers_that_are_not_of_the_range():
    with pytest.raises(InvalidResponse, match="instead of"):
        await read(Script(good(206, b"0", content_range="bytes 0-0/9")), 4, 4)
    with pytest.raises(InvalidResponse, match="instead of"):
        await read(Script(good(200, b"0123456789")), 4, 4)
    with pytest.raises(InvalidResponse, match="more bytes"):
        await read(Script(good(206, b"012345", content_range="bytes 0-5/9")), 4)
    with pytest.raises(InvalidResponse, match="Content-Range"):
        await read(Script(good(206, b"0123", content_range="bytes x")), 4)
    assert (await read(Script(good(200, b"0123456789")), 4))[1] == b"0123"


async def test_other_refusals_pass_through():
    with pytest.raises(ServiceError, match="ResourceNotFound"):
        await read(Script(error(404, "ResourceNotFound")), 4)
    with pytest.raises(ValueError):
        await read(Script(), 0)


async def test_bytes_are_counted():
    service = StoredFile(b"0123456789", cuts=1)
    transport = transport_to(service)
    buffer = bytearray(10)
    await File(transport, "s").read_file_into("f", memoryview(buffer), offset=0)
    assert transport.counters.snapshot()["GetFile"] == {
        "requests": 2,
        "retries": 1,
        "errors": 1,
        "throttles": 0,
        "bytes_sent": 0,
        "bytes_received": 10,
    }


class TestGetFile:
    async def test_whole(self):
        service = StoredFile(b"0123456789")
        async with File(transport_to(service), "s").get_file("f") as download:
            assert (download.offset, download.length, download.properties.size) == (0, 10, 10)
            assert b"".join([chunk async for chunk in download.iter_bytes()]) == b"0123456789"

    async def test_ranges(self):
        service = StoredFile(b"0123456789")
        files = File(transport_to(service), "s")
        async with files.get_file("f", offset=8) as download:
            assert (download.offset, download.length) == (8, 2)
        async with files.get_file("f", offset=2, length=3, range_md5=True) as download:
            assert [chunk async for chunk in download.iter_bytes()] == [b"234"]
        assert service.ranges == ["bytes=8-", "bytes=2-4"]

    async def test_cut_body_is_the_readers(self):
        files = File(transport_to(StoredFile(b"0123456789", cuts=1)), "s")
        async with files.get_file("f", length=10) as download:
            with pytest.raises(ServiceUnavailable, match="reset"):
                assert [chunk async for chunk in download.iter_bytes()] == [b"012"]

    async def test_head_is_tried_again(self):
        script = Script(httpx.ReadError("reset"), error(500, "X"), StoredFile(b"01"))
        async with File(transport_to(script), "s").get_file("f") as download:
            assert [chunk async for chunk in download.iter_bytes()] == [b"01"]

    async def test_refusals(self):
        files = File(transport_to(StoredFile(b"")), "s")
        with pytest.raises(ServiceError, match="InvalidRange"):
            async with files.get_file("f", offset=1):
                pass
        for wrong in ({"length": 0}, {"offset": -1}, {"range_md5": True}):
            with pytest.raises(ValueError):
                async with files.get_file("f", **wrong):
                    pass

    async def test_slot_is_held_and_given_back(self):
        transport = transport_to(StoredFile(b"0123456789"), max_connections=1)
        files = File(transport, "s")
        async with files.get_file("f") as download:
            with trio.move_on_after(5) as scope:
                await files.get_file_properties("f")
            assert scope.cancelled_caught
            assert download.length == 10
        assert (await files.get_file_properties("f")).size == 10
