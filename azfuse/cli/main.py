"""`azfuse`: the command and its subcommands, each loaded only when it is called."""

import errno
import importlib
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click

from azfuse import __version__
from azfuse.cli.failure import CommandError
from azfuse.cli.group import Group
from azfuse.mount.errors import MountError, RefusedError, UsageError
from azfuse.mount.journald import stderr_is_journal

#: Subcommand -> where it lives (imported when it is called, not for help) and what it is for.
_COMMANDS: Final = {
    "mount": ("azfuse.cli.mount:mount", "Mount a share on a directory."),
    "unmount": (
        "azfuse.cli.unmount:unmount",
        "Unmount a share and wait until everything is saved.",
    ),
    "stats": ("azfuse.cli.stats:stats", "Show what a mount has done and what is pending."),
    "refresh": ("azfuse.cli.refresh:refresh", "Forget what is cached below a path of a mount."),
    "status": ("azfuse.cli.status:status", "Say whether a mount is healthy."),
    "list": ("azfuse.cli.list:list_mounts", "List the mounts of this user."),
    "doctor": ("azfuse.cli.doctor:doctor", "Find out what keeps a mount from working."),
    "config": ("azfuse.cli.config:config", "Show and check the config file."),
    "share": ("azfuse.cli.share:share", "Create, list, change and delete shares."),
    "lease": ("azfuse.cli.lease:lease", "Show which files are leased; break a lease."),
    "handles": ("azfuse.cli.handles:handles", "List and close what SMB clients have open."),
    "sas": ("azfuse.cli.sas:sas", "Make a shared access signature."),
    "service": ("azfuse.cli.service:service", "Show and set what holds for a whole account."),
    "demo": ("azfuse.cli.demo:demo", "Show a mounted share at work, on an emulator."),
    "emulator": (
        "azfuse.cli.emulator:emulator",
        "Serve the File service on this machine, for development and tests.",
    ),
}


#: Nobody takes what a command prints.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT})


class _LazyGroup(Group):
    """Knows its commands by name, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{_COMMANDS[cmd_name][0]} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="azfuse %(version)s")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, *, debug: bool) -> None:
    """Mount Azure Files shares over HTTPS, and look after them."""
    del debug  # read by main
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit, with one sentence for each failure.

    2 for wrong words, 3 for a mount whose credentials the service does not take, 1 for all else.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # What a command has to say it says itself; a mount sets up a log of its own.
    logging.getLogger("azfuse").addHandler(logging.NullHandler())
    if words and "/" in words[0]:
        # No command but a source: mount.fuse3(8) calls `azfuse SOURCE DIR -o ...` for
        # `mount -t fuse.azfuse`.
        from azfuse.mount import helper

        helper.main(words)
    sys.exit(_main(words))


def _main(words: list[str]) -> int:
    try:
        status = cli.main(words, prog_name="azfuse", standalone_mode=False)
    except (UsageError, click.ClickException, CommandError, MountError) as error:
        _show_traceback(words)
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        # For a service's journal an error has to say that it is one: sd-daemon(3).
        priority = "<3>" if stderr_is_journal() else ""
        click.echo(f"{priority}azfuse: {text}", err=True)
        if isinstance(error, RefusedError):
            return 3
        return 1 if isinstance(error, CommandError | MountError) else 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("azfuse: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not complain of it again at exit.
        sys.stdout = None
        return 1
    except OSError as error:
        if error.errno not in _NO_ROOM:
            return _internal(error, words)
        sys.stdout = None  # as above
        click.echo(f"azfuse: the output cannot be written: {error.strerror}", err=True)
        return 1
    except Exception as error:
        return _internal(error, words)
    return status if isinstance(status, int) else 0


def _internal(error: Exception, words: list[str]) -> int:
    _show_traceback(words)
    click.echo(
        f"azfuse: internal error, {type(error).__name__}: {error} (--debug shows more)", err=True
    )
    return 1


def _show_traceback(words: list[str]) -> None:
    """Print the traceback of the exception at hand, where `--debug` asks for it."""
    if "--debug" in words:
        traceback.print_exc()
