"""What the kernel is told without having asked: that it believes what is no longer so.

It may be told of attributes from anywhere. Dropping pages waits for reads of them
that are under way, and those wait for our handlers; forgetting a name waits for
whatever is being done in its directory (design notes, 1.4). So these two are left
to threads that no handler ever waits for.
"""

import errno
import logging
from collections.abc import Callable
from typing import Final

import pyfuse3
import trio
from pyfuse3 import FileNameT, InodeT

from azfuse.fuse.inodes import Inode

log = logging.getLogger(__name__)

#: Calls into the kernel at once: one that has to wait does not hold up the rest.
_THREADS: Final = 4
#: Seconds that a call is waited for; it goes on by itself, in its thread.
_PATIENCE: Final = 2.0
#: Things to tell that may be waiting. What comes on top of them the kernel finds out by
#: itself, when the time is over for which it was to believe us.
_MOST_WAITING: Final = 10_000


class Kernel:
    """Sends news to the kernel while the mount is served."""

    def __init__(self) -> None:
        self._serving = False
        #: What to tell, once each: pages of an inode (no name), or a name in a directory.
        self._waiting: dict[tuple[int, bytes], None] = {}
        self._news = trio.Event()
        self._threads = trio.CapacityLimiter(_THREADS)

    def forget_attributes(self, inode: Inode) -> None:
        """Have the kernel ask for the attributes of *inode* before it uses its own."""
        if not self._serving or not inode.lookups:
            return
        for number in (inode.number, *inode.aliases.values()):
            _tolerant(pyfuse3.invalidate_inode, InodeT(number), True)

    def forget_content(self, inode: Inode) -> None:
        """Have the kernel drop attributes at once, and soon the pages it keeps of *inode*."""
        self.forget_attributes(inode)
        if inode.file is not None:
            for number in (inode.number, *inode.aliases.values()):
                self._add(number, b"")

    def forget_name(self, parent: Inode, name: bytes) -> None:
        """Have the kernel look *name* up again before it uses it, as soon as it can."""
        if parent.lookups:
            self._add(parent.number, name)

    def _add(self, number: int, name: bytes) -> None:
        if self._serving and len(self._waiting) < _MOST_WAITING:
            self._waiting[number, name] = None
            self._news.set()

    async def run(self) -> None:
        """Tell what there is to tell, until cancelled; to be ended before the session is."""
        self._serving = True
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(_THREADS):
                    nursery.start_soon(self._tell)
        finally:
            self._serving = False

    async def _tell(self) -> None:
        while True:
            while not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
            number, name = next(iter(self._waiting))
            del self._waiting[number, name]
            # Shielded: when this ends no thread should be in libfuse any more.
            with trio.move_on_after(_PATIENCE, shield=True) as scope:
                await trio.to_thread.run_sync(
                    _tell_now, number, name, abandon_on_cancel=True, limiter=self._threads
                )
            if scope.cancelled_caught:
                log.debug("the kernel has not taken news of inode %d in time", number)
            await trio.lowlevel.checkpoint()


def _tell_now(number: int, name: bytes) -> None:
    if name:
        _tolerant(pyfuse3.invalidate_entry, InodeT(number), FileNameT(name))
    else:
        _tolerant(pyfuse3.invalidate_inode, InodeT(number), False)


def _tolerant(call: Callable[..., None], *args: object) -> None:
    try:
        call(*args)
    except OSError as error:
        # The kernel does not know it (any more), or still has something mounted on it.
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EBUSY}:
            log.warning("the kernel does not take news: %s", error)
