"""Reads the values of options: metadata, instants, permission letters."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from azfuse.mount.errors import UsageError

_SECOND: Final = 1_000_000_000
_SPAN: Final = re.compile(r"\+?([0-9]{1,6})([mhdw])", re.ASCII)
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_UTC_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z)?")


def read_metadata(texts: Sequence[str]) -> dict[str, str]:
    """Read `name=value` texts. Raises UsageError."""
    metadata: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"metadata {text!r} is not of the form name=value")
        metadata[name] = value
    return metadata


def read_moment(option: str, text: str | None) -> int | None:
    """Read an instant as Unix nanoseconds: UTC date, minute or second, or a span from now.

    `2026-12-31`, `2026-12-31T12:00Z`, `2026-12-31T12:00:00Z`, `30m`, `8h`, `7d`, `4w`.
    Raises UsageError.
    """
    if text is None:
        return None
    if span := _SPAN.fullmatch(text):
        seconds = int(span[1]) * _UNITS[span[2]]
        return (int(time.time()) + seconds) * _SECOND
    try:
        moment = datetime.fromisoformat(text) if _UTC_TIME.fullmatch(text) else None
    except ValueError:  # a day that no month has
        moment = None
    if moment is None:
        raise UsageError(
            f"{option} {text!r}: a time in UTC such as 2026-12-31T12:00Z, or a span such as 7d, "
            "is needed"
        )
    return int(moment.replace(tzinfo=UTC).timestamp()) * _SECOND
