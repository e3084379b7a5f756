"""Tokens of azure-identity: fetched in threads that hold up nobody."""

import threading
import time

import pytest

from azfuse.mount import identity
from azfuse.mount.identity import Identity
from azfuse.rest.auth import TokenUnavailable

pytestmark = pytest.mark.anyio


class Token:
    def __init__(self, token: str) -> None:
        self.token = token
        self.expires_on = int(time.time()) + 3600


class Credential:
    """What azure-identity has: it blocks."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.threads: list[int] = []
        self.gate: threading.Event | None = None

    def get_token(self, *scopes: str, **_: object) -> Token:
        assert scopes == ("scope",)
        self.threads.append(threading.get_ident())
        if self.gate is not None:
            self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        return Token("secret")


def identity_of(credential: Credential) -> Identity:
    return Identity(lambda: credential)  # type: ignore[arg-type, return-value]


async def test_tokens_are_fetched_in_a_thread():
    credential = Credential()
    token = await identity_of(credential).get_token("scope")
    assert (token.token, token.expires_on > time.time()) == ("secret", True)
    assert threading.get_ident() not in credential.threads
    assert "secret" not in repr(token)


async def test_one_thread_at_a_time_and_none_that_holds_the_loop(monkeypatch):
    monkeypatch.setattr(identity, "_TOKEN_TIMEOUT", 0.05)
    credential = Credential()
    credential.gate = threading.Event()
    provider = identity_of(credential)
    for _ in range(2):
        with pytest.raises(TokenUnavailable, match="gave none") as caught:
            await provider.get_token("scope")
        assert not caught.value.lasting
    assert len(credential.threads) == 1
    credential.gate.set()
    monkeypatch.setattr(identity, "_TOKEN_TIMEOUT", 30)
    assert (await provider.get_token("scope")).token == "secret"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (RuntimeError("First line.\nmore"), "First line"),
        (OSError(), "OSError"),
    ],
)
async def test_failures_are_told_in_one_line(failure, reason):
    provider = identity_of(credential := Credential(failure))
    with pytest.raises(TokenUnavailable) as caught:
        await provider.get_token("scope")
    assert (str(caught.value), caught.value.lasting) == (reason, True)
    credential.failure = None
    await provider.get_token("scope")
    credential.failure = failure
    with pytest.raises(TokenUnavailable) as caught:
        await provider.get_token("scope")
    assert not caught.value.lasting


async def test_the_default_chain_without_any_source(monkeypatch):
    pytest.importorskip("azure.identity")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TokenUnavailable) as caught:
        await identity.find_identity().get_token("https://storage.azure.com/.default")
    assert caught.value.lasting
    assert "\n" not in str(caught.value)
