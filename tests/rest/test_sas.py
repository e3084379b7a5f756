"""Signatures we make are those the official SDK makes, and the emulator takes them."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest
from azure.storage.fileshare import (
    UserDelegationKey as SdkKey,
)
from azure.storage.fileshare import (
    generate_account_sas,
    generate_file_sas,
    generate_share_sas,
)

from azfuse.emulator.setup import build
from azfuse.rest.account import Account
from azfuse.rest.auth import Sas, SharedKey
from azfuse.rest.directory import Directory
from azfuse.rest.errors import ServiceError
from azfuse.rest.file import File
from azfuse.rest.models import UserDelegationKey
from azfuse.rest.sas import (
    ResponseHeaders,
    SasTerms,
    make_account_sas,
    make_service_sas,
    make_user_delegation_sas,
)
from azfuse.rest.share import Share
from azfuse.rest.share_access import AccessPolicy
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, NEWEST_VERSION, parse_time
from tests.rest.fakes import ENDPOINT
from tests.rest.test_emulator import connect

KEY = SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY)
START, EXPIRY = parse_time("2026-01-02T03:04:05Z"), parse_time("2099-12-31T23:59:59Z")
START_TEXT, EXPIRY_TEXT = "2026-01-02T03:04:05Z", "2099-12-31T23:59:59Z"
PLAIN: dict[str, Any] = {"permissions": "r", "expiry": EXPIRY}
FULL: dict[str, Any] = {
    "permissions": "dwrc",
    "expiry": EXPIRY,
    "start": START,
    "ip": "10.0.0.1-10.0.0.9",
    "protocols": "https",
    "response_headers": ResponseHeaders(
        cache_control="no-cache",
        content_disposition='attachment; filename="ü &+"',
        content_encoding="gzip",
        content_language="de",
        content_type="text/plain",
    ),
}
SDK_FULL: dict[str, Any] = {
    "permission": "rcwd",
    "expiry": EXPIRY_TEXT,
    "start": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "ip": "10.0.0.1-10.0.0.9",
    "protocol": "https",
    "cache_control": "no-cache",
    "content_disposition": 'attachment; filename="ü &+"',
    "content_encoding": "gzip",
    "content_language": "de",
    "content_type": "text/plain",
}
SDK_ARGUMENTS: dict[str, Any] = {
    "account_name": DEVELOPMENT_ACCOUNT,
    "account_key": DEVELOPMENT_KEY,
}


def newest(**terms: Any) -> SasTerms:
    return SasTerms(version=NEWEST_VERSION, **terms)


def fields(token: str) -> dict[str, str]:
    return dict(parse_qsl(token, strict_parsing=True))


@pytest.mark.parametrize(
    ("terms", "arguments"),
    [
        (PLAIN, {"permission": "r", "expiry": EXPIRY_TEXT}),
        (FULL, SDK_FULL),
        ({"policy_id": "a policy"}, {"policy_id": "a policy"}),
    ],
)
def test_service_sas_as_the_sdk_makes_it(terms, arguments):
    ours = make_service_sas(KEY, "shr", terms=newest(**terms))
    theirs = generate_share_sas(share_name="shr", **SDK_ARGUMENTS, **arguments)
    assert fields(ours) == fields(theirs)
    ours = make_service_sas(KEY, "shr", "d/a b é%", terms=newest(**terms))
    theirs = generate_file_sas(
        share_name="shr", file_path=["d", "a b é%"], **SDK_ARGUMENTS, **arguments
    )
    assert fields(ours) == fields(theirs)


def test_account_sas_as_the_sdk_makes_it():
    full = {name: value for name, value in FULL.items() if name != "response_headers"}
    ours = make_account_sas(KEY, "ocs", terms=newest(**{**full, "permissions": "lcrwd"}))
    theirs = generate_account_sas(
        resource_types="sco",
        permission="rwdlc",
        expiry=EXPIRY_TEXT,
        start=START_TEXT,
        ip="10.0.0.1-10.0.0.9",
        protocol="https",
        services="f",
        **SDK_ARGUMENTS,
    )
    assert fields(ours) == fields(theirs)


@pytest.mark.parametrize("tenant", [None, "other tenant"])
@pytest.mark.parametrize("oid", ["", "an oid"])
def test_user_delegation_sas_as_the_sdk_makes_it(tenant, oid):
    key = UserDelegationKey(
        signed_oid="oid",
        signed_tid="tid",
        signed_start=START_TEXT,
        signed_expiry=EXPIRY_TEXT,
        signed_service="f",
        signed_version="2026-02-06",
        value=base64.b64encode(b"secret").decode(),
        signed_delegated_user_tid=tenant,
    )
    sdk_key = SdkKey()
    for name in (
        "signed_oid", "signed_tid", "signed_start", "signed_expiry", "signed_service",
        "signed_version", "signed_delegated_user_tid", "value",
    ):  # fmt: skip
        setattr(sdk_key, name, getattr(key, name))
    ours = make_user_delegation_sas(
        "acct", key, "shr", "d/f", terms=newest(**FULL), delegated_user_oid=oid
    )
    theirs = generate_file_sas(
        account_name="acct",
        share_name="shr",
        file_path=["d", "f"],
        user_delegation_key=sdk_key,
        user_delegation_oid=oid,
        **SDK_FULL,
    )
    assert fields(ours) == fields(theirs)
    old = make_user_delegation_sas("acct", key, "shr", terms=SasTerms(**PLAIN))
    assert fields(old)["sv"] == "2026-02-06"


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(permissions="x", expiry=EXPIRY)),
        lambda: make_service_sas(KEY, "shr", "f", terms=SasTerms(permissions="l", expiry=EXPIRY)),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(permissions="r")),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(expiry=EXPIRY)),
        lambda: make_service_sas(KEY, "", terms=SasTerms(**PLAIN)),
        lambda: make_service_sas(KEY, "shr", "a//b", terms=SasTerms(**PLAIN)),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(policy_id="x" * 65)),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(**PLAIN, start=EXPIRY)),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(**PLAIN, version="2014-02-14")),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(**PLAIN, version="2015-02-22")),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(**PLAIN, ip="10.0.0.9-10.0.0.1")),
        lambda: make_service_sas(KEY, "shr", terms=SasTerms(**PLAIN, ip="host")),
        lambda: make_service_sas(
            KEY, "shr", terms=SasTerms(**PLAIN, ip="10.0.0.1", version="2015-02-21")
        ),
        lambda: make_account_sas(KEY, "", terms=SasTerms(**PLAIN)),
        lambda: make_account_sas(KEY, "x", terms=SasTerms(**PLAIN)),
        lambda: make_account_sas(KEY, "o", terms=SasTerms(policy_id="p")),
        lambda: make_account_sas(KEY, "o", terms=SasTerms(**PLAIN, version="2015-02-21")),
    ],
)
def test_impossible_terms(make: Callable[[], str]):
    with pytest.raises(ValueError) as caught:
        make()
    assert DEVELOPMENT_KEY not in str(caught.value)


@pytest.fixture
def emulator():
    return build(None, {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY}, shares=["shr"])


def connect_with(emulator: Any, token: str) -> Transport:
    return Transport(ENDPOINT, Sas(token), http_transport=httpx.ASGITransport(emulator))


VERSIONS = ("2015-02-21", "2015-04-05", "2018-03-28", "2020-12-06", "2022-11-02", NEWEST_VERSION)


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_emulator_takes_a_service_sas(emulator, version):
    terms = SasTerms(permissions="rcwdl", expiry=EXPIRY, version=version)
    async with connect_with(emulator, make_service_sas(KEY, "shr", terms=terms)) as transport:
        await Directory(transport, "shr").create_directory("d é")
        await File(transport, "shr").create_file("d é/f", 3)
        page = await Directory(transport, "shr").list_directories_and_files("d é")
        assert [entry.name for entry in page.entries] == ["f"]
        with pytest.raises(ServiceError, match="AuthorizationFailure"):
            await Share(transport, "shr").get_share_properties()
    terms = SasTerms(permissions="r", expiry=EXPIRY, version=version)
    token = make_service_sas(KEY, "shr", "d é/f", terms=terms)
    async with connect_with(emulator, token) as transport:
        file = File(transport, "shr")
        assert (await file.get_file_properties("d é/f")).size == 3
        with pytest.raises(ServiceError, match="AuthorizationPermissionMismatch"):
            await file.delete_file("d é/f")


@pytest.mark.anyio
@pytest.mark.parametrize("version", [version for version in VERSIONS if version > "2015-02-21"])
async def test_the_emulator_takes_an_account_sas(emulator, version):
    terms = SasTerms(permissions="rl", expiry=EXPIRY, version=version)
    async with connect_with(emulator, make_account_sas(KEY, "sc", terms=terms)) as transport:
        assert [item.name for item in (await Account(transport).list_shares()).shares] == ["shr"]
        assert (await Share(transport, "shr").get_share_properties()).quota
        with pytest.raises(ServiceError, match="AuthorizationResourceTypeMismatch"):
            await File(transport, "shr").get_file_properties("f")


@pytest.mark.anyio
async def test_the_emulator_honours_stored_policies(emulator):
    token = make_service_sas(KEY, "shr", terms=SasTerms(policy_id="p"))
    async with connect(emulator) as transport:
        policy = AccessPolicy("p", expiry=EXPIRY, permissions="l")
        await Share(transport, "shr").set_share_acl([policy])
        async with connect_with(emulator, token) as reader:
            await Directory(reader, "shr").list_directories_and_files("")
            with pytest.raises(ServiceError, match="AuthorizationPermissionMismatch"):
                await File(reader, "shr").create_file("f", 0)
            await Share(transport, "shr").set_share_acl([])
            with pytest.raises(ServiceError, match="AuthenticationFailed"):
                await Directory(reader, "shr").list_directories_and_files("")


def test_nothing_is_said_twice():
    token = make_service_sas(KEY, "shr", terms=newest(**FULL))
    assert all(len(values) == 1 for values in parse_qs(token).values())
