"""What the shell offers on TAB beyond commands and options: mounts, names, mount options.

Completion must be silent: where something is broken it offers nothing, and whoever
runs the command is told.
"""

import os

import click
from click.shell_completion import CompletionItem

from azfuse.mount.config import config_paths, read_config
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.options import kind_of, option_names
from azfuse.mount.registry import Registry


def mounts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the mount points of this user."""
    del ctx, parameter
    try:
        points = [record.mount_point for record in Registry().records()]
    except MountError:
        return []
    return [CompletionItem(point) for point in points if point.startswith(incomplete)]


def directories(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer directories, as the shell knows them."""
    del ctx, parameter
    return [CompletionItem(incomplete, type="dir")]


def paths(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer mount points first, then directories."""
    return [*mounts(ctx, parameter, incomplete), *directories(ctx, parameter, incomplete)]


def sources(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the named mounts of the config file."""
    del parameter
    try:
        config = read_config(config_paths(os.environ, ctx.params.get("config_file")))
    except UsageError:
        return []
    return [CompletionItem(name) for name in config.mounts if name.startswith(incomplete)]


def mount_options(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer mount options, for the last of those with commas between them."""
    del ctx, parameter
    before, comma, last = incomplete.rpartition(",")
    flags = ("flag", "bare")
    words = [name if kind_of(name) in flags else f"{name}=" for name in option_names()]
    return [CompletionItem(f"{before}{comma}{word}") for word in words if word.startswith(last)]
