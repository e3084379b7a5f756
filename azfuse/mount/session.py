"""A mount from its first request to its last: check, mount, serve, unmount, save the rest."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pyfuse3
import trio

from azfuse import __version__
from azfuse.cache.transfers import most_in_flight
from azfuse.fuse.settings import FileSystemSettings
from azfuse.mount.acl_probe import try_acl
from azfuse.mount.changes import Changes
from azfuse.mount.control import ControlError, ControlServer, socket_path
from azfuse.mount.errors import MountError, RefusedError
from azfuse.mount.explain import expired, explain_fuse, failure
from azfuse.mount.figures import summary_line
from azfuse.mount.health import Complaints, Health
from azfuse.mount.mountpoint import mounted_here
from azfuse.mount.notify import feed_watchdog, notify
from azfuse.mount.plan import Plan
from azfuse.mount.registry import Record, Registry
from azfuse.mount.sas_file import watch_expiry
from azfuse.mount.served import ServedFileSystem
from azfuse.mount.taskdump import dump_tasks
from azfuse.mount.tuning import tune
from azfuse.mount.units import plural
from azfuse.mount.unmount import detach_device
from azfuse.rest.directory import Directory
from azfuse.rest.errors import AzureFilesError
from azfuse.rest.retry import RetryPolicy
from azfuse.rest.transport import Transport
from azfuse.rest.wire import format_seconds

log = logging.getLogger(__name__)

#: Kernel requests served at once. pyfuse3's 99 is a limit that calls stuck in a slow
#: service reach (design notes, 1.4); each 1 MiB write in flight holds 2 MiB.
MAX_TASKS: Final = 300
#: Connections beside those for range requests, so that calls about names need not wait.
SPARE_CONNECTIONS: Final = 8
#: Bound on the first look through the kernel at the new mount, in seconds.
READY_TIMEOUT: Final = 30.0
#: Bound on asking the kernel for dirty pages of mapped files before the end, in seconds.
SYNC_TIMEOUT: Final = 10.0
#: How often the log hears that data is still being saved, in seconds.
PROGRESS_INTERVAL: Final = 5.0
#: How much longer systemd is asked to wait, beyond its TimeoutStopSec=, while what is left to
#: save changes, in seconds.
SAVING_EXTENSION: Final = 60


class Session:
    """One mount, and how far it has come."""

    def __init__(
        self, plan: Plan, registry: Registry, record: Record, complaints: Complaints
    ) -> None:
        self._plan = plan
        self._mount_point = str(plan.mount_point)
        self._registry = registry
        self._record = record
        self._complaints = complaints
        self._stop = trio.Event()
        self._saving = trio.Event()
        #: Held while the kernel is told to forget something: it may wait for answers of ours,
        #: so serving does not end before it has done so.
        self._notifying = trio.Lock()
        self._ended = False
        self._began = time.time_ns()
        #: The mount worked; before that, a signal ends everything at once.
        self.announced = False

    async def run(
        self,
        make: Callable[[Transport, str, FileSystemSettings], ServedFileSystem],
        ready: Callable[[], None],
    ) -> None:
        """Serve until unmounted or told to stop; call *ready* once the mount works.

        Raises MountError, possibly in an exception group.
        """
        if reason := expired(self._plan):
            raise RefusedError(reason)
        async with self._background_tasks() as background, self._connected() as transport:
            file_system = make(transport, self._plan.source.share, self._plan.settings)
            async with file_system.running():
                await background.start(self._control(file_system, transport).run)
                await self._start_metrics(background, file_system)
                background.start_soon(self._report_progress, file_system)
                await self._serve(file_system, ready)
                transport.ending = True
                self._begin_saving()
            log.info("%s", summary_line(self._stats(file_system)))
            self._report_unsaved(file_system)

    @asynccontextmanager
    async def _background_tasks(self) -> AsyncIterator[trio.Nursery]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._watch_signals)
            nursery.start_soon(feed_watchdog)
            nursery.start_soon(watch_expiry, self._plan.login.credentials)
            yield nursery
            nursery.cancel_scope.cancel()

    def _control(self, file_system: ServedFileSystem, transport: Transport) -> ControlServer:
        async def stats(request: Mapping[str, Any]) -> object:
            del request
            return self._stats(file_system)

        async def refresh(request: Mapping[str, Any]) -> object:
            path = request.get("path")
            if not isinstance(path, str):
                raise ControlError("the path to refresh is missing")
            async with self._notifying:
                if self._ended:
                    raise ControlError("it is unmounted")
                return await file_system.refresh(path)

        changes = Changes(self._plan, transport, file_system)
        health = Health(self._plan, transport, self._complaints)
        path = socket_path(self._registry.directory, self._mount_point)
        return ControlServer(
            path, {"stats": stats, "refresh": refresh, "health": health.answer, **changes.answers}
        )

    async def _start_metrics(self, background: trio.Nursery, file_system: ServedFileSystem) -> None:
        address = self._plan.options.metrics
        if address is not None:
            # Only who asks for it needs the package behind it.
            from azfuse.mount.metrics import MetricsServer

            server = MetricsServer(address, lambda: self._stats(file_system))
            await background.start(server.run)

    def _stats(self, file_system: ServedFileSystem) -> dict[str, object]:
        mount = {
            "mountPoint": self._mount_point,
            "source": self._plan.source.text,
            "pid": self._record.pid,
            "version": __version__,
            "state": "saving" if self._saving.is_set() else "mounted",
            "mountedAt": format_seconds(self._began),
            "uptimeSeconds": round((time.time_ns() - self._began) / 1e9, 3),
        }
        return {"mount": mount, **file_system.stats()}

    async def _watch_signals(self, task_status: trio.TaskStatus[None]) -> None:
        numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1) is to be respected
            numbers.add(signal.SIGHUP)
        with trio.open_signal_receiver(*numbers) as signals:
            task_status.started()
            async for number in signals:
                name = signal.Signals(number).name
                if number == signal.SIGUSR1:
                    log.warning("tasks at %s:\n%s", name, dump_tasks())
                elif not self.announced:
                    raise MountError(f"stopped by {name} before the mount was made")
                elif self._saving.is_set():
                    log.warning("%s: still saving; only SIGKILL would lose data now", name)
                else:
                    log.info("%s: unmounting", name)
                    self._stop.set()

    async def _report_progress(self, file_system: ServedFileSystem) -> None:
        await self._saving.wait()
        began = trio.current_time()
        left = None
        while True:
            before, left = left, file_system.stats()["writes"]
            if left != before:
                notify(f"EXTEND_TIMEOUT_USEC={SAVING_EXTENSION * 1_000_000}")
            await trio.sleep(PROGRESS_INTERVAL)
            seconds = trio.current_time() - began
            log.warning("unmounted; still saving data after %.0f s", seconds)
            notify(f"STATUS=Unmounted, saving data for {seconds:.0f} s")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Transport]:
        """Connect and see that the directory is there and may be listed."""
        options, login = self._plan.options, self._plan.login
        try:
            transport = Transport(
                login.endpoint,
                login.credentials,
                retry=RetryPolicy(timeout=options.first_contact_timeout),
                max_connections=most_in_flight(options.max_transfers) + SPARE_CONNECTIONS,
            )
        except ValueError as error:
            raise MountError(str(error)) from None
        async with transport:
            settings = self._plan.settings
            directory = Directory(transport, self._plan.source.share, snapshot=settings.snapshot)
            try:
                await directory.list_directories_and_files(settings.directory, max_results=1)
                if settings.posix == "acl":
                    share = self._plan.source.share
                    await try_acl(transport, share, read_only=settings.read_only)
            except AzureFilesError as error:
                log.debug("first contact", exc_info=True)
                raise failure(error, self._plan) from error
            transport.retry = RetryPolicy(timeout=options.retry_timeout)
            yield transport

    async def _serve(self, file_system: ServedFileSystem, ready: Callable[[], None]) -> None:
        with self._mounted(file_system):
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._announce, ready)
                    nursery.start_soon(self._end_when_told)
                    nursery.start_soon(file_system.tell_kernel)
                    await pyfuse3.main(max_tasks=MAX_TASKS)
                    nursery.cancel_scope.cancel()
            finally:
                await self._end_notifying()
        if not self.announced:
            # Otherwise a refused handshake with the kernel would look like a good end.
            raise MountError("the kernel ended the connection before the mount worked")

    @contextmanager
    def _mounted(self, file_system: ServedFileSystem) -> Iterator[None]:
        """Mount, and unmount however the block ends."""
        options = self._plan.options.fuse_options(self._plan.source)
        with _stderr_to_file() as said:
            try:
                pyfuse3.init(file_system, self._mount_point, options)  # type: ignore[arg-type]
            except RuntimeError as error:
                reason = explain_fuse(said() or str(error))
                raise MountError(f"FUSE refused to mount {self._mount_point}: {reason}") from None
        mount = mounted_here(self._plan.mount_point)
        try:
            yield
        finally:
            notify("STOPPING=1")
            pyfuse3.close(unmount=True)
            if mount is not None:
                # A connection that the kernel aborted is not unmounted by libfuse.
                detach_device(self._plan.mount_point, mount.device)

    async def _announce(self, ready: Callable[[], None]) -> None:
        """Look at the mount through the kernel, as every program will, then say it works."""
        try:
            with trio.fail_after(READY_TIMEOUT):
                status = await trio.to_thread.run_sync(
                    os.stat, self._mount_point, abandon_on_cancel=True
                )
        except trio.TooSlowError:
            raise MountError("the mounted directory does not answer") from None
        except OSError as error:
            raise MountError(f"the mounted directory cannot be used: {error.strerror}") from None
        mount = mounted_here(self._plan.mount_point)
        if mount is None or mount.device != status.st_dev:
            raise MountError("the mount was gone before it worked")
        tune(status.st_dev)
        self._registry.write(self._record)
        source = self._plan.source.text
        log.info("%s is mounted on %s", source, self._mount_point)
        ready()
        self.announced = True
        notify("READY=1", f"STATUS={source} is mounted on {self._mount_point}")

    async def _end_when_told(self) -> None:
        await self._stop.wait()
        # Dirty pages of mapped files are the kernel's until it is asked for them.
        with trio.move_on_after(SYNC_TIMEOUT):
            await trio.to_thread.run_sync(pyfuse3.syncfs, self._mount_point, abandon_on_cancel=True)
        await self._end_notifying()
        pyfuse3.terminate()

    async def _end_notifying(self) -> None:
        """Tell the kernel nothing any more, once it has dealt with what it was told."""
        with trio.CancelScope(shield=True):
            async with self._notifying:
                self._ended = True

    def _begin_saving(self) -> None:
        log.info("%s is unmounted", self._mount_point)
        self._record = self._registry.update(self._record, "saving")
        self._saving.set()

    def _report_unsaved(self, file_system: ServedFileSystem) -> None:
        lost = [file for file in file_system.unsaved if not file.kept]
        kept = [file for file in file_system.unsaved if file.kept]
        for file in lost:
            log.critical("NOT SAVED: %s: %d bytes are lost: %s", file.path, file.size, file.error)
        if lost:
            raise MountError(
                f"{plural(len(lost), 'file', 'files')} could not be saved and lost data, "
                f"{lost[0].path!r} first: {lost[0].error}"
            )
        if kept:
            raise MountError(
                f"{plural(len(kept), 'file', 'files')} could not be uploaded; the data is kept in "
                f"{self._plan.settings.state_dir} and goes up with the next mount of the share "
                f"({kept[0].path!r}: {kept[0].error})"
            )


@contextmanager
def _stderr_to_file() -> Iterator[Callable[[], str]]:
    """Catch what libfuse and fusermount3 print on standard error; yield its last line's reader."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)

        def last_line() -> str:
            file.seek(0)
            lines = file.read().decode(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""

        try:
            os.dup2(file.fileno(), 2)
            yield last_line
        finally:
            os.dup2(saved, 2)
            os.close(saved)
