"""How many range requests are in flight at once: few large ones, more small ones.

A request of 4 MiB keeps the link busy for as long as it travels, one of 4 KiB hardly at
all: it waits for the answer, and others may wait beside it.
"""

from typing import Final

import trio

#: Requests that carry up to this many bytes are small: with 64 of them in flight there is
#: less on the way than in one large one.
SMALL_BYTES: Final = 64 * 1024
#: So many small requests travel for each large one that may.
SMALL_FOR_LARGE: Final = 4


def most_in_flight(large: int) -> int:
    """Return how many range requests there can be at once where *large* large ones may."""
    return large * (1 + SMALL_FOR_LARGE)


class Transfers:
    """The places of range requests. Small and large ones do not wait for each other."""

    def __init__(self, large: int) -> None:
        """*large* requests may be in flight, and `SMALL_FOR_LARGE` times as many small ones."""
        self.large = large
        self._large = trio.CapacityLimiter(large)
        self._small = trio.CapacityLimiter(large * SMALL_FOR_LARGE)

    def place(self, length: int) -> trio.CapacityLimiter:
        """Return where a request that carries *length* bytes takes its place."""
        return self._small if length <= SMALL_BYTES else self._large
