"""When to read ahead, and how far. Pure decisions, one object an open file."""

from typing import Final

from azfuse.cache.content import BLOCK_SIZE

#: Pieces of a page are the least that the kernel asks for again.
PAGE: Final = 4096
#: What the kernel makes of a first read of one page: it may be the first of many in order,
#: or one of many at random.
FIRST_READ: Final = 16 * 1024
#: The kernel keeps several reads of its own in flight, so they may arrive out of order
#: by about its largest read-ahead.
REORDER: Final = 4 * 1024 * 1024


class Readahead:
    """Watches the reads of one handle.

    Access is sequential from the first read at offset 0 if that is a large one or
    the file is small, else from the second of two reads that join; it stops being
    so at the first read elsewhere. While it
    is, whole blocks are fetched and the window ahead doubles with every half block
    read, up to *limit* bytes; while it is not, only what is asked for is fetched.
    """

    __slots__ = ("_next", "_window", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._next = 0
        self._window = 0

    @property
    def sequential(self) -> bool:
        """True while whole blocks are worth fetching."""
        return self._window > 0

    def note(self, start: int, end: int, size: int) -> None:
        """Take notice of a read of `[start, end)` of a file of *size* bytes."""
        if end <= FIRST_READ and not self._next and size > BLOCK_SIZE:
            self._next = end
            return
        if start == self._next or (self._window and abs(start - self._next) <= REORDER):
            # Half a block at a time, so that the next block is under way before it is needed.
            crossed = end // (BLOCK_SIZE // 2) > self._next // (BLOCK_SIZE // 2)
            if not self._window:
                self._window = 1
            elif crossed:
                self._window = min(self._window * 2, max(self.limit // BLOCK_SIZE, 1))
            self._next = max(self._next, end)
        else:
            self._window = 0
            self._next = end

    def wanted(self, start: int, end: int, size: int) -> tuple[int, int]:
        """Return what to fetch when `[start, end)` is missing from a file of *size* bytes."""
        if self.sequential:
            stop = (start // BLOCK_SIZE + 1) * BLOCK_SIZE
            return start, min(max(stop, end), size)
        return start // PAGE * PAGE, min(-(-end // PAGE) * PAGE, size)

    def ahead(self, end: int, size: int) -> range:
        """Return the indexes of the blocks that should be on their way after a read to *end*."""
        if self._window < 2:
            return range(0)
        first = end // BLOCK_SIZE
        return range(first, min(first + self._window, -(-size // BLOCK_SIZE)))
