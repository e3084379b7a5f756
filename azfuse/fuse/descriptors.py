"""Which process still has a file open: what the kernel does not tell with a close.

A shell that redirects output opens the file, duplicates the descriptor and closes
the first one. That close reaches us like any other, before anything was written.
Looking whether the process has the file open still tells the two kinds apart.
"""

import contextlib
from pathlib import Path


def holds(pid: int, inode_number: int) -> bool:
    """Say whether process *pid* has a descriptor of the inode with that number.

    Reads /proc/PID/fdinfo, which shows inode numbers since Linux 5.14 and asks no
    file system for anything. False where it cannot be read.
    """
    wanted = f"ino:\t{inode_number}\n"
    try:
        descriptors = list(Path(f"/proc/{pid}/fdinfo").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        # One may be closed between the two looks.
        with contextlib.suppress(OSError):
            if wanted in descriptor.read_text():
                return True
    return False
