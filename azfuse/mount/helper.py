"""`mount.azfuse`: what mount(8) calls for `mount -t azfuse` and for lines of fstab(5).

`mount -t fuse.azfuse` gets here as well: mount.fuse3(8) calls `azfuse SOURCE DIR -o ...`.
`umount.fuse.azfuse` is what umount(8) calls in turn, which systemd does at shutdown.
"""

import getopt
import math
import os
import sys
from collections.abc import Callable, Sequence

from azfuse import __version__
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.launch import launch
from azfuse.mount.mountpoint import absolute
from azfuse.mount.options import parse_options
from azfuse.mount.plan import make_plan
from azfuse.mount.unmount import fusermount, unmount

# The exit codes of mount(8).
_USAGE = 1
_FAILURE = 32
_SYNOPSIS = "usage: mount.azfuse SOURCE DIR [-sfnvV] [-o options]"
_UMOUNT_SYNOPSIS = "usage: umount.fuse.azfuse DIR [-flnrvV]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Mount as `mount.azfuse SOURCE DIR [-sfnvV] [-N ns] [-t type] [-o options]` and exit."""
    sys.exit(_run(_mount, sys.argv[1:] if arguments is None else arguments, "mount.azfuse"))


def umount_main(arguments: Sequence[str] | None = None) -> None:
    """Unmount as `umount.fuse.azfuse DIR [-flnrvV] [-N ns] [-t type]` and exit.

    Not before everything is on the share, but with -l (lazy).
    """
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(_umount, words, "umount.fuse.azfuse"))


def _run(work: Callable[[Sequence[str]], None], arguments: Sequence[str], name: str) -> int:
    try:
        work(arguments)
    except (getopt.GetoptError, UsageError) as error:
        return _complain(name, error, _USAGE)
    except MountError as error:
        return _complain(name, error, _FAILURE)
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
    texts, sloppy = [value for name, value in found if name == "-o"], "-s" in flags
    if os.geteuid() == 0 and "allow_root" not in parse_options(texts, sloppy=sloppy).given:
        # What root mounts with mount(8) is for everybody, as far as the modes allow.
        texts.append("allow_other")
    source, directory = words
    plan = make_plan(source, directory, texts, os.environ, sloppy=sloppy)
    if "-f" not in flags:  # "fake": everything but the mount
        launch(plan, foreground=False)


def _umount(arguments: Sequence[str]) -> None:
    found, words = getopt.gnu_getopt(list(arguments), "flnrvVhN:t:", ["help", "version"])
    flags = {name for name, _ in found}
    if flags & {"-V", "--version"}:
        print(f"umount.fuse.azfuse {__version__}")  # noqa: T201 # what it is asked for
        return
    if flags & {"-h", "--help"}:
        print(_UMOUNT_SYNOPSIS)  # noqa: T201 # what it is asked for
        return
    if "-N" in flags:
        raise UsageError("azfuse unmounts in the caller's namespace only: -N cannot be used")
    if len(words) != 1:
        raise UsageError(_UMOUNT_SYNOPSIS)
    if "-l" not in flags:
        unmount(words[0], lazy=False, timeout=math.inf)
    elif complaint := fusermount(absolute(words[0]), lazy=True):
        raise MountError(complaint)


def _complain(name: str, error: Exception, status: int) -> int:
    print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 # the one line of a failure
    return status
