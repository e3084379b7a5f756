"""Where an account is: endpoint URLs, and the paths of the things in it."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_PORT

DEFAULT_ENDPOINT_SUFFIX: Final = "core.windows.net"
DEVELOPMENT_ENDPOINT: Final = f"http://127.0.0.1:{DEVELOPMENT_PORT}/{DEVELOPMENT_ACCOUNT}"

#: What the service puts behind the account's name for its other host names.
_HOST_VARIANTS: Final = re.compile(r"-(secondary|ipv6|dualstack)$")
_SIGNATURE: Final = re.compile(r"(?i)\b(sig|signature)=[^&\s\"']+")


def redact(text: str) -> str:
    """Blot out SAS signatures, so that a URL may be logged."""
    return _SIGNATURE.sub(r"\1=***", text)


def encode_path(path: str) -> str:
    """Percent-encode a share-relative path, each component as UTF-8.

    Raises ValueError for what no HTTP library would pass on unchanged: empty
    components, `.` and `..`, and text that is not Unicode (lone surrogates).
    """
    if not path:
        return ""
    components = path.split("/")
    for component in components:
        if component in ("", ".", ".."):
            raise ValueError(f"path {path!r} has a component {component!r}")
    return "/".join([quote(component, safe="") for component in components])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The File endpoint of one account.

    `origin` is scheme and host with port. In path style (emulators, IP
    addresses) every path starts with the account, in host style with the share.
    """

    origin: str
    account: str
    path_style: bool

    @classmethod
    def parse(cls, url: str, *, account: str | None = None) -> "Endpoint":
        """Read the URL of an account: `https://acct.file.core.windows.net` or with a path.

        *account* is needed where the host does not name it (an own domain).
        Raises ValueError; the message never holds a query, which may be a SAS.
        """
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http or https URL: {shown!r}")
        if parts.username or parts.password:
            raise ValueError(f"an endpoint has no user or password: {shown!r}")
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
        segments = [segment for segment in parts.path.split("/") if segment]
        if len(segments) > 1:
            raise ValueError(f"an endpoint ends with the account: {shown!r}")
        if segments:
            if account not in (None, segments[0]):
                raise ValueError(f"account {account!r} is not the one of {shown!r}")
            return cls(origin, segments[0], path_style=True)
        first_label, dot, rest = parts.hostname.partition(".")
        if account is None:
            if not dot or not rest.startswith("file.") or _is_address(parts.hostname):
                raise ValueError(f"the account is not named by {shown!r}")
            account = _HOST_VARIANTS.sub("", first_label)
        return cls(origin, account, path_style=_is_address(parts.hostname))

    @property
    def secure(self) -> bool:
        """Say whether a secret may be sent: over TLS, or not leaving this machine."""
        host = urlsplit(self.origin).hostname or ""
        return self.origin.startswith("https://") or self.loopback or host.endswith(".localhost")

    @property
    def loopback(self) -> bool:
        """Say whether the endpoint is on this machine."""
        host = urlsplit(self.origin).hostname or ""
        return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)

    def path_of(self, share: str = "", path: str = "") -> str:
        """Return the encoded URL path of *path* in *share*. Raises ValueError."""
        prefix = f"/{self.account}" if self.path_style else ""
        if not share:
            return f"{prefix}/"
        encoded = encode_path(path)
        return f"{prefix}/{share}/{encoded}" if encoded else f"{prefix}/{share}"

    def __str__(self) -> str:
        return f"{self.origin}/{self.account}" if self.path_style else self.origin


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
