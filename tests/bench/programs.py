"""Workloads of programs that are particular about their files: git and SQLite."""

import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.small import source_tree
from tests.bench.store import DirectoryStore, Store, Wrong
from tests.bench.workload import Workload, program

#: Seconds after which git trusts times that have whole seconds.
_SETTLES = 1.5
_CHANGED = "src/package00/module00.c"


class _Git(Workload):
    """Has to do with a repository of 200 files."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.count = self.scaled(200, 40)

    def make_inputs(self, inputs: Path) -> None:
        entries = list(source_tree(self.count))
        origin = inputs / "origin"
        DirectoryStore(origin).put(
            [path for path, content in entries if content.size < 0],
            [(path, content) for path, content in entries if content.size >= 0],
        )
        program("git", "init", "--quiet", "--initial-branch=main", cwd=origin)
        program("git", "add", ".", cwd=origin)
        program("git", "commit", "--quiet", "--message=first", cwd=origin)

    def clone(self, mount: Path, inputs: Path) -> None:
        """Clone as over a network: objects are packed and unpacked, not linked."""
        program("git", "clone", "--quiet", f"file://{inputs}/origin", mount / "clone")


class GitClone(_Git):
    """git clone onto the share."""

    name = "git-clone"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.title = f"git clone of {self.count} files"

    def run(self, mount: Path, inputs: Path) -> None:
        self.clone(mount, inputs)

    def verify(self, store: Store, inputs: Path) -> None:
        _check_repository(store, ["first"])


class GitStatus(_Git):
    """git status in a clone that was made through a mount of the same driver."""

    name = "git-status"
    sets_up = True

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.title = f"git status of {self.count} files, cold"

    def set_up(self, mount: Path, inputs: Path) -> None:
        """Clone, and let git see once that its index is younger than the files.

        It reads every file again that may have been written in the index's own second.
        """
        self.clone(mount, inputs)
        time.sleep(_SETTLES)
        program("git", "status", cwd=mount / "clone")

    def run(self, mount: Path, inputs: Path) -> str:
        return program("git", "status", "--porcelain", cwd=mount / "clone").stdout

    def check(self, outcome: str) -> None:
        if outcome:
            raise Wrong(f"git status sees changes: {outcome.splitlines()[0]}")


class GitCommit(GitStatus):
    """Change a file in such a clone and commit it."""

    name = "git-commit"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.title = "git commit of a change"

    def run(self, mount: Path, inputs: Path) -> str:
        with (mount / "clone" / _CHANGED).open("ab") as file:
            file.write(b"changed\n")
        program("git", "commit", "--quiet", "--all", "--message=second", cwd=mount / "clone")
        return ""

    def verify(self, store: Store, inputs: Path) -> None:
        _check_repository(store, ["second", "first"])


def _check_repository(store: Store, messages: Sequence[str]) -> None:
    """Fetch the clone and have git look at all of it. Raises Wrong."""
    with tempfile.TemporaryDirectory(prefix="azfuse-bench-") as name:
        clone = _fetch(store, "clone", Path(name))
        program("git", "fsck", "--strict", "--no-dangling", cwd=clone)
        said = program("git", "log", "--format=%s", cwd=clone).stdout.split()
        if said != messages:
            raise Wrong(f"git log says {said}, not {messages}")
        # What the index knows of times and numbers was true on the mount only.
        program("git", "update-index", "-q", "--really-refresh", cwd=clone)
        if changes := program("git", "status", "--porcelain", cwd=clone).stdout:
            raise Wrong(f"the files are not those of the commit: {changes.splitlines()[0]}")


def _fetch(store: Store, below: str, target: Path) -> Path:
    """Copy everything of *store* that lies below a directory to this machine."""
    for path, size in sorted(store.tree().items()):
        if path == below or path.startswith(f"{below}/"):
            where = target / path
            if size is None:
                where.mkdir(parents=True)
            else:
                where.write_bytes(store.read(path, 0, size) if size else b"")
    if not (target / below).is_dir():
        raise Wrong(f"{below} is missing")
    return target / below


class Sqlite(Workload):
    """30 transactions in a new SQLite database, with SQLite's own defaults."""

    name = "sqlite"
    title = "sqlite, 30 commits"
    commits = 30

    def run(self, mount: Path, inputs: Path) -> None:
        database = sqlite3.connect(mount / "data.db", isolation_level=None)
        database.execute("CREATE TABLE visits (id INTEGER PRIMARY KEY, page TEXT)")
        for number in range(self.commits):
            database.execute("BEGIN")
            for step in range(10):
                database.execute("INSERT INTO visits (page) VALUES (?)", (f"{number}-{step}" * 20,))
            database.execute("COMMIT")
        database.close()

    def verify(self, store: Store, inputs: Path) -> None:
        tree = store.tree()
        if set(tree) != {"data.db"}:
            raise Wrong(f"the share has {sorted(tree)}")
        with tempfile.NamedTemporaryFile() as file:
            file.write(store.read("data.db", 0, tree["data.db"] or 1))
            file.flush()
            database = sqlite3.connect(file.name)
            try:
                rows = database.execute("SELECT count(*) FROM visits").fetchone()[0]
                state = database.execute("PRAGMA integrity_check").fetchone()[0]
            except sqlite3.DatabaseError as error:
                raise Wrong(f"the database is damaged: {error}") from None
            finally:
                database.close()
        if (rows, state) != (self.commits * 10, "ok"):
            raise Wrong(f"{rows} rows, integrity: {state}")
