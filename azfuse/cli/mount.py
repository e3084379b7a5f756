"""`azfuse mount`."""

import os
from pathlib import Path

import click

from azfuse.cli.target import config_option
from azfuse.mount.launch import launch
from azfuse.mount.plan import make_plan


@click.command()
@click.argument("source")
@click.argument("mountpoint", required=False)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="NAME[=VALUE],...",
    help="Mount options; may be given several times.",
)
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground, log to stderr.")
@config_option
def mount(
    source: str,
    mountpoint: str | None,
    options: tuple[str, ...],
    *,
    foreground: bool,
    config_file: Path | None,
) -> None:
    """Mount SOURCE on the directory MOUNTPOINT.

    \b
    SOURCE is one of
      account/share[/directory]
      https://account.file.core.windows.net/share[/directory]
      //account.file.core.windows.net/share[/directory]
      http://127.0.0.1:10004/devstoreaccount1/share     (an emulator)
      NAME                 of the config file, which may know MOUNTPOINT (azfuse config --help)

    Credentials come from AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY,
    AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_AUTH_MODE=login, or a file that only
    you may read (-o credentials=FILE); never from the command line.

    \b
    Options (defaults in parentheses):
      ro, rw, snapshot=TIME          read-only; read-write (rw); a share snapshot
      credentials=FILE               TOML, or username= and password= lines
      uid, gid, forceuid, forcegid, umask, fmask, dmask, file_mode (0644), dir_mode (0755)
      posix=metadata|acl|off         keep modes and owners on the share (metadata)
      allow_other, allow_root        let others in
      actimeo=SECONDS, noac          how long attributes are believed (5); not at all
      acregmin, acregmax, acdirmin, acdirmax   the same for files and for directories
      cache-size, readahead          sizes such as 512M (512M, 32M)
      cache-dir=DIR                  keep content on disk across mounts, too (off)
      disk-cache-size=SIZE           how much of it (10G)
      max-transfers=N                range requests at once (16), four times as many small ones
      dirty-expire, retry-timeout    seconds (5, 120)
      writeback[=SECONDS]            close waits for a local journal, upload follows (off; 0.2)
      lease=off|auto|always          keep other writers off while uploading (auto)
      lease-wait=SECONDS             wait for leases of others before EBUSY (0)
      exclusive=local|atomic         O_EXCL, mkdir, symlink as locks between mounts (local)
      log-level, log-file, state-dir, foreground
      metrics=PORT                   figures for Prometheus at 127.0.0.1:PORT/metrics
      noatime, nodev, nosuid, noexec, sync, dirsync, auto_unmount
    Options of mount(8) and systemd (nofail, _netdev, x-...) are accepted and ignored.
    """  # noqa: D301 # \b is click's mark
    plan = make_plan(source, mountpoint, options, os.environ, config_file=config_file)
    launch(plan, foreground=foreground)
