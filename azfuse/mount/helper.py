"""`mount.azfuse`: what mount(8) calls for `mount -t azfuse` and for lines of fstab(5).

`mount -t fuse.azfuse` gets here as well: as `mount.fuse.azfuse`, or by way of mount.fuse3(8),
which calls `azfuse SOURCE DIR -o ...`.
"""

import os
import sys
from collections.abc import Collection, Sequence
from typing import Final

from azfuse.mount.boot import allow_for_boot
from azfuse.mount.helper_words import Helper
from azfuse.mount.launch import launch
from azfuse.mount.mountpoint import absolute, mounted_here
from azfuse.mount.option_texts import help_text
from azfuse.mount.options import is_remount, parse_options
from azfuse.mount.plan import make_plan
from azfuse.mount.remount import remount


def main(arguments: Sequence[str] | None = None) -> None:
    """Mount as `mount.azfuse SOURCE DIR [-sfnvV] [-t type] [-o options]` and exit."""
    sys.exit(_HELPER.run(arguments))


def _mount(flags: Collection[str], texts: list[str], words: list[str]) -> None:
    source, directory = words
    _carry_out(source, directory, texts, flags)
    mount = mounted_here(absolute(directory)) if "-v" in flags else None
    if mount is not None:
        options = ",".join(sorted(mount.options))
        _HELPER.say(f"{mount.source} on {mount.mount_point} type {mount.kind} ({options})")


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


_HELPER: Final = Helper(
    "mount.azfuse", "mount.azfuse SOURCE DIR [-sfnvV] [-o options]", "sfn", 2, _mount, help_text
)
