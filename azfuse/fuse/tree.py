"""The tree of names: what is where on the share, asked for with as few requests as can be.

A directory of up to one page is always listed as a whole: that costs the same
one request as a question about a single entry, and answers all that follow. In
larger ones single entries are asked for, until that has cost as much as a listing.
"""

import logging
import math
import sys
from collections.abc import Callable, Iterable

import pyfuse3
import trio

from azfuse.cache.blocks import BlockCache
from azfuse.cache.counters import MetadataCounters, Tally
from azfuse.cache.metadata import Facts, Listing, ListingCache
from azfuse.fuse import names, symlinks
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode, InodeTable
from azfuse.fuse.posix import PosixPolicy
from azfuse.fuse.settings import FileSystemSettings
from azfuse.rest.directory import Directory
from azfuse.rest.errors import ServiceError
from azfuse.rest.file import File
from azfuse.rest.wire import MAX_PAGE_ENTRIES, FileAttributes

log = logging.getLogger(__name__)

#: Files that were unlinked while open live on in the mount's root under such names.
HIDDEN_PREFIX = ".azfuse-unlinked-"
#: Probes of single entries that run side by side while a directory is read.
_PROBES_AT_ONCE = 16


class Tree:
    """Finds inodes by name and keeps what is believed of them up to date."""

    def __init__(
        self,
        directory: Directory,
        file: File,
        settings: FileSystemSettings,
        cache: BlockCache,
        clock: Callable[[], float],
        numbers: dict[int, int],
    ) -> None:
        """*numbers* maps file ids to inode numbers handed out earlier (see InodeTable)."""
        self.directory = directory
        self.file = file
        self.settings = settings
        self.posix = PosixPolicy(settings)
        self.case_sensitive = False
        #: Bytes that we put on the share, or freed there.
        self.moved_bytes = 0
        #: The service takes a rename of an entry onto its own name, as far as we know.
        self.renames_in_place = True
        self.clock = clock
        self.counters = MetadataCounters.new()
        self._cache = cache
        self._listings: ListingCache[Inode] = ListingCache(settings.actimeo, clock)
        self._listing_now: dict[Inode, trio.Event] = {}
        #: Renames under way, by the inode that is moved.
        self.renaming: dict[Inode, trio.Event] = {}
        root_posix = self.posix.default(0o040000)
        root = Inode(pyfuse3.ROOT_INODE, None, settings.directory, root_posix, None)
        self.table = InodeTable(root, numbers)

    @property
    def root(self) -> Inode:
        """The root of the mount."""
        return self.table.root

    async def open_root(self) -> None:
        """Ask for the root's own attributes. Raises what Get Directory Properties raises."""
        asked = self.clock()
        properties = await self.directory.get_directory_properties(self.root.path)
        facts = Facts.of_properties(self.root.name, properties, asked)
        self.root.file_id = facts.file_id
        self.apply(self.root, facts)

    def key(self, name: str) -> str:
        """Return the text under which equal names of one directory are equal."""
        # The same text is a key of the listing and of the known children.
        return sys.intern(name if self.case_sensitive else names.fold(name))

    # -- belief -------------------------------------------------------------------------

    def valid_for(self, inode: Inode) -> float:
        """Return for how many more seconds the attributes of *inode* may be believed."""
        if inode.facts is None or inode.gone:
            return self.settings.actimeo
        if inode.doubted or self._needs_probe(inode):
            return 0.0
        if inode.facts.lease_state == "leased" and inode.lease_id is None:
            return 0.0  # somebody is writing
        age = self.clock() - max(inode.facts.asked, inode.changed_at)
        return max(0.0, self.settings.actimeo - age)

    def missing_for(self, parent: Inode) -> float:
        """Return for how many more seconds a name that *parent* lacks may be taken for missing."""
        listing = self._listings.get(parent)
        if listing is None:
            return 0.0
        return max(0.0, self.settings.actimeo - (self.clock() - listing.asked))

    async def refresh(self, inode: Inode) -> None:
        """Make sure that the attributes of *inode* may be believed now.

        Raises ServiceError, FileNotFoundError where it is no longer on the share.
        """
        tally = self.counters.attributes
        if self.valid_for(inode) > 0 or inode.is_local:
            tally.hits += 1
        elif inode.parent is None:
            tally.misses += 1
            await self.open_root()
        elif inode.handles or (inode.parent is self.root and inode.hidden):
            tally.misses += 1
            await self.validate(inode)
        elif await self._lookup(inode.parent, inode.name, tally) is not inode:
            raise FileNotFoundError(2, "no longer on the share")

    async def validate(self, inode: Inode) -> None:
        """Ask the share about *inode* itself (one HEAD)."""
        facts = await self._head(inode)
        if facts.file_id != inode.file_id and not inode.is_directory:
            self.vanish(inode)
            raise FileNotFoundError(2, "replaced on the share")
        self.apply(inode, facts)

    async def _head(self, inode: Inode) -> Facts:
        asked = self.clock()
        try:
            if inode.is_directory:
                found = await self.directory.get_directory_properties(inode.path)
                return Facts.of_properties(inode.name, found, asked)
            properties = await self.file.get_file_properties(inode.path)
        except ServiceError as error:
            if error.code in NOT_FOUND and inode.parent is not None:
                self.vanish(inode)
            raise
        return Facts.of_properties(inode.name, properties, asked)

    def apply(self, inode: Inode, facts: Facts) -> None:
        """Believe *facts* about *inode*, unless we changed it since they were asked for."""
        known = inode.facts
        if known is not None and facts.asked < max(inode.changed_at, inode.doubted_at):
            return
        if facts.metadata is None and known is not None and known.etag == facts.etag:
            facts.metadata = known.metadata
        inode.facts = facts
        if inode.attributes_pending or (inode.file is not None and inode.file.content.changed):
            return
        if not self.posix.needs_metadata(facts):
            inode.posix = self.posix.of(facts, inode.link_target)
        if inode.is_directory:
            # The service moves no times of a directory when its entries change; we do.
            inode.mtime = max(inode.mtime, facts.last_write_time)
            inode.ctime = max(inode.ctime, facts.change_time)
        else:
            inode.mtime, inode.ctime = facts.last_write_time, facts.change_time
        if inode.file is not None and not inode.file.lock.locked():
            content = inode.file.content
            self._cache.touch(content, content.adopt(facts.size, facts.etag))

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
            if child is not None and (child.is_local or self.valid_for(child) > 0):
                tally.hits += 1
                return child
            listing = self._listings.get(parent)
            if listing is not None:
                tally.hits += 1
                found = await self._found(parent, key, listing.entries.get(key))
                self.counters.negative += found is None
                return found
            if (event := self._listing_now.get(parent)) is None:
                break
            await event.wait()
        tally.misses += 1
        if (parent.entries_seen or 0) <= MAX_PAGE_ENTRIES:
            listing = await self.fetch_listing(parent, one_page=True)
            if listing is not None:
                return await self._found(parent, key, listing.entries.get(key))
        return await self._lookup_alone(parent, name, key)

    async def _found(self, parent: Inode, key: str, facts: Facts | None) -> Inode | None:
        if facts is not None:
            return await self.adopt(parent, facts)
        child = parent.children.get(key)
        if child is not None and not child.is_local:
            self.vanish(child)
            return None
        return child

    async def _lookup_alone(self, parent: Inode, name: str, key: str) -> Inode | None:
        """Ask for one entry of a large directory."""
        parent.heads += 1
        if parent.heads > math.ceil((parent.entries_seen or 0) / MAX_PAGE_ENTRIES):
            listing = await self.fetch_listing(parent)
            if listing is not None:
                return await self._found(parent, key, listing.entries.get(key))
        child = parent.children.get(key)
        if child is not None:
            try:
                await self.validate(child)
            except FileNotFoundError:
                return await self._found(parent, key, None)
            except ServiceError as error:
                if error.code in NOT_FOUND:
                    return None
                raise
            return child
        asked = self.clock()
        # The name itself sorts before every longer one that begins with it.
        page = await self.directory.list_directories_and_files(
            parent.path, prefix=name, max_results=8
        )
        for entry in page.entries:
            if self.key(entry.name) == key:
                return await self._found(parent, key, Facts.of_entry(entry, asked))
        return None

    async def fetch_listing(self, parent: Inode, *, one_page: bool = False) -> Listing | None:
        """List *parent* and believe it. With *one_page* give up, None, if that is not enough.

        A listing that one of our own changes overtook is asked for again.
        """
        event = self._listing_now[parent] = trio.Event()
        try:
            for _ in range(3):
                version, asked = parent.version, self.clock()
                found: dict[str, Facts] = {}
                marker: str | None = None
                while True:
                    page = await self.directory.list_directories_and_files(
                        parent.path, marker=marker
                    )
                    for entry in page.entries:
                        found[self.key(entry.name)] = Facts.of_entry(entry, asked)
                    marker = page.next_marker
                    if marker is None or one_page:
                        break
                parent.entries_seen = max(len(found), MAX_PAGE_ENTRIES + 1 if marker else 0)
                if marker is not None:
                    return None
                if version == parent.version:
                    break
        except ServiceError as error:
            if error.code in NOT_FOUND and parent.parent is not None:
                self.vanish(parent)
            raise
        finally:
            if self._listing_now.get(parent) is event:
                del self._listing_now[parent]
            event.set()
        return self._believe(parent, found, asked, keep=version == parent.version)

    def _believe(
        self, parent: Inode, found: dict[str, Facts], asked: float, *, keep: bool
    ) -> Listing:
        if parent is self.root:
            found = {k: v for k, v in found.items() if not v.name.startswith(HIDDEN_PREFIX)}
        listing = Listing(found.items(), asked)
        parent.heads = 0
        if keep:
            self._listings.put(parent, listing)
            for key, child in list(parent.children.items()):
                facts = found.get(key)
                if facts is not None and facts.file_id == child.file_id:
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
        inode = self._attach(parent, facts)
        if inode.facts is not None and self._needs_probe(inode):
            if self._may_be_symlink(inode):
                await self._probe_link(inode)
            else:
                self.apply(inode, await self._head(inode))
        return inode

    async def adopt_all(self, parent: Inode, entries: Iterable[Facts]) -> list[Inode]:
        """Return the inodes of *entries*, asking side by side where more must be known."""
        result: list[Inode | None] = []
        limiter = trio.CapacityLimiter(_PROBES_AT_ONCE)

        async def probe(position: int, facts: Facts) -> None:
            async with limiter:
                try:
                    result[position] = await self.adopt(parent, facts)
                except (ServiceError, FileNotFoundError) as error:
                    log.debug("an entry went away while its directory was read: %s", error)

        async with trio.open_nursery() as nursery:
            for facts in entries:
                result.append(None)
                inode = self._attach(parent, facts)
                if self._needs_probe(inode):
                    nursery.start_soon(probe, len(result) - 1, facts)
                else:
                    result[-1] = inode
        return [inode for inode in result if inode is not None]

    def _needs_probe(self, inode: Inode) -> bool:
        """Say whether a listing does not tell all of *inode*."""
        if inode.facts is None:
            return False
        return self._may_be_symlink(inode) or self.posix.needs_metadata(inode.facts)

    def _may_be_symlink(self, inode: Inode) -> bool:
        """Say whether *inode* has the size of a symbolic link and was not looked into yet."""
        facts = inode.facts
        return (
            facts is not None
            and not facts.is_directory
            and facts.size == symlinks.SIZE
            and inode.link_etag != facts.etag
        )

    def _attach(self, parent: Inode, facts: Facts) -> Inode:
        key = self.key(facts.name)
        inode = parent.children.get(key)
        if inode is not None and inode.is_local:
            return inode  # made here and about to take the place
        if inode is not None and inode.file_id != facts.file_id:
            self.vanish(inode)
            inode = None
        if inode is None:
            inode = self.table.by_file_id(facts.file_id)
            if inode is None:
                number = self.table.number_for(facts.file_id)
                inode = Inode(number, parent, facts.name, self.posix.of(facts), facts)
                self.table.add(inode)
            else:
                self.detach(inode)  # renamed by somebody else
            inode.gone = False
            self.attach(inode, parent, facts.name)
        inode.name = facts.name
        if inode.facts is not facts:
            self.apply(inode, facts)
        return inode

    async def _probe_link(self, inode: Inode) -> None:
        """Find out whether a file of the right size is a symbolic link (one GET)."""
        asked = self.clock()
        buffer = memoryview(bytearray(symlinks.SIZE))
        properties, received = await self.file.read_file_into(inode.path, buffer, offset=0)
        inode.link_target = symlinks.decode(bytes(buffer[:received]))
        inode.link_etag = properties.etag
        self.apply(inode, Facts.of_properties(inode.name, properties, asked))

    def attach(self, inode: Inode, parent: Inode, name: str) -> None:
        """Put *inode* into the tree as the entry *name* of *parent*."""
        inode.parent, inode.name = parent, name
        parent.children[self.key(name)] = inode

    def detach(self, inode: Inode) -> None:
        """Take *inode* out of its directory; it keeps saying where it was."""
        parent = inode.parent
        if parent is not None and parent.children.get(self.key(inode.name)) is inode:
            del parent.children[self.key(inode.name)]

    def vanish(self, inode: Inode) -> None:
        """Note that the share no longer has *inode* where it was."""
        self.detach(inode)
        self.table.lost_file_id(inode)
        inode.gone = True
        if inode.parent is not None:
            listing = self._listings.get(inode.parent)
            if listing is not None:
                facts = listing.entries.get(self.key(inode.name))
                if facts is not None and facts.file_id == inode.file_id:
                    del listing.entries[self.key(inode.name)]
        self._listings.drop(inode)

    def made_empty(self, directory: Inode) -> None:
        """Note that *directory* was just made: there is nothing in it to ask for."""
        self._listings.put(directory, Listing((), self.clock()))

    def drop_listing(self, *parents: Inode | None) -> None:
        """Forget the listings of *parents*: something is not as we believed."""
        for parent in parents:
            if parent is not None:
                self._listings.drop(parent)

    def changed(self, parent: Inode, now_ns: int) -> None:
        """Note a change of ours to the entries of *parent*: its times move, listings wait."""
        parent.version += 1
        parent.mtime = max(parent.mtime, now_ns)
        parent.ctime = max(parent.ctime, now_ns)

    def entered(self, inode: Inode) -> None:
        """Note in the parent's listing that *inode* is on the share now."""
        if inode.parent is None or inode.facts is None:
            return
        listing = self._listings.get(inode.parent)
        if listing is not None:
            listing.entries[self.key(inode.name)] = inode.facts

    def forget(self, inode: Inode) -> None:
        """Let go of an inode that the kernel no longer holds, unless we have use for it."""
        if inode.lookups or inode.handles or inode.children:
            return
        content = inode.file.content if inode.file is not None else None
        of_use = inode.is_local or (content is not None and (content.blocks or content.changed))
        if of_use and not inode.unlinked:
            return
        self.detach(inode)
        self.table.drop(inode)

    # -- renames under way --------------------------------------------------------------

    async def settled(self, inode: Inode) -> None:
        """Wait until no rename of *inode* or of a directory above it is under way."""
        while True:
            events = [self.renaming[node] for node in inode.ancestors() if node in self.renaming]
            if not events:
                return
            await events[0].wait()

    async def moved(self, inode: Inode, path: str) -> bool:
        """Say whether *inode* is elsewhere than at *path*, now that renames have settled."""
        await self.settled(inode)
        return inode.path != path


def attributes_of(inode: Inode) -> FileAttributes:
    """Return the share's attributes of *inode*, those of a new entry if it has none yet."""
    if inode.facts is not None:
        return inode.facts.attributes
    return FileAttributes.DIRECTORY if inode.is_directory else FileAttributes.ARCHIVE
