"""What `-o remount` asks of the process behind a mount (see azfuse.mount.remount)."""

from collections.abc import Mapping
from typing import Any

from azfuse.mount.acl_probe import try_acl
from azfuse.mount.control import Answer, ControlError
from azfuse.mount.errors import UsageError
from azfuse.mount.plan import Plan
from azfuse.mount.served import ServedFileSystem
from azfuse.mount.units import plural
from azfuse.rest.errors import AzureFilesError
from azfuse.rest.transport import Transport


class Changes:
    """Makes one mount ready to be written to, or to be left alone."""

    def __init__(self, plan: Plan, transport: Transport, file_system: ServedFileSystem) -> None:
        self._plan = plan
        self._transport = transport
        self._file_system = file_system
        self.answers: Mapping[str, Answer] = {
            "options": self._options,
            "allow-writing": self._allow_writing,
            "settle": self._settle,
        }

    async def _options(self, request: Mapping[str, Any]) -> object:
        del request
        return self._plan.options.texts()

    async def _allow_writing(self, request: Mapping[str, Any]) -> object:
        del request
        if self._plan.settings.snapshot is not None:
            raise ControlError("a snapshot stays read-only")
        try:
            if self._plan.settings.posix == "acl":
                await try_acl(self._transport, self._plan.source.share, read_only=False)
            await self._file_system.allow_writing()
        except (UsageError, AzureFilesError) as error:
            raise ControlError(f"it stays read-only: {error}") from error
        return None

    async def _settle(self, request: Mapping[str, Any]) -> object:
        del request
        failures = await self._file_system.settle()
        if failures:
            raise ControlError(
                f"it is read-only, but {plural(len(failures), 'upload', 'uploads')} failed and "
                f"will be tried again: {failures[0]}"
            )
        return None
