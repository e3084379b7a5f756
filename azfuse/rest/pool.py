"""The httpx client: connections, proxies, and what its own log may say."""

import logging
import ssl
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from azfuse.rest.endpoint import Endpoint, redact

log = logging.getLogger(__name__)

#: Seconds after which an idle connection is closed. Shorter than the load balancers of the
#: service keep them, so that a request seldom meets a connection that is being closed.
_KEEP_ALIVE: Final = 60.0


class _RedactSignatures(logging.Filter):
    """Keeps SAS signatures out of httpx's own log, which holds whole URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite *record*; never drop it."""
        record.msg = redact(record.getMessage())
        record.args = None
        return True


_redact_signatures: Final = _RedactSignatures()


def make_client(
    endpoint: Endpoint, max_connections: int, http_transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient:
    """Make a client with one connection for each request in flight, HTTP/1.1 only.

    HTTP/2 in Python is three to four times slower for bulk data.
    """
    logging.getLogger("httpx").addFilter(_redact_signatures)
    return httpx.AsyncClient(
        transport=http_transport,
        verify=_tls_context() if endpoint.origin.startswith("https:") else False,
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=_KEEP_ALIVE,
        ),
        timeout=None,  # noqa: S113 # each request brings its own
        follow_redirects=False,
        trust_env=http_transport is None and _environment_is_simple(endpoint),
    )


def _environment_is_simple(endpoint: Endpoint) -> bool:
    """Say whether the proxies of the environment may be used: plain HTTP ones, not for loopback."""
    if endpoint.loopback:
        return False
    for scheme, url in getproxies().items():
        if scheme != "no" and urlsplit(url).scheme not in ("http", "https", ""):
            log.warning("the proxies of the environment are ignored: only HTTP proxies are known")
            return False
    return True


def _tls_context() -> ssl.SSLContext:
    """Trust what the machine trusts (SSL_CERT_FILE and SSL_CERT_DIR count), else httpx's list."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return ssl.create_default_context()
    return httpx.create_ssl_context()
