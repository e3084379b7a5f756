"""`mount.azfuse`: what mount(8) calls for `mount -t azfuse` and for lines of fstab(5).

`mount -t fuse.azfuse` gets here as well: mount.fuse3(8) calls `azfuse SOURCE DIR -o ...`.
"""

import getopt
import os
import sys
from collections.abc import Collection, Sequence

from azfuse import __version__
from azfuse.mount.boot import allow_for_boot
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.launch import launch
from azfuse.mount.mountpoint import absolute, mounted_here
from azfuse.mount.options import is_remount, parse_options
from azfuse.mount.plan import make_plan
from azfuse.mount.remount import remount

# The exit codes of mount(8).
_USAGE = 1
_FAILURE = 32
_SYNOPSIS = "usage: mount.azfuse SOURCE DIR [-sfnvV] [-o options]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Mount as `mount.azfuse SOURCE DIR [-sfnvV] [-N ns] [-t type] [-o options]` and exit."""
    sys.exit(_main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: Sequence[str]) -> int:
    try:
        _mount(arguments)
    except (getopt.GetoptError, UsageError) as error:
        return _complain(error, _USAGE)
    except MountError as error:
        return _complain(error, _FAILURE)
    return 0


def _mount(arguments: Sequence[str]) -> None:
    found, words = getopt.gnu_getopt(list(arguments), "sfnvVhN:t:o:", ["help", "version"])
    flags = {name for name, _ in found}
    if flags & {"-V", "--version"}:
        print(f"mount.azfuse {__version__}")  # noqa: T201 # what it is asked for
        return
    if flags & {"-h", "--help"}:
        print(_SYNOPSIS)  # noqa: T201 # what it is asked for
        return
    if "-N" in flags:
        raise UsageError("azfuse mounts into the caller's namespace only: -N cannot be used")
    if len(words) != 2:
        raise UsageError(_SYNOPSIS)
    source, directory = words
    texts = [value for name, value in found if name == "-o"]
    _carry_out(source, directory, texts, flags)
    if "-v" in flags:
        _say_what_is(directory)


def _carry_out(source: str, directory: str, texts: list[str], flags: Collection[str]) -> None:
    sloppy, fake = "-s" in flags, "-f" in flags  # "fake": everything but the system call
    if is_remount(texts):
        remount(source, directory, texts, os.environ, sloppy=sloppy, fake=fake)
        return
    if os.geteuid() == 0 and "allow_root" not in parse_options(texts, sloppy=sloppy).given:
        # What root mounts with mount(8) is for everybody, as far as the modes allow.
        texts.append("allow_other")
    plan = make_plan(source, directory, texts, os.environ, sloppy=sloppy)
    if not fake:
        launch(allow_for_boot(plan, os.environ), foreground=False)


def _say_what_is(directory: str) -> None:
    mount = mounted_here(absolute(directory))
    if mount is not None:
        words = ",".join(sorted(mount.options))
        print(  # noqa: T201 # what -v asks for
            f"mount.azfuse: {mount.source} on {mount.mount_point} type {mount.kind} ({words})"
        )


def _complain(error: Exception, status: int) -> int:
    print(f"mount.azfuse: {error}", file=sys.stderr)  # noqa: T201 # the one line of a failure
    return status
