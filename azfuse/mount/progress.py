"""What an unmount is waiting for, on standard error: a bar on a terminal, lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from azfuse.mount.ask import ask
from azfuse.mount.errors import MountError
from azfuse.mount.figures import dirty_bytes, saving_line
from azfuse.mount.registry import Record

if TYPE_CHECKING:
    import rich.progress

#: What takes less than so many seconds is not worth a word on a terminal.
_FIRST_LOOK: Final = 2.0
#: Seconds between two looks, on a terminal and elsewhere.
_REDRAW_INTERVAL: Final = 0.5
_LINE_INTERVAL: Final = 5.0
#: A process that saves may be busy; the next look will do.
_PATIENCE: Final = 2.0


class Progress:
    """Shows how far a process has come that saves what is left. A context manager."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._terminal = sys.stderr.isatty()
        self._due = time.monotonic() + (_FIRST_LOOK if self._terminal else _LINE_INTERVAL)
        self._before: tuple[float, int] | None = None
        self._bar: rich.progress.Progress | None = None
        self._most = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Show what is left, if it is time for it."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + (_REDRAW_INTERVAL if self._terminal else _LINE_INTERVAL)
        try:
            stats = ask(self._record, "stats", _PATIENCE)
        except MountError:
            return  # it is about to end, or busy
        line = saving_line(stats, self._rate(stats))
        if self._terminal:
            self._draw(line, dirty_bytes(stats))
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _draw(self, line: str, left: int) -> None:
        self._most = max(self._most, left)
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.add_task("")
            self._bar.start()
        task = self._bar.task_ids[0]
        self._bar.update(
            task, description=line, total=self._most or None, completed=self._most - left
        )

    def _rate(self, stats: dict[str, Any]) -> float | None:
        """Return how many bytes a second went up since the last look."""
        now: float = stats["mount"]["uptimeSeconds"]
        sent: int = stats["requests"]["total"]["bytesSent"]
        before, self._before = self._before, (now, sent)
        if before is None or now <= before[0]:
            return None
        return (sent - before[1]) / (now - before[0])


def _make_bar() -> "rich.progress.Progress":
    # Only here: most unmounts end before there is anything to show.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    return Progress(text, BarColumn(20), console=Console(stderr=True), transient=True)
