"""`azfuse stats`."""

import json
import os
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from azfuse.cli import complete
from azfuse.cli.cost import choose_tier, load_prices, reckon
from azfuse.cli.stats_page import MOST_SAMPLES, page
from azfuse.cli.stats_view import WIDTH, cost_lines, lines_of, short_line
from azfuse.mount.ask import ask, find_mount
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.registry import Record, Registry

#: Seconds between two looks of `--watch`.
DEFAULT_INTERVAL: Final = 2.0
_LEAST_INTERVAL: Final = 0.1
#: To the upper left corner, and nothing below it.
_REDRAW: Final = "\x1b[H\x1b[J"
_CLEAR: Final = "\x1b[2J"

#: Takes what a mount answered, adds what was asked for beside.
_Finish = Callable[[dict[str, Any]], dict[str, Any]]


@click.command()
@click.argument("mountpoint", required=False, shell_complete=complete.mounts)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=str(DEFAULT_INTERVAL),
    metavar="[SECONDS]",
    help="Show them again every few seconds (2), with rates, until Ctrl-C.",
)
@click.option(
    "--html",
    "page_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page for a browser; with --watch again and again, with charts.",
)
@click.option("--cost", is_flag=True, help="Reckon what the requests cost.")
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Prices (TOML) instead of ~/.config/azfuse/prices.toml or /etc/azfuse/prices.toml.",
)
@click.option("--tier", metavar="NAME", help="The tier whose prices hold; else the share's own.")
def stats(
    mountpoint: str | None,
    *,
    as_json: bool,
    watch: str | None,
    page_file: Path | None,
    cost: bool,
    prices: Path | None,
    tier: str | None,
) -> None:
    """Show what a mount has done so far, and what is pending.

    MOUNTPOINT may be any path in the mount, and may be left out where there is just
    one mount. What operations cost is reckoned from a table of prices that comes with
    azfuse as an example and that you should replace by that of your region.

    \b
    Examples:
      azfuse stats ~/share --watch
      azfuse stats ~/share --html page.html --watch 5
    """  # noqa: D301 # \b is click's mark
    others = {"--json": as_json, "--cost": cost, "--prices": prices, "--tier": tier}
    if page_file is not None and (given := [word for word, value in others.items() if value]):
        raise click.UsageError(f"--html and {given[0]} exclude each other")
    if watch is not None and mountpoint is None and not _is_number(watch):
        mountpoint, watch = watch, str(DEFAULT_INTERVAL)
    finish = _with_cost(prices, tier) if cost or prices or tier else _as_it_is
    record = find_mount(mountpoint).record
    if page_file is not None:
        _write_pages(record, page_file, None if watch is None else _interval(watch))
        return
    if watch is not None:
        _watch(record, finish, _interval(watch), as_json=as_json)
        return
    answer = finish(ask(record, "stats"))
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif cost:
        click.echo("\n".join(cost_lines(answer["cost"])))
    else:
        click.echo("\n".join(lines_of(answer)))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]*\.?[0-9]+", text) is not None


def _interval(text: str) -> float:
    if not _is_number(text) or not _LEAST_INTERVAL <= float(text) <= 86400:
        raise UsageError(f"--watch {text}: seconds are needed, {_LEAST_INTERVAL} to 86400")
    return float(text)


def _as_it_is(answer: dict[str, Any]) -> dict[str, Any]:
    return answer


def _with_cost(path: Path | None, tier: str | None) -> _Finish:
    prices = load_prices(path, os.environ)
    choose_tier(prices, tier, None)  # a wrong word is said before anything is shown

    def finish(answer: dict[str, Any]) -> dict[str, Any]:
        of_share = answer.get("share", {}).get("accessTier")
        chosen = choose_tier(prices, tier, of_share)
        seconds = answer["mount"]["uptimeSeconds"]
        return {**answer, "cost": reckon(answer["requests"], seconds, prices, chosen)}

    return finish


def _watch(record: Record, finish: _Finish, interval: float, *, as_json: bool) -> None:
    """Show figures until interrupted, or until the mount is no more."""
    redraw = sys.stdout.isatty() and not as_json
    before: dict[str, Any] | None = None
    if redraw:
        click.echo(_CLEAR, nl=False)
    try:
        for answer in _samples(record, finish, interval):
            if as_json:
                click.echo(json.dumps(answer, ensure_ascii=False))
            elif redraw:
                click.echo(_REDRAW + _screen(answer, before), nl=False)
            else:
                click.echo(f"{time.strftime('%H:%M:%S')} {short_line(answer, before)}")
            sys.stdout.flush()
            before = answer
    except KeyboardInterrupt:
        # The way to end it.
        if redraw:
            click.echo()


def _write_pages(record: Record, file: Path, interval: float | None) -> None:
    """Write one page, or one each *interval* seconds until interrupted or unmounted."""
    if interval is None:
        _replace(file, page([ask(record, "stats")]))
        return
    samples: deque[dict[str, Any]] = deque(maxlen=MOST_SAMPLES)
    with suppress(KeyboardInterrupt):  # the way to end it
        for answer in _samples(record, _as_it_is, interval):
            samples.append(answer)
            _replace(file, page(samples, interval))


def _replace(file: Path, text: str) -> None:
    """Put *text* in the place of *file* at once: a browser may be reading it."""
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(text)
        new.replace(file)
    except OSError as error:
        raise UsageError(f"--html {file}: {error.strerror}") from None


def _samples(record: Record, finish: _Finish, interval: float) -> Iterator[dict[str, Any]]:
    yield finish(ask(record, "stats"))
    while True:
        time.sleep(interval)
        try:
            answer = ask(record, "stats")
        except MountError:
            if not record.alive and Registry().find(record.mount_point) is None:
                click.echo(f"{record.mount_point} is unmounted, and everything is saved", err=True)
                return
            raise
        yield finish(answer)


def _screen(answer: dict[str, Any], before: dict[str, Any] | None) -> str:
    """Return as much as the terminal has room for: what scrolls cannot be drawn over."""
    columns, rows = shutil.get_terminal_size((WIDTH, 25))
    lines = [line[:columns] for line in lines_of(answer, before)]
    return "\n".join(lines[: max(rows - 1, 1)]) + "\n"
