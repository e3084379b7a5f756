"""Workloads that say whether memory stays where it is promised to stay."""

import os
import random
import time
from pathlib import Path

from tests.bench.content import KIB, MIB, Content
from tests.bench.store import Store, Wrong, check_content
from tests.bench.streams import read_file
from tests.bench.workload import Workload

#: Seconds of mixed load at scale 1.
_HOUR = 3600
_FILES = 64


class Soak(Workload):
    """Write 8 GiB and read them back in one mount."""

    name = "soak-8g"
    least_limit = 3600.0
    sample_every = 1.0

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.content = Content(9000, self.scaled(8192, 64) * MIB)
        self.title = f"write and read {self.content.size // MIB} MiB"

    def run(self, mount: Path, inputs: Path) -> None:
        with (mount / "file").open("wb", buffering=0) as file:
            for offset in range(0, self.content.size, MIB):
                file.write(self.content.read(offset, MIB))
        read_file(mount / "file", self.content)

    def verify(self, store: Store, inputs: Path) -> None:
        check_content(store, [("file", self.content)])


class Mixed(Workload):
    """An hour of everything: files are made, read, patched, appended to, renamed and removed.

    At most 64 files of at most 12 MiB exist at a time. Every read is compared; at the
    end the share is.
    """

    name = "mixed"
    sample_every = 10.0

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.seconds = _HOUR * scale
        self.least_limit = self.seconds + 600
        self.title = f"mixed load for {self.seconds / 60:g} minutes"

    def run(self, mount: Path, inputs: Path) -> None:
        load = _Load(mount)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            load.step()
        load.finish()


class _Load:
    """The state of a mixed load: what every file should hold."""

    def __init__(self, mount: Path) -> None:
        self._root = mount / "mixed"
        self._root.mkdir()
        self._files: dict[str, Content] = {}
        self._chance = random.Random(7)
        self._seed = 20_000

    def step(self) -> None:
        """Do one thing to one file."""
        if len(self._files) < 4:  # something to choose from
            self._make()
            return
        actions = (self._make, self._read, self._read, self._patch, self._append, self._rename,
                   self._list, self._remove)  # fmt: skip
        self._chance.choice(actions)()

    def finish(self) -> None:
        """Read everything once more."""
        for name in self._files:
            read_file(self._root / name, self._files[name])

    def _any(self) -> str:
        return self._chance.choice(sorted(self._files))

    def _make(self) -> None:
        if len(self._files) >= _FILES:
            self._remove()
        self._seed += 1
        size = self._chance.choice((100, 4 * KIB, 30 * KIB, 500 * KIB, 5 * MIB, 12 * MIB))
        content = Content(self._seed, size)
        (self._root / f"file{self._seed}").write_bytes(content.read(0, size))
        self._files[f"file{self._seed}"] = content

    def _read(self) -> None:
        name = self._any()
        read_file(self._root / name, self._files[name])

    def _patch(self) -> None:
        name = self._any()
        content = self._files[name]
        data = self._chance.randbytes(min(4 * KIB, content.size))
        offset = self._chance.randrange(content.size - len(data) + 1)
        with (self._root / name).open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data, offset)
            os.fsync(file.fileno())
        content.change(offset, data)

    def _append(self) -> None:
        name = self._any()
        content, data = self._files[name], self._chance.randbytes(4 * KIB)
        with (self._root / name).open("ab", buffering=0) as file:
            file.write(data)
        content.change(content.size, data)

    def _rename(self) -> None:
        source, target = self._any(), self._any()
        if source != target:
            (self._root / source).replace(self._root / target)
            self._files[target] = self._files.pop(source)

    def _list(self) -> None:
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(self._root)}
        if sizes != {name: content.size for name, content in self._files.items()}:
            raise Wrong("the listing is not what it should be")

    def _remove(self) -> None:
        name = self._any()
        (self._root / name).unlink()
        del self._files[name]
