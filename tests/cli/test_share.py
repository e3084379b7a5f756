"""`azfuse share`, word by word, against the emulator."""

import socket
import subprocess
import sys
import uuid

import httpx
import pytest

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY


@pytest.fixture
def name(endpoint, azfuse):
    """A share of the test's own, gone afterwards."""
    name = f"t{uuid.uuid4().hex[:10]}"
    assert azfuse("share", "create", f"{endpoint}/{name}", "--quota", "9").status == 0
    yield f"{endpoint}/{name}"
    azfuse("share", "delete", f"{endpoint}/{name}", "--delete-snapshots", "include-leased")


def test_one_sentence_where_nobody_listens():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # but does not listen
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/devstoreaccount1"
        # In a process of its own: here pytest takes what is logged.
        done = subprocess.run(
            [sys.executable, "-m", "azfuse", "share", "list", url],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "nothing listens there" in line


def test_output_that_nobody_takes(endpoint):
    with open("/dev/full", "w") as full:  # noqa: PTH123 # a device
        done = subprocess.run(
            [sys.executable, "-m", "azfuse", "share", "list", endpoint],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "azfuse: the output cannot be written: No space left on device\n"


def short(name: str) -> str:
    return name.rpartition("/")[2]


def test_create_and_show(good, endpoint):
    url = f"{endpoint}/{uuid.uuid4().hex[:12]}"
    words = ["--quota", "12", "--metadata", "owner=ada", "--metadata", "x=a=b"]
    assert good("share", "create", url, *words).out == ""
    shown = good("share", "show", url, "--json").json
    assert shown["name"] == short(url)
    assert (shown["quota"], shown["lease"], shown["protocols"]) == (12, "available", ["SMB"])
    assert shown["metadata"] == {"owner": "ada", "x": "a=b"}
    assert "owner=ada" in good("share", "show", url).out
    good("share", "delete", url)


def test_create_nfs(good, endpoint):
    url = f"{endpoint}/{uuid.uuid4().hex[:12]}"
    good("share", "create", url, "--protocol", "NFS", "--root-squash", "AllSquash")
    shown = good("share", "show", url, "--json").json
    assert (shown["protocols"], shown["rootSquash"]) == (["NFS"], "AllSquash")
    good("share", "delete", url)


def test_list(good, endpoint, name):
    good("share", "snapshot", name)
    listed = good("share", "list", endpoint, "--prefix", short(name), "--json").json
    assert [(item["name"], item["quota"], item["snapshot"]) for item in listed] == [
        (short(name), 9, None)
    ]
    both = good("share", "list", endpoint, "--prefix", short(name), "--include-snapshots").table()
    assert [row[0] for row in both] == [short(name)] * 2
    keys = {
        "name", "snapshot", "quota", "accessTier", "protocols", "rootSquash", "lease",
        "lastModified", "etag", "deleted", "version", "remainingRetentionDays", "metadata",
    }  # fmt: skip
    assert set(listed[0]) == keys
    nothing = good("share", "list", endpoint, "--prefix", "no-such")
    assert nothing.out.split() == ["NAME", "QUOTA", "ACCESS", "TIER", "PROTOCOLS", "LEASE",
                                   "LAST", "MODIFIED"]  # fmt: skip


def test_the_account_comes_from_the_environment_or_an_option(good, refused, endpoint, name):
    text = f"AccountName=devstoreaccount1;AccountKey={DEVELOPMENT_KEY};FileEndpoint={endpoint}"
    for variables in ({"AZURE_STORAGE_CONNECTION_STRING": text},):
        shown = good("share", "show", short(name), "--json", **variables).json
        assert shown["quota"] == 9
        assert good("share", "list", "--prefix", short(name), **variables).table()
    assert good("share", "quota", short(name), "--account-name", endpoint).out == "9\n"
    sentence = refused(2, "share", "show", short(name))
    assert "names no account" in sentence
    assert "AZURE_STORAGE_ACCOUNT" in refused(2, "share", "list")


def test_credentials_from_a_file(good, refused, endpoint, name, tmp_path):
    file = tmp_path / "credentials"
    file.write_text(f'account = "devstoreaccount1"\nkey = "{DEVELOPMENT_KEY}"\n')
    file.chmod(0o600)
    words = ["--credentials", str(file)]
    assert good("share", "quota", name, *words).out == "9\n"
    file.chmod(0o644)
    assert "chmod 600" in refused(2, "share", "quota", name, *words)


def test_quota_and_stats(good, refused, name):
    assert good("share", "quota", name, "11").out == "11\n"
    assert good("share", "quota", name, "--json").json == {"name": short(name), "quota": 11}
    assert good("share", "stats", name, "--json").json == {
        "name": short(name),
        "usedBytes": 0,
        "quota": 11,
        "usedPercent": 0.0,
    }
    assert "11" in good("share", "stats", name).out
    assert "x-ms-share-quota" in refused(1, "share", "quota", name, "99999999")
    refused(2, "share", "quota", name, "0")


def test_update(good, refused, name):
    good("share", "update", name, "--access-tier", "Cool", "--metadata", "a=b", "--quota", "8")
    shown = good("share", "show", name, "--json").json
    assert (shown["accessTier"], shown["quota"], shown["metadata"]) == ("Cool", 8, {"a": "b"})
    good("share", "update", name, "--clear-metadata")
    shown = good("share", "show", name, "--json").json
    assert (shown["accessTier"], shown["metadata"]) == ("Cool", {})
    assert "x-ms-access-tier" in refused(1, "share", "update", name, "--access-tier", "Warm")
    refused(2, "share", "update", name)
    refused(2, "share", "update", name, "--metadata", "a=b", "--clear-metadata")
    lease = str(uuid.uuid4())
    words = ["--quota", "9", "--lease-id", lease]
    assert "has no lease" in refused(1, "share", "update", name, *words)


def test_snapshots(good, refused, name):
    taken = good("share", "snapshot", name).out.strip()
    other = good("share", "snapshot", name, "--metadata", "a=b", "--json").json["snapshot"]
    assert taken < other
    assert good("share", "show", name, "--snapshot", other, "--json").json["metadata"] == {"a": "b"}
    assert "--delete-snapshots include" in refused(1, "share", "delete", name)
    good("share", "delete", name, "--snapshot", taken)
    good("share", "delete", name, "--delete-snapshots", "include")
    assert "does not exist" in refused(1, "share", "show", name)


def test_policies(good, refused, name):
    good("share", "policy", "set", name, "readers", "--permissions", "lr", "--expiry", "2099-01-01")
    good("share", "policy", "set", name, "later", "--start", "2098-01-01T10:30Z")
    rows = good("share", "policy", "list", name, "--json").json
    assert {row["name"]: (row["permissions"], row["start"], row["expiry"]) for row in rows} == {
        "readers": ("rl", None, "2099-01-01T00:00:00Z"),
        "later": (None, "2098-01-01T10:30:00Z", None),
    }
    good("share", "policy", "set", name, "readers", "--permissions", "r", "--expiry", "1d")
    assert ["readers", "r", "-"] in [
        row[:3] for row in good("share", "policy", "list", name).table()
    ]
    good("share", "policy", "delete", name, "later")
    assert "no policy 'later'" in refused(1, "share", "policy", "delete", name, "later")
    refused(2, "share", "policy", "set", name, "x" * 65)
    for number in range(4):
        good("share", "policy", "set", name, f"p{number}")
    assert "can have no more" in refused(1, "share", "policy", "set", name, "p5")
    refused(2, "share", "policy", "set", name, "x", "--permissions", "rq")
    refused(2, "share", "policy", "set", name, "x", "--expiry", "2099-02-30")


def test_leases(good, refused, name):
    lease = good("share", "lease", "acquire", name).out.strip()
    uuid.UUID(lease)
    assert "leased already" in refused(1, "share", "lease", "acquire", name)
    assert "--lease-id" in refused(1, "share", "delete", name)
    other = str(uuid.uuid4())
    words = ["--lease-id", lease, "--proposed-lease-id", other]
    assert good("share", "lease", "change", name, *words, "--json").json == {
        "share": name,
        "leaseId": other,
    }
    assert good("share", "lease", "renew", name, "--lease-id", other).out.strip() == other
    assert "not the lease" in refused(1, "share", "lease", "renew", name, "--lease-id", lease)
    good("share", "lease", "release", name, "--lease-id", other)
    assert "has no lease" in refused(1, "share", "lease", "break", name)
    good("share", "lease", "acquire", name, "--lease-duration", "15")
    assert good("share", "lease", "break", name, "--break-period", "0").out == "0\n"
    refused(2, "share", "lease", "acquire", name, "--lease-duration", "5")
    refused(2, "share", "lease", "renew", name, "--lease-id", "nonsense")


def test_service_refusals(refused, endpoint, name):
    assert "exists already" in refused(1, "share", "create", name)
    assert "keeps no deleted share" in refused(1, "share", "restore", name)
    assert "does not exist" in refused(
        1, "share", "restore", name.replace(short(name), "never"), "--deleted-version", "01D"
    )
    key = "bm90IHRoZSBrZXk="
    sentence = refused(1, "share", "show", name, AZURE_STORAGE_KEY=key)
    assert sentence == "the key in the environment is not the key of account devstoreaccount1"


@pytest.mark.parametrize(
    "words",
    [
        ["share", "show"],
        ["share", "show", "account/a_b"],
        ["share", "show", "account/share/directory"],
        ["share", "show", "http://127.0.0.1:1/devstoreaccount1/share?sig=SECRET"],
        ["share", "list", "http://127.0.0.1:1/devstoreaccount1?sig=SECRET"],
        ["share", "list", "http://127.0.0.1:1/devstoreaccount1/share"],
        ["share", "create", "http://127.0.0.1:1/devstoreaccount1/share", "--metadata", "x"],
        ["share", "create", "http://127.0.0.1:1/devstoreaccount1/share", "--metadata", "a-b=x"],
        ["share", "create", "http://127.0.0.1:1/devstoreaccount1/share", "--quota", "many"],
        ["share", "create", "account/share"],
        ["share", "no-such"],
        ["share", "policy", "no-such"],
    ],
)
def test_bad_words(refused, words):
    assert "SECRET" not in refused(2, *words)


def test_nobody_answers(refused, monkeypatch):
    monkeypatch.setattr("azfuse.cli.remote._RETRY_TIMEOUT", 0.1)
    sentence = refused(1, "share", "list", "http://127.0.0.1:1/devstoreaccount1")
    assert sentence == "connection refused by 127.0.0.1:1: nothing listens there"


def test_restore(good, refused, monkeypatch):
    """In this process: the emulator keeps deleted shares only where it is told to."""
    keys = {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY}
    emulator = build(None, keys, shares=["kept"], settings=Settings(soft_delete_days=7))
    monkeypatch.setattr(
        "azfuse.rest.transport.make_http_transport", lambda *_: httpx.ASGITransport(emulator)
    )
    url = "http://127.0.0.1:10004/devstoreaccount1/kept"
    good("share", "delete", url)
    (item,) = good("share", "list", url.rpartition("/")[0], "--include-deleted", "--json").json
    assert (item["deleted"], item["remainingRetentionDays"]) == (True, 7)
    assert item["version"] in good("share", "list", url.rpartition("/")[0], "--include-deleted").out
    good("share", "restore", url)
    assert "exists already" in refused(
        1, "share", "restore", url, "--deleted-version", item["version"]
    )
    assert good("share", "show", url).out
