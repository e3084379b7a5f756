"""`azfuse config`: what the config file comes to."""

import os
from dataclasses import fields
from pathlib import Path

import click

from azfuse.cli import complete
from azfuse.cli.failure import CommandError
from azfuse.cli.group import Group
from azfuse.cli.output import show_object, show_rows
from azfuse.cli.target import config_option, json_option, mount_options_option
from azfuse.mount.choice import choose
from azfuse.mount.config import config_paths, read_config, read_config_file
from azfuse.mount.errors import UsageError
from azfuse.mount.options import MountOptions

_MODES = frozenset({"umask", "fmask", "dmask", "file_mode", "dir_mode"})
#: Fields of MountOptions that are not one option each.
_SEVERAL = frozenset({"fuse_words", "ignored", "given", "remount"})


@click.group(cls=Group)
def config() -> None:
    """Show and check the config file.

    \b
    /etc/azfuse/config.toml, then ~/.config/azfuse/config.toml, or --config FILE:
      [defaults]                      # every option of azfuse mount -o
      cache-size = "1G"
      [mounts.team]                   # azfuse mount team
      source = "account/share"
      mountpoint = "/srv/team"
      credentials = "team.cred"       # beside this file
      ro = true

    -o goes before AZFUSE_CACHE_SIZE and the like in the environment, those before
    the file, a named mount before [defaults].
    """  # noqa: D301 # \b is click's mark


@config.command()
@click.argument("name", required=False, shell_complete=complete.sources)
@mount_options_option
@config_option
@json_option
def show(
    name: str | None, options: tuple[str, ...], config_file: Path | None, *, as_json: bool
) -> None:
    """Show the options that hold for the mount NAME, or any, and who said so.

    Example: azfuse config show team
    """
    rows: list[dict[str, object]] = []
    # Any share will do where only the defaults are asked for.
    choice = choose(name or "any/any", None, options, os.environ, config_file=config_file)
    if name is not None:
        for key, value in (("source", choice.source), ("mountpoint", choice.mount_point)):
            rows.append({"name": key, "value": value, "from": choice.origins[key]})
    rows += [
        {
            "name": field.name.replace("_", "-"),
            "value": _shown(field.name, getattr(choice.options, field.name)),
            "from": choice.origins.get(field.name, "default"),
        }
        for field in fields(MountOptions)
        if field.name not in _SEVERAL
    ]
    for word in sorted(choice.options.fuse_words):
        thing = word.replace("_", "-")
        origin = choice.origins.get(thing) or choice.origins.get(thing.removeprefix("no"))
        rows.append({"name": thing, "value": True, "from": origin})
    show_rows(rows, ("name", "value", "from"), as_json=as_json)


def _shown(name: str, value: object) -> object:
    if name in _MODES and isinstance(value, int):
        return f"{value:04o}"
    return value if value is None or isinstance(value, bool | int | float) else str(value)


@config.command()
@config_option
@json_option
def check(config_file: Path | None, *, as_json: bool) -> None:
    """Check the config file; every error with file, line and key. Exit 1 if there is one."""
    problems: list[str] = []
    paths = config_paths(os.environ, config_file)
    mounts: list[str] = []
    for path in paths:
        try:
            file = read_config_file(path)
        except UsageError as error:
            problems.append(str(error))
            continue
        problems += file.problems
        mounts += [name for name in file.mounts if name not in mounts]
    if not problems:
        problems += _disagreements(config_file)
    report = {"files": [str(path) for path in paths], "mounts": mounts, "problems": problems}
    if as_json or not problems:
        show_object(report, as_json=as_json)
    else:
        for problem in problems:
            click.echo(problem)
    if problems:
        raise CommandError(f"the config has {len(problems)} error(s)")


def _disagreements(config_file: Path | None) -> list[str]:
    """Return what is wrong with words that are right each by itself."""
    found = []
    # What the environment says about options is none of the file's faults.
    environ = {name: text for name, text in os.environ.items() if name == "XDG_CONFIG_HOME"}
    mounts = read_config(config_paths(environ, config_file)).mounts
    for name in ("any/any", *mounts):
        try:
            choose(name, None, (), environ, config_file=config_file)
        except UsageError as error:
            where = mounts[name].origin if name in mounts else "[defaults]"
            found.append(f"{where}: {error}")
    return found
