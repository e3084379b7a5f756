"""A SAS that is replaced while a mount runs, and warnings before it ends."""

import logging
import os
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from azfuse.mount.credentials import find_login
from azfuse.mount.sas_file import ExpiryWarnings, SasOfFile, watch_expiry
from azfuse.mount.source import parse_source
from azfuse.rest.auth import Sas, SharedKey
from azfuse.rest.file import File
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.rest.fakes import HOST_ENDPOINT, good, transport_to

pytestmark = pytest.mark.anyio

END = 4_000_000_000.0  # 2096-10-02T07:06:40Z
FIRST = "sv=2024-11-04&se=2096-10-02T07:06:40Z&sp=rl&sig=SECRET1"
SECOND = "sv=2024-11-04&se=2097-10-02T07:06:40Z&sp=rl&sig=SECRET2"
HOUR, DAY = 3600, 86400


@pytest.fixture
def anyio_backend():
    return ("trio", {"clock": trio.testing.MockClock(autojump_threshold=0)})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def put(path: Path, text: str, number: int = 0) -> None:
    """Replace *path* as careful programs do; *number* makes its time another."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    os.utime(new, ns=(0, number))
    new.replace(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sas"
    put(path, f'sas = "{FIRST}"')
    return path


def login_of(file: Path, clock: Clock) -> SasOfFile:
    credentials = find_login(parse_source("acct/share"), file, {}).credentials
    assert isinstance(credentials, SasOfFile)
    credentials._now = clock
    credentials._next_look = 0.0
    return credentials


async def test_a_new_sas_is_used_once_it_is_there(file, caplog):
    clock = Clock()
    sas = login_of(file, clock)
    sent: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.query.decode().rpartition("sig=")[2])
        return good(202)

    transport = transport_to(answer, credentials=sas, endpoint=HOST_ENDPOINT)
    file_api = File(transport, "s")
    await file_api.delete_file("f")
    put(file, f"sas={SECOND}\n", 1)
    await file_api.delete_file("f")  # within the second of the last look
    clock.now += 1
    with caplog.at_level(logging.INFO):
        await file_api.delete_file("f")
    assert sent == ["SECRET1", "SECRET1", "SECRET2"]
    assert sas.expires_at == END + 365 * DAY
    assert "SECRET" not in caplog.text + repr(sas)
    assert str(file) in caplog.text
    assert "SECRET2" in transport.url_of("s", "f")


@pytest.mark.parametrize("text", ["", "nonsense", 'sas = "sv=1"', 'key = "a2V5"', "\x00"])
def test_a_file_that_makes_no_sense_leaves_the_old_sas(file, text, caplog):
    clock = Clock()
    sas = login_of(file, clock)
    put(file, text, 1)
    clock.now += 2
    assert sas.query == FIRST
    assert "stays" in caplog.text
    caplog.clear()
    file.unlink()
    clock.now += 2
    assert sas.query == FIRST
    assert caplog.text == ""
    put(file, f'sas = "{SECOND}"', 2)
    clock.now += 2
    assert sas.query == SECOND


def test_a_file_that_others_may_read_is_not_read_again(file, caplog):
    clock = Clock()
    sas = login_of(file, clock)
    file.write_text(f'sas = "{SECOND}" # longer')
    file.chmod(0o644)
    clock.now += 2
    assert sas.query == FIRST
    assert "chmod 600" in caplog.text


def test_keys_and_the_environment_are_read_once(tmp_path):
    path = tmp_path / "key"
    put(path, 'key = "a2V5"')
    source = parse_source("acct/share")
    assert isinstance(find_login(source, path, {}).credentials, SharedKey)
    found = find_login(source, None, {"AZURE_STORAGE_SAS_TOKEN": FIRST}).credentials
    assert type(found) is Sas


def test_a_warning_a_day_and_one_at_one_hour():
    warnings = ExpiryWarnings()
    told = []
    moment = END - 10 * DAY
    while moment < END + DAY:
        if text := warnings.due(END, moment):
            told.append(text.removeprefix("the shared access signature ").partition(",")[0])
        moment += 60
    assert told == [
        "expires in 7 days", "expires in 6 days", "expires in 5 days",
        "expires in 4 days", "expires in 3 days", "expires in 2 days", "expires in 24 hours",
        "expires in 60 minutes", "has expired at 2096-10-02T07:06:40Z",
    ]  # fmt: skip


def test_a_mount_that_starts_late_is_warned_at_once_and_a_new_sas_anew():
    warnings = ExpiryWarnings()
    assert "2 hours" in warnings.due(END, END - 2 * HOUR)
    assert warnings.due(END, END - 2 * HOUR + 60) == ""
    assert "40 minutes" in warnings.due(END, END - 2400)
    assert "2 days" in warnings.due(END + 2 * DAY, END)
    assert warnings.due(None, END) == ""


async def test_the_log_is_told(file, caplog):
    start = trio.current_time()

    def now() -> float:
        return END - 3 * HOUR + trio.current_time() - start

    with trio.move_on_after(4 * HOUR):
        await watch_expiry(Sas(FIRST), now)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert "make a new one and mount again" in caplog.text
    caplog.clear()
    start = trio.current_time()
    with trio.move_on_after(60):
        await watch_expiry(login_of(file, Clock()), now)
    assert f"put a new one into {file}" in caplog.text
    await watch_expiry(SharedKey(DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY))
