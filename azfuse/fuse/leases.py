"""Leases of files that we write: taken, given back, and taken over after a crash.

A file lease has no end of its own. So that a mount that is killed does not lock
others out for good, the id is written to the state directory before the lease is
asked for, and the next mount on this machine gives back what it finds there.
"""

import logging
import uuid
from typing import Final

from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode
from azfuse.fuse.state import HeldLease, MountState
from azfuse.fuse.tree import Tree
from azfuse.rest.errors import AzureFilesError, ErrorCode, ServiceError

log = logging.getLogger(__name__)

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


class Leases:
    """The leases this mount holds."""

    def __init__(self, tree: Tree, state: MountState, instance: str) -> None:
        self._tree = tree
        self._state = state
        self._instance = instance
        #: The inodes whose leases we hold.
        self.held: dict[Inode, None] = {}

    async def take(self, inode: Inode) -> str:
        """Lease the file of *inode* for us alone; return its ETag.

        Raises ServiceError LeaseAlreadyPresent where somebody else holds it.
        """
        lease_id = str(uuid.uuid4())
        path = inode.path
        self._state.remember_lease(HeldLease(lease_id, path, self._instance))
        try:
            lease = await self._tree.file.acquire_lease(path, proposed_id=lease_id)
        except ServiceError:
            self._state.forget_lease(lease_id)
            raise
        inode.lease_id = lease_id
        self.held[inode] = None
        return lease.etag

    async def give_back(self, inode: Inode) -> None:
        """Release the lease of *inode* if we hold it. A failure is logged, not raised."""
        lease_id = self._let_go(inode)
        if lease_id is None:
            return
        try:
            await self._release(inode.path, lease_id)
        except AzureFilesError as error:
            log.warning("the lease of %s could not be given back: %s", inode.path, error)

    async def recover(self) -> None:
        """Release what mounts of this machine held that are no longer running."""
        for lease in self._state.held_leases():
            if not self._state.is_dead(lease.instance):
                continue
            try:
                await self._release(lease.path, lease.lease_id)
            except AzureFilesError as error:
                log.warning("the lease that a dead mount left on %s stays: %s", lease.path, error)
            else:
                log.info("released the lease that a dead mount left on %s", lease.path)

    def lost(self, inode: Inode) -> None:
        """Note that the lease of *inode* was broken or taken from us."""
        lease_id = self._let_go(inode)
        if lease_id is not None:
            self._state.forget_lease(lease_id)
        log.error("%s: our lease was broken; somebody else may have written", inode.path)

    def deleted(self, inode: Inode) -> None:
        """Note that the file of *inode* is gone, and its lease with it."""
        lease_id = self._let_go(inode)
        if lease_id is not None:
            self._state.forget_lease(lease_id)

    def moved(self, inode: Inode) -> None:
        """Note that *inode*, leased or not, has another path now."""
        if inode.lease_id is not None:
            self._state.remember_lease(HeldLease(inode.lease_id, inode.path, self._instance))

    def stats(self) -> dict[str, object]:
        """Return the paths of the files that are leased."""
        return {"held": len(self.held), "paths": sorted(inode.path for inode in self.held)}

    def _let_go(self, inode: Inode) -> str | None:
        self.held.pop(inode, None)
        lease_id, inode.lease_id = inode.lease_id, None
        return lease_id

    async def _release(self, path: str, lease_id: str) -> None:
        try:
            await self._tree.file.release_lease(path, lease_id)
        except ServiceError as error:
            if error.code not in LOST and error.code not in NOT_FOUND:
                raise
        self._state.forget_lease(lease_id)
