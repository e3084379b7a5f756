"""One file, random reads, writes, maps, cuts and reopenings against a model. Run as a program.

Usage: python -m tests.mount.exerciser PATH SEED STEPS. Prints the step that went wrong.
"""

import mmap
import os
import random
import sys
from collections import deque

LONGEST = 12 << 20
MOVES = {
    "write": 30, "read": 30, "cut": 8, "fsync": 5, "reopen": 5, "map": 6, "append": 4,
    "drop": 1, "stat": 5,
}  # fmt: skip


class Exerciser:
    def __init__(self, path: str, seed: int) -> None:
        self.path = path
        self.deal = random.Random(seed)
        self.model = bytearray()
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        self.done: deque[tuple[object, ...]] = deque(maxlen=25)

    def step(self) -> None:
        move = self.deal.choices(list(MOVES), list(MOVES.values()))[0]
        getattr(self, move)()

    def length(self) -> int:
        return self.deal.randrange(1, self.deal.choice([64, 5000, 200_000, 3 << 20]))

    def note(self, *what: object) -> None:
        self.done.append(what)

    def must(self, got: object, want: object, what: str) -> None:
        if got != want:
            for line in self.done:
                print(line)
            sys.exit(f"{what} is wrong")

    def put(self, offset: int, data: bytes) -> None:
        self.model.extend(bytes(max(0, offset - len(self.model))))
        self.model[offset : offset + len(data)] = data

    def write(self) -> None:
        offset = self.deal.randrange(LONGEST)
        data = self.deal.randbytes(min(self.length(), LONGEST - offset))
        self.note("write", offset, len(data))
        self.must(os.pwrite(self.file, data, offset), len(data), "the count")
        self.put(offset, data)

    def read(self) -> None:
        offset, length = self.deal.randrange(LONGEST), self.length()
        self.note("read", offset, length)
        self.must(os.pread(self.file, length, offset), self.model[offset : offset + length], "read")

    def cut(self) -> None:
        size = self.deal.choice([self.deal.randrange(LONGEST), len(self.model) // 2, 0])
        self.note("cut", size)
        os.ftruncate(self.file, size)
        del self.model[size:]
        self.model.extend(bytes(size - len(self.model)))

    def fsync(self) -> None:
        self.note("fsync")
        os.fsync(self.file)

    def reopen(self) -> None:
        self.note("reopen")
        os.close(self.file)
        self.file = os.open(self.path, os.O_RDWR)

    def map(self) -> None:
        if len(self.model) < 8192:
            return
        offset = self.deal.randrange(len(self.model) - 1) // 4096 * 4096
        length = min(self.deal.randrange(1, 100_000), len(self.model) - offset)
        self.note("map", offset, length)
        with mmap.mmap(self.file, length, offset=offset) as pages:
            self.must(pages[:], self.model[offset : offset + length], "map")
            pages[:] = data = self.deal.randbytes(length)
            pages.flush()
        self.put(offset, data)

    def append(self) -> None:
        data = self.deal.randbytes(min(self.length(), 100_000))
        if len(self.model) + len(data) > LONGEST:
            return
        self.note("append", len(data))
        with open(self.path, "ab") as file:
            file.write(data)
        self.put(len(self.model), data)

    def drop(self) -> None:
        self.note("drop")
        if os.geteuid() == 0:
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("3")

    def stat(self) -> None:
        sizes = {os.stat(self.path).st_size, os.fstat(self.file).st_size}
        self.must(sizes, {len(self.model)}, "the length")

    def finish(self) -> None:
        self.must(os.pread(self.file, LONGEST + 10, 0), self.model, "everything")
        os.close(self.file)


def main() -> None:
    path, seed, steps = sys.argv[1:]
    exerciser = Exerciser(path, int(seed))
    for _ in range(int(steps)):
        exerciser.step()
    exerciser.finish()
    with open(path, "rb") as file:
        exerciser.must(file.read(), exerciser.model, "the file")


if __name__ == "__main__":
    main()
