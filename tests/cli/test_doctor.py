"""`azfuse doctor` against the emulator, and against what is wrong."""

import base64
import json
import socket
import sqlite3
import time
from email.utils import formatdate

import pytest
import trio

from azfuse.mount.doctor import examine_machine
from azfuse.rest.auth import SharedKey
from azfuse.rest.endpoint import Endpoint
from azfuse.rest.errors import ServiceError
from azfuse.rest.file import File
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.emulator.conftest import Process
from tests.mount_words.service import Answer, serve

OTHER_KEY = base64.b64encode(b"k" * 64).decode()
EXPIRED = "sv=2024-11-04&ss=f&srt=sco&sp=rwdlc&se=2020-01-02T03:04:05Z&sig=SECRET"


@pytest.fixture
def doctor(azfuse, tmp_path, monkeypatch):
    """Run it and return exit status and findings by name."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))

    def run(*words, **variables):
        state = f"state-dir={tmp_path}/state"
        done = azfuse("doctor", "--json", "-o", state, *words, **variables)
        assert "SECRET" not in done.out + done.err
        return done.status, {finding["name"]: finding for finding in done.json}

    return run


def verdict(found, name):
    return found[name]["verdict"], found[name]["text"]


def test_all_is_well(doctor, endpoint, good):
    status, found = doctor(f"{endpoint}/team", "--write")
    remote = {name: found[name]["verdict"] for name in found if name not in ("FUSE", "allow_other")}
    assert set(remote.values()) == {"ok"}, found
    assert all(list(finding) == ["name", "verdict", "text", "advice"] for finding in found.values())
    assert verdict(found, "write") == verdict(found, "delete") == ("ok", "permitted")
    assert "SMB share" in found["service"]["text"]
    assert status == int(found["FUSE"]["verdict"] == "fail")
    # The file that was written is gone again.
    assert json.loads(good("share", "stats", f"{endpoint}/team", "--json").out)["usedBytes"] == 0


def test_throughput_is_that_of_a_file(doctor, endpoint, good):
    good("share", "create", f"{endpoint}/speed")
    size = 6 * 1024 * 1024

    async def make() -> None:
        credentials = SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY)
        async with Transport(Endpoint.parse(endpoint), credentials) as transport:
            await File(transport, "speed").create_file("large", size)

    trio.run(make)
    _, found = doctor(f"{endpoint}/speed")
    assert verdict(found, "throughput")[0] == "ok"
    assert f"MB/s reading {size} bytes" in found["throughput"]["text"]


def test_what_a_sas_permits(doctor, endpoint, good):
    made = good("sas", "share", f"{endpoint}/team", "--permissions", "rl", "--expiry", "1h")
    sas = made.out.strip().rpartition("?")[2]
    _, found = doctor(f"{endpoint}/team", "--write", AZURE_STORAGE_SAS_TOKEN=sas)
    assert verdict(found, "read") == ("ok", "permitted")
    for name in ("write", "delete"):
        assert found[name]["verdict"] == "warn"
        assert "not permitted" in found[name]["text"]


def test_a_file_that_may_not_be_removed_is_named(doctor, endpoint, good):
    good("share", "create", f"{endpoint}/keeps")
    made = good("sas", "share", f"{endpoint}/keeps", "--permissions", "rlcw", "--expiry", "1h")
    sas = made.out.strip().rpartition("?")[2]
    _, found = doctor(f"{endpoint}/keeps", "--write", AZURE_STORAGE_SAS_TOKEN=sas)
    assert verdict(found, "write") == ("ok", "permitted")
    assert "azfuse-doctor-" in found["delete"]["text"]
    assert found["delete"]["text"].endswith("stays on the share")


@pytest.mark.parametrize(
    ("share", "variables", "name", "sentence"),
    [
        ("team", {"AZURE_STORAGE_KEY": OTHER_KEY}, "share", "is not the key of account"),
        ("team", {"AZURE_STORAGE_SAS_TOKEN": EXPIRED}, "credentials", "expired at 2020-01-02"),
        ("missing", {}, "share", "share 'missing' does not exist"),
    ],
)
def test_what_the_service_refuses(doctor, endpoint, share, variables, name, sentence):
    status, found = doctor(f"{endpoint}/{share}", **variables)
    assert (status, found[name]["verdict"]) == (1, "fail")
    assert sentence in found[name]["text"]
    assert found["connection"]["verdict"] == "ok"


def test_over_tls(doctor, tmp_path):
    emulator = Process("--data", str(tmp_path / "data"), "--tls-self-signed")
    assert emulator.process.stdout is not None
    authority = emulator.process.stdout.readline().split()[-1]
    source = f"{emulator.url}/{DEVELOPMENT_ACCOUNT}/team"
    key = {"AZURE_STORAGE_KEY": DEVELOPMENT_KEY}
    status, found = doctor(source, **key)
    assert (status, verdict(found, "connection")[0]) == (1, "fail")
    assert "no TLS with 127.0.0.1" in found["connection"]["text"]
    assert "unable to get local issuer certificate" in found["connection"]["text"]
    _, found = doctor(source, SSL_CERT_FILE=authority, **key)
    assert found["connection"]["text"].endswith("answers (TLS)")
    assert "share 'team' does not exist" in found["share"]["text"]
    assert emulator.stop() == (0, "")


def test_an_answer_that_tells_nothing(doctor, endpoint, monkeypatch):
    async def refuse(*args: object, **kwargs: object) -> None:
        raise ServiceError(409, "FileLockConflict", "somebody has it")

    monkeypatch.setattr(File, "get_file_properties", refuse)
    _, found = doctor(f"{endpoint}/team")
    assert verdict(found, "read") == ("warn", "not known: the service answers FileLockConflict")


def test_nobody_listens(doctor):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # but does not listen
        source = f"http://127.0.0.1:{listener.getsockname()[1]}/devstoreaccount1/share"
        status, found = doctor(source)
    assert (status, found["connection"]["verdict"]) == (1, "fail")
    assert "refused" in found["connection"]["text"]
    assert "share" not in found


def test_an_unknown_host(doctor):
    status, found = doctor("https://acct.file.invalid/share", AZURE_STORAGE_KEY=OTHER_KEY)
    assert (status, found["name"]["verdict"]) == (1, "fail")
    assert "unknown host acct.file.invalid" in found["name"]["text"]


@pytest.mark.parametrize(("skew", "expected"), [(120, "warn"), (-3600, "fail")])
def test_a_clock_that_is_wrong(doctor, monkeypatch, skew, expected):
    answer = Answer(date=formatdate(time.time() - skew, usegmt=True))
    with serve(answer) as url:
        _, found = doctor(f"{url}/share", AZURE_STORAGE_KEY=OTHER_KEY)
    assert found["clock"]["verdict"] == expected
    assert ("ahead of" if skew > 0 else "behind") in found["clock"]["text"]


def test_without_credentials(doctor):
    status, found = doctor("acct/share")
    assert (status, found["credentials"]["verdict"]) == (1, "fail")
    assert "name" in found  # the network is looked at all the same


def test_lines_for_people(azfuse, tmp_path):
    done = azfuse("doctor", "-o", f"state-dir={tmp_path}")
    assert "ok    journal:     no data waits to be sent" in done.out.splitlines()


def test_wrong_words(refused):
    assert "did you mean" in refused(2, "doctor", "-o", "cach-size=1")


def test_a_journal_with_data_and_a_broken_one(tmp_path):
    for name in ("acct.full.1", "acct.empty.2", "acct.broken.3"):
        (tmp_path / name).mkdir()
    for name, rows in (("acct.full.1", 2), ("acct.empty.2", 0)):
        with sqlite3.connect(tmp_path / name / "journal.sqlite") as database:
            database.execute("CREATE TABLE records (id INTEGER)")
            database.executemany("INSERT INTO records VALUES (?)", [(n,) for n in range(rows)])
        database.close()
    (tmp_path / "acct.broken.3/journal.sqlite").write_text("no database at all, but text")
    found = [finding for finding in examine_machine(tmp_path) if finding.name == "journal"]
    assert [finding.verdict for finding in found] == ["warn", "warn"]
    assert "cannot be read" in found[0].text
    assert found[1].text.startswith("2 files of acct.full not on the share yet")
