"""Where the log of a mount goes, and what its lines look like."""

import json
import logging
import logging.handlers
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from azfuse.mount import journald
from azfuse.mount.errors import MountError
from azfuse.rest.endpoint import redact

LogFormat = Literal["text", "json"]

SYSLOG_SOCKET: Final = Path("/dev/log")
_PLAIN: Final = "azfuse[%(process)d]: %(levelname)s: %(message)s"
_DATED: Final = f"%(asctime)s {_PLAIN}"


class _RedactingFormatter(logging.Formatter):
    """Blots out signatures, wherever a message or a traceback got them from."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _JsonFormatter(_RedactingFormatter):
    """One JSON object a line: what a record says, and *fields*."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("%(message)s")
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        message, _, details = super().format(record).partition("\n")
        entry: dict[str, object] = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "message": message,
            "logger": record.name,
            "pid": record.process,
            **self._fields,
        }
        if details:
            entry["details"] = details
        return json.dumps(entry)


def log_destination(log_file: Path | None, fallback: Path, *, foreground: bool) -> str:
    """Say where the log will go: a path, `journal`, `syslog` or `stderr`."""
    if log_file is not None:
        return str(log_file)
    if foreground:
        return "journal" if journald.stderr_is_journal() else "stderr"
    if journald.SOCKET.exists():
        return "journal"
    return "syslog" if SYSLOG_SOCKET.exists() else str(fallback)


def configure(
    destination: str, level: str, style: LogFormat = "text", *, mount_point: str, source: str
) -> None:
    """Send the log to *destination* (see log_destination). Raises MountError.

    Only our own loggers speak below WARNING: httpx would log whole URLs.
    """
    try:
        handler = _handler(destination, mount_point, source)
    except OSError as error:
        raise MountError(
            f"the log {destination} cannot be written: {error.strerror or error}"
        ) from None
    if style == "json":
        handler.setFormatter(_JsonFormatter({"mountPoint": mount_point, "source": source}))
    else:
        texts = {"journal": "%(message)s", "syslog": _PLAIN}
        handler.setFormatter(_RedactingFormatter(texts.get(destination, _DATED)))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("azfuse").setLevel(level.upper())


def _handler(destination: str, mount_point: str, source: str) -> logging.Handler:
    if destination == "stderr":
        return logging.StreamHandler(sys.stderr)
    if destination == "journal":
        fields = {"AZFUSE_MOUNT_POINT": mount_point, "AZFUSE_SOURCE": source}
        return journald.JournalHandler(fields)
    if destination == "syslog":
        return logging.handlers.SysLogHandler(str(SYSLOG_SOCKET))
    # "Watched": logrotate may take the file away.
    return logging.handlers.WatchedFileHandler(destination)
