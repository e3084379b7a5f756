"""`azfuse sas`, `service`, `lease` and `handles`."""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import trio

from azfuse.mount.credentials import Login
from azfuse.rest.auth import AccessToken, Bearer, SharedKey
from azfuse.rest.directory import Directory
from azfuse.rest.endpoint import Endpoint
from azfuse.rest.file import File
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.rest.test_service import HANDLES, KEY

TOKEN = "SECRET-TOKEN"


def on_share(endpoint: str, work: Callable[[Transport], object]) -> None:
    async def run() -> None:
        key = SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY)
        async with Transport(Endpoint.parse(endpoint), key) as transport:
            await work(transport)  # type: ignore[misc]

    trio.run(run)


@pytest.fixture(scope="module")
def tree(endpoint):
    """Files of the share `team`, two of them leased."""

    async def make(transport: Transport) -> None:
        directory, file = Directory(transport, "team"), File(transport, "team")
        await directory.create_directory("a b")
        await directory.create_directory("a b/deep")
        for path in ("top", "a b/one", "a b/deep/two", "a b/deep/free"):
            await file.create_file(path, 5)
        for path in ("a b/one", "a b/deep/two"):
            await file.acquire_lease(path)

    on_share(endpoint, make)
    return f"{endpoint}/team"


def test_leases_of_files(good, refused, tree):
    rows = good("lease", "list", tree, "--json").json
    assert [(row["path"], row["state"], row["duration"], row["size"]) for row in rows] == [
        ("a b/deep/two", "leased", "infinite", 5),
        ("a b/one", "leased", "infinite", 5),
    ]
    every = good("lease", "list", tree, "--all", "--json").json
    assert [row["path"] for row in every] == ["a b/deep/free", "a b/deep/two", "a b/one", "top"]
    assert "a b/deep/two  leased" in good("lease", "list", f"{tree}/a%20b/deep").out
    assert good("lease", "list", f"{tree}/a%20b/one", "--json").json[0]["path"] == "a b/one"
    good("lease", "break", f"{tree}/a%20b/one")
    assert [row["path"] for row in good("lease", "list", tree, "--json").json] == ["a b/deep/two"]
    assert refused(1, "lease", "break", f"{tree}/top") == "'top' has no lease"
    assert "does not exist" in refused(1, "lease", "break", f"{tree}/missing")
    assert "does not exist" in refused(1, "lease", "list", f"{tree}/missing/deeper")
    assert "does not exist" in refused(1, "lease", "list", tree.replace("team", "missing"))
    assert "names no file" in refused(2, "lease", "break", tree)


def test_a_sas_of_a_share_opens_it(good, refused, tree):
    for words, allowed in ((["--permissions", "rl"], True), (["--permissions", "d"], False)):
        made = good("sas", "share", tree, *words, "--expiry", "1h").out.strip()
        run = good if allowed else partial(refused, 1)
        run("lease", "list", tree, AZURE_STORAGE_SAS_TOKEN=made)


def test_a_policy_makes_a_sas(good, tree):
    good("share", "policy", "set", tree, "readers", "--permissions", "rl", "--expiry", "1h")
    made = good("sas", "share", tree, "--policy-name", "readers").out.strip()
    assert set(parse_qs(made)) == {"sv", "sr", "si", "sig"}
    good("lease", "list", tree, AZURE_STORAGE_SAS_TOKEN=made)


def test_a_sas_of_a_file(good, tree):
    words = ["--permissions", "r", "--expiry", "2099-12-31T23:59Z", "--content-type", "a/b"]
    url = good("sas", "file", f"{tree}/a%20b/one", *words, "--url").out.strip()
    with httpx.Client(trust_env=False) as client:
        answer = client.get(url)
    assert (answer.status_code, len(answer.content)) == (200, 5)
    made = good("sas", "file", f"{tree}/top", *words, "--https-only", "--json").json
    assert made["expiry"] == "2099-12-31T23:59:00Z"
    assert made["url"] == f"{tree}/top?{made['sas']}"
    assert parse_qs(made["sas"])["spr"] == ["https"]


def test_a_sas_of_the_account(good, endpoint):
    words = ["--permissions", "l", "--expiry", "1d", "--resource-types", "s"]
    made = good("sas", "account", endpoint, *words).out.strip()
    assert good("share", "list", endpoint, AZURE_STORAGE_SAS_TOKEN=made).table()


def test_bad_words_of_a_sas(refused, tree, endpoint):
    for words in (
        ["share", tree],
        ["share", tree, "--permissions", "rx", "--expiry", "1d"],
        ["share", tree, "--permissions", "r", "--expiry", "2020-01-01"],
        ["share", tree, "--permissions", "r", "--expiry", "soon"],
        ["share", tree, "--permissions", "r", "--expiry", "1d", "--start", "2d"],
        ["share", tree, "--permissions", "r", "--expiry", "1d", "--ip", "here"],
        ["file", tree, "--permissions", "r", "--expiry", "1d"],
        ["file", f"{tree}/f", "--permissions", "l", "--expiry", "1d"],
        ["account", endpoint, "--permissions", "r", "--expiry", "1d", "--resource-types", "x"],
    ):
        refused(2, "sas", *words)
    sas = "sv=2022-11-02&sig=SECRET"
    sentence = refused(
        1, "sas", "share", tree, "--permissions", "r", "--expiry", "1d",
        AZURE_STORAGE_SAS_TOKEN=sas,
    )  # fmt: skip
    assert "account key" in sentence
    assert "SECRET" not in sentence


class _Tokens:
    async def get_token(self, scope: str) -> AccessToken:
        return AccessToken(TOKEN, time.time() + 3600)


def test_a_sas_in_the_name_of_an_identity(good, endpoint, monkeypatch):
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=KEY)

    replace_network(monkeypatch, answer)
    login = Login(Endpoint.parse(endpoint), Bearer(_Tokens()), "a test")
    monkeypatch.setattr("azfuse.cli.target.find_login", lambda *_, **__: login)
    words = ["--permissions", "rl", "--expiry", "1d"]
    made = parse_qs(good("sas", "share", f"{endpoint}/team", *words).out.strip())
    assert (made["skoid"], made["sr"], made["sp"]) == (["oid"], ["s"], ["rl"])
    assert asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert b"comp=userdelegationkey" in asked[0].url.query


def replace_network(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    monkeypatch.setattr(
        "azfuse.rest.transport.make_http_transport", lambda *_: httpx.MockTransport(answer)
    )


def test_service_properties(good, refused, endpoint):
    good("service", "set", endpoint, "--clear-cors", "--no-hour-metrics")
    shown = good("service", "show", endpoint, "--json").json
    assert shown["account"] == DEVELOPMENT_ACCOUNT
    assert (shown["cors"], shown["hourMetrics"]["enabled"]) == ([], False)
    words = ["--hour-metrics", "--retention-days", "7", "--smb-multichannel"]
    good("service", "set", endpoint, *words, "--nfs-encryption-in-transit")
    cors = ["--cors-origins", "https://a.example,https://b.example", "--cors-methods", "GET,PUT"]
    good("service", "set", endpoint, *cors, "--cors-max-age", "60")
    good("service", "set", endpoint, "--cors-origins", "*", "--cors-methods", "GET")
    shown = good("service", "show", endpoint, "--json").json
    assert shown["hourMetrics"] == {"enabled": True, "includeApis": False, "retentionDays": 7}
    assert (shown["smbMultichannel"], shown["nfsEncryptionInTransit"]) == (True, True)
    assert [rule["maxAgeInSeconds"] for rule in shown["cors"]] == [60, 0]
    assert "SMB multichannel:" in good("service", "show", endpoint).out
    good("service", "set", endpoint, "--clear-cors")
    for bad in (
        [],
        ["--cors-origins", "*"],
        ["--cors-methods", "GET"],
        ["--retention-days", "7"],
        ["--hour-metrics", "--retention-days", "366"],
    ):
        refused(2, "service", "set", endpoint, *bad)
    sentence = refused(
        1, "service", "set", endpoint, "--cors-origins", "*", "--cors-methods", "EAT"
    )
    assert "InvalidXmlNodeValue" in sentence


def test_no_handles(good, refused, tree):
    assert good("handles", "list", tree, "--recursive", "--json").json == []
    assert good("handles", "close", f"{tree}/top", "--close-all", "--json").json == {
        "closed": 0,
        "failed": 0,
    }
    assert "does not exist" in refused(1, "handles", "list", f"{tree}/missing")
    refused(2, "handles", "close", tree)
    refused(2, "handles", "close", tree, "--close-all", "--handle-id", "1")
    refused(2, "handles", "close", tree, "--handle-id", "x")


def test_handles_of_clients(good, azfuse, tree, monkeypatch):
    last = HANDLES.replace(b"<NextMarker>more</NextMarker>", b"<NextMarker />")

    def answer(request: httpx.Request) -> httpx.Response:
        query = parse_qs(urlsplit(str(request.url)).query)
        if query["comp"] == ["listhandles"]:
            return httpx.Response(200, content=last if "marker" in query else HANDLES)
        more = {} if "marker" in query else {"x-ms-marker": "more"}
        counts = {"x-ms-number-of-handles-closed": "2", "x-ms-number-of-handles-failed": "1"}
        return httpx.Response(200, headers=counts | more)

    replace_network(monkeypatch, answer)
    rows = good("handles", "list", tree, "--json").json
    assert [row["handleId"] for row in rows] == ["81190846710"] * 2
    assert rows[0]["fileId"] == "13835128424026341376"
    assert (rows[0]["rights"], rows[0]["opened"]) == (["Read", "Write"], "2023-03-24T22:22:03Z")
    assert "d/f\\uffff" in good("handles", "list", tree).out
    done = azfuse("handles", "close", tree, "--close-all", "--recursive", "--json")
    assert (done.status, done.json) == (1, {"closed": 4, "failed": 2})
    assert done.err == "azfuse: 2 handles could not be closed\n"


@pytest.mark.parametrize(
    "command",
    ["share", "share create", "share list", "share update", "share policy", "share policy set",
     "share lease", "share lease acquire", "lease", "lease list", "handles", "handles close",
     "sas", "sas share", "sas file", "sas account", "service", "service show", "service set"],
)  # fmt: skip
def test_help_fits_a_screen(good, command):
    lines = good(*command.split(), "--help").out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 90
    assert any("Example" in line or "List" in line or "Lease" in line for line in lines)


def test_an_interruption_is_no_internal_error(azfuse, tree, monkeypatch):
    def interrupted(request: httpx.Request) -> httpx.Response:
        raise BaseExceptionGroup("nursery", [KeyboardInterrupt()])

    replace_network(monkeypatch, interrupted)
    done = azfuse("lease", "list", tree)
    assert (done.status, done.err.strip()) == (130, "azfuse: interrupted")


def test_in_a_process_of_its_own(endpoint):
    done = subprocess.run(
        [sys.executable, "-m", "azfuse", "share", "list", endpoint],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "team" in done.stdout
