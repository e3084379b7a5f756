"""The manual pages, made of the texts that `--help` prints: `python -m azfuse.cli.manual DIR`.

In the man macros of groff_man(7). One source, so help and manual cannot disagree.
"""

import inspect
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from azfuse import __version__
from azfuse.cli import manual_texts as texts
from azfuse.cli.main import cli
from azfuse.cli.manual_keys import keys_of, takes
from azfuse.mount.option_texts import GROUPS

#: Shown as it stands, as click has it: a paragraph that begins with this line.
_AS_IT_STANDS: Final = "\b"


def pages() -> dict[str, str]:
    """Return the manual pages by file name."""
    return {
        "azfuse.1": "\n".join(_azfuse()) + "\n",
        "azfuse-emulator.1": "\n".join(_emulator()) + "\n",
        "mount.azfuse.8": "\n".join(_mount()) + "\n",
        "umount.azfuse.8": "\n".join(_umount()) + "\n",
        "azfuse.toml.5": "\n".join(_config()) + "\n",
    }


def main() -> None:
    """Write the pages into the directory named on the command line."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)


# -- pages --------------------------------------------------------------------------------


def _azfuse() -> Iterator[str]:
    yield from _head(
        "azfuse", 1, cli.get_short_help_str(200), "azfuse [OPTION] COMMAND [ARGUMENT]..."
    )
    yield from _section("DESCRIPTION", cli.help or "")
    root = _root()
    yield ".SH OPTIONS"
    yield from _options(root)
    yield ".SH COMMANDS"
    for context, command in every_command(root):
        if context.command_path == "azfuse emulator":
            yield ".SS azfuse emulator"
            yield "See \\fBazfuse\\-emulator\\fR(1)."
            continue
        yield f".SS {_quoted(' '.join([context.command_path, *_usage(context)]))}"
        yield from _text(command.help or "")
        yield from _options(context)
    yield from _section("CREDENTIALS", texts.CREDENTIALS)
    yield from _section("EXIT STATUS", texts.STATUS)
    yield from _items("ENVIRONMENT", texts.ENVIRONMENT)
    yield from _section("FILES", texts.FILES)
    yield from _also("mount.azfuse(8)", "azfuse.toml(5)", "azfuse-emulator(1)", "fusermount3(1)")


def _emulator() -> Iterator[str]:
    context = _context("emulator")
    command = context.command
    purpose = command.get_short_help_str(200)
    yield from _head("azfuse-emulator", 1, purpose, "azfuse emulator [OPTION]...")
    yield from _section("DESCRIPTION", command.help or "")
    yield ".SH OPTIONS"
    yield from _options(context)
    yield from _section("EXIT STATUS", texts.EMULATOR_STATUS)
    yield from _items("ENVIRONMENT", texts.EMULATOR_ENVIRONMENT)
    yield from _also("azfuse(1)")


def _mount() -> Iterator[str]:
    synopsis = "mount -t azfuse SOURCE DIRECTORY [-o OPTION[,...]]"
    yield from _head("mount.azfuse", 8, "mount an Azure Files share over HTTPS", synopsis)
    yield from _section("DESCRIPTION", texts.MOUNT)
    help_text = inspect.cleandoc(_context("mount").command.help or "")
    parts = help_text.split(f"\n\n{_AS_IT_STANDS}\n")
    yield from _section("SOURCE", f"{_AS_IT_STANDS}\n{parts[1]}".partition("\n\n")[0])
    yield from _section("CREDENTIALS", texts.CREDENTIALS)
    yield from _section("EXAMPLES", f"{_AS_IT_STANDS}\n{parts[2].partition(chr(10))[2]}")
    yield ".SH OPTIONS"
    yield "Dashes and underscores are alike. Defaults are in parentheses; sizes are"
    yield "written 512M, 10G."
    for group in GROUPS:
        yield f".SS {_quoted(group.title)}"
        for option in group.options:
            yield ".TP"
            yield f".B {_escaped(option.words)}"
            yield _escaped(option.text)
    yield ".PP"
    yield "Options of mount(8) and systemd (nofail, _netdev, x\\-...) and those of mount.cifs"
    yield "that change nothing here (serverino, nobrl, vers=, ...) are accepted and ignored."
    yield from _section("EXIT STATUS", texts.MOUNT_STATUS)
    yield from _items("ENVIRONMENT", texts.ENVIRONMENT)
    yield from _section("FILES", texts.FILES)
    yield from _also("azfuse(1)", "azfuse.toml(5)", "umount.azfuse(8)", "mount(8)", "fstab(5)")


def _umount() -> Iterator[str]:
    purpose = "unmount an Azure Files share when it is saved"
    yield from _head("umount.azfuse", 8, purpose, "umount [-l | -f] DIRECTORY")
    yield from _section("DESCRIPTION", texts.UMOUNT)
    yield from _section("EXIT STATUS", texts.MOUNT_STATUS)
    yield from _also("azfuse(1)", "mount.azfuse(8)", "umount(8)")


def _config() -> Iterator[str]:
    purpose = "defaults and named mounts of azfuse"
    yield from _head("azfuse.toml", 5, purpose, "/etc/azfuse/config.toml")
    yield from _section("DESCRIPTION", texts.CONFIG)
    yield from _items("KEYS OF A NAMED MOUNT", texts.PLACE)
    yield ".SH KEYS OF ALL MOUNTS"
    yield "Dashes and underscores are alike. Defaults are in parentheses."
    for group in GROUPS:
        yield f".SS {_quoted(group.title)}"
        for option in group.options:
            keys = keys_of(option)
            for key in keys:
                yield ".TP" if key == keys[0] else ".TQ"
                yield f".B {_escaped(key)}"
            if keys:
                yield _escaped(takes(keys))
                yield ".br"
                yield _escaped(option.text)
    yield from _section("EXAMPLES", texts.CONFIG_EXAMPLE)
    yield from _items("ENVIRONMENT", texts.OUR_ENVIRONMENT)
    yield from _section("FILES", texts.CONFIG_FILES)
    yield from _also("azfuse(1)", "mount.azfuse(8)")


# -- parts --------------------------------------------------------------------------------


def _head(name: str, section: int, purpose: str, synopsis: str) -> Iterator[str]:
    # Of the build, which reproducible-builds.org/specs/source-date-epoch lets others choose.
    built = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    date = time.strftime("%Y-%m-%d", built)
    yield f'.TH {name.upper()} {section} {date} "azfuse {__version__}" azfuse'
    yield ".nh"  # names of variables are to be copied
    yield ".SH NAME"
    yield f"{_escaped(name)} \\- {_escaped(purpose.rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_escaped(synopsis)}"


def _section(title: str, text: str) -> Iterator[str]:
    yield f".SH {title}"
    yield from _text(text)


def _items(title: str, items: Mapping[str, str]) -> Iterator[str]:
    yield f".SH {title}"
    for name, text in items.items():
        yield ".TP"
        yield f".B {_escaped(name)}"
        yield _escaped(text)


def _also(*others: str) -> Iterator[str]:
    yield ".SH SEE ALSO"
    yield ",\n".join(f"\\fB{_escaped(o.split('(')[0])}\\fR({o.split('(')[1]}" for o in others)


def _text(text: str) -> Iterator[str]:
    """Set paragraphs; those that are to be shown as they stand keep their lines."""
    first = True
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        stands = bool(lines) and lines[0].strip() == _AS_IT_STANDS
        lines = [line for line in lines if line.strip() not in {"", _AS_IT_STANDS}]
        if not lines:
            continue
        if not first:
            yield ".PP"
        first = False
        if stands or any(line.startswith(" ") for line in lines):
            yield ".nf"
            yield from map(_escaped, lines)
            yield ".fi"
        else:
            yield from map(_escaped, lines)


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield ".TP"
            yield f".B {_escaped(record[0])}"
            yield from map(_escaped, record[1].splitlines() or [""])


def _usage(context: click.Context) -> list[str]:
    return context.command.collect_usage_pieces(context)


def _root() -> click.Context:
    return click.Context(cli, info_name="azfuse", **cli.context_settings)


def _context(name: str) -> click.Context:
    parent = _root()
    command = cli.get_command(parent, name)
    if command is None:
        raise LookupError(name)
    return click.Context(command, info_name=name, parent=parent)


def every_command(context: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    """Yield all commands below that of *context*, groups before what is in them."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            inner = click.Context(command, info_name=name, parent=context)
            yield inner, command
            yield from every_command(inner)


_REPLACED: Final[tuple[tuple[str, str], ...]] = (("\\", "\\e"), ("-", "\\-"), ("~", "\\(ti"))


def _escaped(text: str) -> str:
    for old, new in _REPLACED:
        text = text.replace(old, new)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', "\\(dq") + '"'


if __name__ == "__main__":
    main()
