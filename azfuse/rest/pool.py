"""The way to the network: connections, TLS and proxies, as one httpx transport.

httpx's client is left out: cookies, redirects, authentication and its log of
whole URLs (with their signatures) are of no use here, and cost a quarter of the
time of a small request.
"""

import logging
import ssl
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from azfuse.rest.endpoint import Endpoint

log = logging.getLogger(__name__)

#: Seconds after which an idle connection is closed. Shorter than the load balancers of the
#: service keep them, so that a request seldom meets a connection that is being closed.
_KEEP_ALIVE: Final = 60.0


def make_http_transport(endpoint: Endpoint, max_connections: int) -> httpx.AsyncBaseTransport:
    """Make a transport with one connection for each request in flight, HTTP/1.1 only.

    HTTP/2 in Python is three to four times slower for bulk data.
    """
    return httpx.AsyncHTTPTransport(
        verify=_tls_context() if endpoint.origin.startswith("https:") else False,
        trust_env=False,
        proxy=_proxy_of(endpoint),
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=_KEEP_ALIVE,
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
