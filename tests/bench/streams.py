"""Workloads on large files: whole, in pieces, and the very smallest."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.content import KIB, MIB, Content, scattered
from tests.bench.store import Store, Wrong, check_content
from tests.bench.workload import RANGE, Budget, Workload, parts

GIB = 1024 * MIB
_PAGE = 4 * KIB


def _large(scale: float) -> int:
    """Return the size of the large file, a whole number of MiB."""
    return min(GIB, max(16 * MIB, round(1024 * scale) * MIB))


class SequentialWrite(Workload):
    """Write 1 GiB in pieces of 1 MiB, as one file or as several at once, and close."""

    def __init__(self, scale: float, files: int) -> None:
        super().__init__(scale)
        sizes = parts(_large(scale), files)
        self.contents = [Content(100 + number, size) for number, size in enumerate(sizes)]
        total = sum(sizes) // MIB
        self.name = "write-1g" if files == 1 else f"write-1g-{files}"
        self.title = f"write {total} MiB" + (f" as {files} files" if files > 1 else "")
        self._pieces: list[list[bytes]] = []

    def load(self, inputs: Path) -> None:
        self._pieces = [
            [content.read(offset, MIB) for offset in range(0, content.size, MIB)]
            for content in self.contents
        ]

    def run(self, mount: Path, inputs: Path) -> None:
        with ThreadPoolExecutor(len(self._pieces)) as pool:
            jobs = [
                pool.submit(_write_file, mount / f"file{number}", pieces)
                for number, pieces in enumerate(self._pieces)
            ]
            for job in jobs:
                job.result()

    def verify(self, store: Store, inputs: Path) -> None:
        check_content(store, [(f"file{n}", content) for n, content in enumerate(self.contents)])

    def budget(self) -> Budget:
        ranges = sum(-(-content.size // RANGE) for content in self.contents)
        files, size = len(self.contents), sum(content.size for content in self.contents)
        return Budget("create + write S > 4 MiB + close", ranges + 4 * files, 1,
                      bytes_in=size + size // 100)  # fmt: skip


def _write_file(path: Path, pieces: Sequence[bytes]) -> None:
    with path.open("wb", buffering=0) as file:
        for piece in pieces:
            file.write(piece)


class SequentialRead(Workload):
    """Read 1 GiB in pieces of 1 MiB, from one file or from several at once."""

    def __init__(self, scale: float, files: int) -> None:
        super().__init__(scale)
        sizes = parts(_large(scale), files)
        self.contents = [Content(200 + number, size) for number, size in enumerate(sizes)]
        total = sum(sizes) // MIB
        self.name = "read-1g" if files == 1 else f"read-1g-{files}"
        self.title = f"read {total} MiB" + (f" from {files} files" if files > 1 else "")
        self.shared = f"large-{files}"

    def prepare(self, store: Store) -> None:
        store.put([], [(f"file{n}", content) for n, content in enumerate(self.contents)])

    def load(self, inputs: Path) -> None:
        self.contents[0].read(0, 1)

    def run(self, mount: Path, inputs: Path) -> None:
        with ThreadPoolExecutor(len(self.contents)) as pool:
            jobs = [
                pool.submit(read_file, mount / f"file{number}", content)
                for number, content in enumerate(self.contents)
            ]
            for job in jobs:
                job.result()

    def budget(self) -> Budget:
        size = sum(content.size for content in self.contents)
        ranges = sum(-(-content.size // RANGE) for content in self.contents)
        return Budget("read S bytes sequentially", ranges, 1, bytes_out=size + size // 100)


def read_file(path: Path, content: Content) -> None:
    """Read a file and compare it on the way, which takes 0.1 ms a MiB."""
    offset = 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(MIB):
            if piece != content.read(offset, len(piece)):
                raise Wrong(f"{path.name} was read wrong at {offset}")
            offset += len(piece)
    if offset != content.size:
        raise Wrong(f"{path.name} ended after {offset} bytes")


class _OnMedium(Workload):
    """Works on one file of 256 MiB."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.content = Content(300, self.scaled(256, 32) * MIB)

    def prepare(self, store: Store) -> None:
        store.put([], [("file", self.content)])


class RandomRead(_OnMedium):
    """Read pieces of a file here and there, each once."""

    shared = "medium"

    def __init__(self, scale: float, piece: int) -> None:
        super().__init__(scale)
        self.name = f"random-read-{piece // KIB}k"
        self.piece, self.count = piece, self.scaled(250, 25)
        self.title = f"{self.count} random reads of {piece // KIB} KiB"
        slots = self.content.size // piece
        # Not the first bytes, which look like the beginning of more.
        self.offsets = [(slot + 1) * piece for slot in scattered(self.count, slots - 1, 1)]

    def run(self, mount: Path, inputs: Path) -> list[bytes]:
        with (mount / "file").open("rb", buffering=0) as file:
            return [os.pread(file.fileno(), self.piece, offset) for offset in self.offsets]

    def check(self, outcome: list[bytes]) -> None:
        for offset, data in zip(self.offsets, outcome, strict=True):
            if data != self.content.read(offset, self.piece):
                raise Wrong(f"read wrong at {offset}")

    def budget(self) -> Budget:
        return Budget("random read of k separate pieces", self.count, 1,
                      bytes_out=2 * self.count * self.piece)  # fmt: skip


class RandomWrite(_OnMedium):
    """Write 1,000 pieces into a file here and there, then fsync."""

    def __init__(self, scale: float, piece: int) -> None:
        super().__init__(scale)
        self.name = f"random-write-{piece // KIB}k"
        self.piece, self.count = piece, self.scaled(1000, 100)
        self.title = f"{self.count} random writes of {piece // KIB} KiB, fsync"
        self.slots = scattered(self.count, self.content.size // piece, 2)
        self._data = [Content(1000 + n, piece).read(0, piece) for n in range(self.count)]

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file").open("r+b", buffering=0) as file:
            for slot, data in zip(self.slots, self._data, strict=True):
                os.pwrite(file.fileno(), data, slot * self.piece)
            os.fsync(file.fileno())

    def verify(self, store: Store, inputs: Path) -> None:
        content = Content(self.content.seed, self.content.size)
        for slot, data in zip(self.slots, self._data, strict=True):
            content.change(slot * self.piece, data)
        check_content(store, [("file", content)])

    def budget(self) -> Budget:
        """One Put Range a run of adjoining pieces within a block, and the lease twice."""
        taken = set(self.slots)
        block = RANGE // self.piece
        runs = sum(slot - 1 not in taken or not slot % block for slot in taken)
        return Budget("random writes in one file, then fsync", runs, 3,
                      bytes_in=self.count * self.piece * 101 // 100)  # fmt: skip


class Patch(Workload):
    """Overwrite 4 KiB in the middle of 200 MiB, and fsync."""

    name = "patch"

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.content = Content(400, self.scaled(200, 16) * MIB)
        self.title = f"patch 4 KiB in {self.content.size // MIB} MiB, fsync"
        self.offset = self.content.size // 2 + 123 * _PAGE
        self._data = Content(401, _PAGE).read(0, _PAGE)

    def prepare(self, store: Store) -> None:
        store.put([], [("file", self.content)])

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), self._data, self.offset)
            os.fsync(file.fileno())

    def verify(self, store: Store, inputs: Path) -> None:
        content = Content(self.content.seed, self.content.size)
        content.change(self.offset, self._data)
        check_content(store, [("file", content)])

    def budget(self) -> Budget:
        return Budget("overwrite 4 KiB in the middle + fsync", 1, 1, bytes_in=_PAGE)


class Append(Workload):
    """Append 20 times 4 KiB to a file, each with its fsync."""

    name = "append"
    title = "append 20 x 4 KiB, fsync each"
    count = 20

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.content = Content(500, MIB)
        self._data = [Content(501 + n, _PAGE).read(0, _PAGE) for n in range(self.count)]

    def prepare(self, store: Store) -> None:
        store.put([], [("file", self.content)])

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file").open("ab", buffering=0) as file:
            for data in self._data:
                file.write(data)
                os.fsync(file.fileno())

    def verify(self, store: Store, inputs: Path) -> None:
        content = Content(self.content.seed, self.content.size)
        for data in self._data:
            content.change(content.size, data)
        check_content(store, [("file", content)])

    def budget(self) -> Budget:
        # The listing on the way, and the file's length asked for at open.
        return Budget("append 4 KiB + fsync", 2 * self.count, 2, bytes_in=self.count * _PAGE)


class FirstByte(SequentialRead):
    """Open a file of 1 GiB and read its first byte."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale, 1)
        self.name = "first-byte"
        self.title = f"first byte of {self.contents[0].size // MIB} MiB"

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file0").open("rb", buffering=0) as file:
            if file.read(1) != self.contents[0].read(0, 1):
                raise Wrong("the first byte was read wrong")

    def budget(self) -> Budget:
        return Budget("open + read of an uncached file", 1, 1, bytes_out=RANGE)


class OneByte(Workload):
    """Write a file of one byte and close it."""

    name = "one-byte"
    title = "write and close 1 byte"

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file").open("wb", buffering=0) as file:
            file.write(b"x")

    def verify(self, store: Store, inputs: Path) -> None:
        if store.tree() != {"file": 1} or store.read("file", 0, 10) != b"x":
            raise Wrong(f"the share has {store.tree()}")

    def budget(self) -> Budget:
        return Budget("create + write <= 4 MiB + close", 1, 1, bytes_in=1)


class Truncate(Workload):
    """`truncate -s 1G` of a new file."""

    name = "truncate"
    title = "truncate -s 1G"

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file").open("wb", buffering=0) as file:
            os.ftruncate(file.fileno(), GIB)

    def verify(self, store: Store, inputs: Path) -> None:
        if store.tree() != {"file": GIB}:
            raise Wrong(f"the share has {store.tree()}")
        if store.read("file", GIB - RANGE, RANGE) != bytes(RANGE):
            raise Wrong("the end is not zeros")

    def budget(self) -> Budget:
        return Budget("create, truncate", 2, 1, bytes_in=0)
