"""The source of a mount: which share of which account, and which directory of it."""

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from azfuse.mount.errors import UsageError
from azfuse.rest.endpoint import Endpoint
from azfuse.rest.wire import MAX_COMPONENT, MAX_PATH

_FORMS = "account/share[/directory] or https://account.file.core.windows.net/share[/directory]"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_SHARE = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")
#: What the service takes in no name (a backslash would be a separator); `/` separates.
#: Neighbours of the File service, whose host names look alike.
_OTHER_SERVICES = frozenset({"blob", "dfs", "queue", "table", "web"})
_RESERVED = re.compile(r'["\\:|<>*?\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed source. `text` is what the person wrote, as shown in /proc/mounts.

    `endpoint` is the file endpoint that the text names, and None for the short
    form, which leaves it to the credentials or the public cloud.
    """

    text: str
    account: str
    share: str
    directory: str = ""
    endpoint: Endpoint | None = None


def parse_source(text: str) -> Source:
    """Read SOURCE in any of its forms. Raises UsageError."""
    if not text or any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise UsageError(f"the source must be given as {_FORMS}")
    if re.match(r"https?:", text, re.IGNORECASE):
        return _parse_url(text, text)
    if text.startswith("\\\\"):
        return _parse_url(text, "https:" + text.replace("\\", "/"))
    if text.startswith("//"):
        # A UNC path is plain text: a percent sign in it is a percent sign.
        return _parse_url(text, "https:" + text.replace("%", "%25"))
    if "://" in text:
        raise UsageError(f"source {text!r} has an unknown scheme: use https:// or http://")
    if match := re.fullmatch(r"([^/:]+\.[^/:]+):/([^/]+)/(.*)", text):
        # As an NFS server is written: the account is the host, and the first element again.
        host, account, path = match.groups()
        if host.lower().startswith(f"{account.lower()}."):
            return _parse_url(text, f"https://{host}/{path.replace('%', '%25')}")
    return _parse_short(text)


def _parse_short(text: str) -> Source:
    account, _, path = text.partition("/")
    if not path.strip("/"):
        if os.path.lexists(text):
            raise UsageError(f"{text!r} is a file here: the source comes first, and is {_FORMS}")
        raise UsageError(f"source {text!r} names no share: use {_FORMS}")
    if text.startswith("/") or account in {".", ".."}:
        raise UsageError(f"source {text!r} is a local path: use {_FORMS}")
    if "." in account or ":" in account:
        raise UsageError(f"source {text!r} begins with a host name: use {_FORMS}")
    share, directory = _split_path(text, path)
    return Source(text, _check_account(account), share, directory)


def _parse_url(text: str, url: str) -> Source:
    parts, host, port = _split_url(text, url)
    path = _decode(text, parts.path)
    authority = f"[{host}]" if ":" in host else host
    has_port = port not in (None, {"https": 443, "http": 80}[parts.scheme])
    origin = f"{parts.scheme}://{authority}:{port}" if has_port else f"{parts.scheme}://{authority}"
    if _is_path_style(host, has_port=has_port):
        account, _, path = path.lstrip("/").partition("/")
        if not account or not path.strip("/"):
            raise UsageError(
                f"source {text!r} lacks an account or a share: "
                f"use {origin}/account/share[/directory]"
            )
        endpoint = Endpoint.parse(f"{origin}/{_check_account(account)}")
    else:
        label, _, domain = host.partition(".")
        # A private link or an own domain says nothing about the label; take it as the account.
        named = domain.startswith("file.")
        if (service := domain.partition(".")[0]) in _OTHER_SERVICES and not named:
            raise UsageError(
                f"source {text!r} is of another service: write {label}.file in place of "
                f"{label}.{service}"
            )
        endpoint = Endpoint.parse(origin, account=None if named else _check_account(label))
        _check_account(endpoint.account)
        if not path.strip("/"):
            raise UsageError(f"source {text!r} names no share: add /share[/directory] to it")
    share, directory = _split_path(text, path)
    return Source(text, endpoint.account, share, directory, endpoint)


def _split_url(text: str, url: str) -> tuple[SplitResult, str, int | None]:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise UsageError(f"source {text!r} is not a URL: {error}") from None
    if parts.username is not None or parts.password is not None or "sig=" in parts.query:
        # Not repeated here: the text holds a secret.
        raise UsageError(
            "the source holds a credential, and credentials do not belong on the command line: "
            "use AZURE_STORAGE_SAS_TOKEN or -o credentials=FILE"
        )
    if parts.query or parts.fragment:
        raise UsageError(
            f"source {text!r} has something after '?' or '#': write %3F and %23 in names, "
            "and -o snapshot=TIME for a snapshot"
        )
    if not host or not (_is_address(host) or _HOST.fullmatch(host)) or ".." in host:
        raise UsageError(f"source {text!r} has no usable host name: use {_FORMS}")
    return parts, host, port


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_path_style(host: str, *, has_port: bool) -> bool:
    """Say whether the account is the first element of the path, as with every emulator."""
    if _is_address(host) or "." not in host:
        return True
    return has_port and ".file." not in host


def _decode(text: str, path: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        raise UsageError(f"source {text!r} has a '%' that begins no escape: write %25")
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise UsageError(f"source {text!r} has escapes that are not UTF-8") from None


def _check_account(account: str) -> str:
    account = account.lower()
    if not _ACCOUNT.fullmatch(account):
        raise UsageError(
            f"{account!r} is no storage account name: those are 3 to 24 letters and digits"
        )
    return account


def _split_path(text: str, path: str) -> tuple[str, str]:
    """Split a decoded path into share and directory, and check both."""
    share, *names = [name for name in path.split("/") if name]
    if not _SHARE.fullmatch(share) or len(share) > 63:
        raise UsageError(
            f"{share!r} is no share name: those are 3 to 63 lower case letters, digits and "
            "single hyphens, with no hyphen at either end"
        )
    for name in names:
        if name in {".", ".."} or _RESERVED.search(name):
            raise UsageError(f"source {text!r} has a directory that no share can hold: {name!r}")
        if len(name.encode("utf-16-le")) // 2 > MAX_COMPONENT:
            raise UsageError(f"a directory name of the source is longer than {MAX_COMPONENT}")
    directory = "/".join(names)
    if len(directory) > MAX_PATH:
        raise UsageError(f"the directory of the source is longer than {MAX_PATH} characters")
    return share, directory
