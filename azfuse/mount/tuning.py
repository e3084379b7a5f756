"""Kernel settings of one mount that FUSE itself gives no handle on (root only)."""

import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Largest kernel readahead in KiB; FUSE starts at 128. 1 MiB is one FUSE request, and was
#: measured as fast as 4 MiB (design notes, 2.2), while a page fault in a mapped file that is
#: read here and there drags in up to this much. What hides the network's latency is our own
#: readahead, not the kernel's.
READ_AHEAD_KB: Final = 1024
#: Requests that the kernel sends unasked at once (readahead, asynchronous writes); from 12.
MAX_BACKGROUND: Final = 64
CONGESTION_THRESHOLD: Final = 48


def tune(device: int) -> None:
    """Raise the limits of the mount with device number *device* as far as permitted."""
    minor = os.minor(device)
    connection = Path(f"/sys/fs/fuse/connections/{minor}")
    _set(Path(f"/sys/class/bdi/{os.major(device)}:{minor}/read_ahead_kb"), READ_AHEAD_KB)
    _set(connection / "max_background", MAX_BACKGROUND)
    _set(connection / "congestion_threshold", CONGESTION_THRESHOLD)


def _set(path: Path, value: int) -> None:
    try:
        path.write_text(str(value))
    except OSError as error:
        # Not root, or no fusectl mounted: it works all the same, only slower.
        log.debug("%s stays as it is: %s", path, error.strerror)
