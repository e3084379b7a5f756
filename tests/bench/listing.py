"""Workloads that read names and attributes: ls, find, stat, in small and in huge directories."""

import os
from pathlib import Path

from tests.bench.content import Content
from tests.bench.store import Store, Wrong
from tests.bench.workload import Budget, Workload, pages, program

#: Entries of the directories that are listed, before they are scaled.
SIZES = (10, 1000, 10_000, 100_000)
#: Seconds for which attributes are believed in the storm, and what it waits beyond them.
_BELIEVED, _BEYOND = 5.0, 1.0


class _Entries(Workload):
    """Has to do with one directory of many small files."""

    def __init__(self, scale: float, entries: int) -> None:
        super().__init__(scale)
        self.entries = self.scaled(entries, min(entries, 10))
        self.shared = f"entries-{self.entries}"
        self.sizes = [number % 97 + 1 for number in range(self.entries)]

    def prepare(self, store: Store) -> None:
        files = ((f"d/file{n:06}", Content(n, size)) for n, size in enumerate(self.sizes))
        store.put(["d"], files)


class Listing(_Entries):
    """`ls -l` or `find`, in a new mount or for the second time."""

    def __init__(self, scale: float, entries: int, command: str, *, warm: bool) -> None:
        super().__init__(scale, entries)
        self.command, self.warms_up = command, warm
        state = "warm" if warm else "cold"
        self.name = f"{command}-{entries}-{state}"
        words = {"ls": "ls -l", "find": "find"}[command]
        self.title = f"{words} of {self.entries:,} entries, {state}"

    def warm_up(self, mount: Path, inputs: Path) -> None:
        self.run(mount, inputs)

    def run(self, mount: Path, inputs: Path) -> str:
        if self.command == "ls":
            return program("ls", "-l", mount / "d").stdout
        return program("find", mount / "d", "-type", "f", "-size", "-9c", "-printf", "%s\n").stdout

    def check(self, outcome: str) -> None:
        lines = outcome.splitlines()
        if self.command == "ls":
            found = sorted(int(line.split()[4]) for line in lines[1:])
            expected = sorted(self.sizes)
        else:
            found = sorted(map(int, lines))
            expected = sorted(size for size in self.sizes if size < 9)  # as above
        if found != expected:
            raise Wrong(f"{len(found)} entries, not the {len(expected)} that there are")

    def budget(self) -> Budget:
        if self.warms_up:
            # It may come after what was believed has run out.
            return Budget("re-stat of all N entries of one directory", pages(self.entries), 1)
        return Budget("ls -l, find of N entries", pages(self.entries), 1)


class StatStorm(_Entries):
    """Stat 5,000 files again once nobody may believe what was seen the first time.

    rclone believes a listing for five minutes by default, azfuse for five
    seconds; here both are told five seconds.
    """

    name = "stat-storm"
    warms_up = True
    believed = _BELIEVED
    pause = _BELIEVED + _BEYOND

    def __init__(self, scale: float) -> None:
        super().__init__(scale, 5000)
        self.title = f"stat of {self.entries:,} files after actimeo"

    def warm_up(self, mount: Path, inputs: Path) -> None:
        program("ls", "-l", mount / "d")

    def run(self, mount: Path, inputs: Path) -> list[int]:
        return [os.stat(mount / f"d/file{n:06}").st_size for n in range(self.entries)]

    def check(self, outcome: list[int]) -> None:
        if outcome != self.sizes:
            raise Wrong("sizes differ")

    def budget(self) -> Budget:
        return Budget("re-stat of all N entries after actimeo", pages(self.entries), 1)
