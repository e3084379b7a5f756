"""What an unmount is waiting for, on standard error: one line drawn over on a terminal."""

import shutil
import sys
import time
from types import TracebackType
from typing import Any, Final, Self

from azfuse.mount.ask import ask
from azfuse.mount.errors import MountError
from azfuse.mount.figures import saving_line
from azfuse.mount.registry import Record

#: Seconds between two looks, on a terminal and elsewhere. What takes less is not worth a word.
_REDRAW_INTERVAL: Final = 0.5
_LINE_INTERVAL: Final = 5.0
#: A process that saves may be busy; the next look will do.
_PATIENCE: Final = 2.0
_CLEAR_LINE: Final = "\r\x1b[K"


class Progress:
    """Shows how far a process has come that saves what is left. A context manager."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._terminal = sys.stderr.isatty()
        self._interval = _REDRAW_INTERVAL if self._terminal else _LINE_INTERVAL
        self._due = time.monotonic() + self._interval
        self._before: tuple[float, int] | None = None
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._write(_CLEAR_LINE)

    def show(self) -> None:
        """Show what is left, if it is time for it."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._interval
        try:
            stats = ask(self._record, "stats", _PATIENCE)
        except MountError:
            return  # it is about to end, or busy
        line = saving_line(stats, self._rate(stats))
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(_CLEAR_LINE + line[:width])
            self._drawn = True
        else:
            self._write(f"{line}\n")

    def _rate(self, stats: dict[str, Any]) -> float | None:
        """Return how many bytes a second went up since the last look."""
        now: float = stats["mount"]["uptimeSeconds"]
        sent: int = stats["requests"]["total"]["bytesSent"]
        before, self._before = self._before, (now, sent)
        if before is None or now <= before[0]:
            return None
        return (sent - before[1]) / (now - before[0])

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
