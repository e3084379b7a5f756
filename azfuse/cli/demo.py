"""`azfuse demo`: an emulator, a share, a mount, and real programs on it, every result checked."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import click

from azfuse.cli.demo_stage import Stage, Usage
from azfuse.cli.demo_steps import STEPS
from azfuse.mount.errors import MountError


@click.command()
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="MB",
    help="Size of the large file.",
)
def demo(size: int) -> None:
    """Show a mounted share at work: real programs on it, every result checked.

    Needs no Azure account: an emulator on this machine serves the share. Leaves
    nothing mounted, running or on disk.
    """
    # As Ctrl-C does, so that everything is taken down again.
    handler = signal.signal(signal.SIGTERM, _interrupt)
    try:
        _demo(size)
    finally:
        signal.signal(signal.SIGTERM, handler)


def _demo(size: int) -> None:
    began = time.monotonic()
    rows: list[tuple[str, float, Usage]] = []
    with Stage(size) as stage:
        click.echo(f"An emulator serves {stage.endpoint}, its data is in {stage.root}/data.")
        click.echo(f"Share demo is mounted on {stage.share}.")
        stage.take_usage()
        for number, (title, step) in enumerate(STEPS, start=1):
            click.echo()
            click.echo(click.style(f"{number}. {title}", bold=True))
            step_began = time.monotonic()
            _run(title, step, stage)
            rows.append((title, time.monotonic() - step_began, stage.take_usage()))
    click.echo()
    show_usage(rows)
    seconds = time.monotonic() - began
    skipped = f" ({'; '.join(stage.skipped)})" if stage.skipped else ""
    click.echo(f"\nAll {stage.checks} checks passed in {seconds:.0f} s{skipped}; nothing is left.")
    click.echo(
        "Next: azfuse mount ACCOUNT/SHARE DIRECTORY with AZURE_STORAGE_KEY set; "
        "azfuse mount --help has the options."
    )


def _run(title: str, step: Callable[[Stage], None], stage: Stage) -> None:
    try:
        step(stage)
    except (OSError, subprocess.SubprocessError) as error:
        raise MountError(f"demo: {title}: {error}") from error


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    # Cleaning up is not to be interrupted by an impatient second one.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def show_usage(rows: list[tuple[str, float, Usage]]) -> None:
    """Print what each step cost, as the emulator counted it."""
    everything = Usage(
        sum((usage.requests for _, _, usage in rows), Counter()),
        sum(usage.bytes_up for _, _, usage in rows),
        sum(usage.bytes_down for _, _, usage in rows),
    )
    if not everything.requests:
        raise MountError("the emulator counted no request: the demo has not shown anything")
    rows = [*rows, ("all", sum(seconds for _, seconds, _ in rows), everything)]
    width = max(len(title) for title, _, _ in rows)
    click.echo(click.style("Requests per step, as the emulator counted them", bold=True))
    click.echo(f"{'step':{width}}  seconds  requests   MB up  MB down  most of them")
    for title, seconds, usage in rows:
        up, down = usage.bytes_up / 1e6, usage.bytes_down / 1e6
        most = ", ".join(f"{count} {name}" for name, count in usage.requests.most_common(3))
        click.echo(
            f"{title:{width}}  {seconds:7.1f}  {usage.requests.total():8}  {up:6.1f}  {down:7.1f}"
            f"  {most}"
        )
