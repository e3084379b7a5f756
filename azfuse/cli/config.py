"""`azfuse config`: what the config file comes to."""

import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

import click

from azfuse.cli import complete
from azfuse.cli.group import Group
from azfuse.cli.output import show_object, show_rows
from azfuse.cli.target import config_option, json_option, mount_options_option
from azfuse.mount.choice import Choice, choose
from azfuse.mount.config import NoConfigFileError, config_paths, read_config, read_config_file
from azfuse.mount.errors import UsageError
from azfuse.mount.options import MountOptions, field_of
from azfuse.mount.source import parse_source

_MODES: Final = frozenset({"umask", "fmask", "dmask", "file_mode", "dir_mode"})
_SIZES: Final = frozenset({"cache_size", "disk_cache_size", "readahead"})
#: Fields of MountOptions with another name than the option -> that, and what it puts there.
_FLAGS: Final = {
    "read_only": ("ro", True),
    "force_uid": ("forceuid", True),
    "force_gid": ("forcegid", True),
    "check_permissions": ("noperm", False),
}
#: Fields of MountOptions that are not one option each.
_SEVERAL: Final = frozenset({"fuse_words", "ignored", "given", "remount"})


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
    # Any share will do where only the defaults are asked for.
    choice = choose(name or "any/any", None, options, os.environ, config_file=config_file)
    rows = [] if name is None else _place(name, choice, config_file)
    for field, value in _options(choice.options):
        origin = choice.origins.get(field_of(field), "default")
        rows.append({"name": field, "value": value, "from": origin})
    if not as_json:
        rows = [{**row, "value": _toml(row["value"])} for row in rows]
    show_rows(rows, ("name", "value", "from"), as_json=as_json)


def _place(name: str, choice: Choice, config_file: Path | None) -> list[dict[str, object]]:
    """Return source and mount point of *name*, a mount of the file or a share."""
    named = read_config(config_paths(os.environ, config_file)).mounts.get(name)
    if named is None and not set(name) & set("/\\:"):
        raise UsageError(f"there is no mount {name}: no config file was found, so none has a name")
    parse_source(choice.source)
    places = choice.origins if named is None else {**choice.origins, **named.places}
    return [
        {"name": "source", "value": choice.source, "from": places["source"]},
        {"name": "mountpoint", "value": choice.mount_point, "from": places["mountpoint"]},
    ]


def _options(options: MountOptions) -> Iterator[tuple[str, object]]:
    """Yield names and values as the config file takes them; None is what has no value."""
    for field in fields(options):
        value = getattr(options, field.name)
        name = field.name.replace("_", "-")
        if field.name in _SEVERAL:
            continue
        if field.name in _FLAGS:
            name, meant = _FLAGS[field.name]
            yield name, value is meant
        elif field.name == "disk_cache_size" and options.cache_dir is None:
            yield name, None  # the file may not have it alone
        elif field.name == "writeback":
            yield name, False if value is None else _number(value)
        elif value is not None and field.name in _MODES:
            yield name, f"{value:04o}"
        elif field.name in _SIZES:
            yield name, _size(value)
        elif isinstance(value, float):
            yield name, _number(value)
        else:
            yield name, value if value is None or isinstance(value, bool | int) else str(value)
    for word in sorted(options.fuse_words):
        yield word.replace("_", "-"), True


def _number(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _size(count: int) -> str | int:
    for bits, unit in ((40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if count and not count % (1 << bits):
            return f"{count >> bits}{unit}"
    return count


def _toml(value: object) -> str | None:
    """Write *value* so that it can be copied into the file: for these types, as JSON does."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


@config.command()
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, config_file: Path | None, *, as_json: bool) -> None:
    """Check the config file; every error with file, line and key. Exit 1 if there is one."""
    problems: list[str] = []
    paths = config_paths(os.environ, config_file)
    mounts: list[str] = []
    for path in paths:
        try:
            file = read_config_file(path)
        except NoConfigFileError:
            raise  # there is nothing to be checked
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
            click.echo(f"azfuse: {problem}", err=True)
    if problems:
        ctx.exit(1)


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
