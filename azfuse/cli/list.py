"""`azfuse list`."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from azfuse.cli.output import show_rows
from azfuse.cli.target import json_option
from azfuse.mount.ask import ask
from azfuse.mount.errors import MountError
from azfuse.mount.mountpoint import MOUNT_TYPE, kernel_mounts, mounted_here
from azfuse.mount.registry import Record, Registry

#: Of a longer message only the beginning is shown; the log has all of it.
_WIDEST: Final = 100
#: A mount that is too busy to answer in so many seconds is listed without its figures.
_PATIENCE: Final = 2.0
_COLUMNS: Final = ("mountPoint", "source", "pid", "since", "dirtyBytes", "state")


@click.command("list")
@json_option
def list_mounts(*, as_json: bool) -> None:
    """List the mounts of this user, and every azfuse mount that the kernel shows."""
    records = list(Registry().records())
    rows = [_row(record, as_json=as_json) for record in records]
    points = {record.mount_point for record in records}
    rows += [
        {
            "mountPoint": mount.mount_point,
            "source": mount.source,
            "pid": None,
            "since": None,
            "dirtyBytes": None,
            "state": "mounted by another user",
        }
        for mount in kernel_mounts()
        if mount.kind == MOUNT_TYPE and mount.mount_point not in points
    ]
    show_rows(rows, _COLUMNS, as_json=as_json)


def _row(record: Record, *, as_json: bool) -> dict[str, object]:
    since, dirty = None, None
    if record.state != "failed" and record.alive:
        with suppress(MountError):  # it is still listed: `azfuse status` says what is wrong
            answer: dict[str, Any] = ask(record, "stats", _PATIENCE)
            since, dirty = answer["mount"]["mountedAt"], answer["writes"]["dirtyBytes"]
    return {
        "mountPoint": record.mount_point,
        "source": record.source,
        "pid": record.pid,
        "since": since,
        "dirtyBytes": dirty,
        "state": _state(record, whole=as_json),
    }


def _state(record: Record, *, whole: bool) -> str:
    if record.state == "failed":
        short = whole or len(record.message) <= _WIDEST
        return f"failed: {record.message if short else record.message[:_WIDEST] + '…'}"
    if not record.alive:
        return f"died while {record.state}"
    if record.state == "mounted" and not _is_mounted(record):
        return "unmounted, but in use"
    return record.state


def _is_mounted(record: Record) -> bool:
    return Registry().is_newest(record) and mounted_here(Path(record.mount_point)) is not None
