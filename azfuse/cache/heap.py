"""What the allocator keeps of buffers that were freed, and how it is made to give it back.

Blocks come and go in many lengths. glibc keeps the gaps between those that are still
in use, and after gigabytes they add up to more than there may be (malloc_trim(3)).
"""

import ctypes
import logging
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: A trim that gave back less than this is not worth the next one at the same size.
_WORTHWHILE: Final = 16 * 1024 * 1024


def resident_bytes() -> int:
    """Return how much memory this process occupies (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def trim() -> None:
    """Give free memory back to the system. Does nothing with an allocator that cannot."""
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if function is not None:
        function(0)


class Heap:
    """Keeps the memory of the process below *limit* bytes, as far as freed memory goes."""

    def __init__(
        self,
        limit: int,
        resident: Callable[[], int] = resident_bytes,
        trim: Callable[[], None] = trim,
    ) -> None:
        self._limit = limit
        self._resident = resident
        self._trim = trim

    def tidy(self) -> None:
        """Trim if there is too much; to be called whenever a lot was freed."""
        before = self._resident()
        if before <= self._limit:
            return
        self._trim()
        after = self._resident()
        log.debug("gave %d bytes back, %d are left", before - after, after)
        if before - after < _WORTHWHILE:
            # It is in use, by something else than blocks.
            self._limit = after + _WORTHWHILE
