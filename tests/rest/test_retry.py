"""Retries: what is tried again, how long, and what the end is called."""

import logging
import ssl

import httpx
import pytest
import trio
import trio.testing

from azfuse.rest.auth import AccessToken, Bearer, Sas
from azfuse.rest.directory import Directory
from azfuse.rest.errors import (
    ConnectionFailed,
    InvalidResponse,
    ServiceError,
    ServiceUnavailable,
)
from azfuse.rest.file import File
from azfuse.rest.retry import RetryPolicy
from azfuse.rest.share import Share
from tests.rest.fakes import FILE_ID, HOST_ENDPOINT, Script, error, good, transport_to

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


LOST = [
    httpx.ReadError("reset"),
    httpx.WriteError("reset"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    httpx.ReadTimeout("slow"),
    httpx.WriteTimeout("slow"),
]
NEVER_SENT = [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")]


@pytest.mark.parametrize(
    "failure",
    [*LOST, *NEVER_SENT, *[error(s, "X") for s in (408, 429, 500, 502, 503, 504)]],
    ids=repr,
)
async def test_passing_failures_are_tried_again(failure):
    script = Script(failure, good())
    transport = transport_to(script)
    await File(transport, "s").create_file("f", 0)
    counters = transport.counters.snapshot()["CreateFile"]
    assert counters["requests"] == 2
    assert counters["retries"] == 1
    assert counters["errors"] == 1
    assert counters["throttles"] == (getattr(failure, "status_code", 0) == 503)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 501, 505])
async def test_lasting_refusals_are_not(status):
    script = Script(error(status, "SomeCode", "<HeaderName>x-ms-range</HeaderName>"))
    with pytest.raises(ServiceError) as caught:
        await File(transport_to(script), "s").create_file("f", 0)
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.retried) == (status, "SomeCode", False)
    assert refusal.operation == "CreateFile"
    assert refusal.request_id == "x"
    assert refusal.details == {"HeaderName": "x-ms-range"}
    assert "It is so." in str(refusal)


async def test_each_try_is_signed_anew():
    script = Script(error(500, "InternalError"), error(500, "InternalError"), good())
    transport = transport_to(script)
    await File(transport, "s").put_range("f", 0, 3, b"abc")
    assert script.bodies == [b"abc"] * 3
    assert transport.counters.totals()["bytes_sent"] == 9
    assert all("authorization" in request.headers for request in script.requests)


async def test_body_factory_is_called_for_each_try():
    made = []

    async def body():
        made.append(1)
        yield b"ab"
        yield memoryview(b"c")

    script = Script(error(500, "InternalError"), good())
    await File(transport_to(script), "s").put_range("f", 10, 3, body)
    assert script.bodies == [b"abc"] * 2
    assert len(made) == 2
    assert script.requests[0].headers["x-ms-range"] == "bytes=10-12"
    assert script.requests[0].headers["content-length"] == "3"


@pytest.mark.parametrize("chunks", [[b"ab"], [b"abc", b"d"]])
async def test_body_of_another_length_is_the_callers_mistake(chunks):
    async def body():
        for chunk in chunks:
            yield chunk

    with pytest.raises(ValueError, match="body"):
        await File(transport_to(Script(last=good())), "s").put_range("f", 0, 3, body)


async def test_body_goes_out_in_pieces():
    sizes = []

    class Network(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            sizes.extend([len(piece) async for piece in request.stream])
            return good()

    length = 2 * 1024 * 1024 + 5
    transport = transport_to(None, http_transport=Network())
    await File(transport, "s").put_range("f", 0, length, bytes(length))
    assert sizes == [1024 * 1024, 1024 * 1024, 5]
    assert transport.counters.totals()["bytes_sent"] == length


async def test_never_connected(caplog):
    start = trio.current_time()
    with pytest.raises(ConnectionFailed, match="refused"):
        await File(transport_to(Script(last=httpx.ConnectError("refused"))), "s").delete_file("f")
    assert 110 <= trio.current_time() - start <= 121
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "giving up" in warnings[1].getMessage()


async def test_connected_once():
    script = Script(httpx.ReadError("reset"), last=httpx.ConnectError("refused"))
    with pytest.raises(ServiceUnavailable, match="refused"):
        await File(transport_to(script), "s").delete_file("f")


async def test_failing_service_keeps_to_the_time():
    policy = RetryPolicy(timeout=10)
    script = Script(last=error(500, "InternalError"))
    transport = transport_to(script, retry=policy)
    start = trio.current_time()
    with pytest.raises(ServiceUnavailable, match="InternalError"):
        await File(transport, "s").delete_file("f")
    assert trio.current_time() - start == pytest.approx(10, abs=0.1)
    # 0.25 + 0.5 + 1 + 2 + 4 + rest, less jitter
    assert 6 <= len(script.requests) <= 12


async def test_hanging_service_keeps_to_the_time():
    async def hang(request):
        await trio.sleep(1000)

    start = trio.current_time()
    transport = transport_to(hang)
    with pytest.raises(ServiceUnavailable):
        await File(transport, "s").delete_file("f")
    totals = transport.counters.totals()
    assert totals["errors"] == totals["requests"] > 1
    assert trio.current_time() - start <= 122


async def test_wrong_certificate_is_final():
    failure = httpx.ConnectError("certificate")
    failure.__cause__ = ssl.SSLCertVerificationError("self-signed")
    script = Script(failure)
    with pytest.raises(ConnectionFailed, match="certificate"):
        await File(transport_to(script), "s").delete_file("f")
    assert len(script.requests) == 1


async def test_retry_after_is_honoured():
    script = Script(error(503, "ServerBusy", retry_after="7"), good(202))
    start = trio.current_time()
    await File(transport_to(script), "s").delete_file("f")
    assert trio.current_time() - start == pytest.approx(7, abs=0.01)


async def test_retry_after_as_a_date():
    busy = error(
        503,
        "ServerBusy",
        retry_after="Wed, 28 Sep 2022 21:46:39 GMT",
        date="Wed, 28 Sep 2022 21:46:27 GMT",
    )
    start = trio.current_time()
    await File(transport_to(Script(busy, good(202))), "s").delete_file("f")
    assert trio.current_time() - start == pytest.approx(12, abs=0.01)


async def test_retry_after_past_the_end_ends_at_once():
    script = Script(error(503, "ServerBusy", retry_after="3600"))
    start = trio.current_time()
    with pytest.raises(ServiceUnavailable):
        await File(transport_to(script), "s").delete_file("f")
    assert trio.current_time() - start < 1


@pytest.mark.parametrize(
    ("first", "retried"),
    [
        (httpx.ReadError("reset"), True),
        (error(500, "OperationTimedOut"), True),
        (error(503, "ServerBusy"), False),
        (httpx.ConnectError("refused"), False),
    ],
)
async def test_retried_tells_whether_the_first_may_have_taken_effect(first, retried):
    script = Script(first, error(412, "LeaseIdMissing"))
    with pytest.raises(ServiceError) as caught:
        await File(transport_to(script), "s").set_file_metadata("f", {})
    assert caught.value.retried is retried


class TestLostAnswers:
    @pytest.mark.parametrize("code", ["ResourceNotFound", "ParentNotFound"])
    async def test_delete(self, code):
        script = Script(httpx.ReadError("reset"), error(404, code))
        await File(transport_to(script), "s").delete_file("f")
        script = Script(httpx.ReadError("reset"), error(404, code))
        await Directory(transport_to(script), "s").delete_directory("d")

    async def test_delete_that_never_arrived(self):
        script = Script(httpx.ConnectError("refused"), error(404, "ResourceNotFound"))
        with pytest.raises(ServiceError):
            await File(transport_to(script), "s").delete_file("f")

    @pytest.mark.parametrize("code", ["ShareNotFound", "ShareBeingDeleted"])
    async def test_delete_share(self, code):
        script = Script(httpx.ReadError("reset"), error(404, code))
        await Share(transport_to(script), "abc").delete_share()

    async def test_create_directory(self):
        lost = [httpx.ReadError("reset"), error(409, "ResourceAlreadyExists")]
        written = await Directory(transport_to(Script(*lost, good(200))), "s").create_directory("d")
        assert written.smb.file_id == FILE_ID
        script = Script(*lost, error(404, "ResourceNotFound"))
        with pytest.raises(ServiceError) as caught:
            await Directory(transport_to(script), "s").create_directory("d")
        assert caught.value.code == "ResourceAlreadyExists"

    async def test_create_directory_that_was_there_before(self):
        with pytest.raises(ServiceError, match="ResourceAlreadyExists"):
            await Directory(
                transport_to(Script(error(409, "ResourceAlreadyExists"))), "s"
            ).create_directory("d")

    @pytest.mark.parametrize("code", ["ResourceNotFound", "ResourceAlreadyExists"])
    async def test_rename(self, code):
        lost = [httpx.ReadError("reset"), error(404, code)]
        found = good(200, content_length="0")
        written = await File(transport_to(Script(*lost, found)), "s").rename_file(
            "a", "b", expected_file_id=FILE_ID
        )
        assert written.smb.file_id == FILE_ID
        written = await Directory(transport_to(Script(*lost, good(200))), "s").rename_directory(
            "a", "b", expected_file_id=FILE_ID
        )
        assert written.smb.file_id == FILE_ID

    async def test_rename_where_the_target_is_another(self):
        lost = [httpx.ReadError("reset"), error(404, "ResourceNotFound")]
        for answers in ([*lost, good(200, content_length="0")], [*lost, error(404, "X")]):
            with pytest.raises(ServiceError, match="ResourceNotFound"):
                await File(transport_to(Script(*answers)), "s").rename_file(
                    "a", "b", expected_file_id=FILE_ID + 1
                )
        with pytest.raises(ServiceError, match="ResourceNotFound"):
            await File(transport_to(Script(*lost)), "s").rename_file("a", "b")

    async def test_lease_is_proposed_with_one_id(self):
        script = Script(httpx.ReadError("reset"), good(x_ms_lease_id="id"))
        lease = await File(transport_to(script), "s").acquire_lease("f")
        assert lease.lease_id == "id"
        proposed = {request.headers["x-ms-proposed-lease-id"] for request in script.requests}
        assert len(proposed) == 1

    async def test_release(self):
        files = File(
            transport_to(
                Script(
                    httpx.ReadError("reset"),
                    error(409, "LeaseNotPresentWithLeaseOperation"),
                    good(200, content_length="0"),
                )
            ),
            "s",
        )
        assert (await files.release_lease("f", "id")).lease_id is None

    async def test_change(self):
        lost = [httpx.ReadError("reset"), error(409, "LeaseIdMismatchWithLeaseOperation")]
        script = Script(*lost, good(200, content_length="0"))
        assert (
            await File(transport_to(script), "s").change_lease("f", "old", "new")
        ).lease_id == "new"
        assert script.requests[-1].headers["x-ms-lease-id"] == "new"
        with pytest.raises(ServiceError):
            await File(
                transport_to(Script(*lost, error(412, "LeaseIdMismatchWithFileOperation"))), "s"
            ).change_lease("f", "old", "new")


async def test_cancellation_gives_the_slot_back():
    async def hang(request):
        await trio.sleep_forever()

    transport = transport_to(Script(hang, good(202)), max_connections=1)
    files = File(transport, "s")
    with trio.move_on_after(1) as scope:
        await files.delete_file("f")
    assert scope.cancelled_caught
    await files.delete_file("f")


async def test_no_more_in_flight_than_connections():
    running = 0
    most = 0

    async def handler(request):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return good(202)

    files = File(transport_to(handler, max_connections=3), "s")
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(files.delete_file, f"f{number}")
    assert most == 3


async def test_sas_goes_with_every_url_and_never_into_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    sas = Sas("sv=2022-11-02&sp=rwdl&sig=SECRET%3D")
    script = Script(httpx.ReadError("at https://x/?sig=SECRET%3D&a=b"), good(200))
    transport = transport_to(script, credentials=sas, endpoint=HOST_ENDPOINT)
    await File(transport, "share").rename_file("a b", "c")
    request = script.requests[-1]
    url = (
        "https://acct.file.core.windows.net/share/c?comp=rename&sv=2022-11-02&sp=rwdl&sig=SECRET%3D"
    )
    assert str(request.url) == url
    assert request.headers["x-ms-file-rename-source"] == (
        "https://acct.file.core.windows.net/share/a%20b?sv=2022-11-02&sp=rwdl&sig=SECRET%3D"
    )
    assert "authorization" not in request.headers
    assert "SECRET" not in caplog.text
    assert "sig=***" in caplog.text


async def test_expired_sas_is_named():
    sas = Sas("se=2020-01-01T00:00:00Z&sig=x")
    transport = transport_to(Script(error(403, "AuthenticationFailed")), credentials=sas)
    with pytest.raises(ServiceError, match="signature expired at 2020-01-01T00:00:00Z"):
        await File(transport, "s").delete_file("f")


async def test_wrong_clock_is_named():
    refusal = error(403, "AuthenticationFailed", date="Wed, 28 Sep 2022 21:46:27 GMT")
    with pytest.raises(ServiceError, match=r"clock is .* ahead"):
        await File(transport_to(Script(refusal)), "s").delete_file("f")


async def test_refused_token_is_replaced_once():
    class Provider:
        calls = 0

        async def get_token(self, scope):
            self.calls += 1
            return AccessToken(f"t{self.calls}", 1e12)

    provider = Provider()
    script = Script(error(401, "InvalidAuthenticationInfo"), good(202))
    transport = transport_to(script, credentials=Bearer(provider), endpoint=HOST_ENDPOINT)
    await File(transport, "s").delete_file("f")
    assert [request.headers["authorization"] for request in script.requests] == [
        "Bearer t1",
        "Bearer t2",
    ]
    assert script.requests[0].headers["x-ms-file-request-intent"] == "backup"
    script.answers = [error(401, "InvalidAuthenticationInfo")] * 2
    with pytest.raises(ServiceError):
        await File(transport, "s").delete_file("f")


@pytest.mark.parametrize("missing", ["etag", "last-modified"])
async def test_missing_headers(missing):
    answer = good()
    del answer.headers[missing]
    with pytest.raises(InvalidResponse, match=missing):
        await File(transport_to(Script(answer)), "s").create_file("f", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("last-modified", "yesterday"),
        ("x-ms-file-id", "x"),
        ("x-ms-file-attributes", "Wrong"),
        ("x-ms-file-change-time", "now"),
        ("x-ms-mode", "rwx"),
    ],
)
async def test_senseless_headers(name, value):
    answer = good()
    answer.headers[name] = value
    with pytest.raises(InvalidResponse, match=name.removeprefix("x-ms-file-")[:5]):
        await File(transport_to(Script(answer)), "s").create_file("f", 0)


async def test_error_page_of_a_proxy():
    page = httpx.Response(400, content=b"<html>Bad Request - Invalid URL</html>")
    with pytest.raises(ServiceError) as caught:
        await File(transport_to(Script(page), version="2022-11-02"), "s").delete_file("f")
    assert (caught.value.status, caught.value.code) == (400, "")


async def test_at_the_end_one_request_finds_out_for_all():
    script = Script(*[httpx.ConnectError("refused")] * 1000)
    transport = transport_to(script)
    transport.ending = True
    began = trio.current_time()
    for _ in range(100):
        with pytest.raises(ConnectionFailed):
            await File(transport, "s").create_file("f", 0)
    assert 100 < trio.current_time() - began <= 120
