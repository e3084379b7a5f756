"""sd_notify(3): tell systemd how a service is doing. Silent where nobody listens."""

import logging
import os
import socket

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
