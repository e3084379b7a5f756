"""Real programs on a mount and on a local disk: what they say and leave behind is the same."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.scripts import SCRIPTS, Script

#: Seconds for one script, generous: the machine may be busy.
LIMIT = 240


def run(script: Script, directory: Path) -> tuple[int, list[str]]:
    """Run *script* in *directory*; return its exit status and what it said."""
    directory.mkdir()
    text = textwrap.dedent(script.text)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )
    said = done.stdout.decode(errors="replace").replace(str(directory), "HERE")
    return done.returncode, said.splitlines()


def left_behind(script: Script, root: Path) -> dict[str, tuple[object, ...]]:
    """Return what there is below *root*: modes, lengths, content, targets of links."""
    return dict(_entries(script, root))


def _entries(script: Script, root: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    for path in root.rglob("*"):
        name, status = str(path.relative_to(root)), path.lstat()
        if re.search(script.volatile, name):
            continue
        what: object = None
        if stat.S_ISLNK(status.st_mode):
            what = os.readlink(path).replace(str(root), "HERE")
        elif stat.S_ISREG(status.st_mode):
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        moment = status.st_mtime if script.times and stat.S_ISREG(status.st_mode) else None
        yield name, (stat.filemode(status.st_mode), status.st_uid, status.st_gid, what, moment)


def compare(script: Script, mounted: Path, local: Path) -> None:
    missing = [name for name in script.needs.split() if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    assert run(script, mounted) == run(script, local)
    assert left_behind(script, mounted) == left_behind(script, local)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            s, marks=[pytest.mark.long, pytest.mark.timeout(900)] if s.long else [], id=s.name
        )
        for s in SCRIPTS
    ],
)
def test_a_program(here, tmp_path, script):
    compare(script, here / script.name, tmp_path / script.name)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", ["writeback", "actimeo=0", "cache-size=16M", "lease=always"])
@pytest.mark.parametrize("script", [pytest.param(s, id=s.name) for s in SCRIPTS])
def test_programs_with_other_options(tmp_path, mount, options, script):
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)  # PostgreSQL does not run as root
    with mount(f"allow_other,umask=022,{options}", limit=2 * LIMIT) as m:
        compare(script, m.path / script.name, tmp_path / script.name)
