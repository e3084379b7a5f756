"""CORS: preflight requests, and the headers on ordinary and error answers as recorded."""

import pytest

from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT

pytestmark = pytest.mark.anyio
SITE = "https://site.example"
PROPERTIES = "restype=service&comp=properties"


def rule(origins="*", methods="GET,PUT", allowed="x-ms-*", exposed="*", age="60"):
    return (
        f"<CorsRule><AllowedOrigins>{origins}</AllowedOrigins><AllowedMethods>{methods}"
        f"</AllowedMethods><AllowedHeaders>{allowed}</AllowedHeaders><ExposedHeaders>{exposed}"
        f"</ExposedHeaders><MaxAgeInSeconds>{age}</MaxAgeInSeconds></CorsRule>"
    )


async def set_rules(client, *rules):
    body = f"<StorageServiceProperties><Cors>{''.join(rules)}</Cors></StorageServiceProperties>"
    answer = await client("PUT", "/", PROPERTIES, body=body.encode())
    assert answer.status_code == 202, answer.text


async def preflight(client, path="/share/f", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.http.options(f"http://localhost/{ACCOUNT}{path}", headers=headers)


def cors(answer):
    return {
        n: v for n, v in answer.headers.items() if n.startswith("access-control-") or n == "vary"
    }


async def ask(client, **more):
    asked = {"Origin": SITE, "Access_Control_Request_Method": "PUT"} | more
    return await preflight(client, **asked)


async def test_preflight_allowed(client):
    await set_rules(client, rule())
    answer = await ask(client, Access_Control_Request_Headers="x-ms-version, x-ms-date")
    assert (answer.status_code, answer.content) == (200, b"")
    assert cors(answer) == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "x-ms-version, x-ms-date",
        "access-control-max-age": "60",
    }


async def test_preflight_of_a_named_origin(client):
    await set_rules(client, rule(origins=f"https://other.example,{SITE}"))
    answer = await ask(client)
    assert cors(answer) == {
        "access-control-allow-origin": SITE,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT",
        "access-control-max-age": "60",
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"Access_Control_Request_Method": "DELETE"},
        {"Access_Control_Request_Headers": "x-ms-date,content-type"},
    ],
)
async def test_preflight_refused(client, asked):
    await set_rules(client, rule())
    answer = await ask(client, **asked)
    assert code(answer) == (403, "CorsPreflightFailure")
    assert xml(answer).findtext("MessageDetails") == "No CORS rules matches this request"
    assert cors(answer) == {}


async def test_origins_are_compared_with_case_and_subdomains_may_be_open(client):
    await set_rules(client, rule(origins=SITE), rule(origins="https://*.open.example"))
    assert (await ask(client, Origin=SITE.replace("s", "S"))).status_code == 403
    assert (await ask(client, Origin="https://a.open.example")).status_code == 200
    assert (await ask(client, Origin="http://a.open.example")).status_code == 403


async def test_the_first_rule_that_fits_counts(client):
    await set_rules(client, rule(origins=SITE, age="1"), rule(age="2"))
    assert (await ask(client)).headers["access-control-max-age"] == "1"
    answer = await ask(client, Origin="https://else.example")
    assert answer.headers["access-control-max-age"] == "2"


async def test_preflight_without_rules_or_without_its_headers(client):
    assert code(await ask(client)) == (403, "CorsPreflightFailure")
    answer = await preflight(client, Origin=SITE)
    assert code(answer) == (400, "InvalidHeaderValue")
    answer = await preflight(client, Access_Control_Request_Method="GET")
    assert code(answer) == (400, "InvalidHeaderValue")


async def test_preflight_needs_no_credentials_and_nothing_that_exists(client):
    await set_rules(client, rule())
    answer = await preflight(
        client, "/none/at/all?comp=range", Origin=SITE, Access_Control_Request_Method="PUT"
    )
    assert answer.status_code == 200


async def test_an_account_without_rules_says_nothing_of_origins(client):
    await client.share()
    answer = await client("GET", "/share", "restype=share", {"Origin": SITE})
    assert cors(answer) == {}


async def test_headers_where_everything_is_exposed(client):
    await set_rules(client, rule(methods="GET,PUT,HEAD,DELETE"))
    await client.share()
    made = await client.file("/share/f", 5, Origin=SITE)
    assert cors(made) == {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "x-ms-request-id,Server,x-ms-version,Last-Modified,ETag,"
        "x-ms-request-server-encrypted,x-ms-file-change-time,x-ms-file-last-write-time,"
        "x-ms-file-creation-time,x-ms-file-id,x-ms-file-parent-id,x-ms-file-attributes,"
        "x-ms-file-permission-key,Content-Length,Date,Transfer-Encoding",
    }
    missing = await client("GET", "/share/none", headers={"Origin": SITE})
    assert cors(missing) == {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "x-ms-request-id,Server,x-ms-version,x-ms-error-code,"
        "Content-Length,Date,Transfer-Encoding",
    }


async def test_headers_where_a_prefix_is_exposed(client):
    await set_rules(client, rule(exposed="x-ms-meta-*"))
    await client.share()
    await client.file("/share/f", 5, **{"x-ms-meta-Word": "1"})
    answer = await client("GET", "/share/f", headers={"Origin": SITE})
    exposed = answer.headers["access-control-expose-headers"]
    assert exposed.lower() == "x-ms-meta-word"
    made = await client.file("/share/g", 5, Origin=SITE)
    assert cors(made) == {"access-control-allow-origin": "*"}


async def test_without_an_origin_reads_are_told_and_writes_are_not(client):
    await set_rules(client, rule(exposed=""))
    await client.share()
    assert cors(await client.file("/share/f", 5)) == {}
    answer = await client("GET", "/share/f")
    assert cors(answer) == {"access-control-allow-origin": "*"}
    # HEAD is in no rule: what it would answer depends on the origin.
    assert cors(await client("HEAD", "/share/f")) == {"vary": "Origin"}


async def test_reads_vary_with_the_origin_where_not_all_are_allowed(client):
    await set_rules(client, rule(origins=SITE, exposed=""))
    await client.share()
    assert cors(await client("GET", "/share", "restype=share")) == {"vary": "Origin"}
    assert cors(await client("GET", "/share/none")) == {"vary": "Origin"}
    answer = await client("GET", "/share", "restype=share", {"Origin": SITE})
    assert cors(answer) == {
        "access-control-allow-origin": SITE,
        "access-control-allow-credentials": "true",
        "vary": "Origin",
    }
    other = await client("GET", "/share", "restype=share", {"Origin": "https://no.example"})
    assert cors(other) == {"vary": "Origin"}


async def test_rules_survive_and_are_replaced(client, app):
    await set_rules(client, rule(), rule(origins=SITE))
    assert (await ask(client)).status_code == 200
    app.service.cors.clear()
    assert (await ask(client)).status_code == 200
    await set_rules(client)
    assert (await ask(client)).status_code == 403


async def test_an_unknown_account_has_no_rules(client):
    headers = {"Origin": SITE, "Access-Control-Request-Method": "GET"}
    answer = await client.http.options("http://localhost/nobody/share", headers=headers)
    assert answer.status_code == 403
