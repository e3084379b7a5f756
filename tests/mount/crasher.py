"""A program that writes files and records what was acknowledged, until the driver is killed.

Usage: python -m tests.mount.crasher PATH RECORD SEED. Before each step a line goes to RECORD,
and an empty one after it. `Model` says what may be there then.
"""

import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

NAMES = [f"{parent}{name}" for parent in ("", "dir/") for name in "abcdef"]
KINDS = {
    "rewrite": 20, "patch": 15, "append": 10, "cut": 8, "hold": 10, "sync": 8, "release": 8,
    "rename": 12, "unlink": 6,
}  # fmt: skip
#: A step: what, where, where to, offset or length, length and seed of the data.
Step = tuple[str, str, str, int, int, int]


@dataclass(eq=False)
class File:
    """What was acknowledged, and the states that programs have made of it since."""

    acknowledged: bytes = b""
    states: list[bytes] = field(default_factory=list)
    held: bool = False

    @property
    def seen(self) -> bytes:
        return self.states[-1] if self.states else self.acknowledged

    def settle(self) -> None:
        self.acknowledged, self.states = self.seen, []

    def allows(self, data: bytes) -> bool:
        """Say whether a crash may leave *data*: byte by byte one of the states."""
        states = [self.acknowledged, *self.states]
        if len(states) == 1:
            return data == states[0]
        lengths = [len(state) for state in states]
        if not min(lengths) <= len(data) <= max(lengths):
            return False
        padded = [state.ljust(len(data), b"\0") for state in states]
        return all(any(byte == p[at] for p in padded) for at, byte in enumerate(data))


class Model:
    """The files by name, as programs see them."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {name: File(data) for name, data in files.items()}

    def choose(self, deal: random.Random) -> Step | None:
        """Deal a step, None where it makes no sense just now."""
        kind = deal.choices(list(KINDS), list(KINDS.values()))[0]
        name, to = deal.sample(NAMES, 2)
        file, target = self.files.get(name), self.files.get(to)
        size = len(file.seen) if file else 0
        length = deal.randrange(1, deal.choice([64, 64, 5000, 5000, 100_000, 1_000_000]))
        step = (kind, name, to, deal.randrange(size + 200), length, deal.randrange(1 << 30))
        if kind == "rewrite":
            return None if file and file.held else step
        if file is None or (kind in {"sync", "release"}) != file.held:
            return None
        # A target that is open gets out of the way first: that is two steps to the share.
        return None if kind == "rename" and target and target.held else step

    def apply(self, step: Step) -> None:
        """Do what *step* does; everything but `hold` is acknowledged when it returns."""
        kind, name, to, _, _, _ = step
        if kind == "unlink":
            del self.files[name]
        elif kind == "rename":
            self.files[to] = self.files.pop(name)
        else:
            self.change(step)
            if kind != "hold":
                self.files[name].settle()

    def change(self, step: Step) -> None:
        """Add the states that *step* makes of its file on the way."""
        kind, name, _, number, _, _ = step
        file = self.files.setdefault(name, File())
        if kind == "rewrite":
            file.states += [b"", data_of(step)]
        elif kind == "cut":
            file.states.append(file.seen[:number].ljust(number, b"\0"))
        elif kind in {"patch", "append", "hold"}:
            offset = len(file.seen) if kind == "append" else number
            data = data_of(step)
            before = file.seen.ljust(offset, b"\0")
            file.states.append(before[:offset] + data + before[offset + len(data) :])
        file.held = kind in {"hold", "sync"}

    def faults(self, found: dict[str, bytes], under_way: Step | None) -> Iterator[str]:
        """Say what is wrong with what the next mount *found*."""
        open_names: set[str] = set()
        if under_way is not None:
            kind, name, to, *_ = under_way
            if kind == "rename":
                self._rename_under_way(name, to, found)
            elif kind == "unlink" or name not in self.files:
                open_names.add(name)
            if kind not in {"rename", "unlink"} and (name in self.files or name in found):
                self.change(under_way)
        for name, file in self.files.items():
            if name in found and not file.allows(found[name]):
                yield f"{name}: {_difference(file, found[name])}"
            elif name not in found and name not in open_names:
                yield f"{name} is missing"
        for name in found.keys() - self.files.keys() - open_names:
            yield f"{name} was not to be there"

    def _rename_under_way(self, name: str, to: str, found: dict[str, bytes]) -> None:
        if name not in found:
            self.files[to] = self.files.pop(name)


def data_of(step: Step) -> bytes:
    return random.Random(step[5]).randbytes(step[4])


def _difference(file: File, data: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(file.seen, data, strict=False)) if a != b), -1)
    lengths = [len(state) for state in [file.acknowledged, *file.states]]
    return f"{len(data)} bytes of {lengths}, the first difference at {at}"


class Crasher:
    """Carries steps out on a mount."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held: dict[str, int] = {}

    def perform(self, step: Step) -> None:
        kind, name, to, number, _, _ = step
        path = self.root / name
        if kind == "rewrite":
            path.write_bytes(data_of(step))
        elif kind == "rename":
            path.rename(self.root / to)
            if name in self.held:
                self.held[to] = self.held.pop(name)
        elif kind == "unlink":
            path.unlink()
        elif kind == "sync":
            os.fsync(self.held[name])
        elif kind == "release":
            os.close(self.held.pop(name))
        elif kind == "hold":
            self.held[name] = os.open(path, os.O_RDWR)
            os.pwrite(self.held[name], data_of(step), number)
        else:
            flags = os.O_RDWR | (os.O_APPEND if kind == "append" else 0)
            descriptor = os.open(path, flags)
            try:
                if kind == "cut":
                    os.ftruncate(descriptor, number)
                elif kind == "append":
                    os.write(descriptor, data_of(step))
                else:
                    os.pwrite(descriptor, data_of(step), number)
            finally:
                os.close(descriptor)


def read_all(root: Path) -> dict[str, bytes]:
    """Return the files below *root* by name."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def main(root: Path, record: Path, seed: int) -> None:
    deal, model, crasher = random.Random(seed), Model(read_all(root)), Crasher(root)
    with record.open("wb", buffering=0) as lines:
        while True:
            step = model.choose(deal)
            if step is None:
                continue
            lines.write(json.dumps(step).encode() + b"\n")
            try:
                crasher.perform(step)
            except OSError as error:
                sys.exit(error.errno)
            lines.write(b"\n")
            model.apply(step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
