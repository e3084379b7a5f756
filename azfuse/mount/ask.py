"""The other end of the control socket: find the mount that a path is in, and ask it."""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from azfuse.mount.control import reachable, socket_path
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.mountpoint import MOUNT_TYPE, kernel_mounts
from azfuse.mount.registry import Record, Registry

#: Seconds in which a mount answers what it knows by heart.
ANSWER_TIMEOUT: Final = 10.0
#: Longest answer in bytes.
MAX_ANSWER: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A mount of this user, and a path in it (relative to its root, empty for the root)."""

    record: Record
    path: str


def find_mount(text: str | None) -> Place:
    """Find the mount that the path *text* is in; without one, the only mount there is.

    Touches nothing of the mount, which may hang. Raises UsageError where nothing of
    this user's is mounted.
    """
    registry = Registry()
    records = {
        record.mount_point: record for record in registry.records() if registry.is_newest(record)
    }
    if text is None:
        alive = [record for record in records.values() if record.alive]
        if not alive:
            raise UsageError("azfuse has nothing mounted for this user")
        if len(alive) > 1:
            points = ", ".join(record.mount_point for record in alive)
            raise UsageError(f"there are several mounts, name one: {points}")
        return Place(alive[0], "")
    path = PurePath(os.path.abspath(text))  # noqa: PTH100 # Path.absolute keeps ".."
    place = _place_of(path, records)
    if place is None:
        # It may lead into a mount through symbolic links.
        place = _place_of(PurePath(os.path.realpath(path)), records)
    if place is None:
        raise UsageError(f"{text} is not in anything that azfuse has mounted for this user")
    return place


def _place_of(path: PurePath, records: Mapping[str, Record]) -> Place | None:
    mounts = {mount.mount_point: mount for mount in kernel_mounts()}
    for point in (path, *path.parents):
        mount, record = mounts.get(str(point)), records.get(str(point))
        if record is not None and (mount is None or mount.kind == MOUNT_TYPE):
            return Place(record, str(path.relative_to(point)).removeprefix("."))
        if mount is not None:
            return None
    return None


def ask(record: Record, what: str, timeout: float = ANSWER_TIMEOUT, **details: object) -> Any:
    """Ask the process behind *record*, and return its answer. Raises MountError.

    *timeout* is seconds for all of it.
    """
    if not record.alive:
        raise MountError(
            f"the azfuse process {record.pid} of {record.mount_point} has died (log: {record.log})"
        )
    newest = Registry().find(record.mount_point)
    if newest is not None and not newest.is_of(record):
        raise MountError(
            f"the azfuse process {record.pid} of {record.mount_point} cannot be asked any more: "
            "another mount has taken its place"
        )
    request = json.dumps({"ask": what, **details}).encode() + b"\n"
    try:
        line = _exchange(socket_path(Registry().directory, record.mount_point), request, timeout)
        reply = json.loads(line)
        if "error" not in reply:
            return reply["answer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MountError(
            f"the azfuse process {record.pid} of {record.mount_point} does not answer: {reason}"
        ) from error
    raise MountError(f"{record.mount_point}: {reply['error']}")


def _exchange(path: Path, request: bytes, timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    received = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        with reachable(path) as address:
            connection.connect(address)
        connection.sendall(request)
        while not received.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing came for {timeout:g} seconds")
            connection.settimeout(left)
            chunk = connection.recv(1 << 20)
            if not chunk:
                raise ConnectionError("the connection was closed")
            received += chunk
            if len(received) > MAX_ANSWER:
                raise ValueError("the answer is absurdly long")
    return bytes(received)
