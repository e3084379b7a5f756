"""Every workload by its name."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.bench.content import KIB
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
)

#: Those that the table is made of, in its order.
WORKLOADS: Final[Mapping[str, Maker]] = {make(0.01).name: make for make in _ALL}

#: Those that run only where they are named.
EXTRA: Final[Mapping[str, Maker]] = {}

#: Those of `--quick`: every kind of request, in a few seconds.
QUICK: Final = ("write-1g", "read-1g", "random-read-4k", "random-write-4k", "patch", "append",
                "first-byte", "one-byte", "truncate")  # fmt: skip


def make(name: str, scale: float) -> Workload:
    """Return the workload of that name. Raises KeyError."""
    return {**WORKLOADS, **EXTRA}[name](scale)
