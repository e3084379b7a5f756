"""One mounted share: builds the parts, keeps their tasks, drains at the end."""

import errno
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pyfuse3
import trio
from pyfuse3 import FileNameT, InodeT

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import FileContent
from azfuse.cache.reader import Reader
from azfuse.cache.writeback import CachedFile, WriteBack
from azfuse.fuse.files import Files
from azfuse.fuse.inodes import Inode
from azfuse.fuse.leases import Leases
from azfuse.fuse.namespace import Namespace
from azfuse.fuse.operations import Operations
from azfuse.fuse.refresh import Refresher
from azfuse.fuse.remote_file import InodeFile
from azfuse.fuse.setattr import Setter
from azfuse.fuse.settings import FileSystemSettings
from azfuse.fuse.space import Space
from azfuse.fuse.state import MountState
from azfuse.fuse.tree import Tree
from azfuse.fuse.userattrs import UserAttributes
from azfuse.rest.directory import Directory
from azfuse.rest.errors import AzureFilesError
from azfuse.rest.file import File
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport

log = logging.getLogger(__name__)


class FileSystem(Operations):
    """A share as pyfuse3 operations, with the tasks that work behind them.

    After `running` has ended, `unsaved` lists what could not be uploaded: path,
    number of dirty bytes, error.
    """

    def __init__(self, transport: Transport, share: str, settings: FileSystemSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unsaved: list[tuple[str, int, BaseException]] = []
        #: Parts of `stats` by name; whatever counts something adds its own.
        self.sections: dict[str, Callable[[], Mapping[str, object]]] = {
            "requests": transport.counters.stats
        }
        self._share = Share(transport, share)
        self._state = MountState(settings.state_dir, f"{transport.endpoint}/{share}")
        self._cache = BlockCache(settings.cache_size, self._emptied)
        self._instance = secrets.token_hex(4)
        self.tree = Tree(
            Directory(transport, share, snapshot=settings.snapshot),
            File(transport, share, snapshot=settings.snapshot),
            settings,
            self._cache,
            trio.current_time,
            self._state.numbers,
        )
        self.refresher = Refresher(self.tree, self._cache)
        self.space = Space(self._share, trio.current_time, lambda: self.tree.moved_bytes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the root, run the background tasks; at the end upload everything dirty.

        Raises what the first request raises if the root cannot be opened.
        """
        await self.tree.open_root()
        await self.space.prefetch()
        with self._state.held(self._instance):
            async with trio.open_nursery() as nursery:
                self._assemble(nursery)
                nursery.start_soon(self._writeback.run)
                if not self.settings.read_only:
                    nursery.start_soon(self._recover)
                try:
                    async with trio.open_nursery() as errands:
                        self.start_errand = errands.start_soon
                        yield
                finally:
                    with trio.CancelScope(shield=True):
                        await self._drain()
                    nursery.cancel_scope.cancel()

    def _assemble(self, nursery: trio.Nursery) -> None:
        transfers = trio.CapacityLimiter(self.settings.max_transfers)
        reader = Reader(self._cache, nursery, transfers)
        self._writeback = WriteBack(
            self._cache, nursery, transfers, trio.current_time, self.settings.dirty_expire
        )
        self._leases = Leases(self.tree, self._state, self._instance)
        self.files = Files(
            self.tree,
            self._cache,
            reader,
            self._writeback,
            self._leases,
            time.time_ns,
            _tell_kernel,
        )
        self.namespace = Namespace(
            self.tree,
            self._writeback,
            self._leases,
            self.files.new_file,
            time.time_ns,
            self._instance,
        )
        self.forget_entry = _forget_entry
        self.setter = Setter(self.tree, self.files, self._writeback, time.time_ns)
        self.user_attributes = UserAttributes(self.tree)
        self.sections |= {
            "share": self.space.stats,
            "reads": reader.stats,
            "metadata": self.tree.counters.stats,
            "cache": self._cache.stats,
            "writes": self._write_stats,
            "leases": self._leases.stats,
            "open": self._open_stats,
            "kernel": self._kernel_stats,
        }

    async def refresh(self, path: str) -> dict[str, int]:
        """Doubt what is believed of the entry at *path* and below; return what was forgotten."""
        if not path:
            self.space.forget()
        done = await self.refresher.refresh(path)
        log.info("refresh of %r: %d entries", path or "/", done.entries)
        return {"entries": done.entries, "contentBytes": done.content_bytes}

    # -- counters -------------------------------------------------------------------------

    def stats(self) -> dict[str, object]:
        """Return what was counted so far and what is pending, as JSON can say it."""
        return {name: section() for name, section in self.sections.items()}

    def _write_stats(self) -> dict[str, object]:
        failing = [
            {
                "path": _path_of(file),
                "dirtyBytes": file.content.dirty_bytes,
                "failures": file.failures,
                "error": str(file.error),
            }
            for file in self._writeback.pending
            if file.error is not None
        ]
        return {**self._writeback.stats(), "failing": failing}

    def _open_stats(self) -> dict[str, object]:
        return {
            "files": len(self._open_files),
            "directories": len(self._open_directories),
            "inodes": len(self.tree.table),
        }

    def _kernel_stats(self) -> dict[str, object]:
        calls = {name: calls.stats() for name, calls in sorted(self.calls.items())}
        total = {
            key: sum(counts[key] for counts in calls.values())
            for key in ("requests", "errors", "seconds")
        }
        return {"total": total, "byOperation": calls}

    # -- the end --------------------------------------------------------------------------

    async def _drain(self) -> None:
        if self._writeback.pending:
            log.info("uploading %d dirty bytes", self._cache.dirty)
        for file, error in await self._writeback.drain():
            path = _path_of(file)
            self.unsaved.append((path, file.content.dirty_bytes, error))
            log.error("%s: %d bytes could not be uploaded: %s", path, file.content.dirty_bytes,
                      error)  # fmt: skip
        for inode in list(self.tree.table):
            if inode.hidden and inode.facts is not None:
                await self.namespace.discard_hidden(inode)
            await self._leases.give_back(inode)

    async def _recover(self) -> None:
        """Clear away what mounts of this machine left on the share when they were killed."""
        try:
            await self._leases.recover()
            await self.namespace.clear_hidden(self._state.is_dead)
            self._state.forget_dead()
        except AzureFilesError as error:
            log.info("files that earlier mounts left behind were not looked for: %s", error)

    def _emptied(self, content: FileContent) -> None:
        """Let go of an inode whose last cached block was evicted, if nothing else holds it."""
        inode = self.files.owner_of(content)
        if inode is not None:
            self.tree.forget(inode)


def _path_of(file: CachedFile) -> str:
    """Return where *file* is on the share, for people to read."""
    return file.remote.inode.path if isinstance(file.remote, InodeFile) else "?"


def _tell_kernel(inode: Inode) -> None:
    """Have the kernel ask for the attributes of *inode* again before it uses its own.

    Only attributes: dropping pages from within a handler could wait for that handler.
    """
    for number in (inode.number, *inode.aliases.values()):
        try:
            pyfuse3.invalidate_inode(InodeT(number), attr_only=True)
        except OSError as error:
            if error.errno != errno.ENOENT:  # the kernel does not know it by that number
                raise


def _forget_entry(parent: Inode, name: bytes) -> None:
    """Have the kernel look *name* up again before it uses it; it does so when it can."""
    pyfuse3.invalidate_entry_async(InodeT(parent.number), FileNameT(name), ignore_enoent=True)
