"""The manual pages, made of the texts that `--help` prints: `python -m azfuse.cli.manual DIR`.

In the man macros of groff_man(7). One source, so help and manual cannot disagree.
"""

import inspect
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from azfuse import __version__
from azfuse.cli.main import cli
from azfuse.mount.option_texts import GROUPS
from azfuse.mount.options import kind_of, option_names

#: Shown as it stands, as click has it: a paragraph that begins with this line.
_AS_IT_STANDS: Final = "\b"
_KINDS: Final = {
    "flag": "true or false",
    "bare": "true, or a value",
    "path": "a path; a relative one begins at the file",
    "mode": 'octal digits in quotes, such as "0755"',
    "value": "a number, or text in quotes",
}
_FILES: Final = """\
/etc/azfuse/config.toml, ~/.config/azfuse/config.toml
  Defaults and named mounts, see azfuse.toml(5).

/var/lib/azfuse, ~/.local/state/azfuse
  What outlives a mount: its journal, leases and inode numbers.
"""
_STATUS: Final = """\
0 for success, 1 for what failed, 2 for wrong words; one sentence on standard error says why.
"""
#: mount(8), "EXIT STATUS".
_MOUNT_STATUS: Final = """\
0 for success, 1 for wrong words, 32 for what failed; one sentence on standard error says why.
"""


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
    yield from _head("azfuse", 1, cli.get_short_help_str(200), "azfuse COMMAND [ARGUMENT]...")
    yield from _section("DESCRIPTION", cli.help or "")
    yield ".SH COMMANDS"
    for context, command in every_command(click.Context(cli, info_name="azfuse")):
        if context.command_path == "azfuse emulator":
            yield ".SS azfuse emulator"
            yield "See \\fBazfuse\\-emulator\\fR(1)."
            continue
        yield f".SS {_quoted(' '.join([context.command_path, *_usage(context)]))}"
        yield from _text(command.help or "")
        yield from _options(context)
    yield from _section("EXIT STATUS", _STATUS)
    yield from _section("FILES", _FILES)
    yield from _also("mount.azfuse(8)", "azfuse.toml(5)", "azfuse-emulator(1)", "fusermount3(1)")


def _emulator() -> Iterator[str]:
    context = _context("emulator")
    command = context.command
    purpose = command.get_short_help_str(200)
    yield from _head("azfuse-emulator", 1, purpose, "azfuse emulator [OPTION]...")
    yield from _section("DESCRIPTION", command.help or "")
    yield ".SH OPTIONS"
    yield from _options(context)
    yield from _section("EXIT STATUS", _STATUS)
    yield from _also("azfuse(1)")


def _mount() -> Iterator[str]:
    synopsis = "mount -t azfuse SOURCE DIRECTORY [-o OPTION[,...]]"
    yield from _head("mount.azfuse", 8, "mount an Azure Files share over HTTPS", synopsis)
    yield from _section(
        "DESCRIPTION",
        "mount(8) calls this for the type azfuse, or azfuse itself for fuse.azfuse. It returns "
        "when the share is mounted; a daemon serves it until it is unmounted, and ends when all "
        "is saved. What root mounts so is open to all users as far as modes allow.\n\n"
        "-s ignores unknown options, -f does everything but the mount, -v shows what is mounted, "
        "-n is accepted.\n\n"
        "-o remount with ro, rw, noatime, nosuid, nodev or noexec changes a mount as it runs; "
        "remount,ro returns when everything is on the share.\n\n"
        "A line of fstab(5):\n\n"
        f"{_AS_IT_STANDS}\n"
        "account/share  /mnt/share  azfuse  _netdev,nofail,credentials=/etc/my.cred  0 0\n\n"
        "umount(8) then calls umount.fuse.azfuse and returns when everything is saved. Without "
        "_netdev, or another word that mount(8) keeps to itself, it asks no helper, and azfuse "
        "goes on saving when it has returned.",
    )
    help_text = inspect.cleandoc(_context("mount").command.help or "")
    parts = help_text.split(f"\n\n{_AS_IT_STANDS}\n")
    yield from _section("SOURCE AND CREDENTIALS", f"{_AS_IT_STANDS}\n{parts[1]}")
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
    yield from _section("EXIT STATUS", _MOUNT_STATUS)
    yield from _section("FILES", _FILES)
    yield from _also("azfuse(1)", "azfuse.toml(5)", "umount.azfuse(8)", "mount(8)", "fstab(5)")


def _umount() -> Iterator[str]:
    purpose = "unmount an Azure Files share when it is saved"
    yield from _head("umount.azfuse", 8, purpose, "umount [-l | -f] DIRECTORY")
    yield from _section(
        "DESCRIPTION",
        "umount(8) calls this for what was mounted with _netdev or the like, see mount.azfuse(8). "
        "It returns when everything is on the share.\n\n"
        "-l and -f wait for nothing: azfuse goes on saving by itself. -n, -r and -v are accepted.",
    )
    yield from _section("EXIT STATUS", _MOUNT_STATUS)
    yield from _also("azfuse(1)", "mount.azfuse(8)", "umount(8)")


def _config() -> Iterator[str]:
    purpose = "defaults and named mounts of azfuse"
    yield from _head("azfuse.toml", 5, purpose, "/etc/azfuse/config.toml")
    yield from _section("DESCRIPTION", _context("config").command.help or "")
    yield ".SH KEYS"
    yield "A mount has \\fBsource\\fR and \\fBmountpoint\\fR. All others are options of"
    yield "\\fBmount.azfuse\\fR(8):"
    for name in sorted(option_names()):
        kind = kind_of(name)
        if kind is not None and kind in _KINDS:
            yield ".TP"
            yield f".B {_escaped(name)}"
            yield _escaped(_KINDS[kind])
    yield from _also("azfuse(1)", "mount.azfuse(8)")


# -- parts --------------------------------------------------------------------------------


def _head(name: str, section: int, purpose: str, synopsis: str) -> Iterator[str]:
    # Of the build, which reproducible-builds.org/specs/source-date-epoch lets others choose.
    built = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    date = time.strftime("%Y-%m-%d", built)
    yield f'.TH {name.upper()} {section} {date} "azfuse {__version__}" azfuse'
    yield ".SH NAME"
    yield f"{_escaped(name)} \\- {_escaped(purpose.rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_escaped(synopsis)}"


def _section(title: str, text: str) -> Iterator[str]:
    yield f".SH {title}"
    yield from _text(text)


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


def _context(name: str) -> click.Context:
    parent = click.Context(cli, info_name="azfuse")
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
