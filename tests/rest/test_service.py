"""Properties, policies, handles and delegation keys: what is sent, and what the emulator says."""

from dataclasses import replace

import httpx
import pytest

from azfuse.emulator.setup import build
from azfuse.rest.account import Account
from azfuse.rest.directory import Directory
from azfuse.rest.errors import InvalidResponse, ServiceError, UnsupportedByVersion
from azfuse.rest.file import File
from azfuse.rest.handles import Handle
from azfuse.rest.models import ShareFeatures, ShareLimits
from azfuse.rest.service_properties import CorsRule, Metrics, ServiceProperties
from azfuse.rest.share import Share
from azfuse.rest.share_access import AccessPolicy
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, parse_time
from tests.rest.fakes import HOST_ENDPOINT, Script, error, good, transport_to
from tests.rest.test_emulator import connect
from tests.rest.test_operations import sent

pytestmark = pytest.mark.anyio

TIME = parse_time("2026-11-20T10:00:00Z")
POLICIES = [
    AccessPolicy("readers", start=TIME, expiry=TIME + 10**15, permissions="rl"),
    AccessPolicy("ends", expiry=TIME),
    AccessPolicy("empty & <odd>"),
]
RULE = CorsRule(
    allowed_origins=["https://a.example", "https://b.example"],
    allowed_methods=["GET", "PUT"],
    allowed_headers=["x-ms-meta-data", "x-ms-meta-target*"],
    exposed_headers=["*"],
    max_age=200,
)
PROPERTIES = ServiceProperties(
    hour_metrics=Metrics(enabled=True, include_apis=True, retention_days=7),
    minute_metrics=Metrics(enabled=False),
    cors=[RULE],
    smb_multichannel=True,
    smb_encryption_in_transit=True,
    nfs_encryption_in_transit=False,
)


@pytest.fixture
def emulator():
    return build(None, {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY}, shares=["shr"])


@pytest.fixture
def script():
    return Script(last=good(200))


async def test_service_properties_are_kept(emulator):
    async with connect(emulator) as transport:
        account = Account(transport)
        await account.set_file_service_properties(PROPERTIES)
        assert await account.get_file_service_properties() == PROPERTIES
        await account.set_file_service_properties(ServiceProperties(cors=[]))
        assert await account.get_file_service_properties() == replace(PROPERTIES, cors=[])
        many = ServiceProperties(cors=[RULE] * 6)
        with pytest.raises(ServiceError, match="InvalidXmlDocument"):
            await account.set_file_service_properties(many)


async def test_old_versions_have_fewer_properties(emulator):
    for version, missing in (
        ("2015-02-21", ServiceProperties(hour_metrics=Metrics(enabled=False))),
        ("2019-12-12", ServiceProperties(smb_multichannel=True)),
        ("2025-11-05", ServiceProperties(nfs_encryption_in_transit=True)),
    ):
        async with connect(emulator, version) as transport:
            with pytest.raises(UnsupportedByVersion):
                await Account(transport).set_file_service_properties(missing)
    async with connect(emulator, "2015-02-21") as transport:
        account = Account(transport)
        await account.set_file_service_properties(ServiceProperties(cors=[RULE]))
        assert await account.get_file_service_properties() == ServiceProperties(cors=[RULE])


async def test_what_no_service_takes_is_not_sent(script):
    account, share = Account(transport_to(script)), Share(transport_to(script), "abc")
    for properties in (
        ServiceProperties(hour_metrics=Metrics(enabled=True, retention_days=0)),
        ServiceProperties(cors=[CorsRule([], ["GET"])]),
        ServiceProperties(cors=[CorsRule(["\x01"], ["GET"])]),
    ):
        with pytest.raises(ValueError):
            await account.set_file_service_properties(properties)
    for policies in (
        [AccessPolicy("")],
        [AccessPolicy("x" * 65)],
        [AccessPolicy(str(number)) for number in range(6)],
        [AccessPolicy("same"), AccessPolicy("same", expiry=1)],
    ):
        with pytest.raises(ValueError):
            await share.set_share_acl(policies)
    with pytest.raises(ValueError):
        await File(share.transport, "abc").force_close_handles("f", "handle")
    with pytest.raises(ValueError):
        await File(share.transport, "abc").list_handles("f", max_results=0)
    assert script.requests == []


async def test_policies_are_kept(emulator):
    async with connect(emulator) as transport:
        share = Share(transport, "shr")
        before = await share.get_share_acl()
        assert list(before.policies) == []
        written = await share.set_share_acl(POLICIES)
        after = await share.get_share_acl()
        assert list(after.policies) == POLICIES
        assert after.etag == written.etag != before.etag
        await share.set_share_acl([])
        assert list((await share.get_share_acl()).policies) == []
        with pytest.raises(ServiceError, match="LeaseNotPresentWithContainerOperation"):
            await share.get_share_acl(lease_id="11111111-2222-3333-4444-555555555555")


async def test_metadata_alone(emulator):
    async with connect(emulator) as transport:
        share, directory = Share(transport, "shr"), Directory(transport, "shr")
        await share.set_share_metadata({"foo": "1"})
        snapshot = await share.snapshot_share()
        await share.set_share_metadata({})
        assert await share.get_share_metadata() == {}
        assert await share.get_share_metadata(snapshot=snapshot) == {"foo": "1"}
        await directory.create_directory("d", metadata={"bar": "2"})
        assert await directory.get_directory_metadata("d") == {"bar": "2"}
        await File(transport, "shr").create_file("f", 0, metadata={"baz": "3"})
        assert await File(transport, "shr").get_file_metadata("f") == {"baz": "3"}


async def test_nobody_has_handles_on_an_emulated_share(emulator):
    async with connect(emulator) as transport:
        directory = Directory(transport, "shr")
        await directory.create_directory("d")
        page = await directory.list_handles("d", recursive=True, max_results=5)
        assert (list(page.handles), page.next_marker) == ([], None)
        closed = await directory.force_close_handles("", recursive=True)
        assert (closed.closed, closed.failed, closed.next_marker) == (0, 0, None)
        with pytest.raises(ServiceError, match="ResourceNotFound"):
            await File(transport, "shr").list_handles("missing")


HANDLES = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Entries><Handle>'
    "<HandleId>81190846710</HandleId>"
    '<Path Encoded="true">d/f%EF%BF%BF</Path>'
    "<FileId>13835128424026341376</FileId><ParentId>0</ParentId><SessionId>9</SessionId>"
    "<AccessRightList><AccessRight>Read</AccessRight><AccessRight>Write</AccessRight>"
    "</AccessRightList><ClientIp>10.0.0.4:445</ClientIp><ClientName>vm1</ClientName>"
    "<OpenTime>Fri, 24 Mar 2023 22:22:03 GMT</OpenTime></Handle></Entries>"
    "<NextMarker>more</NextMarker></EnumerationResults>"
).encode()


async def test_handles(script):
    transport = transport_to(script, endpoint=HOST_ENDPOINT)
    script.last = httpx.Response(200, content=HANDLES)
    page = await Directory(transport, "s").list_handles("d", recursive=True, marker="m")
    assert sent(script)[1:] == (
        "/s/d",
        {"comp": "listhandles", "marker": "m"},
        {"x-ms-recursive": "true"},
    )
    assert page.next_marker == "more"
    assert list(page.handles) == [
        Handle(
            handle_id="81190846710",
            path="d/f\uffff",
            file_id=13835128424026341376,
            parent_id=0,
            session_id="9",
            client_ip="10.0.0.4:445",
            client_name="vm1",
            open_time=parse_time("2023-03-24T22:22:03Z"),
            last_reconnect_time=None,
            access_rights=["Read", "Write"],
        )
    ]
    script.last = httpx.Response(
        200,
        headers={
            "x-ms-number-of-handles-closed": "2",
            "x-ms-number-of-handles-failed": "1",
            "x-ms-marker": "more",
        },
    )
    closed = await File(transport, "s").force_close_handles("f", "81190846710")
    assert sent(script) == (
        "PUT",
        "/s/f",
        {"comp": "forceclosehandles"},
        {"x-ms-handle-id": "81190846710"},
    )
    assert (closed.closed, closed.failed, closed.next_marker) == (2, 1, "more")


async def test_share_settings(script):
    share = Share(transport_to(script, endpoint=HOST_ENDPOINT), "abc")
    features = ShareFeatures(
        provisioned_iops=3000,
        provisioned_bandwidth_mibps=100,
        paid_bursting=True,
        paid_bursting_max_iops=5000,
        paid_bursting_max_bandwidth_mibps=200,
        snapshot_directory=False,
        smb_directory_lease=True,
    )
    headers = {
        "x-ms-share-provisioned-iops": "3000",
        "x-ms-share-provisioned-bandwidth-mibps": "100",
        "x-ms-share-paid-bursting-enabled": "true",
        "x-ms-share-paid-bursting-max-iops": "5000",
        "x-ms-share-paid-bursting-max-bandwidth-mibps": "200",
        "x-ms-enable-snapshot-virtual-directory-access": "false",
        "x-ms-enable-smb-directory-lease": "true",
    }
    await share.create_share(features=features)
    assert sent(script)[3] == headers
    await share.set_share_properties(access_tier="Hot", features=features, lease_id="l")
    assert sent(script)[3] == {**headers, "x-ms-access-tier": "Hot", "x-ms-lease-id": "l"}
    limits = {
        "x-ms-share-included-burst-iops": "4000",
        "x-ms-share-next-allowed-quota-downgrade-time": "Wed, 28 Sep 2022 21:46:27 GMT",
        "x-ms-access-tier-change-time": "6/26/2020 1:35:44 AM",
        "x-ms-access-tier-transition-state": "pending-from-hot",
    }
    answered = headers | limits
    script.last = good(200, b"", **{name.replace("-", "_"): v for name, v in answered.items()})
    properties = await share.get_share_properties(lease_id="l")
    assert properties.features == features
    assert properties.limits == ShareLimits(
        included_burst_iops=4000,
        next_quota_downgrade=parse_time("2022-09-28T21:46:27Z"),
        access_tier_transition="pending-from-hot",
    )
    assert properties.raw.keys().isdisjoint(answered)
    old = Share(transport_to(script, version="2024-08-04"), "abc")
    with pytest.raises(UnsupportedByVersion):
        await old.create_share(features=ShareFeatures(paid_bursting=True))


KEY = (
    "\ufeff<UserDelegationKey><SignedOid>oid</SignedOid><SignedTid>tid</SignedTid>"
    "<SignedStart>2026-11-20T10:00:00Z</SignedStart>"
    "<SignedExpiry>2026-11-21T10:00:00Z</SignedExpiry><SignedService>f</SignedService>"
    "<SignedVersion>2026-02-06</SignedVersion><Value>c2VjcmV0</Value></UserDelegationKey>"
).encode()


async def test_user_delegation_key(script):
    script.last = httpx.Response(200, content=KEY)
    account = Account(transport_to(script, endpoint=HOST_ENDPOINT))
    key = await account.get_user_delegation_key(TIME + 86400 * 10**9, start=TIME)
    assert sent(script)[:3] == (
        "POST",
        "/",
        {"restype": "service", "comp": "userdelegationkey"},
    )
    assert script.bodies[-1].endswith(
        b"<KeyInfo><Start>2026-11-20T10:00:00Z</Start>"
        b"<Expiry>2026-11-21T10:00:00Z</Expiry></KeyInfo>"
    )
    assert (key.signed_oid, key.signed_tid, key.value) == ("oid", "tid", "c2VjcmV0")
    assert "c2VjcmV0" not in repr(key)
    await account.get_user_delegation_key(TIME, delegated_user_tid="other")
    assert b"<DelegatedUserTid>other</DelegatedUserTid>" in script.bodies[-1]
    script.last = httpx.Response(200, content=KEY.replace(b"c2VjcmV0", b""))
    with pytest.raises(InvalidResponse):
        await account.get_user_delegation_key(TIME)
    old = transport_to(script, version="2025-11-05")
    with pytest.raises(UnsupportedByVersion):
        await Account(old).get_user_delegation_key(TIME)


async def test_preflight_shows_no_credentials(script):
    script.last = httpx.Response(
        200,
        headers={
            "access-control-allow-origin": "https://a.example",
            "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "x-ms-meta-data",
            "access-control-max-age": "200",
            "access-control-allow-credentials": "true",
        },
    )
    transport = transport_to(script, endpoint=HOST_ENDPOINT)
    answer = await Account(transport).preflight_file_request(
        "https://a.example", "PUT", headers=["x-ms-meta-data"], share="abc", path="d/f"
    )
    assert sent(script)[:2] == ("OPTIONS", "/abc/d/f")
    assert "authorization" not in script.requests[-1].headers
    assert script.requests[-1].headers["access-control-request-method"] == "PUT"
    assert (answer.allowed_origin, answer.max_age) == ("https://a.example", 200)
    assert (list(answer.allowed_methods), answer.allow_credentials) == (["GET", "PUT"], True)
    script.last = error(403, "CorsPreflightFailure")
    with pytest.raises(ServiceError, match="CorsPreflightFailure"):
        await Account(transport).preflight_file_request("https://b.example", "PUT")
