"""The steps of the demo: each runs real programs on the mounted share and checks what they did."""

import hashlib
import os
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from azfuse.cli.demo_stage import Stage
from azfuse.mount.mountpoint import MOUNT_TYPE, mounted_here

_MEGABYTE: Final = 1000 * 1000
#: Packages of Python's library: a real source tree of a few hundred files, on every machine.
_PACKAGES: Final = (
    "asyncio", "collections", "concurrent", "dbm", "email", "encodings", "html", "http",
    "importlib", "json", "logging", "multiprocessing", "re", "sqlite3", "unittest", "urllib",
    "wsgiref", "xml",
)  # fmt: skip
_PROGRAM: Final = """\
#include <stdio.h>

int main(int argc, char **argv)
{
    FILE *file = fopen(argv[argc - 1], "rb");
    unsigned long sum = 0;
    for (int byte; file && (byte = fgetc(file)) != EOF;)
        sum = sum * 31 + byte;
    printf("hello from a share: sum of my own bytes is %lu\\n", sum);
    return file == NULL;
}
"""
_SQL: Final = """\
CREATE TABLE visits (id INTEGER PRIMARY KEY, page TEXT, seen REAL);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
INSERT INTO visits SELECT i, 'page ' || (i % 97), i / 7.0 FROM n;
COMMIT;
BEGIN;
DELETE FROM visits;
ROLLBACK;
UPDATE visits SET page = 'front page' WHERE id % 1000 = 0;
SELECT count(*), count(DISTINCT page) FROM visits;
PRAGMA integrity_check;
"""


def large_file(stage: Stage) -> None:
    """Copy a large file of real bytes there, and compare."""
    source = stage.root / "local/large.bin"
    with source.open("wb") as file:
        for piece in _real_bytes(stage.size * _MEGABYTE):
            file.write(piece)
    stage.run("cp", "local/large.bin", "share/")
    stage.run("cmp", "local/large.bin", "share/large.bin")
    size = (stage.share / "large.bin").stat().st_size
    stage.check(size == source.stat().st_size, f"both are {size} bytes and the same")


def _real_bytes(wanted: int) -> Iterator[bytes]:
    """Yield *wanted* bytes of this Python's own programs and libraries, round and round."""
    places = [Path(sys.executable).resolve(), *sorted(_library().rglob("*.py"))]
    while wanted > 0:
        for place in places:
            piece = place.read_bytes()[:wanted]
            wanted -= len(piece)
            yield piece


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def source_tree(stage: Stage) -> None:
    """Unpack a real source tree, and compare every file."""
    archive, reference = stage.root / "local/python-lib.tar", stage.root / "local/python-lib"
    with tarfile.open(archive, "w") as tar:
        for name in _PACKAGES:
            tar.add(_library() / name, f"python-lib/{name}", filter=_sources_only)
    stage.run("tar", "-xf", "local/python-lib.tar", "-C", "local")
    stage.run("tar", "-xf", "local/python-lib.tar", "-C", "share")
    stage.run("diff", "-r", "local/python-lib", "share/python-lib")
    files = [path for path in reference.rglob("*") if path.is_file()]
    stage.check(len(files) > 200, f"{len(files)} files are the same on both sides")
    listed = stage.run("find", "share/python-lib", "-type", "f", quiet=True).splitlines()
    stage.check(len(listed) == len(files), f"find lists {len(listed)} of them")


def _sources_only(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    skipped = "__pycache__" in member.name or not (member.isdir() or member.name.endswith(".py"))
    return None if skipped else member


def git(stage: Stage) -> None:
    """Make a repository of it, commit, and let git check every object."""
    if not stage.available(["git"]):
        return
    repository = "share/python-lib"
    stage.run("git", "init", "-q", "-b", "main", cwd=repository)
    stage.run("git", "add", ".", cwd=repository)
    stage.run("git", "commit", "-q", "-m", "Python's library, as found", cwd=repository)
    stage.run("git", "fsck", "--full", "--strict", "--no-progress", cwd=repository)
    count = stage.run("git", "rev-list", "--count", "HEAD", cwd=repository)
    stage.check(count == "1\n", "there is one commit")
    changes = stage.run("git", "status", "--porcelain", cwd=repository)
    stage.check(changes == "", "git status finds nothing changed")


def database(stage: Stage) -> None:
    """Run transactions of SQLite: one committed, one rolled back."""
    if not stage.available(["sqlite3"]):
        return
    answer = stage.run("sqlite3", "share/visits.db", given=_SQL)
    stage.check(answer == "5000|98\nok\n", "5000 rows survived the roll back, the file is sound")
    left = sorted(path.name for path in stage.share.glob("visits.db*"))
    stage.check(left == ["visits.db"], "no journal is left behind")


def compiler(stage: Stage) -> None:
    """Compile a program there and run it there."""
    if not stage.available(["gcc"]):
        return
    (stage.share / "hello.c").write_text(_PROGRAM)
    stage.run("gcc", "-O2", "-Wall", "-o", "share/hello", "share/hello.c")
    said = stage.run("./hello", "hello", cwd="share")
    total = 0
    for byte in (stage.share / "hello").read_bytes():
        total = (total * 31 + byte) % 2**64
    stage.check(f" {total}\n" in said, "the program ran and read its own bytes right")


def editor(stage: Stage) -> None:
    """Save as editors do: a new file is written and renamed onto the old one."""
    notes = stage.share / "notes.txt"
    notes.write_text("milk\nbred\n")
    before = notes.stat().st_ino
    stage.run("sed", "-i", "s/bred/bread/", "share/notes.txt")
    stage.check(notes.stat().st_ino != before, "sed -i put another file in its place")
    if stage.available(["vim"]):
        stage.run("vim", "-N", "-u", "NONE", "-es", "-c", "normal Goeggs", "-c", "wq",
                  "share/notes.txt")  # fmt: skip
    elif stage.available(["ed"]):
        stage.run("ed", "-s", "share/notes.txt", given="$a\neggs\n.\nw\nq\n")
    else:
        _save_atomically(notes, notes.read_text() + "eggs\n")
    text = stage.run("cat", "share/notes.txt")
    stage.check(text == "milk\nbread\neggs\n", "the text is the edited one")
    left = [name for name in _names(stage.share) if "notes" in name or name.startswith("sed")]
    stage.check(left == ["notes.txt"], "no temporary file is left behind")


def _save_atomically(path: Path, text: str) -> None:
    """Make the system calls of an editor, where none is installed."""
    temporary = path.with_name(f".{path.name}.swp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def tidying(stage: Stage) -> None:
    """Look around, move and remove."""
    listing = stage.run("ls", "-l", "share")
    stage.check("large.bin" in listing and "python-lib" in listing, "ls shows what is there")
    space = stage.run("df", "-h", "-T", "share")
    stage.check(MOUNT_TYPE in space, f"df shows a file system of type {MOUNT_TYPE}")
    stage.run("cp", "-r", "share/python-lib/json", "share/json-copy")
    stage.run("mv", "share/json-copy", "share/moved here")
    stage.run("diff", "-r", "local/python-lib/json", "share/moved here")
    stage.run("rm", "-r", "share/moved here")
    names = _names(stage.share)
    stage.check("moved here" not in names and "json-copy" not in names, "moved, then removed")


def remount(stage: Stage) -> None:
    """Unmount, mount again, and compare every byte."""
    before = _digests(stage.share)
    click.echo(f"   $ azfuse unmount {stage.share}")
    stage.unmount()
    stage.check(mounted_here(stage.share) is None, "nothing is mounted")
    stage.check(_names(stage.share) == [], "the directory is empty")
    click.echo(f"   $ azfuse mount {stage.endpoint}/demo {stage.share}")
    stage.mount()
    after = _digests(stage.share)
    stage.check(len(before) > 200, f"SHA-256 of {len(before)} files was taken before")
    stage.check(after == before, "every file is there again with the same bytes")
    stage.run("cmp", "local/large.bin", "share/large.bin")
    if stage.available(["git"]):
        stage.run("git", "fsck", "--full", "--strict", "--no-progress", cwd="share/python-lib")


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _digests(top: Path) -> dict[str, str]:
    digests = {}
    for directory, _, names in os.walk(top, onerror=_fail):
        for name in names:
            path = Path(directory, name)
            with path.open("rb") as file:
                digests[str(path.relative_to(top))] = hashlib.file_digest(
                    file, "sha256"
                ).hexdigest()
    return digests


def _fail(error: OSError) -> None:
    raise error


STEPS: Final[tuple[tuple[str, Callable[[Stage], None]], ...]] = (
    ("A large file", large_file),
    ("A source tree", source_tree),
    ("git", git),
    ("SQLite", database),
    ("A compiler", compiler),
    ("An editor", editor),
    ("ls, df, mv, rm", tidying),
    ("Unmount and mount again", remount),
)
