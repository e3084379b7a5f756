"""Content of test files: incompressible, known without being kept, different everywhere."""

import random
from functools import cache

KIB = 1024
MIB = 1024 * KIB

#: Bytes of which every file is cut together.
_POOL = 17 * MIB
#: Length of a piece; each begins somewhere else in the pool.
_PIECE = MIB


@cache
def _pool() -> bytes:
    return random.Random(20261126).randbytes(_POOL)


def _start(seed: int, piece: int) -> int:
    # Odd multipliers: no two pieces of a file, nor of files with near seeds, begin alike.
    return (seed * 7_368_787 + piece * 2_097_593) % (_POOL - _PIECE)


class Content:
    """The *size* bytes of one file, with changes made to it since."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed = seed
        self.size = size
        self._changes: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from *offset*: fewer than *length* only at the end."""
        end = min(offset + length, self.size)
        data = self._original(offset, end)
        if not self._changes:
            return data
        changed = bytearray(data)
        for start, piece in self._changes.items():
            first, last = max(start, offset), min(start + len(piece), end)
            if first < last:
                changed[first - offset : last - offset] = piece[first - start : last - start]
        return bytes(changed)

    def change(self, offset: int, data: bytes) -> None:
        """Overwrite or append; later changes win."""
        self._changes.pop(offset, None)
        self._changes[offset] = data
        self.size = max(self.size, offset + len(data))

    def _original(self, offset: int, end: int) -> bytes:
        pool, pieces = _pool(), []
        while offset < end:
            piece, within = divmod(offset, _PIECE)
            length = min(_PIECE - within, end - offset)
            first = _start(self.seed, piece) + within
            pieces.append(pool[first : first + length])
            offset += length
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def scattered(count: int, slots: int, seed: int) -> list[int]:
    """Return *count* different numbers below *slots*, in random order, always the same ones."""
    return random.Random(seed).sample(range(slots), count)
