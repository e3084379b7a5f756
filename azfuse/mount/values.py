"""What stands behind the `=` of a mount option: numbers, sizes, modes, names, paths.

Each converter takes the option as it was written and its value, and raises UsageError.
"""

import grp
import importlib
import ipaddress
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from azfuse.mount.errors import UsageError
from azfuse.rest.wire import parse_time

#: Two blocks being filled and two being sent: less than that cannot work.
MIN_CACHE_SIZE: Final = 16 * 1024 * 1024
#: A few large files' worth of blocks: below that it would do more work than good.
MIN_DISK_CACHE_SIZE: Final = 64 * 1024 * 1024
_GMT_TOKEN: Final = re.compile(r"@GMT-(\d{4})\.(\d\d)\.(\d\d)-(\d\d)\.(\d\d)\.(\d\d)")
_SIZE_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Where metrics are served: a loopback address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def number(name: str, text: str, *, least: int, most: int) -> int:
    """Read a whole number between bounds."""
    if not re.fullmatch(r"[0-9]+", text) or not least <= int(text) <= most:
        raise UsageError(f"option {name}={text}: a whole number from {least} to {most} is needed")
    return int(text)


def seconds(name: str, text: str) -> float:
    """Read seconds, with decimals if need be."""
    # A day is for ever as far as caches and retries are concerned.
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or float(text) > 86400:
        raise UsageError(f"option {name}={text}: seconds are needed, 0 to 86400")
    return float(text)


def size(name: str, text: str) -> int:
    """Read a size such as 512M as bytes."""
    match = re.fullmatch(r"([0-9]+)([KMGT]?)(i?B)?", text, re.IGNORECASE)
    if match is None:
        raise UsageError(f"option {name}={text}: a size such as 512M or 1G is needed")
    return int(match[1]) << _SIZE_UNITS[match[2].upper()]


def cache_size(name: str, text: str) -> int:
    """Read the size of the cache in memory."""
    found = size(name, text)
    if found < MIN_CACHE_SIZE:
        raise UsageError(f"option {name}={text}: the cache needs at least 16M")
    return found


def disk_cache_size(name: str, text: str) -> int:
    """Read the size of the cache on disk."""
    found = size(name, text)
    if found < MIN_DISK_CACHE_SIZE:
        raise UsageError(f"option {name}={text}: the cache on disk needs at least 64M")
    return found


def mode(name: str, text: str) -> int:
    """Read octal permission bits."""
    if not re.fullmatch(r"[0-7]{1,5}", text) or int(text, 8) > 0o7777:
        raise UsageError(f"option {name}={text}: octal permission bits such as 0755 are needed")
    return int(text, 8)


def _id(name: str, text: str) -> int:
    # One less than all bits set, which means "nobody in particular" to chown(2).
    return number(name, text, least=0, most=2**32 - 2)


def user(name: str, text: str) -> int:
    """Read a user, by number or name, as a uid."""
    try:
        return _id(name, text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError(f"option {name}={text}: there is no such user") from None


def group(name: str, text: str) -> int:
    """Read a group, by number or name, as a gid."""
    try:
        return _id(name, text) if text.isdecimal() else grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError(f"option {name}={text}: there is no such group") from None


def path(name: str, text: str) -> Path:
    """Read a path, made absolute."""
    if not text:
        raise UsageError(f"option {name}: a path is needed")
    try:
        # Absolute now: a daemon changes its directory.
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"option {name}={text}: {error}") from None


def metrics(name: str, text: str) -> MetricsAddress:
    """Read a port, alone or behind a loopback address."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"option {name}={text}: a port, alone or behind a loopback address (127.0.0.1:9100, "
            "[::1]:9100), is needed; a proxy can show it to others"
        )
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"option {name}={text}: a port from 1 to 65535 is needed")
    try:
        importlib.import_module("prometheus_client")
    except ImportError:
        raise UsageError(
            f"option {name} needs the package prometheus-client: pip install 'azfuse[metrics]'"
        ) from None
    return MetricsAddress(host, int(port))


def snapshot(name: str, text: str) -> str:
    """Read the time of a snapshot, also as mount.cifs(8) and Windows write it (`@GMT-...`)."""
    if match := _GMT_TOKEN.fullmatch(text):
        year, month, day, hour, minute, second = match.groups()
        text = f"{year}-{month}-{day}T{hour}:{minute}:{second}.0000000Z"
    try:
        parse_time(text)
    except ValueError:
        raise UsageError(
            f"option {name}={text}: the time of a snapshot such as "
            "2026-01-31T12:00:00.0000000Z is needed"
        ) from None
    return text


def word(*choices: str) -> Callable[[str, str], str]:
    """Make a converter that takes one of *choices*."""

    def convert(name: str, text: str) -> str:
        if text not in choices:
            raise UsageError(f"option {name}={text}: one of {', '.join(choices)} is needed")
        return text

    return convert


def account(name: str, text: str) -> str:
    r"""Read the account as mount.cifs writes it: `account`, `DOMAIN\account`, `DOMAIN/account`."""
    if "%" in text:
        raise UsageError(
            f"option {name}: credentials do not belong on the command line; "
            "use -o credentials=FILE or the environment"
        )
    return re.split(r"[\\/]", text)[-1].lower()
