"""`azfuse unmount`."""

import click

from azfuse.mount import unmount as mount_unmount


@click.command()
@click.argument("mountpoint")
@click.option("-l", "--lazy", is_flag=True, help="Take it away now, though programs use it.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until everything is saved.",
)
def unmount(mountpoint: str, *, lazy: bool, timeout: float) -> None:
    """Unmount MOUNTPOINT and wait until everything is saved."""
    mount_unmount.unmount(mountpoint, lazy=lazy, timeout=timeout)
