"""Which process still has a file open: what the kernel does not tell with a close.

A shell that redirects output opens the file, duplicates the descriptor and closes
the first one. That close reaches us like any other, before anything was written.
Looking whether the process has the file open still tells the two kinds apart.
"""

import contextlib
from itertools import islice
from pathlib import Path
from typing import Final

#: A process that has more descriptors is no shell; to look through thousands at each of
#: thousands of closes takes minutes.
MOST_DESCRIPTORS: Final = 256


def holds(pid: int, inode_number: int) -> bool:
    """Say whether process *pid* has a descriptor of the inode with that number.

    Reads /proc/PID/fdinfo, which shows inode numbers since Linux 5.14 and asks no
    file system for anything. False where it cannot be read, or there are too many.
    """
    wanted = f"ino:\t{inode_number}\n"
    try:
        found = Path(f"/proc/{pid}/fdinfo").iterdir()
        descriptors = list(islice(found, MOST_DESCRIPTORS + 1))
    except OSError:
        return False
    if len(descriptors) > MOST_DESCRIPTORS:
        return False
    for descriptor in descriptors:
        # One may be closed between the two looks.
        with contextlib.suppress(OSError):
            if wanted in descriptor.read_text():
                return True
    return False
