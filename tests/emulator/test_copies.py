"""Copies: pending, aborted, from another account; what of their surroundings is refused."""

import base64
import time

import httpx
import pytest

from azfuse.emulator.service import Settings
from azfuse.emulator.setup import build
from tests.emulator.conftest import Client, code, xml
from tests.emulator.signing import ACCOUNT, KEY, file_sas, signed

pytestmark = pytest.mark.anyio
OTHER, OTHER_KEY = "other", base64.b64encode(b"the key of another account").decode()


@pytest.fixture
def app():
    app = build(None, {ACCOUNT: KEY, OTHER: OTHER_KEY}, settings=Settings(copy_seconds=60))
    yield app
    app.service.store.close()


@pytest.fixture
async def share(client):
    await client.share()
    await client.file("/share/source", 5, b"hello")
    return client


async def elsewhere(client, method, path, query="", headers=None, body=b""):
    raw = f"/{OTHER}{path}"
    sent = signed(method, raw, query, list((headers or {}).items()), body, account=OTHER,
                  key=OTHER_KEY)  # fmt: skip
    url = f"http://localhost{raw}" + (f"?{query}" if query else "")
    return await client.http.request(method, url, headers=sent, content=body)


@pytest.fixture
async def foreign(share):
    """Return the signed address of a file in another account."""
    await elsewhere(share, "PUT", "/theirs", "restype=share")
    headers = {"x-ms-type": "file", "x-ms-content-length": "5"}
    answer = await elsewhere(share, "PUT", "/theirs/f", headers=headers, body=b"there")
    assert answer.status_code == 201
    sas = file_sas("theirs", "/f", account=OTHER, key=OTHER_KEY)
    return f"http://localhost/{OTHER}/theirs/f?{sas}"


async def copy(client, source, path="/share/copy", **more):
    return await client("PUT", path, "", {"x-ms-copy-source": source, **more})


OWN = f"http://localhost/{ACCOUNT}/share/source"


async def test_a_copy_within_an_account_is_done_at_once(share):
    answer = await copy(share, OWN)
    assert (answer.status_code, answer.headers["x-ms-copy-status"]) == (202, "success")
    headers = (await share("HEAD", "/share/copy")).headers
    assert headers["x-ms-copy-progress"] == "5/5"
    assert headers["x-ms-copy-source"] == OWN


async def test_a_copy_from_another_account_is_pending_for_a_while(share, foreign, monkeypatch):
    answer = await copy(share, foreign)
    assert (answer.status_code, answer.headers["x-ms-copy-status"]) == (202, "pending")
    headers = (await share("HEAD", "/share/copy")).headers
    assert (headers["x-ms-copy-status"], headers["x-ms-copy-progress"]) == ("pending", "0/5")
    assert "x-ms-copy-completion-time" not in headers
    later = time.time_ns() + 61 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    headers = (await share("HEAD", "/share/copy")).headers
    assert (headers["x-ms-copy-status"], headers["x-ms-copy-progress"]) == ("success", "5/5")
    assert "x-ms-copy-completion-time" in headers
    assert (await share("GET", "/share/copy")).content == b"there"


async def test_the_target_of_a_pending_copy_takes_no_writes(share, foreign):
    await copy(share, foreign)
    refused = (409, "PendingCopyOperation")
    write = {"x-ms-write": "update", "x-ms-range": "bytes=0-0"}
    assert code(await share("PUT", "/share/copy", "comp=range", write, b"x")) == refused
    assert code(await share("PUT", "/share/copy", "comp=metadata")) == refused
    assert code(await share("DELETE", "/share/copy")) == refused
    assert code(await copy(share, OWN)) == refused


async def test_abort_leaves_an_empty_file(share, foreign):
    started = await copy(share, foreign)
    query = f"comp=copy&copyid={started.headers['x-ms-copy-id']}"
    abort = {"x-ms-copy-action": "abort"}
    wrong = query.replace(query[-8:], "00000000")
    assert code(await share("PUT", "/share/copy", wrong, abort)) == (409, "NoPendingCopyOperation")
    assert (await share("PUT", "/share/copy", query, abort)).status_code == 204
    headers = (await share("HEAD", "/share/copy")).headers
    assert headers["content-length"] == "0"
    assert (headers["x-ms-copy-status"], headers["x-ms-copy-progress"]) == ("aborted", "0/5")
    assert code(await share("PUT", "/share/copy", query, abort)) == (409, "NoPendingCopyOperation")
    assert (await share("DELETE", "/share/copy")).status_code == 202


async def test_a_fault_keeps_any_copy_pending_until_it_is_aborted(app, share):
    app.faults.replace({"rules": [{"action": "pending", "operation": "CopyFile", "times": 1}]})
    started = await copy(share, OWN)
    assert started.headers["x-ms-copy-status"] == "pending"
    query = f"comp=copy&copyid={started.headers['x-ms-copy-id']}"
    answer = await share("PUT", "/share/copy", query, {"x-ms-copy-action": "abort"})
    assert answer.status_code == 204
    assert (await copy(share, OWN)).headers["x-ms-copy-status"] == "success"


async def test_another_account_needs_a_signature(share, foreign):
    assert code(await copy(share, foreign.partition("?")[0])) == (404, "CannotVerifyCopySource")
    broken = foreign[:-6] + "AAAA%3D"
    assert code(await copy(share, broken)) == (403, "CannotVerifyCopySource")
    unknown = foreign.replace(f"/{OTHER}/", "/nobody/")
    assert code(await copy(share, unknown)) == (404, "CannotVerifyCopySource")


async def test_put_range_from_another_account(share, foreign):
    headers = {"x-ms-write": "update", "x-ms-range": "bytes=0-1", "x-ms-source-range": "bytes=3-4",
               "x-ms-copy-source": foreign}  # fmt: skip
    answer = await share("PUT", "/share/source", "comp=range", headers)
    assert answer.status_code == 201
    assert answer.headers["x-ms-content-crc64"]
    assert (await share("GET", "/share/source")).content == b"rello"
    headers["x-ms-copy-source"] = foreign.partition("?")[0]
    answer = await share("PUT", "/share/source", "comp=range", headers)
    assert code(answer) == (404, "CannotVerifyCopySource")


async def test_a_token_may_speak_for_the_source(app, share, foreign):
    headers = {"x-ms-write": "update", "x-ms-range": "bytes=0-4",
               "x-ms-copy-source": foreign.partition("?")[0],
               "x-ms-copy-source-authorization": "Bearer token"}  # fmt: skip
    answer = await share("PUT", "/share/source", "comp=range", headers)
    assert code(answer) == (401, "CannotVerifyCopySource")
    app.service.settings.accept_tokens = True
    answer = await share("PUT", "/share/source", "comp=range", headers, version="2020-08-04")
    assert code(answer) == (404, "CannotVerifyCopySource")
    answer = await share("PUT", "/share/source", "comp=range", headers, version="2020-10-02")
    assert answer.status_code == 201
    assert (await share("GET", "/share/source")).content == b"there"
    headers["x-ms-copy-source-authorization"] = "Bearer two words"
    answer = await share("PUT", "/share/source", "comp=range", headers)
    assert code(answer) == (401, "CannotVerifyCopySource")


@pytest.mark.parametrize("name", ["x-ms-structured-body", "x-ms-structured-content-length"])
async def test_structured_bodies_are_refused_and_said_to_be(share, name):
    value = "XSM/1.0; properties=crc64" if name.endswith("body") else "5"
    write = {"x-ms-write": "update", "x-ms-range": "bytes=0-4"}
    create = {"x-ms-type": "file", "x-ms-content-length": "5"}
    for method, path, query, headers, body in (
        ("PUT", "/share/new", "", create, b"12345"),
        ("PUT", "/share/source", "comp=range", write, b"12345"),
        ("GET", "/share/source", "", {}, b""),
    ):
        answer = await share(method, path, query, {**headers, name: value}, body)
        assert code(answer) == (400, "UnsupportedHeader")
        assert xml(answer).findtext("HeaderName") == name
    assert (await share("GET", "/share/source")).content == b"hello"


async def test_two_accounts_share_nothing(share):
    assert isinstance(share, Client)
    assert code(await elsewhere(share, "GET", "/share/source")) == (404, "ShareNotFound")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(share.app)) as http:
        raw = f"/{OTHER}/share"
        sent = signed("GET", raw, "restype=share")
        answer = await http.get(f"http://localhost{raw}?restype=share", headers=sent)
        assert code(answer) == (403, "AuthenticationFailed")


# Deleted shares and time


async def test_soft_deleted_shares_are_listed_restored_and_in_the_end_gone(app, share, monkeypatch):
    app.service.settings.soft_delete_days = 2
    await share("DELETE", "/share", "restype=share")
    listed = xml(await share("GET", "/", "comp=list&include=deleted")).find("Shares/Share")
    assert listed.findtext("Deleted") == "true"
    assert listed.findtext("Properties/RemainingRetentionDays") == "2"
    restore = {"x-ms-deleted-share-name": "share",
               "x-ms-deleted-share-version": listed.findtext("Version")}  # fmt: skip
    start = time.time_ns()

    def days_later(days):
        moment = start + days * 86_400 * 1_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: moment)
        monkeypatch.setattr(time, "time", lambda: moment / 1e9)  # signatures have a date

    days_later(1)
    listed = xml(await share("GET", "/", "comp=list&include=deleted")).find("Shares/Share")
    assert listed.findtext("Properties/RemainingRetentionDays") == "1"
    answer = await share("PUT", "/share", "restype=share&comp=undelete", restore)
    assert answer.status_code == 201
    assert (await share("GET", "/share/source")).content == b"hello"
    await share("DELETE", "/share", "restype=share")
    days_later(4)
    for _ in range(4):
        app.collect(1000)
    answer = await share("PUT", "/share", "restype=share&comp=undelete", restore)
    assert code(answer) == (404, "ShareNotFound")


async def test_a_name_rests_for_as_long_as_the_setting_says(app, share, monkeypatch):
    app.service.settings.change({"share_delete_seconds": 30})
    await share("DELETE", "/share", "restype=share")
    assert code(await share("PUT", "/share", "restype=share")) == (409, "ShareBeingDeleted")
    assert code(await share("GET", "/share", "restype=share")) == (404, "ShareNotFound")
    later = time.time_ns() + 31 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert (await share("PUT", "/share", "restype=share")).status_code == 201
