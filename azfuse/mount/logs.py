"""Where the log of a mount goes."""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Final

from azfuse.mount.errors import MountError
from azfuse.rest.endpoint import redact

SYSLOG_SOCKET: Final = Path("/dev/log")
_PLAIN: Final = "azfuse[%(process)d]: %(levelname)s: %(message)s"
_DATED: Final = f"%(asctime)s {_PLAIN}"


class _RedactingFormatter(logging.Formatter):
    """Blots out signatures, wherever a message or a traceback got them from."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def log_destination(log_file: Path | None, fallback: Path, *, foreground: bool) -> str:
    """Say where the log will go: a path, `syslog` or `stderr`."""
    if log_file is not None:
        return str(log_file)
    if foreground:
        return "stderr"
    return "syslog" if SYSLOG_SOCKET.exists() else str(fallback)


def configure(destination: str, level: str) -> None:
    """Send the log to *destination* (see log_destination). Raises MountError.

    Only our own loggers speak below WARNING: httpx would log whole URLs.
    """
    handler: logging.Handler
    try:
        if destination == "stderr":
            handler = logging.StreamHandler(sys.stderr)
        elif destination == "syslog":
            handler = logging.handlers.SysLogHandler(str(SYSLOG_SOCKET))
        else:
            # "Watched": logrotate may take the file away.
            handler = logging.handlers.WatchedFileHandler(destination)
    except OSError as error:
        raise MountError(
            f"the log {destination} cannot be written: {error.strerror or error}"
        ) from None
    handler.setFormatter(_RedactingFormatter(_PLAIN if destination == "syslog" else _DATED))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("azfuse").setLevel(level.upper())
