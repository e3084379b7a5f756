"""Workloads on many small files: made, unpacked, copied, removed."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.content import KIB, Content
from tests.bench.store import DirectoryStore, Store, Wrong, check_content
from tests.bench.workload import Budget, Workload, program


class NewFiles(Workload):
    """Make 1,000 files of 4 KiB in a new directory."""

    name = "new-files"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.count = self.scaled(1000, 20)
        self.title = f"{self.count} new files of 4 KiB"
        self.contents = [Content(2000 + number, 4 * KIB) for number in range(self.count)]
        self._data: list[bytes] = []

    def load(self, inputs: Path) -> None:
        self._data = [content.read(0, content.size) for content in self.contents]

    def run(self, mount: Path, inputs: Path) -> None:
        directory = mount / "new"
        directory.mkdir()
        for number, data in enumerate(self._data):
            with (directory / f"file{number:04}").open("wb", buffering=0) as file:
                file.write(data)

    def verify(self, store: Store, inputs: Path) -> None:
        names = [f"new/file{number:04}" for number in range(self.count)]
        _only(store, {"new", *names})
        check_content(store, zip(names, self.contents, strict=True))

    def budget(self) -> Budget:
        return Budget("create + write <= 4 MiB + close; mkdir", self.count + 1, 1,
                      bytes_in=self.count * 4 * KIB)  # fmt: skip


def source_tree(files: int) -> Iterator[tuple[str, Content]]:
    """Yield a source tree's directories, of size -1, and files: small ones, and a few large."""
    yield "src", Content(0, -1)
    for number in range(files):
        directory = f"src/package{number // 20:02}"
        if not number % 20:
            yield directory, Content(0, -1)
        size = 200 * KIB if number % 50 == 49 else 300 + (number * 7919) % (20 * KIB)
        yield f"{directory}/module{number % 20:02}.c", Content(3000 + number, size)


class Untar(Workload):
    """Unpack a source tree of 400 files."""

    name = "untar"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.count = self.scaled(400, 40)
        self.title = f"untar {self.count} files"

    def make_inputs(self, inputs: Path) -> None:
        with tarfile.open(inputs / "tree.tar", "w") as archive:
            for path, content in source_tree(self.count):
                entry = tarfile.TarInfo(path)
                entry.mtime = 1_600_000_000 + content.seed
                entry.uid, entry.gid = os.getuid(), os.getgid()
                if content.size < 0:
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
                else:
                    entry.size, entry.mode = content.size, 0o644
                    archive.addfile(entry, io.BytesIO(content.read(0, content.size)))

    def run(self, mount: Path, inputs: Path) -> None:
        program("tar", "-xf", inputs / "tree.tar", "-C", mount)

    def verify(self, store: Store, inputs: Path) -> None:
        entries = list(source_tree(self.count))
        _only(store, {path for path, _ in entries})
        check_content(store, [(path, content) for path, content in entries if content.size >= 0])

    def budget(self) -> Budget:
        directories = 1 + -(-self.count // 20)
        size = sum(content.size for _, content in source_tree(self.count) if content.size > 0)
        # tar sets times and mode of each directory once it is filled.
        return Budget("create + write <= 4 MiB + utimens + close; mkdir, utimens, chmod",
                      self.count + 3 * directories, 1, bytes_in=size)  # fmt: skip


class _Tree(Workload):
    """Has to do with a tree of 6,400 files of 30 KiB in 64 directories."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.count = self.scaled(64, 2) * 100
        self.size = 30 * KIB

    def directories(self) -> list[str]:
        """Return the directories, the root of the tree first."""
        return ["tree", *(f"tree/dir{number:02}" for number in range(self.count // 100))]

    def files(self) -> list[tuple[str, Content]]:
        """Return the files with their content."""
        return [
            (f"tree/dir{number // 100:02}/file{number % 100:02}", Content(5000 + number, self.size))
            for number in range(self.count)
        ]


class CopyTree(_Tree):
    """`cp -r` of the tree onto the share."""

    name = "cp-r"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.title = f"cp -r {self.count} files of 30 KiB"

    def make_inputs(self, inputs: Path) -> None:
        DirectoryStore(inputs / "from").put(self.directories(), self.files())

    def run(self, mount: Path, inputs: Path) -> None:
        program("cp", "-r", inputs / "from/tree", mount / "tree")

    def verify(self, store: Store, inputs: Path) -> None:
        files = self.files()
        _only(store, {*self.directories(), *(path for path, _ in files)})
        check_content(store, files)

    def budget(self) -> Budget:
        return Budget("create + write <= 4 MiB + close; mkdir",
                      self.count + len(self.directories()), 1,
                      bytes_in=self.count * self.size)  # fmt: skip


class RemoveTree(_Tree):
    """`rm -r` of the tree."""

    name = "rm-r"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.title = f"rm -r {self.count} files"

    def prepare(self, store: Store) -> None:
        store.put(self.directories(), self.files())

    def run(self, mount: Path, inputs: Path) -> None:
        program("rm", "-r", mount / "tree")

    def verify(self, store: Store, inputs: Path) -> None:
        _only(store, set())

    def budget(self) -> Budget:
        directories = len(self.directories())
        return Budget("rm -r of N entries: N + directories (+ List)",
                      self.count + 2 * directories, 1)  # fmt: skip


def _only(store: Store, expected: set[str]) -> None:
    """See that the share has these paths and no others. Raises Wrong."""
    found = set(store.tree())
    if missing := expected - found:
        raise Wrong(f"{len(missing)} entries are missing, {min(missing)} first")
    if more := found - expected:
        raise Wrong(f"{len(more)} entries are too many, {min(more)} first")
