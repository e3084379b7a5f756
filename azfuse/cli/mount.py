"""`azfuse mount`."""

import os
from pathlib import Path

import click

from azfuse.cli import complete
from azfuse.cli.target import config_option
from azfuse.mount.launch import launch
from azfuse.mount.option_texts import help_text
from azfuse.mount.options import is_remount
from azfuse.mount.plan import make_plan
from azfuse.mount.remount import remount


def _show_help(
    ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    del parameter
    if "help" in value:
        click.echo(help_text())
        ctx.exit()
    return value


@click.command()
@click.argument("source", shell_complete=complete.sources)
@click.argument("mountpoint", required=False, shell_complete=complete.directories)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="NAME[=VALUE],...",
    is_eager=True,  # `-o help` needs no SOURCE
    callback=_show_help,
    shell_complete=complete.mount_options,
    help="Mount options; may be given several times.",
)
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground, log to stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Log all there is to say (log-level=debug).")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="As -o log-format.")
@config_option
def mount(
    source: str,
    mountpoint: str | None,
    options: tuple[str, ...],
    *,
    foreground: bool,
    verbose: bool,
    log_format: str | None,
    config_file: Path | None,
) -> None:
    """Mount SOURCE on the directory MOUNTPOINT.

    \b
    SOURCE is one of
      account/share[/directory]
      https://account.file.core.windows.net/share[/directory]  (or //account...)
      http://127.0.0.1:10004/devstoreaccount1/share            (an emulator)
      NAME of the config file, which may know MOUNTPOINT (azfuse config --help)

    Credentials come from AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY,
    AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_AUTH_MODE=login, or a file that only
    you may read (-o credentials=FILE); never from the command line.

    \b
    Examples:
      azfuse mount account/share ~/share
      azfuse mount account/share/reports /srv/reports -o ro,allow_other
      azfuse mount account/share ~/build -o writeback,cache-dir=/var/cache/azfuse

    \b
    The options used most (-o help explains all of them, with defaults):
      ro, snapshot=TIME              read-only; a snapshot of the share
      allow_other, uid=, gid=        let others in; owners
      actimeo=SECONDS                how long attributes are believed
      cache-size=SIZE, cache-dir=DIR content in memory; on disk, across mounts
      writeback                      close waits for a local journal only
      retry-timeout=SECONDS          patience with a service that is away
    """  # noqa: D301 # \b is click's mark
    if verbose:
        options = (*options, "log-level=debug")
    if log_format is not None:
        options = (*options, f"log-format={log_format}")
    if is_remount(options):
        remount(source, mountpoint, options, os.environ, config_file=config_file)
        return
    plan = make_plan(source, mountpoint, options, os.environ, config_file=config_file)
    launch(plan, foreground=foreground)
