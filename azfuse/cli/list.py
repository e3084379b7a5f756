"""`azfuse list`."""

import click

from azfuse.mount.mountpoint import MOUNT_TYPE, kernel_mounts
from azfuse.mount.registry import Record, Registry

#: Of a longer message only the beginning is shown; the log has all of it.
_WIDEST = 100


@click.command("list")
def list_mounts() -> None:
    """List the mounts of this user, and every azfuse mount that the kernel shows."""
    records = {record.mount_point: record for record in Registry().records()}
    rows = [
        (record.mount_point, record.source, str(record.pid), _state(record))
        for record in records.values()
    ]
    rows += [
        (mount.mount_point, mount.source, "-", "mounted by another user")
        for mount in kernel_mounts()
        if mount.kind == MOUNT_TYPE and mount.mount_point not in records
    ]
    table = [("MOUNT POINT", "SOURCE", "PID", "STATE"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    for row in table:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*padded, row[3]]))


def _state(record: Record) -> str:
    if record.state == "failed":
        short = record.message if len(record.message) <= _WIDEST else record.message[:_WIDEST] + "…"
        return f"failed: {short}"
    return record.state if record.alive else f"died while {record.state}"
