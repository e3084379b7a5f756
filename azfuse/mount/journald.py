"""Log records for systemd's journal, with fields that `journalctl NAME=VALUE` finds.

The native protocol of systemd-journald(8), sd_journal_send(3): a datagram of fields,
`NAME=value` each on a line, or name, length and bytes where the value has lines of its own.
"""

import errno
import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SOCKET: Final = Path("/run/systemd/journal/socket")
#: Bytes of a message that is too long for a datagram which are sent all the same.
_LONGEST: Final = 32 * 1024
#: From what a record's level is on -> priority of syslog(3).
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)


def stderr_is_journal() -> bool:
    """Say whether standard error goes to the journal (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False  # closed, or replaced by what is no file
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.Handler):
    """Sends each record to the journal, with *fields* (upper case names) beside its own."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """Raise OSError where there is no journal."""
        super().__init__()
        self._fields = fields
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            os.stat(SOCKET)  # noqa: PTH116 # raises what opening it would
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*; a message too long for the journal is cut."""
        try:
            message = self.format(record).encode(errors="backslashreplace")
            try:
                self._send(record, message)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                self._send(record, message[:_LONGEST] + b" ... (cut)")
        except Exception:  # logging(3): a log that fails must not end what it tells of
            self.handleError(record)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()

    def _send(self, record: logging.LogRecord, message: bytes) -> None:
        fields: dict[str, str | bytes] = {
            "MESSAGE": message,
            "PRIORITY": str(next(p for level, p in _PRIORITIES if record.levelno >= level)),
            "SYSLOG_IDENTIFIER": "azfuse",
            "SYSLOG_PID": str(record.process),
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
            **self._fields,
        }
        self._socket.sendto(
            b"".join(_field(name, value) for name, value in fields.items()), os.fspath(SOCKET)
        )


def _field(name: str, value: str | bytes) -> bytes:
    text = os.fsencode(value)
    if b"\n" in text:
        return name.encode() + b"\n" + struct.pack("<Q", len(text)) + text + b"\n"
    return name.encode() + b"=" + text + b"\n"
