"""Bearer tokens in development mode, user delegation keys, and signatures made with them."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from azure.storage.fileshare import (
    FileSasPermissions,
    ShareSasPermissions,
    UserDelegationKey,
    generate_file_sas,
    generate_share_sas,
)

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT, KEY

pytestmark = pytest.mark.anyio
CREATE = {"x-ms-type": "file", "x-ms-content-length": "5"}
KEY_QUERY = "restype=service&comp=userdelegationkey"
SOON = datetime.now(UTC) + timedelta(hours=1)


def jwt(**claims):
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*encoded, "signature"])


def bearer(token="opaque-token_1", intent="backup"):
    headers = {"Authorization": f"Bearer {token}"}
    return headers | ({"x-ms-file-request-intent": intent} if intent else {})


@pytest.fixture
def app():
    app = build(None, {ACCOUNT: KEY}, settings=Settings(accept_tokens=True))
    yield app
    app.service.store.close()


async def by_token(client, method, path, query="", headers=None, body=b"", **more):
    headers = (headers or {}) | more.pop("token", bearer())
    return await client(method, path, query, headers, body, sign=False, **more)


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b.c", jwt(exp=time.time() + 86_400), jwt(), "YQ=="],
    ids=["word", "three-parts", "valid-for-a-day", "without-end", "base64"],
)
async def test_any_well_formed_token_will_do(client, token):
    await client.share()
    answer = await by_token(client, "PUT", "/share/f", headers=CREATE, token=bearer(token))
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "token",
    ["", "two words", "ä", jwt(exp=time.time() - 60), jwt(nbf=time.time() + 86_400)],
    ids=["empty", "two-words", "not-ascii", "expired", "not-yet-valid"],
)
async def test_a_bad_or_expired_token_is_challenged(client, token):
    answer = await by_token(client, "GET", "/share/f", token=bearer(token))
    assert code(answer) == (401, "InvalidAuthenticationInfo")
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer authorization_uri=https://")
    assert challenge.endswith(" resource_id=https://storage.azure.com")


async def test_without_the_option_every_token_is_challenged(client, app):
    app.service.settings.accept_tokens = False
    answer = await by_token(client, "GET", "/share/f")
    assert code(answer) == (401, "InvalidAuthenticationInfo")
    assert "www-authenticate" in answer.headers


async def test_the_intent_is_demanded(client):
    await client.share()
    answer = await by_token(
        client, "PUT", "/share/f", headers=CREATE, token=bearer(intent=None), version="2021-12-02"
    )
    assert code(answer) == (400, "MissingRequiredHeader")
    assert xml(answer).findtext("HeaderName") == "x-ms-file-request-intent"
    answer = await by_token(client, "GET", "/", "comp=list", token=bearer(intent=None))
    assert code(answer) == (400, "MissingRequiredHeader")
    answer = await by_token(client, "GET", "/", "comp=list", token=bearer(intent="restore"))
    assert code(answer) == (400, "InvalidHeaderValue")
    assert xml(answer).findtext("HeaderValue") == "restore"


async def test_shares_take_tokens_from_2024_11_04(client):
    for method, path, query in (
        ("PUT", "/new", "restype=share"),
        ("GET", "/", "comp=list"),
        ("GET", "/", "restype=service&comp=properties"),
    ):
        old = await by_token(client, method, path, query, version="2024-08-04")
        assert code(old) == (409, "FileOAuthManagementApiRestrictedToSrp")
        assert "x-ms-version" not in old.headers
        answer = await by_token(client, method, path, query, version="2024-11-04")
        assert answer.status_code in (200, 201)


async def test_permissions_take_tokens_as_files_do(client):
    await client.share()
    body = json.dumps({"permission": "O:SYG:SYD:(A;;FA;;;SY)"}).encode()
    query = "restype=share&comp=filepermission"
    answer = await by_token(client, "PUT", "/share", query, body=body, version="2022-11-02")
    assert answer.status_code == 201


async def test_files_take_no_tokens_before_2021_12_02(client):
    answer = await by_token(client, "GET", "/share/f", version="2021-10-04")
    assert code(answer) == (403, "AuthenticationFailed")
    assert "Bearer is not supported" in answer.text


def key_info(start=None, expiry=None, tenant=None):
    now = datetime.now(UTC)
    start, expiry = start or now, expiry or now + timedelta(hours=1)
    inner = f"<Start>{start:%Y-%m-%dT%H:%M:%SZ}</Start><Expiry>{expiry:%Y-%m-%dT%H:%M:%SZ}</Expiry>"
    inner += f"<DelegatedUserTid>{tenant}</DelegatedUserTid>" if tenant else ""
    return f"<KeyInfo>{inner}</KeyInfo>".encode()


async def delegation_key(client, token=None, **info):
    """Return the key and the SDK's idea of it."""
    token = bearer(token or jwt(oid="an-oid", tid="a-tid"), intent=None)
    answer = await by_token(client, "POST", "/", KEY_QUERY, body=key_info(**info), token=token)
    assert answer.status_code == 200, answer.text
    key, root = UserDelegationKey(), xml(answer)
    assert root.tag == "UserDelegationKey"
    for attribute, tag in (
        ("signed_oid", "SignedOid"), ("signed_tid", "SignedTid"), ("signed_start", "SignedStart"),
        ("signed_expiry", "SignedExpiry"), ("signed_service", "SignedService"),
        ("signed_version", "SignedVersion"), ("value", "Value"),
        ("signed_delegated_user_tid", "SignedDelegatedUserTid"),
    ):  # fmt: skip
        setattr(key, attribute, root.findtext(tag))
    return key


async def test_a_user_delegation_key_says_whose_it_is(client):
    key = await delegation_key(client)
    assert (key.signed_oid, key.signed_tid) == ("an-oid", "a-tid")
    assert (key.signed_service, key.signed_version) == ("f", "2026-10-06")
    assert len(base64.b64decode(key.value)) == 32
    assert (await delegation_key(client, token="another")).signed_oid != "an-oid"


async def test_a_user_delegation_key_needs_a_token_a_version_and_a_short_life(client):
    answer = await client("POST", "/", KEY_QUERY, body=key_info())
    assert code(answer) == (403, "AuthenticationFailed")
    assert "Only authentication scheme Bearer is supported" in answer.text
    answer = await by_token(client, "POST", "/", KEY_QUERY, body=key_info(), version="2025-11-05")
    assert code(answer) == (400, "InvalidQueryParameterValue")
    now = datetime.now(UTC)
    for expiry in (now - timedelta(minutes=1), now + timedelta(days=8)):
        answer = await by_token(client, "POST", "/", KEY_QUERY, body=key_info(expiry=expiry))
        assert code(answer) == (400, "InvalidXmlNodeValue")
    answer = await by_token(client, "POST", "/", KEY_QUERY, body=b"<KeyInfo></KeyInfo>")
    assert code(answer) == (400, "InvalidXmlNodeValue")
    answer = await by_token(client, "POST", "/", KEY_QUERY, body=b"<Other/>")
    assert code(answer) == (400, "InvalidXmlDocument")
    tenant = key_info(tenant="t")
    old = await by_token(client, "POST", "/", KEY_QUERY, body=tenant, version="2026-02-06")
    assert code(old) == (400, "InvalidXmlDocument")


async def get(client, path, sas, headers=None, method="GET"):
    return await client.http.request(
        method, f"http://localhost/{ACCOUNT}{path}?{sas}", headers=headers or {}
    )


async def test_a_user_delegation_sas_reads_a_file(client):
    await client.share()
    await client.file("/share/f", 5, b"hello")
    key = await delegation_key(client)
    sas = generate_file_sas(
        ACCOUNT, "share", ["f"], None, permission=FileSasPermissions(read=True), expiry=SOON,
        user_delegation_key=key,
    )  # fmt: skip
    answer = await get(client, "/share/f", sas)
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert code(await get(client, "/share/f", sas, method="DELETE")) == (
        403, "AuthorizationPermissionMismatch")  # fmt: skip
    for field, value in (("skoid", "other"), ("ske", "2030-01-01T00%3A00%3A00Z")):
        pairs = [p if not p.startswith(field + "=") else f"{field}={value}" for p in sas.split("&")]
        changed = await get(client, "/share/f", "&".join(pairs))
        assert code(changed) == (403, "AuthenticationFailed")


async def test_a_user_delegation_sas_on_a_share(client):
    await client.share()
    key = await delegation_key(client)
    sas = generate_share_sas(
        ACCOUNT, "share", None, permission=ShareSasPermissions(read=True, list=True), expiry=SOON,
        user_delegation_key=key,
    )  # fmt: skip
    listed = await get(client, "/share", f"restype=directory&comp=list&{sas}")
    assert listed.status_code == 200
    assert code(await get(client, "/share", f"restype=share&{sas}")) == (
        403,
        "AuthorizationFailure",
    )
    old = sas.replace("sv=2026-10-06", "sv=2025-11-05")
    answer = await get(client, "/share", f"restype=directory&comp=list&{old}")
    assert code(answer) == (403, "AuthenticationFailed")
    assert "needs sv 2026-02-06" in answer.text


async def test_a_key_that_has_run_out_ends_its_signatures(client, monkeypatch):
    await client.share()
    await client.file("/share/f", 5, b"hello")
    soon = datetime.now(UTC) + timedelta(minutes=5)
    key = await delegation_key(client, expiry=soon)
    sas = generate_file_sas(
        ACCOUNT, "share", ["f"], None, permission=FileSasPermissions(read=True), expiry=SOON,
        user_delegation_key=key,
    )  # fmt: skip
    assert (await get(client, "/share/f", sas)).status_code == 200
    later = time.time_ns() + 600 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    answer = await get(client, "/share/f", sas)
    assert code(answer) == (403, "AuthenticationFailed")
    assert "Expiry" in answer.text


async def test_a_sas_for_one_user_needs_that_users_token(client):
    await client.share()
    await client.file("/share/f", 5, b"hello")
    key = await delegation_key(client)
    sas = generate_file_sas(
        ACCOUNT, "share", ["f"], None, permission=FileSasPermissions(read=True), expiry=SOON,
        user_delegation_key=key, user_delegation_oid="reader",
    )  # fmt: skip
    assert code(await get(client, "/share/f", sas)) == (403, "AuthenticationFailed")
    right = {"Authorization": f"Bearer {jwt(oid='reader')}"}
    assert (await get(client, "/share/f", sas, right)).status_code == 200
    wrong = {"Authorization": f"Bearer {jwt(oid='other')}"}
    assert code(await get(client, "/share/f", sas, wrong)) == (403, "AuthenticationFailed")


async def test_a_key_may_be_bound_to_a_tenant(client):
    await client.share()
    await client.file("/share/f", 5, b"hello")
    key = await delegation_key(client, tenant="theirs")
    assert key.signed_delegated_user_tid == "theirs"
    sas = generate_file_sas(
        ACCOUNT, "share", ["f"], None, permission=FileSasPermissions(read=True), expiry=SOON,
        user_delegation_key=key, user_delegation_oid="reader",
    )  # fmt: skip
    right = {"Authorization": f"Bearer {jwt(oid='reader', tid='theirs')}"}
    assert (await get(client, "/share/f", sas, right)).status_code == 200
    wrong = {"Authorization": f"Bearer {jwt(oid='reader', tid='ours')}"}
    assert code(await get(client, "/share/f", sas, wrong)) == (403, "AuthenticationFailed")


async def test_two_accounts_have_two_keys():
    keys = {"one": KEY, "two": base64.b64encode(b"another").decode()}
    app = build(None, keys, settings=Settings(accept_tokens=True))
    transport = httpx.ASGITransport(app=app)
    values = []
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        for account in keys:
            answer = await http.post(
                f"http://localhost/{account}/?{KEY_QUERY}", content=key_info(),
                headers={**bearer(jwt(oid="o", tid="t")), "x-ms-version": "2026-10-06"},
            )  # fmt: skip
            values.append(xml(answer).findtext("Value"))
    app.service.store.close()
    assert values[0] != values[1]
