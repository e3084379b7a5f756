"""Time: ticks that never repeat where they must not, and quick ways to write them."""

import time
from functools import lru_cache
from typing import Final

from azfuse.rest import wire

#: The service counts in steps of 100 ns.
TICK: Final = 100


def now(after: int = 0) -> int:
    """Return the present in Unix nanoseconds on a tick, and later than *after*."""
    present = time.time_ns() // TICK * TICK
    return present if present > after else after + TICK


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return wire.format_time(seconds * 1_000_000_000)[:19]


def iso(unix_ns: int) -> str:
    """Write an instant as `wire.format_time` does; quick for listings, where seconds repeat."""
    seconds, ns = divmod(unix_ns, 1_000_000_000)
    return f"{_second(seconds)}.{ns // TICK:07d}Z"


@lru_cache(maxsize=4096)
def _http(seconds: int) -> str:
    return wire.format_http_date(seconds * 1_000_000_000)


def http_date(unix_ns: int) -> str:
    """Write an instant as an RFC 1123 date; quick where seconds repeat."""
    return _http(unix_ns // 1_000_000_000)
