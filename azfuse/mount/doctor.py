"""`azfuse doctor`: what this machine offers, as findings. The share's part is doctor_share."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from azfuse.mount.errors import MountError
from azfuse.mount.mountpoint import check_machine
from azfuse.mount.units import plural

Verdict = Literal["ok", "warn", "fail"]

#: `fusermount3 -V` does nothing slow, in seconds.
_VERSION_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it is not well."""

    name: str
    verdict: Verdict
    text: str
    advice: str = ""


def examine_machine(state_dir: Path) -> Iterator[Finding]:
    """Look at FUSE, versions and the state directory of this user. Changes nothing."""
    try:
        check_machine(allow_other=False)
        yield Finding("FUSE", "ok", "/dev/fuse can be opened, fusermount3 is there")
    except MountError as error:
        problem, _, advice = str(error).partition(": ")
        yield Finding("FUSE", "fail", problem, advice)
    yield _allow_other()
    kernel = f"Linux {platform.release()}, Python {platform.python_version()}"
    yield Finding("versions", "ok", f"azfuse {_version('azfuse')}, {kernel}")
    fuse = _version("pyfuse3")
    if fuse is None:
        yield Finding("pyfuse3", "fail", "pyfuse3 is missing", "run pip install pyfuse3")
    else:
        yield Finding("pyfuse3", "ok", f"pyfuse3 {fuse}, {_fusermount_version()}")
    yield _state_directory(state_dir)
    yield from _journals(state_dir)


def _allow_other() -> Finding:
    try:
        check_machine(allow_other=True)
    except MountError as error:
        if str(error).startswith("allow_other"):
            return Finding(
                "allow_other",
                "warn",
                "other users cannot be let in",
                "for -o allow_other, add the line user_allow_other to /etc/fuse.conf",
            )
        return Finding("allow_other", "warn", "unknown while FUSE cannot be used")
    return Finding("allow_other", "ok", "other users can be let in with -o allow_other")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _fusermount_version() -> str:
    try:
        done = subprocess.run(
            ["fusermount3", "-V"],
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "libfuse unknown"
    return f"libfuse {done.stdout.strip().rpartition(' ')[2] or 'unknown'}"


def _state_directory(path: Path) -> Finding:
    # What is not there yet is made in the nearest directory above that is.
    existing = next(place for place in (path, *path.parents) if place.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding("state", "ok", f"the state directory {path} can be written")
    return Finding(
        "state",
        "fail",
        f"the state directory {path} cannot be written",
        f"change the rights of {existing}, or use -o state-dir=DIR",
    )


def _journals(path: Path) -> Iterator[Finding]:
    """Yield a warning for each journal with data, or one line that there is none."""
    clean = True
    for journal in sorted(path.glob("*/journal.sqlite")):
        share = journal.parent.name.rpartition(".")[0]
        try:
            with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as database:
                ((files,),) = database.execute("SELECT count(*) FROM records").fetchall()
        except sqlite3.Error as error:
            clean = False
            yield Finding("journal", "warn", f"{journal} cannot be read: {error}")
            continue
        if files:
            clean = False
            yield Finding(
                "journal",
                "warn",
                f"{plural(files, 'file', 'files')} of {share} not on the share yet ({journal})",
                "if it is not mounted now, mount the share again: the data goes up then",
            )
    if clean:
        yield Finding("journal", "ok", "no data waits to be sent")
