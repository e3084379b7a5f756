"""The way to the network: connections, TLS and proxies, as one httpx transport.

httpx's client is left out: cookies, redirects, authentication and its log of
whole URLs (with their signatures) are of no use here, and cost a quarter of the
time of a small request.
"""

import logging
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from azfuse.rest.endpoint import Endpoint
from azfuse.rest.network import KEEP_ALIVE, Network

log = logging.getLogger(__name__)


def make_http_transport(endpoint: Endpoint, max_connections: int) -> httpx.AsyncBaseTransport:
    """Make a transport with one connection for each request in flight, HTTP/1.1 only.

    It is our own, or httpx's where there is a proxy to go through.
    """
    context = _tls_context() if endpoint.origin.startswith("https:") else None
    proxy = _proxy_of(endpoint)
    if proxy is None:
        return Network(httpx.URL(endpoint.origin), context)
    return httpx.AsyncHTTPTransport(
        verify=context or False,
        trust_env=False,
        proxy=proxy,
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEP_ALIVE,
        ),
    )


def _proxy_of(endpoint: Endpoint) -> str | None:
    """Return the proxy that the environment names for *endpoint*, if it is a plain HTTP one."""
    parts = urlsplit(endpoint.origin)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or endpoint.loopback or proxy_bypass(parts.netloc):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        log.warning("the proxy of the environment is ignored: only HTTP proxies are known")
        return None
    return proxy


def _tls_context() -> ssl.SSLContext:
    """Trust what the machine trusts (SSL_CERT_FILE and SSL_CERT_DIR count), else httpx's list."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return ssl.create_default_context()
    return httpx.create_ssl_context()
