"""Times of directories: the service moves none when entries change, so they move here alone."""

from typing import Final

from cachetools import LRUCache

from azfuse.fuse.inodes import Inode
from azfuse.rest.wire import MAX_CLOCK_SKEW

#: Directories of which the times are remembered that we moved, though nobody holds them now.
_MOST_TIMES: Final = 10_000
#: The step of the service's clock in nanoseconds.
_TICK: Final = 100


class DirectoryTimes:
    """Moves times of directories, and remembers them of those that are forgotten."""

    def __init__(self) -> None:
        #: By file id: time of the last write on the share, and mtime and ctime here.
        self._times: LRUCache[int, tuple[int, int, int]] = LRUCache(_MOST_TIMES)

    @staticmethod
    def move(directory: Inode, now_ns: int) -> None:
        """Note that we changed the entries of *directory* at *now_ns*."""
        now = now_ns // _TICK * _TICK
        # They always move on, though the service's clock may be a little ahead of ours. What
        # a program has put into the future comes back from there.
        if directory.mtime - now > MAX_CLOCK_SKEW:
            directory.mtime = now
        else:
            directory.mtime = max(directory.mtime + _TICK, now)
        directory.ctime = max(directory.ctime + _TICK, now)

    def keep(self, directory: Inode) -> None:
        """Remember times of *directory* that we moved; it is about to be forgotten."""
        facts = directory.facts
        if facts is not None and not directory.gone:
            shown = facts.last_write_time, facts.change_time
            if shown != (directory.mtime, directory.ctime):
                self._times[directory.file_id] = shown[0], directory.mtime, directory.ctime

    def recall(self, directory: Inode) -> None:
        """Give *directory*, which is known anew, the times that it had here, if they still hold."""
        facts, kept = directory.facts, self._times.pop(directory.file_id, None)
        if facts is not None and kept is not None and kept[0] == facts.last_write_time:
            directory.mtime = kept[1]
            directory.ctime = max(facts.change_time, kept[2])
