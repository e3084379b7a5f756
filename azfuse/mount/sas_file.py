"""A SAS out of a file, read again when the file changes; and warnings before a SAS ends."""

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from azfuse.mount.units import plural
from azfuse.rest.auth import Credentials, Sas

log = logging.getLogger(__name__)

#: The file is looked at this often, in seconds, and only when requests are made.
_LOOK_INTERVAL: Final = 1.0
_HOUR: Final = 3600.0
_DAY: Final = 86400.0
#: The end is looked for this often, in seconds: a new SAS or a set clock may move it.
_WATCH_INTERVAL: Final = 60.0
#: The first warning comes so many days before the end.
_DAYS_WARNED: Final = 7

#: What tells that a file is another one: device, inode, size, time.
_Stamp = tuple[int, int, int, int]


class SasOfFile(Sas):
    """The SAS that *read* finds in *path*, as it is now.

    While the file is gone or makes no sense, the last SAS is used on. *read*
    raises ValueError (without a secret in it). *now* tells seconds.
    """

    def __init__(
        self, path: Path, read: Callable[[], Sas], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._read = read
        self._now = now
        self._next_look = now() + _LOOK_INTERVAL
        # Before reading: what is written meanwhile is read again then.
        self._stamp = _stamp(path)
        super().__init__(read().query)

    @property
    def query(self) -> str:
        """Return the token that the file holds, or held last."""
        now = self._now()
        if now >= self._next_look:
            self._next_look = now + _LOOK_INTERVAL
            self.look()
        return super().query

    def look(self) -> None:
        """Read the file again if it has changed."""
        stamp = _stamp(self.path)
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            fresh = self._read()
        except ValueError as error:
            log.warning("the shared access signature in use stays: %s", error)
            return
        if fresh.query == super().query:
            return
        super().__init__(fresh.query)
        log.info("a new shared access signature was read from %s", self.path)


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:  # being replaced, say: it is looked for again
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class ExpiryWarnings:
    """Says when a warning is due: once a day in the last week, and at one hour."""

    def __init__(self) -> None:
        self._warned: tuple[float, int] | None = None

    def due(self, expires_at: float | None, now: float) -> str:
        """Return the warning that is due at *now* (Unix seconds), empty if none is."""
        if expires_at is None:
            return ""
        left = expires_at - now
        if left > _DAYS_WARNED * _DAY:
            return ""
        # Each stage is warned of once: day 7 to day 1, the last hour, the end.
        stage = -1 if left <= 0 else 0 if left <= _HOUR else math.ceil(left / _DAY)
        if self._warned is not None and self._warned[0] == expires_at and stage >= self._warned[1]:
            return ""
        self._warned = (expires_at, stage)
        end = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        if left <= 0:
            return f"the shared access signature has expired at {end}"
        return f"the shared access signature expires in {_span(left)}, at {end}"


def _span(seconds: float) -> str:
    for unit, name in ((_DAY, "days"), (_HOUR, "hours")):
        if round(seconds / unit) >= 2:
            return f"{seconds / unit:.0f} {name}"
    return plural(max(1, round(seconds / 60)), "minute", "minutes")


def _advice(credentials: Sas) -> str:
    if isinstance(credentials, SasOfFile):
        return f"put a new one into {credentials.path}"
    return "make a new one and mount again"


async def watch_expiry(credentials: Credentials, now: Callable[[], float] = time.time) -> None:
    """Log a warning whenever one is due, until cancelled. Returns at once where nothing ends."""
    if not isinstance(credentials, Sas):
        return
    warnings = ExpiryWarnings()
    while True:
        if isinstance(credentials, SasOfFile):
            credentials.look()
        if text := warnings.due(credentials.expires_at, now()):
            log.warning("%s; %s", text, _advice(credentials))
        await trio.sleep(_WATCH_INTERVAL)
