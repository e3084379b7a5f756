"""The tree of names: what is where on the share, asked for with as few requests as can be.

A directory that was not listed before, or is small, is listed as a whole: that costs the
same one request as a question about a single entry, and answers all that follow. In
larger ones single entries are asked for, until that has cost as much as a listing.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.counters import MetadataCounters, Tally
from azfuse.cache.metadata import Facts, Listing
from azfuse.fuse import symlinks
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode, InodeTable
from azfuse.fuse.kernel import Kernel
from azfuse.fuse.knowledge import Knowledge
from azfuse.fuse.nfs import dialect_of
from azfuse.fuse.permissions import Permissions
from azfuse.fuse.settings import FileSystemSettings
from azfuse.fuse.trust import is_volatile
from azfuse.rest.directory import Directory
from azfuse.rest.errors import ServiceError
from azfuse.rest.file import File
from azfuse.rest.wire import MAX_PAGE_ENTRIES, FileAttributes

log = logging.getLogger(__name__)

#: Files that were unlinked while open live on in the mount's root under such names.
HIDDEN_PREFIX = ".azfuse-unlinked-"
#: A directory of no more entries is listed for any question about it.
_FEW_ENTRIES = 100
#: Probes of single entries that run side by side while a directory is read.
_PROBES_AT_ONCE = 16


class Tree(Knowledge):
    """Finds inodes by name and keeps what is believed of them up to date."""

    def __init__(
        self,
        directory: Directory,
        file: File,
        settings: FileSystemSettings,
        permissions: Permissions,
        cache: BlockCache,
        kernel: Kernel,
        clock: Callable[[], float],
        numbers: dict[int, int],
        live: InodeTable | None = None,
    ) -> None:
        """*numbers* maps file ids to inode numbers handed out earlier (see InodeTable).

        *live* is the table of the share itself, where this is one of its snapshots.
        """
        super().__init__(settings, permissions, cache, kernel, clock, numbers, live)
        self.directory = directory
        self.file = file
        #: Bytes that we put on the share, or freed there.
        self.moved_bytes = 0
        #: The service takes a rename of an entry onto its own name, as far as we know.
        self.renames_in_place = True
        self.counters = MetadataCounters.new()
        self._listing_now: dict[Inode, trio.Event] = {}
        #: Renames under way, by the inode that is moved.
        self.renaming: dict[Inode, trio.Event] = {}
        #: Removals under way, also of what a rename replaces.
        self.removing: dict[Inode, trio.Event] = {}
        #: Makes a directory that the share does not have yet.
        self.make_directory: Callable[[Inode], Awaitable[None]] = _no_delay

    async def open_root(self) -> None:
        """Ask for the root's own attributes. Raises what Get Directory Properties raises."""
        asked = self.clock()
        properties = await self.directory.get_directory_properties(self.root.path)
        if self.root.is_local:
            self.speak(dialect_of(properties, self.settings, self.permissions.known))
        facts = Facts.of_properties(self.root.name, properties, asked)
        self.root.file_id = facts.file_id
        self.apply(self.root, facts)
        await self._describe(self.root)

    # -- belief -------------------------------------------------------------------------

    async def refresh(self, inode: Inode) -> None:
        """Make sure that the attributes of *inode* may be believed now.

        Raises ServiceError, FileNotFoundError where it is no longer on the share.
        """
        tally = self.counters.attributes
        if not self.trust.doubts(inode):
            tally.hits += 1
        elif inode.parent is None:
            tally.misses += 1
            await self.open_root()
        else:
            await self._refresh_entry(inode, inode.parent, tally)

    async def _refresh_entry(self, inode: Inode, parent: Inode, tally: Tally) -> None:
        others = len(inode.other_names)
        try:
            if inode.handles and (inode.hidden or not self._prefers_listing(parent)):
                tally.misses += 1
                await self.validate(inode)
                return
            if await self._lookup(parent, inode.name, tally) is inode:
                return
        except (ServiceError, FileNotFoundError):
            if inode.unlinked or len(inode.other_names) >= others:
                raise
        if inode.unlinked or len(inode.other_names) >= others or inode.parent is None:
            raise FileNotFoundError(2, "no longer on the share")
        # The name is gone, the file is not: it has another.
        await self._refresh_entry(inode, inode.parent, tally)

    def _prefers_listing(self, parent: Inode) -> bool:
        """Count one more question about an entry of *parent*; say if a listing is cheaper now.

        A few single questions are asked before, for who looks at the same file again and
        again: in a small directory none, since there a listing costs as little.
        """
        if (seen := parent.entries_seen or 0) <= _FEW_ENTRIES:
            return True
        now, period = self.clock(), self.settings.files.least
        if now - parent.heads_since >= period:
            parent.heads, parent.heads_since = 0, now
        parent.heads += 1
        return parent.heads > math.ceil(seen / MAX_PAGE_ENTRIES)

    async def validate(self, inode: Inode) -> None:
        """Ask the share about *inode* itself (one HEAD)."""
        place = inode.place
        facts = await self._head(inode)
        if facts.file_id != inode.file_id and not inode.is_directory:
            self.lost(inode, place)
            raise FileNotFoundError(2, "replaced on the share")
        self.apply(inode, facts)
        await self._describe(inode)

    async def _describe(self, inode: Inode) -> None:
        """Ask for the descriptor of *inode* if its key says nothing yet (one Get Permission)."""
        while inode.facts is not None and (key := self.posix.unknown_key(inode.facts)):
            await self.permissions.learn([key])
            self.read_posix(inode)

    async def _head(self, inode: Inode) -> Facts:
        while True:
            await self.settled(inode)
            asked, place, path = self.clock(), inode.place, inode.path
            try:
                if inode.is_directory:
                    found = await self.directory.get_directory_properties(path)
                    return Facts.of_properties(inode.name, found, asked)
                properties = await self.file.get_file_properties(path)
            except ServiceError as error:
                if error.code in NOT_FOUND and inode.parent is not None:
                    if await self.moved(inode, path):
                        continue
                    self.lost(inode, place)
                raise
            name = place[1] if inode.other_names else inode.name
            return Facts.of_properties(name, properties, asked)

    # -- names --------------------------------------------------------------------------

    async def lookup(self, parent: Inode, name: str) -> Inode | None:
        """Return the entry *name* of *parent*, None if there is none.

        Raises what the requests raise.
        """
        return await self._lookup(parent, name, self.counters.lookups)

    async def _lookup(self, parent: Inode, name: str, tally: Tally) -> Inode | None:
        key = self.key(name)
        while True:
            child = parent.children.get(key)
            if child is not None and not self.trust.doubts_name(child):
                tally.hits += 1
                return child
            if child is not None and is_volatile(child):
                tally.misses += 1
                return await self._lookup_alone(parent, name, key)
            listing = self._listings.get(parent)
            if listing is not None:
                found = await self._found(parent, key, listing.entries.get(key))
                # A listing may be believed for longer than the attributes that came with it.
                if found is None or is_volatile(found) or not self.trust.doubts(found):
                    tally.hits += 1
                    self.counters.negative += found is None
                    return found
            if (event := self._listing_now.get(parent)) is None:
                break
            await event.wait()
        tally.misses += 1
        if self._prefers_listing(parent):
            one_page = (parent.entries_seen or 0) <= MAX_PAGE_ENTRIES
            listing = await self.fetch_listing(parent, one_page=one_page)
            if listing is not None:
                return await self._found(parent, key, listing.entries.get(key))
        return await self._lookup_alone(parent, name, key)

    async def _found(self, parent: Inode, key: str, facts: Facts | None) -> Inode | None:
        if facts is not None:
            return await self.adopt(parent, facts)
        child = parent.children.get(key)
        if child is not None and not child.is_local:
            self.prefer(child, parent, key)
            self.lost(child)
            return None
        return child

    async def _lookup_alone(self, parent: Inode, name: str, key: str) -> Inode | None:
        """Ask for one entry of a directory, by itself."""
        child = parent.children.get(key)
        if child is not None and not child.is_local:
            self.prefer(child, parent, key)
            try:
                facts = await self._head(child)
            except ServiceError as error:
                if error.code not in NOT_FOUND:
                    raise  # else it may be of another kind now
            else:
                if parent.children.get(key) is child:  # and was not moved away meanwhile
                    return await self.adopt(parent, facts)
        asked = self.clock()
        # The name itself sorts before every longer one that begins with it.
        page = await self.directory.list_directories_and_files(
            parent.path, prefix=name, max_results=8
        )
        for entry in page.entries:
            if self.key(entry.name) == key:
                return await self._found(parent, key, Facts.of_entry(entry, asked))
        return await self._found(parent, key, None)

    async def fetch_listing(self, parent: Inode, *, one_page: bool = False) -> Listing | None:
        """List *parent* and believe it. With *one_page* give up, None, if that is not enough."""
        event = self._listing_now[parent] = trio.Event()
        self._touched[parent] = set()
        asked, found = self.clock(), dict[str, Facts]()
        marker: str | None = None
        try:
            await self.on_share(parent)
            while True:
                page = await self.directory.list_directories_and_files(parent.path, marker=marker)
                for entry in page.entries:
                    found[self.key(entry.name)] = Facts.of_entry(entry, asked)
                marker = page.next_marker
                if marker is None or one_page:
                    break
            parent.entries_seen = max(len(found), MAX_PAGE_ENTRIES + 1 if marker else 0)
            if marker is not None:
                return None
            await self.permissions.learn(
                key for facts in found.values() if (key := self.posix.unknown_key(facts))
            )
            self._overtaken(parent, found)
        except ServiceError as error:
            if error.code in NOT_FOUND and parent.parent is not None:
                self.lost(parent)
            raise
        finally:
            del self._listing_now[parent], self._touched[parent]
            event.set()
        return self._believe(parent, found, asked)

    def _believe(self, parent: Inode, found: dict[str, Facts], asked: float) -> Listing:
        if parent is self.root:
            found = {k: v for k, v in found.items() if not v.name.startswith(HIDDEN_PREFIX)}
        listing = Listing(found.items(), asked)
        parent.heads = 0
        if asked >= parent.doubted_at:
            self._listings.put(parent, listing)
        self.appeared(parent, found)
        for key, child in list(parent.children.items()):
            facts = found.get(key)
            if facts is not None and facts is not child.facts and facts.file_id == child.file_id:
                self.apply(child, facts)
        return listing

    async def listed(self, parent: Inode) -> Listing:
        """Return the listing of *parent*, from memory while it may be believed."""
        while (event := self._listing_now.get(parent)) is not None:
            await event.wait()
        listing = self._listings.get(parent)
        if listing is not None:
            self.counters.listings.hits += 1
            return listing
        self.counters.listings.misses += 1
        listing = await self.fetch_listing(parent)
        if listing is None:  # only `one_page` gives up
            raise OSError(5, "directory could not be listed")
        return listing

    # -- inodes -------------------------------------------------------------------------

    async def adopt(self, parent: Inode, facts: Facts) -> Inode:
        """Return the inode of an entry that the share has, with all its attributes known."""
        inode = self.inode_of(parent, facts)
        if self.trust.needs_probe(inode):
            if self.trust.may_be_symlink(inode):
                await self._probe_link(inode)
            elif inode.facts is not None and self.posix.needs_metadata(inode.facts):
                self.apply(inode, await self._head(inode))
            await self._describe(inode)
        return inode

    async def adopt_all(self, parent: Inode, entries: Iterable[Facts]) -> list[tuple[Inode, str]]:
        """Return the inodes of *entries*, each with the name in the listing.

        Where more must be known it is asked for side by side.
        """
        result: list[tuple[Inode, str] | None] = []
        limiter = trio.CapacityLimiter(_PROBES_AT_ONCE)
        asked: set[Inode] = set()  # of a file with several names once

        async def probe(position: int, facts: Facts) -> None:
            async with limiter:
                try:
                    result[position] = await self.adopt(parent, facts), facts.name
                except (ServiceError, FileNotFoundError) as error:
                    log.debug("an entry went away while its directory was read: %s", error)

        async with trio.open_nursery() as nursery:
            for facts in entries:
                result.append(None)
                inode = self.inode_of(parent, facts)
                if self.trust.needs_probe(inode) and inode not in asked:
                    asked.add(inode)
                    nursery.start_soon(probe, len(result) - 1, facts)
                else:
                    result[-1] = inode, facts.name
        return [entry for entry in result if entry is not None]

    async def _probe_link(self, inode: Inode) -> None:
        """Find out whether a file of the right size is a symbolic link (one GET)."""
        asked = self.clock()
        buffer = memoryview(bytearray(symlinks.SIZE))
        properties, received = await self.file.read_file_into(inode.path, buffer, offset=0)
        inode.link_target = symlinks.decode(bytes(buffer[:received]))
        inode.link_etag = properties.etag
        self.apply(inode, Facts.of_properties(inode.name, properties, asked))

    # -- what is under way --------------------------------------------------------------

    @contextmanager
    def moving(self, inode: Inode) -> Iterator[None]:
        """Have requests about *inode*, and what is below it, wait until it is where it goes."""
        event = self.renaming[inode] = trio.Event()
        try:
            yield
        finally:
            del self.renaming[inode]
            event.set()

    async def settled(self, inode: Inode) -> None:
        """Make the directories above *inode* that the share lacks; wait for renames of any.

        Raises what making them raises.
        """
        while True:
            line = list(inode.ancestors())
            events = [self.renaming[node] for node in line if node in self.renaming]
            missing = [node for node in line[1:] if node.is_local and not node.gone]
            if events:
                await events[0].wait()
            elif missing:
                await self.make_directory(missing[-1])
            else:
                return

    async def on_share(self, directory: Inode) -> None:
        """See that *directory* itself is on the share. Raises what making it raises."""
        await self.settled(directory)
        if directory.is_local:
            await self.make_directory(directory)

    async def moved(self, inode: Inode, path: str) -> bool:
        """Say whether *inode*, which is not at *path*, is elsewhere now that renames have settled.

        A name that somebody has taken away is forgotten where there are others.
        """
        await self.settled(inode)
        if inode.path == path and inode.other_names:
            self.lost(inode)
        return inode.path != path


async def _no_delay(directory: Inode) -> None:
    raise AssertionError(f"{directory.path} is not on the share")


def attributes_of(inode: Inode) -> FileAttributes:
    """Return the share's attributes of *inode*, those of a new entry if it has none yet."""
    if inode.facts is not None:
        return inode.facts.attributes
    return FileAttributes.DIRECTORY if inode.is_directory else FileAttributes.ARCHIVE
