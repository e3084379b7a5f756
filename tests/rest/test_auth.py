"""Signing, SAS, tokens, connection strings."""

import base64
import hashlib
import hmac
import time

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.fileshare._shared.authentication import (
    SharedKeyCredentialPolicy,
    _storage_header_sort,
)

from azfuse.rest.auth import (
    AccessToken,
    Bearer,
    ConnectionString,
    Sas,
    SharedKey,
    Signable,
    canonicalized_headers,
    string_to_sign,
)
from azfuse.rest.endpoint import Endpoint, encode_path, redact
from azfuse.rest.transport import Transport
from azfuse.rest.wire import DEVELOPMENT_KEY

pytestmark = pytest.mark.anyio

SECRET = base64.b64encode(b"a very secret key").decode()


def test_string_of_the_reference():
    request = Signable(
        "PUT",
        "/myshare",
        [("restype", "share")],
        {"x-ms-version": "2022-11-02", "x-ms-date": "d", "content-length": "0"},
    )
    assert string_to_sign(request, "acct") == (
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:d\nx-ms-version:2022-11-02\n"
        "/acct/myshare\nrestype:share"
    )


def test_path_style_has_the_account_twice_and_the_path_as_sent():
    request = Signable(
        "GET",
        "/devstoreaccount1/s/a%20b%2Fc",
        [("restype", "directory"), ("comp", "list"), ("Prefix", "x y"), ("include", "b,a")],
        {"x-ms-version": "2026-10-06"},
    )
    assert string_to_sign(request, "devstoreaccount1").endswith(
        "/devstoreaccount1/devstoreaccount1/s/a%20b%2Fc"
        "\ncomp:list\ninclude:b,a\nprefix:x y\nrestype:directory"
    )


def test_length_zero_is_signed_as_zero_by_the_first_version_only():
    def line(version: str) -> str:
        headers = {"content-length": "0", "x-ms-version": version}
        return string_to_sign(Signable("PUT", "/", [], headers), "a").split("\n")[3]

    assert line("2014-02-14") == "0"
    assert line("2015-02-21") == ""


@pytest.mark.parametrize(
    "names",
    [
        ["x-ms-enable-smb-directory-lease", "x-ms-enabled-protocols", "x-ms-date"],
        ["x-ms-meta-a-b", "x-ms-meta-ab", "x-ms-meta-a_b", "x-ms-meta-a1", "x-ms-meta-a"],
        ["x-ms-meta-ab-", "x-ms-meta-a-b", "x-ms-meta--ab", "x-ms-meta-ab", "x-ms-meta-a-b-"],
        ["x-ms-version", "x-ms-type", "x-ms-file-id", "x-ms-file-attributes", "x-ms-write"],
    ],
)
def test_header_order_is_that_of_the_sdk(names: list[str]):
    ours = canonicalized_headers(dict.fromkeys(names, "v")).splitlines()
    theirs = [f"{name}:{value}" for name, value in _storage_header_sort([(n, "v") for n in names])]
    assert ours == theirs


def test_header_values_are_folded():
    headers = {"x-ms-b": ' a   b\t "c   d"  e ', "x-ms-a": "", "content-type": "no"}
    assert canonicalized_headers(headers) == 'x-ms-a:\nx-ms-b:a b "c   d" e\n'


async def test_signature_is_that_of_the_sdk():
    headers = {
        "x-ms-date": "Wed, 28 Sep 2022 21:46:29 GMT",
        "x-ms-version": "2026-10-06",
        "x-ms-range": "bytes=0-4",
        "x-ms-meta-a_b": "1",
        "x-ms-meta-a1": "2",
        "content-length": "5",
        "content-md5": "CY9rzUYh03PK3k6DJie09g==",
        "content-type": "text/plain",
    }
    url = "https://acct.file.core.windows.net/s/a%23%25%20b?comp=range&marker=%C3%A9%26"
    theirs = HttpRequest("PUT", url, headers=dict(headers))
    policy = SharedKeyCredentialPolicy("acct", DEVELOPMENT_KEY)
    policy.on_request(PipelineRequest(theirs, PipelineContext(None)))

    query = [("comp", "range"), ("marker", "é&")]
    ours = Signable("PUT", "/s/a%23%25%20b", query, dict(headers))
    await SharedKey("acct", DEVELOPMENT_KEY).authorize(ours)
    assert ours.headers["authorization"] == theirs.headers["Authorization"]
    digest = hmac.digest(
        base64.b64decode(DEVELOPMENT_KEY), string_to_sign(ours, "acct").encode(), hashlib.sha256
    )
    assert ours.headers["authorization"].endswith(base64.b64encode(digest).decode())


@pytest.mark.parametrize("key", ["", "not base64!", "%%%%"])
def test_bad_keys_are_refused_without_being_shown(key: str):
    with pytest.raises(ValueError) as caught:
        SharedKey("acct", key)
    assert not key or key not in str(caught.value)


def test_sas_expiry_can_be_named():
    sas = Sas("?sv=2022-11-02&ss=f&se=2026-01-02T03%3A04%3A05Z&sp=rwdl&sig=SECRET%3D")
    assert sas.expires_at == 1767323045
    assert sas.permissions == "rwdl"
    assert sas.query.startswith("sv=")
    assert "SECRET" not in repr(sas)
    assert sas.complaint(1767323044) == ""
    assert "expired at 2026-01-02T03:04:05Z" in sas.complaint(1767323046)
    assert Sas("si=policy&sig=x").expires_at is None
    assert Sas("se=2026-01-02&sig=x").expires_at == 1767312000
    with pytest.raises(ValueError):
        Sas("sv=2022-11-02")


class Provider:
    def __init__(self) -> None:
        self.calls = 0

    async def get_token(self, scope: str) -> AccessToken:
        self.calls += 1
        return AccessToken(f"SECRET{self.calls}", time.time() + 3600)


async def test_bearer_keeps_its_token_until_it_is_refused():
    provider = Provider()
    bearer = Bearer(provider)
    request = Signable("GET", "/", [], {})
    await bearer.authorize(request)
    await bearer.authorize(request)
    assert provider.calls == 1
    assert request.headers == {
        "authorization": "Bearer SECRET1",
        "x-ms-file-request-intent": "backup",
    }
    assert bearer.refused("Bearer another")
    await bearer.authorize(request)
    assert provider.calls == 1
    assert bearer.refused("Bearer SECRET1")
    await bearer.authorize(request)
    assert request.headers["authorization"] == "Bearer SECRET2"
    assert "SECRET" not in repr(bearer) + repr(bearer._token)


async def test_bearer_is_not_sent_in_the_clear():
    with pytest.raises(ValueError, match="TLS"):
        Transport(Endpoint.parse("http://example.org/acct"), Bearer(Provider()))


class TestEndpoint:
    @pytest.mark.parametrize(
        ("url", "account", "path_style"),
        [
            ("https://acct.file.core.windows.net", "acct", False),
            ("https://acct.file.core.windows.net/", "acct", False),
            ("https://acct-secondary.file.core.windows.net", "acct", False),
            ("https://acct-ipv6.file.core.windows.net", "acct", False),
            ("http://127.0.0.1:10004/devstoreaccount1", "devstoreaccount1", True),
            ("http://localhost:1/x/", "x", True),
            ("http://[::1]:10004/acct", "acct", True),
        ],
    )
    def test_parse(self, url: str, account: str, path_style: bool):
        endpoint = Endpoint.parse(url)
        assert (endpoint.account, endpoint.path_style) == (account, path_style)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "acct",
            "ftp://acct.file.core.windows.net",
            "https://example.org",
            "https://10.0.0.1",
            "https://acct.file.core.windows.net/a/b",
            "https://user:SECRET@acct.file.core.windows.net",
            "https://example.org?sig=SECRET",
        ],
    )
    def test_refuse(self, url: str):
        with pytest.raises(ValueError) as caught:
            Endpoint.parse(url)
        assert "SECRET" not in str(caught.value)

    def test_own_domain_needs_the_account(self):
        endpoint = Endpoint.parse("https://files.example.org", account="acct")
        assert endpoint.account == "acct"
        assert endpoint.path_of("s", "a") == "/s/a"

    def test_paths(self):
        host = Endpoint.parse("https://acct.file.core.windows.net")
        path = Endpoint.parse("http://127.0.0.1:1/acct")
        assert (host.path_of(), path.path_of()) == ("/", "/acct/")
        assert (host.path_of("s"), path.path_of("s")) == ("/s", "/acct/s")
        assert path.path_of("s", "a/b") == "/acct/s/a/b"


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("", ""),
        ("a/b.c", "a/b.c"),
        ("#%+?'&", "%23%25%2B%3F%27%26"),
        ("a b/=;,@", "a%20b/%3D%3B%2C%40"),
        ("é/日本", "%C3%A9/%E6%97%A5%E6%9C%AC"),
        ("\U0001f600.", "%F0%9F%98%80."),
        ("\uf022~-_", "%EF%80%A2~-_"),
        ("a\\b", "a%5Cb"),
    ],
)
def test_encode_path(path: str, encoded: str):
    assert encode_path(path) == encoded


@pytest.mark.parametrize("path", ["/a", "a/", "a//b", ".", "a/..", "..", "\udc80"])
def test_paths_that_cannot_be_sent(path: str):
    with pytest.raises(ValueError):
        encode_path(path)


def test_redact():
    assert redact("https://a/b?sv=1&sig=abc%3D&se=2 x") == "https://a/b?sv=1&sig=***&se=2 x"


class TestConnectionString:
    def test_key(self):
        parsed = ConnectionString.parse(
            f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={SECRET};"
            "EndpointSuffix=core.example.org"
        )
        assert parsed.endpoint.origin == "https://acct.file.core.example.org"
        assert isinstance(parsed.credentials, SharedKey)
        assert SECRET not in repr(parsed)

    def test_development(self):
        parsed = ConnectionString.parse("UseDevelopmentStorage=true")
        assert str(parsed.endpoint) == "http://127.0.0.1:10004/devstoreaccount1"
        assert isinstance(parsed.credentials, SharedKey)

    def test_development_on_another_host(self):
        parsed = ConnectionString.parse(
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://emulator/"
        )
        assert str(parsed.endpoint) == "http://emulator:10004/devstoreaccount1"

    def test_endpoint_with_sas(self):
        parsed = ConnectionString.parse(
            "FileEndpoint=http://127.0.0.1:5/acct;SharedAccessSignature=sv=1&sig=SECRET=="
        )
        assert parsed.endpoint.path_style
        assert isinstance(parsed.credentials, Sas)
        assert parsed.credentials.query == "sv=1&sig=SECRET=="
        assert "SECRET" not in repr(parsed)

    def test_no_credentials(self):
        assert ConnectionString.parse("AccountName=acct").credentials is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ";",
            "SECRET",
            f"AccountKey={SECRET}",
            "AccountName=a;AccountKey=SECRET!",
            "AccountName=a;AccountName=b",
            "FileEndpoint=SECRET",
            "AccountName=a;SharedAccessSignature=SECRET",
        ],
    )
    def test_refuse(self, text: str):
        with pytest.raises(ValueError) as caught:
            ConnectionString.parse(text)
        if text != "FileEndpoint=SECRET":  # an endpoint is no secret
            assert "SECRET" not in str(caught.value)
            assert SECRET not in str(caught.value)
