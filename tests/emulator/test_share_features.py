"""Settings of shares that only some accounts and versions have; what is refused about them."""

import pytest

from tests.emulator.conftest import code, xml
from tests.emulator.signing import VERSION
from tests.emulator.test_versions import before

pytestmark = pytest.mark.anyio
SHARE = "restype=share"
PROPERTIES = f"{SHARE}&comp=properties"
IOPS = "x-ms-share-provisioned-iops"
LEASE = "x-ms-enable-smb-directory-lease"
#: Header, version that brought it, element of List Shares, and a value. In the listing's order.
FEATURES = [
    (IOPS, "2025-01-05", "ProvisionedIops", "3100"),
    ("x-ms-share-provisioned-bandwidth-mibps", "2025-01-05", "ProvisionedBandwidthMiBps", "110"),
    ("x-ms-enable-snapshot-virtual-directory-access", "2024-08-04",
     "EnableSnapshotVirtualDirectoryAccess", "true"),
    ("x-ms-share-paid-bursting-enabled", "2024-11-04", "PaidBurstingEnabled", "true"),
    ("x-ms-share-paid-bursting-max-iops", "2024-11-04", "PaidBurstingMaxIops", "9000"),
    ("x-ms-share-paid-bursting-max-bandwidth-mibps", "2024-11-04",
     "PaidBurstingMaxBandwidthMibps", "500"),
    (LEASE, "2026-02-06", "EnableSmbDirectoryLease", "false"),
]  # fmt: skip
ALL = {name: value for name, _, _, value in FEATURES}


async def listed(client, version=VERSION):
    """Return names and texts of the properties of the one share there is."""
    answer = await client("GET", "/", "comp=list", version=version)
    return [(p.tag, p.text) for p in xml(answer).find("Shares/Share/Properties")]


async def test_create_share_stores_features(client):
    await client.share("abc", **ALL)
    answer = await client("GET", "/abc", SHARE)
    assert {name: answer.headers.get(name) for name in ALL} == ALL
    properties = await listed(client)
    expected = [(tag, value) for _, _, tag, value in FEATURES]
    tags = [tag for tag, _ in properties]
    first = tags.index("ProvisionedIops")
    assert properties[first : first + len(expected)] == expected
    assert tags[first - 1] == "AccessTierChangeTime"
    assert tags[first + len(expected) :] == [
        "DefaultEncryptionScope",
        "DenyEncryptionScopeOverride",
    ]


async def test_set_share_properties_changes_what_it_names(client):
    await client.share("abc", **ALL)
    changes = {IOPS: "4000", LEASE: "True"}
    assert (await client("PUT", "/abc", PROPERTIES, changes)).status_code == 200
    answer = await client("GET", "/abc", SHARE)
    expected = {**ALL, IOPS: "4000", LEASE: "true"}
    assert {name: answer.headers.get(name) for name in ALL} == expected


@pytest.mark.parametrize(("name", "since", "tag", "value"), FEATURES)
async def test_versions_without_a_feature_neither_take_nor_show_it(client, name, since, tag, value):
    await client.share("abc")
    await client("PUT", "/abc", PROPERTIES, {name: value}, version=before(since))
    assert name not in (await client("GET", "/abc", SHARE)).headers
    await client("PUT", "/abc", PROPERTIES, {name: value}, version=since)
    for version, shown in ((since, value), (before(since), None)):
        answer = await client("GET", "/abc", SHARE, version=version)
        assert answer.headers.get(name) == shown
        assert dict(await listed(client, version)).get(tag) == shown


async def test_shares_without_features_name_none(client):
    await client.share("abc")
    answer = await client("GET", "/abc", SHARE)
    assert not set(ALL) & set(answer.headers)
    assert not {tag for _, _, tag, _ in FEATURES} & dict(await listed(client)).keys()


@pytest.mark.parametrize("name", ALL)
async def test_bad_features(client, name):
    await client.share("abc")
    wrong = ("yes", "1", "") if ALL[name] in ("true", "false") else ("0", "-1", "many", "1.5", "")
    for value in wrong:
        for path, query in (("/new", SHARE), ("/abc", PROPERTIES)):
            answer = await client("PUT", path, query, {name: value})
            assert code(answer) == (400, "InvalidHeaderValue"), (path, value)
            assert xml(answer).findtext("HeaderName") == name


async def test_root_squash_is_for_nfs(client):
    squash = {"x-ms-root-squash": "RootSquash"}
    await client.share("smb")
    for path, query in (("/new", SHARE), ("/smb", PROPERTIES)):
        answer = await client("PUT", path, query, squash)
        assert code(answer) == (400, "InvalidHeaderValue")
        assert xml(answer).findtext("HeaderName") == "x-ms-root-squash"
    await client.share("nfs", **{"x-ms-enabled-protocols": "NFS", **squash})
    changed = await client("PUT", "/nfs", PROPERTIES, {"x-ms-root-squash": "AllSquash"})
    assert changed.status_code == 200
    answer = await client("GET", "/nfs", SHARE)
    assert answer.headers["x-ms-root-squash"] == "AllSquash"
