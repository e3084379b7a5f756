"""Directories: made at once, or with `-o writeback` behind the back of the program.

Whoever needs a directory on the share before its turn has come makes it: an upload
of a file in it, a listing of it, the directory below it. So parents always come before
children, and why a directory cannot be made is told to whoever cannot go on without it.
"""

import logging
from dataclasses import replace
from typing import Final

import trio

from azfuse.cache.metadata import Facts
from azfuse.fuse.changes import key_for_new, send_posix
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode
from azfuse.fuse.posix import Posix
from azfuse.fuse.tree import Tree
from azfuse.rest.errors import AzureFilesError, ErrorCode, ServiceError
from azfuse.rest.models import SmbSettings
from azfuse.rest.resource import or_none
from azfuse.rest.wire import FileAttributes

log = logging.getLogger(__name__)

#: Pauses between tries after failures, in seconds: doubling, up to the second.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

#: A directory that the share lacks, or whose attributes it lacks, and why.
Failure = tuple[Inode, AzureFilesError | OSError]


class _Waiting:
    """What the share is still to be told of a directory."""

    def __init__(self, posix: Posix) -> None:
        self.posix = posix
        #: The time of the last write that a program has set, Unix nanoseconds.
        self.mtime: int | None = None
        #: Held across the requests about the directory, so that the last word is sent last.
        self.lock = trio.Lock()

    @property
    def wanted(self) -> tuple[Posix, int | None]:
        """What programs have set so far."""
        return self.posix, self.mtime


class Directories:
    """Makes directories on the share, and sends their attributes.

    With a *delay*, in seconds, both happen in tasks of *nursery*, so much later. What
    programs see is right at once.
    """

    def __init__(self, tree: Tree, nursery: trio.Nursery, delay: float | None) -> None:
        self._tree = tree
        self._nursery = nursery
        self._delay = delay
        self._waiting: dict[Inode, _Waiting] = {}
        tree.make_directory = self.flush

    def __len__(self) -> int:
        """Return how many directories the share is still to be told of."""
        return len(self._waiting)

    @property
    def delays(self) -> bool:
        """True if programs need not wait for the share."""
        return self._delay is not None

    async def make(self, inode: Inode, *, now: bool = False) -> None:
        """Make the directory of *inode*, which is in the tree already where that comes later.

        With *now* it does not. Raises what Create Directory raises.
        """
        if self._delay is None or now:
            await self._create(inode, join=False)
        else:
            self._later(inode)

    def set(self, inode: Inode, posix: Posix, mtime: int | None) -> None:
        """Have mode and owner sent, and the time of the last write where it is given."""
        waiting = self._later(inode)
        waiting.posix = posix
        if mtime is not None:
            waiting.mtime = mtime

    async def flush(self, inode: Inode) -> None:
        """Return when the share knows all about *inode*. Raises what the requests raise."""
        waiting = self._waiting.get(inode)
        if waiting is None:
            return
        async with waiting.lock:
            while self._waiting.get(inode) is waiting:
                wanted = posix, mtime = waiting.wanted
                path = inode.path
                inode.posix = posix
                try:
                    if inode.is_local:
                        await self._create(inode)
                    else:
                        await send_posix(self._tree, inode, mtime=mtime)
                except ServiceError as error:
                    if error.code in NOT_FOUND and await self._tree.moved(inode, path):
                        continue
                    raise
                finally:
                    inode.posix = waiting.posix  # a program may have set another meanwhile
                if waiting.wanted == wanted:
                    self._done(inode)

    async def flush_below(self, directory: Inode) -> None:
        """Return when the share knows all about *directory* and those below it.

        Raises the first error.
        """
        await self._flush_or_raise([i for i in self._waiting if directory in i.ancestors()])

    async def flush_children(self, directory: Inode) -> None:
        """Return when the share knows all about *directory* and those right in it.

        Raises the first error.
        """
        await self._flush_or_raise(
            [i for i in self._waiting if i is directory or i.parent is directory]
        )

    async def abandon(self, inode: Inode) -> bool:
        """Have nothing more sent about a directory that goes away; say if the share has it."""
        waiting = self._waiting.get(inode)
        if waiting is not None:
            async with waiting.lock:
                self._done(inode)
        return not inode.is_local

    async def drain(self) -> list[Failure]:
        """Tell the share all; return the directories for which that failed, with the errors."""
        return await self._flush_all(list(self._waiting))

    # -- meanwhile ----------------------------------------------------------------------

    def _later(self, inode: Inode) -> _Waiting:
        waiting = self._waiting.get(inode)
        if waiting is None:
            waiting = self._waiting[inode] = _Waiting(inode.posix)
            # What the share says of it until then is out of date.
            inode.attributes_pending = True
            self._nursery.start_soon(self._run, inode, waiting)
        return waiting

    def _done(self, inode: Inode) -> None:
        self._waiting.pop(inode, None)
        inode.attributes_pending = False
        self._tree.forget(inode)

    async def _run(self, inode: Inode, waiting: _Waiting) -> None:
        pause = _FIRST_PAUSE
        await trio.sleep(self._delay or 0.0)
        while self._waiting.get(inode) is waiting:
            try:
                await self.flush(inode)
            except (AzureFilesError, OSError) as error:
                if inode.gone:
                    self._done(inode)
                    return
                level = logging.WARNING if pause == _FIRST_PAUSE else logging.DEBUG
                log.log(level, "directory %s, will try again: %s", inode.path, error)
                await trio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _flush_or_raise(self, inodes: list[Inode]) -> None:
        failed = await self._flush_all(inodes)
        if failed:
            raise failed[0][1]

    async def _flush_all(self, inodes: list[Inode]) -> list[Failure]:
        failed: list[Failure] = []

        async def attempt(inode: Inode) -> None:
            try:
                await self.flush(inode)
            except (AzureFilesError, OSError) as error:
                failed.append((inode, error))

        async with trio.open_nursery() as nursery:
            for inode in inodes:
                nursery.start_soon(attempt, inode)
        return failed

    # -- on the share -------------------------------------------------------------------

    async def _create(self, inode: Inode, *, join: bool = True) -> None:
        """Create Directory, with everything that programs have set of it so far.

        One that somebody else has made meanwhile will do, if we may *join*.
        """
        tree = self._tree
        encoded = tree.posix.encode(inode.posix, FileAttributes.DIRECTORY, inode.xattrs)
        attributes, metadata = encoded.attributes, encoded.metadata
        key = await key_for_new(tree, inode, encoded)
        smb = SmbSettings(attributes=attributes, permission_key=key)
        if self.delays:
            # What programs have seen must not change now.
            smb = replace(
                smb,
                creation_time=inode.ctime,
                last_write_time=inode.mtime,
                change_time=inode.ctime,
            )
        smb, nfs = tree.dialect.settings(inode.posix, smb)
        await tree.settled(inode)
        asked = tree.clock()
        try:
            written = await tree.directory.create_directory(
                inode.path, smb=smb, nfs=nfs, metadata=metadata
            )
        except ServiceError as error:
            if error.code != ErrorCode.RESOURCE_ALREADY_EXISTS or not join:
                raise
            if not await self._join(inode):
                raise
            return
        facts = Facts.of_creation(
            inode.name,
            written,
            asked,
            is_directory=True,
            attributes=attributes,
            metadata=metadata,
        )
        self._made(inode, facts)
        inode.changed_at = tree.clock()

    async def _join(self, inode: Inode) -> bool:
        """Take over what somebody else made by that name meanwhile; say if it is a directory."""
        tree, asked = self._tree, self._tree.clock()
        found = await or_none(tree.directory.get_directory_properties(inode.path))
        if found is None:
            return False
        log.info("%s was made by somebody else as well", inode.path)
        self._made(inode, Facts.of_properties(inode.name, found, asked))
        tree.drop_listing(inode)
        await send_posix(tree, inode, mtime=None)
        return True

    def _made(self, inode: Inode, facts: Facts) -> None:
        tree = self._tree
        inode.facts = facts
        if self.delays:
            tree.table.got_file_id(inode, facts.file_id)
            tree.entered(inode)
        else:
            inode.file_id = facts.file_id
            inode.number = tree.table.number_for(facts.file_id)
            inode.mtime, inode.ctime = facts.last_write_time, facts.change_time
