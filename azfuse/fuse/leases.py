"""Leases of files that we write: taken, given back, waited for, and taken over after a crash.

A file lease has no end of its own. So that a mount that is killed does not lock
others out for good, the id is written to the state directory before the lease is
asked for. What is written there and not in use is given back in the background,
for as long as it takes, by whichever mount of this machine comes to it.
"""

import errno
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import trio

from azfuse.cache.writeback import CachedFile
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode
from azfuse.fuse.state import HeldLease, MountState
from azfuse.fuse.tree import Tree
from azfuse.fuse.trust import is_volatile
from azfuse.rest.errors import AzureFilesError, ErrorCode, ServiceError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Answers that say that a lease we thought we held is not ours any more.
LOST: Final = frozenset(
    {
        ErrorCode.LEASE_NOT_PRESENT_WITH_FILE_OPERATION,
        ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION,
        ErrorCode.LEASE_ID_MISMATCH_WITH_FILE_OPERATION,
        ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION,
        ErrorCode.LEASE_LOST,
    }
)
#: Answers that say that somebody else holds the file's lease.
FOREIGN: Final = frozenset({ErrorCode.LEASE_ID_MISSING, ErrorCode.LEASE_ALREADY_PRESENT})
#: Pauses between looks whether a foreign lease is free, in seconds: growing, up to the second.
_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 2.0
#: Pauses between tries to give back what is not in use, in seconds: doubling, up to the second.
_FIRST_TIDYING: Final = 1.0
_LONGEST_TIDYING: Final = 60.0


class LeaseBroken(OSError):  # noqa: N818 # says what happened
    """Somebody broke the lease under an upload, and may have written."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the file's lease was broken")


class Leases:
    """The leases this mount holds, and what it knows of those of others."""

    def __init__(self, tree: Tree, state: MountState, instance: str, wait: float) -> None:
        """*wait* is how many seconds a call may wait for the lease of somebody else."""
        self._tree = tree
        self._state = state
        self._instance = instance
        self._wait = wait
        #: Leases in use, and those being asked for.
        self._held: dict[str, Inode] = {}
        self._losses: WeakKeyDictionary[CachedFile, int] = WeakKeyDictionary()
        self._doubted: set[Inode] = set()
        self._untidy = trio.Event()
        self._warned = False
        tree.lease_refused = self.refused

    # -- our own ------------------------------------------------------------------------

    async def take(self, inode: Inode) -> str | None:
        """Lease the file of *inode* for us alone; return its ETag.

        None where the id cannot be written down and `-o lease=` does not insist. Raises
        ServiceError LeaseAlreadyPresent where somebody else holds it.
        """
        tree, lease_id, path = self._tree, str(uuid.uuid4()), inode.path
        self._held[lease_id] = inode
        try:
            await self._remember(HeldLease(lease_id, path, self._instance))
        except OSError as error:
            del self._held[lease_id]
            if tree.settings.lease == "always":
                raise
            if not self._warned:
                self._warned = True
                log.warning("files are written without a lease: %s", error)
            return None
        asked = tree.clock()
        try:
            lease = await tree.file.acquire_lease(path, proposed_id=lease_id)
        except ServiceError as error:
            del self._held[lease_id]
            await self._forget(lease_id)
            self.refused(inode, error)
            raise
        except BaseException:
            # It may be ours all the same: it is given back when the service answers again.
            del self._held[lease_id]
            self._untidy.set()
            raise
        inode.lease_id = lease_id
        if inode.facts is not None and inode.facts.etag == lease.etag:
            tree.reconfirm(inode, asked)
        else:
            await self._catch_up(inode)
        return lease.etag

    async def _catch_up(self, inode: Inode) -> None:
        """Ask for the attributes that were changed before the lease was ours."""
        try:
            await self._tree.validate(inode)
        except BaseException as error:
            await self.give_back(inode)
            if isinstance(error, FileNotFoundError):
                raise OSError(errno.ESTALE, "another file has taken this one's place") from error
            raise
        if inode.file is not None and inode.facts is not None:
            inode.file.content.learn_size(inode.facts.size)

    async def give_back(self, inode: Inode) -> None:
        """Release the lease of *inode* if we hold it. A failure is logged, and tried again."""
        lease_id = inode.lease_id
        if lease_id is None:
            return
        await self._tree.settled(inode)
        if inode.lease_id != lease_id:
            return
        # Up to now nobody else can have changed the file.
        self._tree.reconfirm(inode, self._tree.clock())
        inode.lease_id = None
        self._held.pop(lease_id, None)
        path = inode.path
        try:
            refusal = await self._release(path, lease_id)
            while refusal in NOT_FOUND and await self._tree.moved(inode, path):
                path = inode.path
                refusal = await self._release(path, lease_id)
        except AzureFilesError as error:
            log.warning("the lease of %s is given back later: %s", path, error)
            self._untidy.set()
            return
        await self._forget(lease_id)
        if refusal in LOST:
            # It was broken when all was sent: somebody else may have written since.
            self._tree.found_leased(inode)
            self._tree.drop_content(inode)

    async def give_back_all(self) -> None:
        """Release every lease we hold, side by side: none waits for the answer to another."""
        async with trio.open_nursery() as nursery:
            for inode in list(self._held.values()):
                nursery.start_soon(self.give_back, inode)

    async def deleted(self, inode: Inode) -> None:
        """Note that the file of *inode* is gone, and its lease with it."""
        lease_id, inode.lease_id = inode.lease_id, None
        if lease_id is not None:
            self._held.pop(lease_id, None)
            await self._forget(lease_id)

    async def moving(self, inode: Inode, path: str) -> None:
        """Note that *inode*, and with it what is below it, is about to move to *path*.

        Raises OSError where that cannot be written down.
        """
        before = inode.path
        for lease_id, holder in self._below(inode):
            after = path + holder.path.removeprefix(before)
            await self._remember(HeldLease(lease_id, holder.path, self._instance, after))

    async def moved(self, inode: Inode) -> None:
        """Note that *inode* is where it is to stay."""
        for lease_id, holder in self._below(inode):
            try:
                await self._remember(HeldLease(lease_id, holder.path, self._instance))
            except OSError as error:
                log.info("where a leased file was moved is not written down: %s", error)

    def _below(self, inode: Inode) -> list[tuple[str, Inode]]:
        return [item for item in self._held.items() if inode in item[1].ancestors()]

    # -- refusals -----------------------------------------------------------------------

    def refused(self, inode: Inode, error: ServiceError) -> bool:
        """Learn from *error*; say whether it told that we have lost the lease of *inode*."""
        if inode.lease_id is not None and error.code in LOST:
            self._lost(inode)
            return True
        if error.code in FOREIGN and inode.lease_id is None:
            self._tree.found_leased(inode)
        return False

    def _lost(self, inode: Inode) -> None:
        lease_id, inode.lease_id = inode.lease_id, None
        if lease_id is not None:
            self._held.pop(lease_id, None)
            self._untidy.set()
        log.error("%s: our lease was broken; somebody else may have written", inode.path)
        self._tree.found_leased(inode)
        self._tree.drop_content(inode)
        if inode.file is not None:
            self._losses[inode.file] = self.losses(inode.file) + 1

    def losses(self, file: CachedFile) -> int:
        """Return how often the lease of *file* was lost: who has it open is told once of each."""
        return self._losses.get(file, 0)

    async def verify(self, inode: Inode) -> None:
        """Ask whether a lease is still ours: something was seen that it should have prevented."""
        lease_id = inode.lease_id
        if lease_id is None or inode in self._doubted:
            return
        self._doubted.add(inode)
        try:
            # A read with an id is refused unless that id holds the lease.
            await self._tree.file.get_file_properties(inode.path, lease_id=lease_id)
        except ServiceError as error:
            if inode.lease_id == lease_id:
                self.refused(inode, error)
        except AzureFilesError as error:
            log.debug("%s: its lease could not be verified: %s", inode.path, error)
        finally:
            self._doubted.discard(inode)

    async def patiently(self, inode: Inode, request: Callable[[], Awaitable[T]]) -> T:
        """Await *request*; while the file's lease is somebody else's, again for a while.

        Raises ServiceError as *request* does, LeaseIdMissing or LeaseAlreadyPresent
        where the lease was not free in time.
        """
        clock, pause, tidied = self._tree.clock, _FIRST_LOOK, False
        until = clock() + self._wait
        while True:
            try:
                return await request()
            except ServiceError as error:
                if error.code not in FOREIGN:
                    raise
                if not tidied:
                    tidied = True
                    if await self._tidy(inode.path):
                        continue  # it was a lease that nobody uses any more
                if clock() >= until:
                    raise
            while True:
                await trio.sleep(max(0.0, min(pause, until - clock())))
                pause = min(pause * 1.5, _LONGEST_LOOK)
                if clock() >= until or not await self._is_leased(inode):
                    break

    async def _is_leased(self, inode: Inode) -> bool:
        """Ask whether somebody holds the lease of *inode*; False where that cannot be told."""
        if inode.is_local:
            return False
        try:
            await self._tree.validate(inode)
        except (AzureFilesError, FileNotFoundError):
            return False  # the request itself will say what is wrong
        return is_volatile(inode)

    # -- what is not in use -------------------------------------------------------------

    async def run(self) -> None:
        """Give back leases that nobody uses, whenever there are any. Runs until cancelled."""
        pause = _FIRST_TIDYING
        while True:
            self._untidy = trio.Event()
            try:
                await self._tidy()
            except (AzureFilesError, OSError) as error:
                level = logging.WARNING if pause == _FIRST_TIDYING else logging.DEBUG
                log.log(level, "leases that nobody uses are given back later: %s", error)
                await trio.sleep(pause)
                pause = min(pause * 2, _LONGEST_TIDYING)
                continue
            pause = _FIRST_TIDYING
            with trio.move_on_after(_LONGEST_TIDYING):
                await self._untidy.wait()

    async def _tidy(self, path: str | None = None) -> int:
        """Release the leases on *path* (or all) that no living mount uses; return how many.

        With *path* None all are tried before the first error is raised.
        """
        released, errors = 0, []
        try:
            leases = await trio.to_thread.run_sync(self._state.held_leases)
        except OSError:
            if path is None:
                raise
            return 0
        for lease in leases:
            if path not in {None, lease.path} or not self._is_unused(lease):
                continue
            try:
                refusal = await self._release(lease.path, lease.lease_id)
                if refusal in NOT_FOUND and lease.moving_to:
                    await self._release(lease.moving_to, lease.lease_id)
                await self._forget(lease.lease_id)
                released += 1
                if lease.instance != self._instance:
                    log.info("released the lease that a dead mount left on %s", lease.path)
            except AzureFilesError as error:
                errors.append(error)
        if errors and path is None:
            raise errors[0]
        return released

    def _is_unused(self, lease: HeldLease) -> bool:
        if lease.instance == self._instance:
            return lease.lease_id not in self._held
        return not self._state.is_alive(lease.instance)

    def stats(self) -> dict[str, object]:
        """Return the paths of the files that are leased."""
        return {"held": len(self._held), "paths": sorted(i.path for i in self._held.values())}

    async def _release(self, path: str, lease_id: str) -> str | None:
        """Release a lease; return the code by which the service said that there was none."""
        try:
            await self._tree.file.release_lease(path, lease_id)
        except ServiceError as error:
            if error.code in NOT_FOUND or error.code in LOST:
                return error.code
            raise
        return None

    async def _remember(self, lease: HeldLease) -> None:
        await trio.to_thread.run_sync(self._state.remember_lease, lease)

    async def _forget(self, lease_id: str) -> None:
        try:
            await trio.to_thread.run_sync(self._state.forget_lease, lease_id)
        except OSError as error:
            log.info("a lease that is gone stays in the state directory: %s", error)
