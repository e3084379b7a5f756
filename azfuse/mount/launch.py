"""Carry a plan out, in the foreground or as a daemon."""

import logging
import os
from collections.abc import Callable
from functools import partial

import trio

from azfuse.mount import journald, logs
from azfuse.mount.daemon import run_detached
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.plan import Plan
from azfuse.mount.registry import Record, Registry, record_id, start_time
from azfuse.mount.secrecy import forbid_dumps

log = logging.getLogger(__name__)


def launch(plan: Plan, *, foreground: bool) -> None:
    """Mount. In the foreground, return when it is over; else as soon as the mount works.

    Raises UsageError and MountError.
    """
    forbid_dumps()
    foreground = foreground or plan.options.foreground
    registry = Registry()
    fallback = registry.directory / f"{record_id(str(plan.mount_point))}.log"
    destination = logs.log_destination(plan.options.log_file, fallback, foreground=foreground)
    work = partial(_run, plan, registry, destination)
    if foreground:
        work(lambda: None)
    else:
        run_detached(work)


def _run(plan: Plan, registry: Registry, destination: str, ready: Callable[[], None]) -> None:
    logs.configure(
        destination,
        plan.options.log_level,
        plan.options.log_format,
        mount_point=str(plan.mount_point),
        source=plan.source.text,
    )
    try:
        # Only here, in the process that serves: the one that starts a daemon needs none of it.
        from azfuse.fuse.filesystem import FileSystem
        from azfuse.mount.health import Complaints
        from azfuse.mount.session import Session
    except ImportError as error:
        raise MountError(f"the file system cannot be loaded: {error}") from error
    record = Record(
        mount_point=str(plan.mount_point),
        source=plan.source.text,
        pid=os.getpid(),
        started=start_time(os.getpid()),
        log=destination,
    )
    complaints = Complaints()
    logging.getLogger("azfuse").addHandler(complaints)
    session = Session(plan, registry, record, complaints)
    failure: MountError | UsageError | None = None
    try:
        trio.run(session.run, FileSystem, ready)
    except BaseException as error:  # the one place where anything becomes a sentence
        failure = _as_failure(error)
    if failure is None:
        registry.remove(record)
        return
    # The command that called us says the same on standard error.
    told_there = destination == "stderr" or (
        destination == "journal" and journald.stderr_is_journal()
    )
    if not told_there:
        log.critical("%s", failure)
    if session.announced:
        registry.update(record, "failed", str(failure))
    else:
        registry.remove(record)
    raise failure


def _as_failure(error: BaseException) -> MountError | UsageError:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, MountError | UsageError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return MountError("interrupted")
    log.critical("the mount broke", exc_info=error)
    return MountError(f"internal error, {type(error).__name__}: {error}")
