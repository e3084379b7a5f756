"""One mounted share: builds the parts, keeps their tasks, drains at the end."""

import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import FileContent
from azfuse.cache.disktier import DiskTier
from azfuse.cache.heap import Heap
from azfuse.cache.journal import Journal
from azfuse.cache.reader import Reader
from azfuse.cache.transfers import Transfers
from azfuse.cache.writeback import CachedFile, Failure, WriteBack
from azfuse.fuse.directories import Directories
from azfuse.fuse.files import Files
from azfuse.fuse.inodes import InodeTable
from azfuse.fuse.kernel import Kernel
from azfuse.fuse.leases import FOREIGN, LeaseBroken, Leases
from azfuse.fuse.namespace import Namespace
from azfuse.fuse.operations import Operations
from azfuse.fuse.permissions import Permissions
from azfuse.fuse.readdir import DirectoryReader
from azfuse.fuse.refresh import Refresher
from azfuse.fuse.remote_file import InodeFile
from azfuse.fuse.restore import Restorer
from azfuse.fuse.setattr import Setter
from azfuse.fuse.settings import FileSystemSettings
from azfuse.fuse.snapshots import Snapshots
from azfuse.fuse.space import Space
from azfuse.fuse.state import MountState
from azfuse.fuse.stateattrs import StateAttributes
from azfuse.fuse.tree import Tree
from azfuse.fuse.userattrs import UserAttributes
from azfuse.fuse.view import View
from azfuse.rest.account import Account
from azfuse.rest.directory import Directory
from azfuse.rest.errors import AzureFilesError, ServiceError
from azfuse.rest.file import File
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport

log = logging.getLogger(__name__)

#: Pauses before what failed in the background is tried again, in seconds: doubling.
_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0
#: The process may occupy so many bytes beside its cache before memory that was freed is given
#: back; without cache it takes about 45 MiB.
_HEAP_SLACK: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A file that could not be uploaded: path, dirty bytes, why; *kept* in the journal or lost."""

    path: str
    size: int
    error: BaseException
    kept: bool


class FileSystem(Operations):
    """A share as pyfuse3 operations, with the tasks that work behind them.

    After `running` has ended, `unsaved` lists what could not be uploaded.
    """

    def __init__(self, transport: Transport, share: str, settings: FileSystemSettings) -> None:
        super().__init__()
        if settings.snapshot is not None:
            settings = settings.of_snapshot(settings.snapshot)
        self.settings = settings
        self.unsaved: list[Unsaved] = []
        #: Parts of `stats` by name; whatever counts something adds its own.
        self.sections: dict[str, Callable[[], Mapping[str, object]]] = {
            "requests": transport.counters.stats
        }
        self._transport = transport
        self._share = Share(transport, share)
        self._permissions = Permissions(self._share)
        self._state = MountState(settings.state_dir, f"{transport.endpoint}/{share}")
        heap = Heap(settings.cache_size + _HEAP_SLACK)
        self._cache = BlockCache(settings.cache_size, self._emptied, heap.tidy)
        self._disk = _disk_tier(f"{transport.endpoint}/{share}", settings)
        self._writable = False
        self._opening = trio.Lock()
        self._instance = secrets.token_hex(4)
        self._journal = Journal(settings.state_dir / "journal.sqlite", self._instance)
        self.kernel = Kernel()
        self.tree = self._tree(settings, self._state.numbers)
        self.refresher = Refresher(self.tree, self._cache)
        self.space = Space(self._share, trio.current_time, lambda: self.tree.moved_bytes)

    def _tree(
        self,
        settings: FileSystemSettings,
        numbers: dict[int, int],
        live: InodeTable | None = None,
    ) -> Tree:
        return Tree(
            Directory(self._transport, self._share.share, snapshot=settings.snapshot),
            File(self._transport, self._share.share, snapshot=settings.snapshot),
            settings,
            self._permissions,
            self._cache,
            self.kernel,
            trio.current_time,
            numbers,
            live,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the root, run the background tasks; at the end upload everything dirty.

        Raises what the first request raises if the root cannot be opened.
        """
        await self.tree.open_root()
        await self.space.prefetch()
        with self._state.held(self._instance):
            async with (
                self._disk_tier_open(),
                self._journal.running(),
                trio.open_nursery() as nursery,
            ):
                self._assemble(nursery)
                nursery.start_soon(self._writeback.run)
                if self._disk is not None:
                    nursery.start_soon(self._disk.run)
                if not self.settings.read_only:
                    await self.allow_writing()
                try:
                    async with trio.open_nursery() as errands:
                        self.start_errand = errands.start_soon
                        yield
                finally:
                    with trio.CancelScope(shield=True):
                        await self._drain()
                    nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _disk_tier_open(self) -> AsyncIterator[None]:
        if self._disk is None:
            yield
            return
        await self._disk.open()
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._disk.close()

    def _assemble(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        transfers = Transfers(self.settings.max_transfers)
        reader = Reader(self._cache, nursery, transfers, self._disk)
        self._writeback = WriteBack(
            self._cache,
            nursery,
            transfers,
            trio.current_time,
            self.settings.dirty_expire,
            self._journal,
            self.settings.writeback,
        )
        self._leases = Leases(self.tree, self._state, self._instance, self.settings.lease_wait)
        live = self._view(self.tree, reader)
        self.files = live.files
        self.snapshots = Snapshots(
            Account(self._transport),
            self._share.share,
            live,
            lambda taken: self._view(
                self._tree(self.settings.of_snapshot(taken), {}, self.tree.table), reader
            ),
        )
        self.directory_reader = DirectoryReader(self.snapshots)
        self.directories = Directories(self.tree, nursery, self.settings.writeback)
        self.namespace = Namespace(
            self.tree,
            self._writeback,
            self._leases,
            self.directories,
            self.files.new_file,
            time.time_ns,
            self._instance,
        )
        self.setter = Setter(
            self.tree, self.files, self._leases, self._writeback, self.directories, time.time_ns
        )
        self._restorer = Restorer(
            self.tree,
            self._journal,
            self._writeback,
            self.files.new_file,
            self.namespace.mkdir,
        )
        self._add_sections(reader)

    def _view(self, tree: Tree, reader: Reader) -> View:
        tree.counters = self.tree.counters
        files = Files(
            tree,
            self._cache,
            reader,
            self._writeback,
            self._leases,
            time.time_ns,
            self.kernel.forget_attributes,
        )
        user = UserAttributes(tree, self._leases, self._writeback)
        return View(tree, files, user, StateAttributes(tree))

    async def allow_writing(self) -> None:
        """Begin what only a mount that writes needs: what earlier ones left, and leases.

        Does nothing where that was done. Raises what the first requests raise.
        """
        # Held across requests: who asks twice must not restore twice, and nobody else waits.
        async with self._opening:
            if self._writable:
                return
            await self._restorer.restore(self._state.is_alive)
            self._writable = True
        self.tree.lease_doubted = lambda inode: self._nursery.start_soon(self._leases.verify, inode)
        self._nursery.start_soon(self._leases.run)
        self._nursery.start_soon(self._recover)

    async def settle(self) -> list[str]:
        """Upload everything that is dirty; return a sentence for each thing that could not be.

        For a mount that was made read-only: with programs that go on writing it has no end.
        """
        files = [f"{_path_of(file)}: {error}" for file, error in await self._writeback.drain()]
        directories = await self.directories.drain()
        return files + [f"{directory.path}: {error}" for directory, error in directories]

    async def tell_kernel(self) -> None:
        """Tell the kernel what it could not know; to run while the mount is served."""
        await self.kernel.run()

    async def refresh(self, path: str) -> dict[str, int]:
        """Doubt what is believed of the entry at *path* and below; return what was forgotten."""
        if not path:
            self.space.forget()
            self.snapshots.doubt_list()
        done = await self.refresher.refresh(path)
        log.info("refresh of %r: %d entries", path or "/", done.entries)
        return {"entries": done.entries, "contentBytes": done.content_bytes}

    # -- counters -------------------------------------------------------------------------

    def stats(self) -> dict[str, object]:
        """Return what was counted so far and what is pending, as JSON can say it."""
        return {name: section() for name, section in self.sections.items()}

    def _add_sections(self, reader: Reader) -> None:
        self.sections |= {
            "share": self.space.stats,
            "reads": reader.stats,
            "metadata": self.tree.counters.stats,
            "cache": self._cache.stats,
            "writes": self._write_stats,
            "journal": self._journal.stats,
            "leases": self._leases.stats,
            "open": self._open_stats,
            "kernel": self._kernel_stats,
        }
        if self._disk is not None:
            self.sections["disk"] = self._disk.stats

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
        return {
            **self._writeback.stats(),
            "dirtyDirectories": len(self.directories),
            "failing": failing,
        }

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
        for file, error in await self._drain_patiently():
            self.unsaved.append(await self._save_here(file, error))
        for directory, error in await self.directories.drain():
            log.error("directory %s is not on the share as it was left: %s", directory.path, error)
            # With a file below it that is kept it will be made again.
            kept = any(file.path.startswith(directory.path + "/") for file in self.unsaved)
            self.unsaved.append(Unsaved(directory.path, 0, error, kept=kept))
        # Side by side: a service that does not answer is waited for once.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leases.give_back_all)
            for inode in list(self.tree.table):
                if inode.scrap is not None and inode.facts is not None:
                    nursery.start_soon(self.namespace.discard_hidden, inode)

    async def _drain_patiently(self) -> list[Failure]:
        """Upload everything, waiting for others' leases as a program would; return the rest."""
        until = trio.current_time() + self.settings.lease_wait
        while True:
            failed = await self._writeback.drain()
            errors = [error for _, error in failed]
            if any(isinstance(error, LeaseBroken) for error in errors):
                continue  # what is dirty goes up without it
            busy = any(isinstance(e, ServiceError) and e.code in FOREIGN for e in errors)
            if not busy or trio.current_time() >= until:
                return failed
            await trio.sleep(min(_PAUSE, until - trio.current_time()))

    async def _save_here(self, file: CachedFile, error: BaseException) -> Unsaved:
        """Keep what could not be uploaded for the next mount."""
        path = _path_of(file)
        size, kept = file.content.dirty_bytes, True
        log.error("%s: %d bytes could not be uploaded: %s", path, size, error)
        try:
            await self._writeback.keep(file)
        except OSError as trouble:
            kept = False
            log.critical("%s: nor could they be kept here: %s", path, trouble.strerror)
        return Unsaved(path, size, error, kept=kept)

    async def _recover(self) -> None:
        """Clear away what mounts of this machine left on the share when they were killed.

        Their leases are another matter (`Leases.run`).
        """
        pause = _PAUSE
        while True:
            try:
                await self.namespace.clear_hidden(self._state.is_dead)
                self._state.forget_dead()
            except (AzureFilesError, OSError) as error:
                log.info("files that earlier mounts left behind are looked for later: %s", error)
                await trio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return

    def _emptied(self, content: FileContent) -> None:
        """Let go of an inode whose last cached block was evicted, if nothing else holds it."""
        for view in list(self.snapshots.views()):
            inode = view.files.owner_of(content)
            if inode is not None:
                self.snapshots.forget_inode(inode)


def _disk_tier(share_url: str, settings: FileSystemSettings) -> DiskTier | None:
    if settings.cache_dir is None:
        return None
    share = hashlib.sha256(f"{share_url}?{settings.snapshot or ''}".encode()).hexdigest()[:16]
    return DiskTier(settings.cache_dir, settings.disk_cache_size, share)


def _path_of(file: CachedFile) -> str:
    """Return where *file* is on the share, for people to read."""
    return file.remote.inode.path if isinstance(file.remote, InodeFile) else "?"
