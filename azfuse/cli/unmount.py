"""`azfuse unmount`."""

import os
import time

import click

from azfuse.cli import complete
from azfuse.cli.failure import CommandError
from azfuse.mount import unmount as mount_unmount
from azfuse.mount.choice import named_mount_point
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.registry import Registry


@click.command()
@click.argument("mountpoint", required=False, shell_complete=complete.mounts)
@click.option("-a", "--all", "every", is_flag=True, help="Unmount all mounts of this user.")
@click.option("-l", "--lazy", is_flag=True, help="Take it away now, though programs use it.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until everything is saved.",
)
def unmount(mountpoint: str | None, *, every: bool, lazy: bool, timeout: float) -> None:
    """Unmount MOUNTPOINT and wait until everything is saved.

    It may be a name of the config file.

    \b
    Examples:
      azfuse unmount ~/share
      azfuse unmount --all --timeout 60
    """  # noqa: D301 # \b is click's mark
    if every:
        if mountpoint is not None:
            raise click.UsageError("MOUNTPOINT and --all exclude each other")
        _unmount_all(lazy=lazy, timeout=timeout)
    elif mountpoint is None:
        raise click.UsageError("Missing argument 'MOUNTPOINT'. (--all unmounts all of them.)")
    else:
        point = named_mount_point(mountpoint, os.environ)
        mount_unmount.unmount(point, lazy=lazy, timeout=timeout)


def _unmount_all(*, lazy: bool, timeout: float) -> None:
    """Unmount one after the other, the innermost first; go on past those that fail."""
    deadline = time.monotonic() + timeout
    points = {record.mount_point for record in Registry().records() if record.state != "failed"}
    problems = []
    for point in sorted(points, reverse=True):
        left = max(deadline - time.monotonic(), 0.0)
        try:
            mount_unmount.unmount(point, lazy=lazy, timeout=left)
        except (MountError, UsageError) as error:
            problems.append(str(error))
            click.echo(f"azfuse: {error}", err=True)
    if problems:
        raise CommandError(f"{len(problems)} of {len(points)} not unmounted, or not saved")
