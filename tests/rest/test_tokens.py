"""Bearer tokens, user delegation and preflight against the emulator."""

import time

import httpx
import pytest

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from azfuse.rest.account import Account
from azfuse.rest.auth import AccessToken, Bearer, Credentials, Sas
from azfuse.rest.directory import Directory
from azfuse.rest.errors import ServiceError
from azfuse.rest.file import File
from azfuse.rest.sas import SasTerms, make_user_delegation_sas
from azfuse.rest.service_properties import CorsRule, ServiceProperties
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.rest.fakes import ENDPOINT
from tests.rest.test_emulator import connect

pytestmark = pytest.mark.anyio

HOUR = 3600 * 1_000_000_000


class Tokens:
    async def get_token(self, scope: str) -> AccessToken:
        return AccessToken("token-of-somebody", time.time() + 3600)


@pytest.fixture
def emulator():
    return build(
        None,
        {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY},
        shares=["shr"],
        settings=Settings(accept_tokens=True, soft_delete_days=7),
    )


def connect_as(emulator, credentials: Credentials, version: str | None = None) -> Transport:
    return Transport(
        ENDPOINT, credentials, http_transport=httpx.ASGITransport(emulator), version=version
    )


async def test_a_token_opens_everything(emulator):
    async with connect_as(emulator, Bearer(Tokens())) as transport:
        await Directory(transport, "shr").create_directory("d")
        await File(transport, "shr").create_file("d/f", 3)
        assert (await Share(transport, "shr").get_share_properties()).quota
        assert (await Account(transport).list_shares()).shares
    async with connect_as(emulator, Bearer(Tokens()), "2024-08-04") as transport:
        with pytest.raises(ServiceError, match="FileOAuthManagementApiRestrictedToSrp"):
            await Share(transport, "shr").get_share_properties()


@pytest.mark.parametrize("version", ["2026-02-06", "2026-04-06", "2026-10-06"])
@pytest.mark.parametrize("path", ["", "d é/f"])
async def test_user_delegation(emulator, version, path):
    now = time.time_ns()
    async with connect_as(emulator, Bearer(Tokens()), version) as transport:
        await Directory(transport, "shr").create_directory("d é")
        await File(transport, "shr").create_file("d é/f", 3)
        key = await Account(transport).get_user_delegation_key(now + HOUR, start=now - HOUR)
        terms = SasTerms(permissions="r", expiry=now + HOUR, version=version)
        token = make_user_delegation_sas(DEVELOPMENT_ACCOUNT, key, "shr", path, terms=terms)
    async with connect_as(emulator, Sas(token), version) as transport:
        assert (await File(transport, "shr").get_file_properties("d é/f")).size == 3
        with pytest.raises(ServiceError, match="AuthorizationPermissionMismatch"):
            await File(transport, "shr").delete_file("d é/f")


async def test_a_delegation_key_is_not_given_to_a_key(emulator):
    async with connect(emulator) as transport:
        with pytest.raises(ServiceError) as caught:
            await Account(transport).get_user_delegation_key(time.time_ns() + HOUR)
    assert caught.value.status in (401, 403)


async def test_preflight(emulator):
    rule = CorsRule(["https://a.example"], ["GET", "PUT"], ["x-ms-meta-*"], ["*"], 60)
    async with connect(emulator) as transport:
        account = Account(transport)
        with pytest.raises(ServiceError) as caught:
            await account.preflight_file_request("https://a.example", "GET", share="shr", path="f")
        assert caught.value.status == 403
        await account.set_file_service_properties(ServiceProperties(cors=[rule]))
        answer = await account.preflight_file_request(
            "https://a.example", "PUT", headers=["x-ms-meta-a"], share="shr", path="f"
        )
        assert (answer.allowed_origin, answer.max_age) == ("https://a.example", 60)
        assert "PUT" in answer.allowed_methods
        assert list(answer.allowed_headers) == ["x-ms-meta-a"]
        for origin, method in (("https://b.example", "GET"), ("https://a.example", "DELETE")):
            with pytest.raises(ServiceError) as caught:
                await account.preflight_file_request(origin, method)
            assert caught.value.status == 403


async def test_a_deleted_share_comes_back(emulator):
    async with connect(emulator) as transport:
        share = Share(transport, "shr")
        await share.set_share_metadata({"a": "b"})
        await File(transport, "shr").create_file("f", 3)
        await share.delete_share()
        page = await Account(transport).list_shares(include=["deleted"])
        (item,) = page.shares
        assert (item.name, item.deleted) == ("shr", True)
        assert item.version is not None
        await share.restore_share(item.version)
        assert (await File(transport, "shr").get_file_properties("f")).size == 3
        assert await share.get_share_metadata() == {"a": "b"}
