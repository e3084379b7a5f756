"""What the kernel is told without having asked: that it believes what is no longer so.

It may be told of attributes from anywhere. Dropping pages waits for reads of them
that are under way, and those wait for our handlers; forgetting a name waits for
whatever is being done in its directory (design notes, 1.4). So these two are left
to threads that no handler ever waits for.

The kernel does not take the answer to a question that it asked before it was told
to forget. A read(2) that asked for the length then goes by the old one, and ends too
early. So nothing is said about attributes that are just being asked for (the answer
says it), and pages are only dropped where the length has stayed: where it has not,
the kernel drops them by itself when it sees the new one.
"""

import errno
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
        self._asked_for: Counter[Inode] = Counter()
        self._news = trio.Event()
        self._threads = trio.CapacityLimiter(_THREADS)

    @contextmanager
    def answering(self, inode: Inode) -> Iterator[None]:
        """Mark the time in which the kernel waits for the attributes of *inode*."""
        self._asked_for[inode] += 1
        try:
            yield
        finally:
            self._asked_for[inode] -= 1
            if not self._asked_for[inode]:
                del self._asked_for[inode]

    def forget_attributes(self, inode: Inode) -> None:
        """Have the kernel ask for the attributes of *inode* before it uses its own."""
        if not self._serving or not inode.lookups or inode in self._asked_for:
            return
        for number in _numbers(inode):
            _tolerant(pyfuse3.invalidate_inode, InodeT(number), True)

    def forget_content(self, inode: Inode, *, resized: bool) -> None:
        """Have the kernel ask for attributes again, and read again what it has of the content.

        *resized* says that the length is, or may be, another one.
        """
        self.forget_attributes(inode)
        for number in _numbers(inode):
            if resized:
                self._waiting.pop((number, b""), None)
            elif inode.file is not None:
                self._add(number, b"")

    def forget_name(self, parent: Inode, name: bytes) -> None:
        """Have the kernel look *name* up again before it uses it, as soon as it can."""
        if parent.lookups:
            self._add(parent.number, name)

    async def forget_at_once(
        self, inodes: Iterable[Inode], names: Iterable[tuple[Inode, bytes]]
    ) -> None:
        """Have the kernel drop attributes and pages of *inodes*, and *names*; return when it has.

        Not for handlers, which the kernel may wait for, and only while the mount is served.
        """
        numbers = [
            (number, inode.is_directory)
            for inode in inodes
            if inode.lookups and inode not in self._asked_for
            for number in _numbers(inode)
        ]
        entries = [(parent.number, name) for parent, name in names if parent.lookups]
        await trio.to_thread.run_sync(_tell_all, numbers, entries, limiter=self._threads)

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
                if self._news.is_set():
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


def _numbers(inode: Inode) -> Iterator[int]:
    yield inode.number
    yield from inode.aliases.values()


def _tell_now(number: int, name: bytes) -> None:
    if name:
        _tolerant(pyfuse3.invalidate_entry, InodeT(number), FileNameT(name))
    else:
        _tolerant(pyfuse3.invalidate_inode, InodeT(number), False)


def _tell_all(inodes: list[tuple[int, bool]], names: list[tuple[int, bytes]]) -> None:
    """Tell of *inodes*, each with whether it is a directory (which has no pages), and *names*."""
    for number, is_directory in inodes:
        _tolerant(pyfuse3.invalidate_inode, InodeT(number), is_directory)
    for number, name in names:
        _tell_now(number, name)


def _tolerant(call: Callable[..., None], *args: object) -> None:
    try:
        call(*args)
    except OSError as error:
        # The kernel does not know it (any more), or still has something mounted on it.
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EBUSY}:
            log.warning("the kernel does not take news: %s", error)
