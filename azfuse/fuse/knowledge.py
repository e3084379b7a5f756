"""What is known of the tree without asking: how answers, and our own changes, replace it.

No requests here. Whatever turns out to be other than the kernel was told, the
kernel is told anew.
"""

import sys
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pyfuse3
from cachetools import LRUCache

from azfuse.cache.blocks import BlockCache
from azfuse.cache.metadata import Facts, Listing, ListingCache
from azfuse.fuse.dialect import Dialect, SmbDialect
from azfuse.fuse.directory_times import DirectoryTimes
from azfuse.fuse.inodes import Inode, InodeTable, Place
from azfuse.fuse.kernel import Kernel
from azfuse.fuse.permissions import Permissions
from azfuse.fuse.posix import PosixPolicy
from azfuse.fuse.settings import FileSystemSettings
from azfuse.fuse.trust import Trust

if TYPE_CHECKING:
    from azfuse.rest.errors import ServiceError

#: Missing names of which it is remembered that the kernel was told so.
_MOST_MISSING: Final = 4096


class Knowledge:
    """Inodes, listings, and what may be believed of them."""

    def __init__(
        self,
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
        self.settings = settings
        self.permissions = permissions
        self.dialect: Dialect = SmbDialect(settings, permissions.known)
        self.clock = clock
        self.trust = Trust(settings, self.dialect, clock)
        self.kernel = kernel
        self.times = DirectoryTimes()
        #: Told of every refusal of a change to an inode; says if its lease was lost.
        self.lease_refused: Callable[[Inode, ServiceError], bool] = lambda inode, error: False
        #: Told of an inode that changed although we hold its lease.
        self.lease_doubted: Callable[[Inode], None] = lambda inode: None
        self._cache = cache
        #: Names of entries that we changed while their directory was being listed.
        self._touched: dict[Inode, set[str]] = {}
        self._listings: ListingCache[Inode] = ListingCache(settings.directories, clock)
        self._missing: LRUCache[tuple[Inode, str], bytes] = LRUCache(_MOST_MISSING)
        root_posix = self.posix.default(0o040000)
        root = Inode(pyfuse3.ROOT_INODE, None, settings.directory, root_posix, None)
        self.table = (
            InodeTable(root, numbers)
            if live is None
            else live.beside(root, settings.snapshot or "")
        )

    def speak(self, dialect: Dialect) -> None:
        """Go by *dialect* from now on. The first thing to do, with nothing known but the root."""
        self.dialect = self.trust.dialect = dialect

    @property
    def posix(self) -> PosixPolicy:
        """What modes and owners become on the share."""
        return self.dialect.posix

    @property
    def root(self) -> Inode:
        """The root of the mount."""
        return self.table.root

    def key(self, name: str) -> str:
        """Return the text under which equal names of one directory are equal."""
        # The same text is a key of the listing and of the known children.
        return sys.intern(self.dialect.key(name))

    # -- what the share says ------------------------------------------------------------

    def apply(self, inode: Inode, facts: Facts, *, content: bool = True) -> None:
        """Believe *facts* about *inode*, unless we changed it since they were asked for.

        With *content* False what is cached of the content is left to the caller.
        """
        known = inode.facts
        if known is not None:
            if facts.asked < max(inode.changed_at, inode.doubted_at, known.asked):
                return
            if known.etag == facts.etag:
                facts.confirms(known)
            if inode.lease_id is not None and self._contradicts(inode, facts):
                self.lease_doubted(inode)
                return
            if facts.lease_state is None:
                facts.lease_state = known.lease_state  # only HEAD and GET tell
        inode.facts = facts
        if not self.read_posix(inode):
            return
        if inode.is_directory:
            # The service moves no times of a directory when its entries change. We do, and
            # keep what we have until the share shows another time than it did.
            if known is None or known.last_write_time != facts.last_write_time:
                inode.mtime = facts.last_write_time
            inode.ctime = max(inode.ctime, facts.change_time)
        else:
            inode.mtime = facts.last_write_time
            # A chmod that changed nothing has moved this one here alone.
            same = known is not None and known.etag == facts.etag
            inode.ctime = max(inode.ctime, facts.change_time) if same else facts.change_time
        if content and inode.file is not None and not inode.file.lock.locked():
            cached = inode.file.content
            self._cache.touch(cached, cached.adopt(facts.size, facts.etag))
        if known is not None and known.etag != facts.etag:
            resized = not facts.size == known.size == inode.told_size
            self.kernel.forget_content(inode, resized=resized)

    def read_posix(self, inode: Inode) -> bool:
        """Take mode and owner of *inode* from its facts, where these tell all of it.

        Returns False where programs have set what the share does not have yet.
        """
        facts = inode.facts
        changed = inode.file is not None and inode.file.content.changed
        if facts is None or inode.attributes_pending or changed:
            return False
        if not (self.posix.needs_metadata(facts) or self.posix.unknown_key(facts)):
            inode.posix = self.posix.of(facts, inode.link_target)
        return True

    def _contradicts(self, inode: Inode, facts: Facts) -> bool:
        """Say whether *facts* cannot be true if we hold the lease of *inode*."""
        if inode.file is not None and inode.file.lock.locked():
            return False  # changes of ours are under way
        known = inode.facts
        changed = known is not None and known.etag != facts.etag
        return changed or facts.lease_state not in {None, "leased"}

    def reconfirm(self, inode: Inode, asked: float) -> None:
        """Note that what is known of *inode* was still true at *asked*, and its lease ours."""
        known = inode.facts
        if known is not None and known.asked <= asked:
            inode.facts = replace(known, asked=asked, lease_state=None)
            inode.facts.confirms(known)
            self.entered(inode)

    def found_leased(self, inode: Inode) -> None:
        """Note that somebody else may hold the lease of *inode*: the share is asked each time."""
        if inode.facts is not None:
            inode.facts.lease_state = "leased"
            self.kernel.forget_attributes(inode)

    def drop_content(self, inode: Inode) -> None:
        """Drop what is cached of *inode* and not dirty: somebody else may have changed it."""
        if inode.file is not None:
            content = inode.file.content
            self._cache.touch(content, content.forget_clean())
            content.continuous = False  # what an upload under way makes clean as well
            self.kernel.forget_content(inode, resized=True)

    # -- inodes -------------------------------------------------------------------------

    def inode_of(self, parent: Inode, facts: Facts) -> Inode:
        """Return the inode of an entry that an answer shows in *parent*, known before or new."""
        key = self.key(facts.name)
        inode = parent.children.get(key)
        if inode is not None and inode.is_local:
            return inode  # made here and about to take the place
        if inode is not None and inode.file_id != facts.file_id:
            self.prefer(inode, parent, facts.name)
            self.lost(inode)
            inode = None
        if inode is None:
            inode = self.table.by_file_id(facts.file_id)
            if inode is None:
                number = self.table.number_for(facts.file_id)
                inode = Inode(number, parent, facts.name, self.posix.of(facts), facts)
                self.table.add(inode)
                if inode.is_directory:
                    self.times.recall(inode)
            elif inode.is_directory or not self.dialect.native_links:
                self.detach(inode)  # renamed by somebody else
            inode.gone = inode.hidden = False
            self.attach(inode, parent, facts.name)
        if inode.other_names:
            self.prefer(inode, parent, facts.name)
        else:
            inode.name = facts.name
        if inode.facts is not facts:
            self.apply(inode, facts)
        return inode

    def forget(self, inode: Inode) -> None:
        """Let go of an inode that the kernel no longer holds, unless we have use for it."""
        if inode.lookups or inode.handles or inode.children:
            return
        content = inode.file.content if inode.file is not None else None
        of_use = (
            inode.is_local
            or inode.attributes_pending
            or (content is not None and (content.blocks or content.changed))
        )
        if of_use and not inode.unlinked:
            return
        if inode.is_directory:
            self.times.keep(inode)
        self.detach(inode)
        self.table.drop(inode)

    # -- names --------------------------------------------------------------------------

    def attach(self, inode: Inode, parent: Inode, name: str) -> None:
        """Put *inode* into the tree as the entry *name* of *parent*, where requests now go to.

        Where it was it stays as well, unless it was detached.
        """
        if (parent, name) != inode.place:
            inode.other_names = tuple(
                place
                for place in (inode.place, *inode.other_names)
                if place != (parent, name) and self._is_at(inode, place)
            )
        inode.parent, inode.name = parent, name
        parent.children[self.key(name)] = inode

    def prefer(self, inode: Inode, parent: Inode | None, name: str) -> None:
        """Have requests about a file with several names go to this one, if it is one."""
        if inode.other_names and parent is not None and self._is_at(inode, (parent, name)):
            self.attach(inode, parent, name)

    def _is_at(self, inode: Inode, place: Place) -> bool:
        parent, name = place
        return parent is not None and parent.children.get(self.key(name)) is inode

    def _leave(self, inode: Inode, place: Place) -> None:
        parent, name = place
        if parent is not None and self._is_at(inode, place):
            del parent.children[self.key(name)]

    def shows(self, directory: Inode, inode: Inode, name: str) -> bool:
        """Say whether *inode*, listed as *name* in *directory*, is still to be shown there."""
        if inode.other_names:
            return self._is_at(inode, (directory, name))
        return not inode.unlinked

    def detach(self, inode: Inode) -> None:
        """Take *inode* out of its directories; it keeps saying where it was."""
        for place in (inode.place, *inode.other_names):
            self._leave(inode, place)
        inode.other_names = ()

    def vanish(self, inode: Inode) -> None:
        """Note that we took *inode* away from where it was; it may have other names."""
        (parent, name), others = inode.place, inode.other_names
        if parent is not None:
            self._leave(inode, inode.place)
            self._touch(parent, name)
            listing = self._listings.get(parent)
            if listing is not None:
                facts = listing.entries.get(self.key(name))
                if facts is not None and facts.file_id == inode.file_id:
                    del listing.entries[self.key(name)]
        if others:
            (inode.parent, inode.name), *rest = others
            inode.other_names = tuple(rest)
            return
        inode.gone = True
        if not inode.has_more_links:
            self.table.lost_file_id(inode)
        self._listings.drop(inode)

    def lost(self, inode: Inode, place: Place | None = None) -> None:
        """Note that somebody else took *inode* away from *place*, or from where it was."""
        if place is not None:
            self.prefer(inode, *place)
            if inode.place != place:
                return  # it is known to be elsewhere
        if inode.parent is not None and not inode.gone:
            self.kernel.forget_name(inode.parent, self.dialect.to_linux(inode.name))
            self.kernel.forget_attributes(inode)
        self.vanish(inode)
        if inode.gone:
            inode.lose_link()

    # -- listings -----------------------------------------------------------------------

    def missing_for(self, parent: Inode, name: str) -> float:
        """Return for how many more seconds the kernel may take *name* to be missing in *parent*."""
        listing = self._listings.get(parent)
        if listing is None:
            return 0.0
        self._missing[parent, self.key(name)] = self.dialect.to_linux(name)
        return max(0.0, listing.expires - self.clock())

    def appeared(self, parent: Inode, found: Mapping[str, Facts]) -> None:
        """Tell the kernel which names that it takes for missing are among *found*."""
        for item in [item for item in self._missing if item[0] is parent and item[1] in found]:
            name = self._missing.pop(item)
            if not self._is_known(item):
                self.kernel.forget_name(parent, name)

    def take_missing(self, parents: Container[Inode]) -> list[tuple[Inode, bytes]]:
        """Return, and forget, the names that the kernel takes for missing in any of *parents*."""
        items = [item for item in self._missing if item[0] in parents]
        names_of = {item: self._missing.pop(item) for item in items}
        return [(item[0], name) for item, name in names_of.items() if not self._is_known(item)]

    def _is_known(self, item: tuple[Inode, str]) -> bool:
        """Say whether the kernel has learnt since that there is such an entry.

        Were it told to forget the name now, a program that works in that directory would
        be cut off from its path.
        """
        child = item[0].children.get(item[1])
        return child is not None and child.lookups > 0

    def made_empty(self, directory: Inode) -> None:
        """Note that *directory* was just made: there is nothing in it to ask for."""
        self._listings.put(directory, Listing((), self.clock()))

    def drop_listing(self, *parents: Inode | None) -> None:
        """Forget the listings of *parents*: something is not as we believed."""
        for parent in parents:
            if parent is not None:
                self._listings.drop(parent)

    def drop_listings(self) -> None:
        """Forget all listings."""
        self._listings.clear()

    def entered(self, inode: Inode) -> None:
        """Note in the listings of its directories that *inode* is on the share now."""
        if inode.parent is None or inode.facts is None or inode.hidden:
            return
        for parent, name in (inode.place, *inode.other_names):
            if parent is None:
                continue
            self._touch(parent, name)
            listing = self._listings.get(parent)
            if listing is not None:
                listing.entries[self.key(name)] = _under(inode.facts, name)

    def _touch(self, parent: Inode, name: str) -> None:
        if parent in self._touched:
            self._touched[parent].add(self.key(name))

    def _overtaken(self, parent: Inode, found: dict[str, Facts]) -> None:
        """Put right what a listing of *parent* says of entries that we changed meanwhile."""
        for key in self._touched[parent]:
            child = parent.children.get(key)
            if child is not None and child.facts is not None:
                found[key] = _under(child.facts, child.name if self.key(child.name) == key else key)
            elif child is None:
                found.pop(key, None)


def _under(facts: Facts, name: str) -> Facts:
    """Return the facts of a file as a listing has them that shows it as *name*."""
    return facts if facts.name == name else replace(facts, name=name)
