"""Bearer tokens: renewed in time, one renewal at a time, and good to their end."""

import logging

import httpx
import pytest
import trio
import trio.testing

from azfuse.mount.credentials import Login
from azfuse.mount.explain import explain_connection
from azfuse.rest.auth import AccessToken, Bearer, Signable, TokenUnavailable
from azfuse.rest.errors import ConnectionFailed
from azfuse.rest.file import File
from azfuse.rest.retry import RetryPolicy
from tests.rest.fakes import HOST_ENDPOINT, Script, error, good, transport_to

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """Gives tokens of an hour; waits where *gate* is set, fails where *broken*."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls = 0
        self.broken = False
        self.gate: trio.Event | None = None
        self.lifetime = 3600

    async def get_token(self, scope: str) -> AccessToken:
        assert scope == "https://storage.azure.com/.default"
        self.calls += 1
        number = self.calls
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise TokenUnavailable("out of order", lasting=False)
        return AccessToken(f"t{number}", self.clock.now + self.lifetime)


async def token_of(bearer: Bearer) -> str:
    request = Signable("GET", "/", [], {})
    await bearer.authorize(request)
    return request.headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(clock: Clock) -> Provider:
    return Provider(clock)


@pytest.fixture
def bearer(provider: Provider, clock: Clock) -> Bearer:
    return Bearer(provider, now=clock)


async def test_renewed_before_its_end(bearer, clock, provider):
    assert await token_of(bearer) == "t1"
    clock.now += 3600 - 301
    assert await token_of(bearer) == "t1"
    clock.now += 2
    assert await token_of(bearer) == "t2"
    assert provider.calls == 2


async def test_many_requests_fetch_one_token(bearer, provider):
    provider.gate = trio.Event()
    tokens: list[str] = []

    async def ask() -> None:
        tokens.append(await token_of(bearer))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        provider.gate.set()
    assert tokens == ["t1"] * 20
    assert provider.calls == 1


async def test_who_has_a_good_token_waits_for_no_renewal(bearer, clock, provider):
    await token_of(bearer)
    clock.now += 3400
    provider.gate = trio.Event()
    renewed: list[str] = []

    async def renew() -> None:
        renewed.append(await token_of(bearer))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(renew)
        await trio.testing.wait_all_tasks_blocked()
        assert await token_of(bearer) == "t1"
        assert provider.calls == 2
        provider.gate.set()
    assert renewed == ["t2"]
    assert await token_of(bearer) == "t2"


async def test_a_failed_renewal_does_no_harm_until_the_end(bearer, clock, provider, caplog):
    await token_of(bearer)
    clock.now += 3400
    provider.broken = True
    with caplog.at_level(logging.WARNING):
        assert await token_of(bearer) == "t1"
        assert await token_of(bearer) == "t1"
    assert provider.calls == 2  # not with every request
    assert "ends in 200 s" in caplog.text
    assert "t1" not in caplog.text.replace("test", "")
    clock.now += 31
    assert await token_of(bearer) == "t1"
    assert provider.calls == 3
    clock.now += 200
    with pytest.raises(TokenUnavailable):
        await token_of(bearer)
    provider.broken = False
    assert await token_of(bearer) == "t5"


async def test_short_tokens_are_not_fetched_all_the_time(bearer, clock, provider):
    provider.lifetime = 200
    for _ in range(5):
        await token_of(bearer)
    assert provider.calls == 1
    clock.now += 31
    await token_of(bearer)
    assert provider.calls == 2


async def test_a_storm_of_refusals_costs_one_renewal(bearer, provider):
    refusals = [error(401, "InvalidAuthenticationInfo")]

    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        return refusals[0] if request.headers["authorization"] == "Bearer t1" else good(202)

    transport = transport_to(answer, credentials=bearer, endpoint=HOST_ENDPOINT)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(File(transport, "s").delete_file, "f")
    assert provider.calls == 2


async def test_requests_wait_for_an_identity_that_is_away(bearer, provider):
    provider.broken = True
    transport = transport_to(
        Script(last=good(202)), credentials=bearer, endpoint=HOST_ENDPOINT,
        retry=RetryPolicy(timeout=60),
    )  # fmt: skip

    async def mend() -> None:
        await trio.sleep(20)
        provider.broken = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mend)
        await File(transport, "s").delete_file("f")
    provider.broken, bearer._token = True, None
    with pytest.raises(ConnectionFailed) as caught:
        await File(transport, "s").delete_file("f")
    sentence = explain_connection(caught.value, Login(HOST_ENDPOINT, bearer, "a test"), "acct")
    assert sentence == "no access token for account acct: out of order"
