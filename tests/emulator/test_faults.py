"""Authorization, faults, the request log and the admin path, in process."""

import base64
import time
from urllib.parse import quote

import httpx
import pytest

from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT, VERSION, file_sas, signed

pytestmark = pytest.mark.anyio


@pytest.fixture
async def share(client):
    await client.share()
    await client.file("/share/a", 5, b"hello")
    return client


async def faults(client, settings, method="PUT"):
    answer = await client.http.request(method, "http://localhost/-/admin/faults", json=settings)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_no_credentials_look_like_nothing_there(share):
    answer = await share("GET", "/share/a", sign=False)
    assert code(answer) == (404, "ResourceNotFound")


async def test_wrong_key_shows_the_string_to_sign(share):
    raw = f"/{ACCOUNT}/share/a"
    wrong = base64.b64encode(b"wrong").decode()
    headers = signed("GET", raw, key=wrong)
    answer = await share.http.get(f"http://localhost{raw}", headers=headers)
    assert answer.status_code == 403
    detail = xml(answer).findtext("AuthenticationErrorDetail")
    assert "Server used following string to sign: 'GET\n\n" in detail
    assert answer.headers["server"] == "Microsoft-HTTPAPI/2.0"
    headers = signed("GET", raw, account="other")
    answer = await share.http.get(f"http://localhost{raw}", headers=headers)
    assert "Cannot find the claimed account" in answer.text
    headers = signed("GET", raw, headers=[("x-ms-date", "Mon, 01 Jan 2024 00:00:00 GMT")])
    assert (await share.http.get(f"http://localhost{raw}", headers=headers)).status_code == 403
    answer = await share.http.get(
        f"http://localhost{raw}",
        headers={"Authorization": "Basic x", "x-ms-version": VERSION},
    )
    assert answer.status_code == 400


async def test_host_style_and_both_header_orders(share):
    headers = [("x-ms-meta-ab", "1"), ("x-ms-meta-a_b", "2")]
    for light in (False, True):
        sent = signed("PUT", "/share/a", "comp=metadata", headers, light=light)
        answer = await share.http.put(
            f"http://{ACCOUNT}.file.localhost:10004/share/a?comp=metadata", headers=sent
        )
        assert answer.status_code == 200, answer.text
    sent = signed("GET", "/share", "restype=directory&comp=list")
    answer = await share.http.get(
        f"http://{ACCOUNT}.file.localhost:10004/share?restype=directory&comp=list", headers=sent
    )
    assert f'ServiceEndpoint="http://{ACCOUNT}.file.localhost:10004/"' in answer.text


async def test_service_sas(share):
    async def get(query, path="/share/a", method="GET"):
        return await share.http.request(
            method, f"http://localhost/{ACCOUNT}{path}?{query}", headers={"x-ms-version": VERSION}
        )

    assert (await get(file_sas("share", "/a"))).content == b"hello"
    assert code(await get(file_sas("share", "/a"), method="DELETE")) == (
        403, "AuthorizationPermissionMismatch",
    )  # fmt: skip
    assert (await get(file_sas("share", "/b"))).status_code == 403
    assert (await get(file_sas("share", "/a", expiry="2020-01-01T00:00:00Z"))).status_code == 403
    answer = await get(file_sas("share", "/a").replace("sr=f", "x=y"))
    assert "sr is mandatory. Cannot be empty" in answer.text
    answer = await get(file_sas("share", "/a") + "&restype=share", "/share")
    assert answer.status_code == 403
    query = file_sas("share", "/a", rsct="text/x")
    assert (await get(query)).headers["content-type"] == "text/x"
    dated = file_sas("share", "/a", expiry=quote("2099-01-01T00:00Z", safe="")).replace("%25", "%")
    assert (await get(dated)).status_code in (200, 403)


async def test_busy_with_and_without_retry_after(share):
    rule = {"action": "busy", "operation": "GetFile", "times": 1, "retry_after": 3}
    await faults(share, {"rules": [rule, {"action": "busy", "operation": "Del*", "after": 1}]})
    answer = await share("GET", "/share/a")
    assert code(answer) == (503, "ServerBusy")
    assert answer.headers["retry-after"] == "3"
    assert (await share("GET", "/share/a")).status_code == 200
    assert (await share("DELETE", "/share/none")).status_code == 404
    answer = await share("DELETE", "/share/a")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, False)
    assert (await faults(share, None, "DELETE"))["rules"] == []
    assert (await share("DELETE", "/share/a")).status_code == 202


@pytest.mark.parametrize(
    ("action", "expected"),
    [("error", (500, "InternalError")), ("timeout", (500, "OperationTimedOut")),
     ("full", (409, "ShareSizeLimitReached")), ("expired", (401, "InvalidAuthenticationInfo"))],
)  # fmt: skip
async def test_errors_before_the_effect(share, action, expected):
    await faults(share, {"rules": [{"action": action, "operation": "DeleteFile", "times": 1}]})
    assert code(await share("DELETE", "/share/a")) == expected
    assert (await share("DELETE", "/share/a")).status_code == 202


async def test_resets_and_late_errors(share):
    rules = [{"action": "reset-before", "operation": "DeleteFile", "times": 1}]
    await faults(share, {"rules": rules})
    with pytest.raises(ConnectionResetError):
        await share("DELETE", "/share/a")
    assert (await share("HEAD", "/share/a")).status_code == 200
    await faults(share, {"rules": [{**rules[0], "action": "reset-after"}]})
    with pytest.raises(ConnectionResetError):
        await share("DELETE", "/share/a")
    assert (await share("HEAD", "/share/a")).status_code == 404
    await share.file("/share/a", 5)
    await faults(share, {"rules": [{**rules[0], "action": "error-after"}]})
    assert code(await share("DELETE", "/share/a")) == (500, "InternalError")
    assert (await share("HEAD", "/share/a")).status_code == 404


async def test_latency_and_bandwidth(share):
    await faults(share, {"latency_ms": 30, "operation_latency_ms": {"GetFile": 30}})
    start = time.monotonic()
    await share("GET", "/share/a")
    assert time.monotonic() - start >= 0.06
    await faults(share, {"bandwidth_mib": 10})
    await share.file("/share/big", 1024 * 1024)
    start = time.monotonic()
    await share("GET", "/share/big")
    assert time.monotonic() - start >= 0.1


async def test_settings_that_make_no_sense(share):
    for settings in ({"x": 1}, {"rules": [{"action": "dance"}]}, {"bandwidth_mib": 0}, [1],
                     {"rules": [{"act": "busy"}]}, {"latency_ms": "long"}):  # fmt: skip
        answer = await share.http.put("http://localhost/-/admin/faults", json=settings)
        assert answer.status_code == 400
        assert answer.json()["error"]


async def test_request_log(share):
    await share.http.delete("http://localhost/-/admin/requests")
    await share.put("/share/a", 0, b"xyz")
    await share.clear("/share/a", 0, 0)
    await share("GET", "/share/a")
    await share("GET", "/share/none")
    log = (await share.http.get("http://localhost/-/admin/requests")).json()
    assert log["operations"]["PutRange"] == {
        "requests": 1, "bytes_in": 3, "bytes_out": 0, "by_status": {"201": 1},
    }  # fmt: skip
    assert log["operations"]["ClearRange"]["requests"] == 1
    assert log["operations"]["GetFile"]["by_status"] == {"200": 1, "404": 1}
    assert log["requests"] == 4


async def test_the_admin_path_is_for_loopback(app):
    transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        assert (await http.get("http://localhost/-/health")).json() == {"status": "ok"}
        assert (await http.get("http://localhost/-/admin/requests")).status_code == 403
        assert (await http.put("http://localhost/-/admin/faults", json={})).status_code == 403
