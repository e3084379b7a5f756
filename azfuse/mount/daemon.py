"""Work in the background, begun so that whoever asked for it learns how the beginning went."""

import logging
import os
import select
import sys
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, NoReturn

from azfuse.mount.errors import MountError, RefusedError, UsageError

_READY: Final = b"ready"
#: In front of a failure, by which the caller knows its kind again.
_KINDS: Final[Mapping[bytes, type[Exception]]] = {
    b"usage:": UsageError,
    b"refused:": RefusedError,
    b"failed:": MountError,
}

#: A mount that is made in less seconds shows nothing on the way.
_PATIENCE: Final = 2.0

#: Work that calls its argument once it is under way. Raises MountError and UsageError.
Work = Callable[[Callable[[], None]], None]


def run_detached(work: Work) -> None:
    """Run *work* in a daemon and return once it is under way.

    Raises MountError, RefusedError or UsageError with the daemon's own words where it does not
    get that far. A caller that is gone by then is noticed by the daemon, which gives up.
    """
    _fill_standard_streams()
    read_end, write_end = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by whoever called us
            stream.flush()
    child = os.fork()
    if child == 0:
        _become_daemon(write_end, work)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end, "rb") as pipe:
        answer = _await(pipe)
    for kind, error in _KINDS.items():
        if answer.startswith(kind):
            raise error(answer.removeprefix(kind).decode())
    if answer != _READY:
        raise MountError("the mount process died before the mount worked")


def _fill_standard_streams() -> None:
    """Open what a caller has closed of 0, 1 and 2, or the next file would get that number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # standard error
        pass
    os.close(number)


def _await(pipe: BinaryIO) -> bytes:
    """Return what the daemon says; on a terminal, show that it takes its time."""
    if sys.stderr is None or not sys.stderr.isatty() or select.select([pipe], [], [], _PATIENCE)[0]:
        return pipe.read()
    # Only here: most mounts are made before there is anything to show.
    from rich.console import Console

    with Console(stderr=True).status("waiting for the service"):
        return pipe.read()


def _become_daemon(write_end: int, work: Work) -> NoReturn:
    status = 1
    try:
        if os.fork() > 0:
            # The parent waits for this process only; init adopts the daemon.
            os._exit(0)
        _let_go(write_end)
        status = _report(write_end, work)
    finally:
        # Not sys.exit: exit handlers and buffers belong to the parent.
        logging.shutdown()
        os._exit(status)


def _let_go(keep: int) -> None:
    """Hold on to nothing of the caller's: directory, terminal, open files (pipes above all)."""
    os.chdir("/")
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 # names, not paths, are wanted
        if int(name) > 2 and int(name) != keep:
            try:
                os.close(int(name))
            except OSError:
                # The descriptor that listed the directory is closed by now.
                continue


def _report(write_end: int, work: Work) -> int:
    reported = False

    def ready() -> None:
        nonlocal reported
        # Not before: while a mount is awaited, autofs holds up whoever looks at its mount point,
        # but for the process group of systemd, which mount(8) and we were started in.
        os.setsid()
        try:
            os.write(write_end, _READY)
        except BrokenPipeError:
            raise MountError("nobody waits for the mount any more") from None
        finally:
            os.close(write_end)
            reported = True

    try:
        work(ready)
    except (MountError, UsageError) as error:
        if not reported:
            kind = next(word for word, kind in _KINDS.items() if isinstance(error, kind))
            os.write(write_end, kind + str(error).encode())
        return 1
    return 0
