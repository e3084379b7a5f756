"""sd_notify(3): tell systemd how a service is doing. Silent where nobody listens."""

import logging
import os
import socket
from collections.abc import Mapping

import trio

log = logging.getLogger(__name__)


def notify(*assignments: str) -> None:
    """Send `READY=1`, `STATUS=...` and the like to NOTIFY_SOCKET, if that is set."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # A leading @ stands for the abstract namespace.
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(name)
            sender.sendall("\n".join(assignments).encode())
    except OSError as error:
        log.warning("systemd could not be notified: %s", error)


async def feed_watchdog() -> None:
    """Tell systemd again and again that the event loop turns (`WatchdogSec=`), if it asks.

    Runs until cancelled.
    """
    period = watchdog_period(os.environ)
    while period is not None:
        notify("WATCHDOG=1")
        await trio.sleep(period / 2)


def watchdog_period(environ: Mapping[str, str]) -> float | None:
    """Return how many seconds systemd waits for a sign (sd_watchdog_enabled(3)), if it does."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
        meant = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and meant == os.getpid() else None
