"""`azfuse stats`."""

import json

import click

from azfuse.mount.ask import ask, find_mount


@click.command()
@click.argument("mountpoint", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def stats(mountpoint: str | None, *, as_json: bool) -> None:
    """Show what the mount on MOUNTPOINT has done so far, and what is pending."""
    answer = ask(find_mount(mountpoint).record, "stats")
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
