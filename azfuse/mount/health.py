"""How a mount is: does the service answer it, and what has its log complained of lately."""

import collections
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

import trio

from azfuse.mount.explain import explain
from azfuse.mount.plan import Plan
from azfuse.rest.directory import Directory
from azfuse.rest.endpoint import redact
from azfuse.rest.errors import AzureFilesError
from azfuse.rest.transport import Transport
from azfuse.rest.wire import format_seconds

#: Seconds that the service may take for the one request of a question.
SERVICE_TIMEOUT: Final = 5.0
#: Complaints that are remembered.
_COMPLAINTS: Final = 20


class Complaints(logging.Handler):
    """Remembers the last warnings and errors of our log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: collections.deque[dict[str, str]] = collections.deque(maxlen=_COMPLAINTS)

    def emit(self, record: logging.LogRecord) -> None:
        """Remember the first line of *record*."""
        first_line = redact(record.getMessage()).partition("\n")[0]
        moment = format_seconds(time.time_ns())
        self._last.append(
            {"time": moment, "level": record.levelname.lower(), "message": first_line}
        )

    def last(self) -> list[dict[str, str]]:
        """Return what was complained of, oldest first: `time`, `level`, `message`."""
        return list(self._last)


class Health:
    """Answers `azfuse status`."""

    def __init__(self, plan: Plan, transport: Transport, complaints: Complaints) -> None:
        self._plan = plan
        self._complaints = complaints
        self._directory = Directory(transport, plan.source.share, snapshot=plan.settings.snapshot)

    async def answer(self, request: Mapping[str, Any]) -> object:
        """Ask the share once; return `service` (None, or why not), `seconds`, `complaints`."""
        del request
        began = trio.current_time()
        service: str | None = f"no answer in {SERVICE_TIMEOUT:.0f} s"
        with trio.move_on_after(SERVICE_TIMEOUT):
            try:
                await self._directory.get_directory_properties(self._plan.settings.directory)
            except AzureFilesError as error:
                service = explain(error, self._plan)
            else:
                service = None
        return {
            "service": service,
            "seconds": round(trio.current_time() - began, 3),
            "complaints": self._complaints.last(),
        }
