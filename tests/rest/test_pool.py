"""Proxies of the environment."""

import pytest

from azfuse.rest.pool import _proxy_of, make_http_transport
from tests.rest.fakes import ENDPOINT, HOST_ENDPOINT


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_none():
    assert _proxy_of(HOST_ENDPOINT) is None
    make_http_transport(HOST_ENDPOINT, 4)


@pytest.mark.parametrize(
    ("name", "value", "proxy"),
    [
        ("HTTPS_PROXY", "http://proxy:3128", "http://proxy:3128"),
        ("all_proxy", "proxy:3128", "http://proxy:3128"),
        ("http_proxy", "http://proxy:3128", None),
        ("https_proxy", "socks5://proxy:1080", None),
    ],
)
def test_proxies(monkeypatch, name, value, proxy):
    monkeypatch.setenv(name, value)
    assert _proxy_of(HOST_ENDPOINT) == proxy
    assert _proxy_of(ENDPOINT) is None
    monkeypatch.setenv("no_proxy", ".core.windows.net")
    assert _proxy_of(HOST_ENDPOINT) is None
