"""`azfuse refresh`."""

from typing import Final

import click

from azfuse.cli import complete
from azfuse.mount.ask import ask, find_mount
from azfuse.mount.units import plural, size_text

#: Pages of a file that is being read can be dropped only once the read has ended, in seconds.
_TIMEOUT: Final = 180.0


@click.command()
@click.argument("path", shell_complete=complete.paths)
def refresh(path: str) -> None:
    """Forget what is cached of PATH, a place in a mount, and of everything below it.

    The next who looks sees what the share has now, however long attributes are
    believed (-o actimeo). What was written and is not on the share yet is kept.

    Example: azfuse refresh ~/share/reports
    """
    place = find_mount(path)
    done = ask(place.record, "refresh", _TIMEOUT, path=place.path)
    entries = plural(done["entries"], "entry", "entries")
    click.echo(f"forgot {entries} and {size_text(done['contentBytes'])} of content")
