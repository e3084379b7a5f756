"""Every workload by its name."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from tests.bench.content import KIB
from tests.bench.listing import SIZES, Listing, StatStorm
from tests.bench.long import Mixed, Soak
from tests.bench.programs import GitClone, GitCommit, GitStatus, Sqlite
from tests.bench.small import CopyTree, NewFiles, RemoveTree, Untar
from tests.bench.streams import (
    Append,
    FirstByte,
    OneByte,
    Patch,
    RandomRead,
    RandomWrite,
    SequentialRead,
    SequentialWrite,
    Truncate,
)
from tests.bench.workload import Workload

Maker = Callable[[float], Workload]


def _listings() -> Iterator[Maker]:
    for entries in SIZES:
        for command in ("ls", "find"):
            for warm in (False, True):
                yield partial(Listing, entries=entries, command=command, warm=warm)


_ALL: Final[tuple[Maker, ...]] = (
    lambda scale: SequentialWrite(scale, 1),
    lambda scale: SequentialWrite(scale, 4),
    lambda scale: SequentialRead(scale, 1),
    lambda scale: SequentialRead(scale, 4),
    lambda scale: RandomRead(scale, 4 * KIB),
    lambda scale: RandomRead(scale, 128 * KIB),
    lambda scale: RandomWrite(scale, 4 * KIB),
    lambda scale: RandomWrite(scale, 64 * KIB),
    Patch,
    Append,
    FirstByte,
    OneByte,
    Truncate,
    NewFiles,
    Untar,
    CopyTree,
    RemoveTree,
    GitClone,
    GitStatus,
    GitCommit,
    Sqlite,
    *_listings(),
    StatStorm,
)

#: Those that the table is made of, in its order.
WORKLOADS: Final[Mapping[str, Maker]] = {make(0.01).name: make for make in _ALL}

#: Those that run only where they are named.
EXTRA: Final[Mapping[str, Maker]] = {"soak-8g": Soak, "mixed": Mixed}

#: Those of `--quick`: every kind of request, in a few seconds.
QUICK: Final = (
    "write-1g", "read-1g", "random-read-4k", "patch", "append", "first-byte", "one-byte",
    "truncate", "new-files", "untar", "rm-r", "sqlite", "ls-1000-cold",
)  # fmt: skip


def make(name: str, scale: float) -> Workload:
    """Return the workload of that name. Raises KeyError."""
    return {**WORKLOADS, **EXTRA}[name](scale)
