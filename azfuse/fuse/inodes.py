"""The inode table: what the kernel knows by number, and where it is on the share."""

import copy
import hashlib
import math
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pyfuse3

from azfuse.cache.metadata import Facts
from azfuse.fuse.posix import Posix

if TYPE_CHECKING:
    from azfuse.cache.writeback import CachedFile

#: Numbers of files that are not on the share yet: far above those made of the service's
#: counters (see `InodeTable.number_for`).
_LOCAL_NUMBER: Final = (1 << 62) + 1


#: Shared by all inodes that have nothing of a kind: there may be a hundred thousand of them.
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_NO_CHILDREN: Final[dict[str, "Inode"]] = {}


class Inode:
    """One entry of the share, or one that will be.

    `facts` is None while the entry exists only here. `posix`, `mtime`, `ctime`
    (nanoseconds) are what programs see. `parent` and `name` say where it is now, the
    one of its places that requests go to where it has several (hard links);
    `gone` is set when the last of them was deleted or taken by something else.
    """

    __slots__ = (
        "aliases", "atime", "attributes_pending", "changed_at", "children", "ctime",
        "doubted_at", "entries_seen", "facts", "file", "file_id", "fresh", "gone", "handles",
        "heads", "heads_since", "hidden", "lease_id", "link_etag", "link_target", "lookups",
        "mtime", "mtime_pinned", "name", "number", "other_names", "parent", "posix", "scrap",
        "told_size", "vouched", "writers", "xattrs",
    )  # fmt: skip

    def __init__(
        self, number: int, parent: "Inode | None", name: str, posix: Posix, facts: Facts | None
    ) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.posix = posix
        self.facts = facts
        self.file_id = facts.file_id if facts else 0
        self.mtime = facts.last_write_time if facts else 0
        self.ctime = facts.change_time if facts else 0
        self.atime = self.mtime
        #: Numbers under which the kernel knows other letter cases of the name.
        self.aliases: Mapping[str, int] = _NOTHING
        #: References the kernel holds, by all numbers together.
        self.lookups = 0
        self.handles = 0
        self.writers = 0
        self.gone = False
        #: Unlinked while open: lives on under a hidden name.
        self.hidden = False
        #: The hidden name, in the mount's root, to be removed at the last close.
        self.scrap: str | None = None
        #: Further places, each a directory and a name in it, that are known.
        self.other_names: tuple[Place, ...] = ()
        self.link_target: bytes | None = None
        #: ETag of the content that `link_target` was read from, or found to be no link.
        self.link_etag: str | None = None
        #: Content, for files that were opened.
        self.file: CachedFile | None = None
        #: Known entries, by folded name, for directories.
        self.children: dict[str, Inode] = {} if self.is_directory else _NO_CHILDREN
        #: How many entries the last listing showed, None if there was none.
        self.entries_seen: int | None = None
        #: Single entries that were asked for since the directory's last listing, or this moment.
        self.heads = 0
        self.heads_since = 0.0
        #: Monotonic time of the last answer to a change of ours: older facts are ignored.
        self.changed_at = 0.0
        #: Monotonic time before which nothing that was said is believed any more.
        self.doubted_at = 0.0
        #: Who looked the entry up with a request of its own, and when that was answered.
        self.vouched: tuple[int, float] | None = None
        #: Programs set mtime after the last write: it must survive the upload.
        self.mtime_pinned = False
        #: Not uploaded before: the first upload keeps the times that programs saw.
        self.fresh = False
        #: Mode, owner or metadata wait for the file's next upload.
        self.attributes_pending = False
        #: The length that the kernel takes the file to have.
        self.told_size = 0
        #: The lease that we hold on the file.
        self.lease_id: str | None = None
        #: Metadata to be of a file that does not exist yet (extended attributes).
        self.xattrs: Mapping[str, str] = _NOTHING

    @property
    def is_directory(self) -> bool:
        """True for directories."""
        return stat.S_ISDIR(self.posix.mode)

    @property
    def unlinked(self) -> bool:
        """True if no name leads to the inode any more."""
        return self.gone or self.hidden

    @property
    def place(self) -> "Place":
        """The place that requests go to."""
        return self.parent, self.name

    @property
    def has_more_links(self) -> bool:
        """True if the share has more than one name for the file, known here or not."""
        nfs = self.facts.nfs if self.facts is not None else None
        return nfs is not None and (nfs.link_count or 0) > 1

    @property
    def links(self) -> int:
        """How many names programs see (`st_nlink`)."""
        nfs = self.facts.nfs if self.facts is not None else None
        # 1 says of a directory that its subdirectories are not counted: that takes a listing.
        if self.is_directory or nfs is None or nfs.link_count is None:
            return int(not self.unlinked)
        return max(0, nfs.link_count - (self.scrap is not None))

    def lose_link(self) -> None:
        """Note that the share has one name less."""
        facts = self.facts
        if facts is not None and facts.nfs is not None and facts.nfs.link_count:
            nfs = replace(facts.nfs, link_count=facts.nfs.link_count - 1)
            self.facts = replace(facts, nfs=nfs)

    @property
    def is_local(self) -> bool:
        """True while the entry was not created on the share."""
        return self.facts is None

    @property
    def doubted(self) -> bool:
        """True if what is known of the entry must be asked for again."""
        asked = self.facts.asked if self.facts is not None else math.inf
        return max(asked, self.changed_at) < self.doubted_at

    @property
    def size(self) -> int:
        """Length in bytes, as programs see it."""
        if self.link_target is not None:
            return len(self.link_target)
        if self.file is not None:
            return self.file.content.size
        return self.facts.size if self.facts and not self.is_directory else 0

    @property
    def path(self) -> str:
        """Path on the share, without a leading slash."""
        parts = []
        node: Inode | None = self
        while node is not None:
            if node.name:
                parts.append(node.name)
            node = node.parent
        return "/".join(reversed(parts))

    def ancestors(self) -> Iterator["Inode"]:
        """Yield the inode itself and its parents up to the root."""
        node: Inode | None = self
        while node is not None:
            yield node
            node = node.parent


#: A directory and a name in it. Only the root of the mount has no directory.
Place = tuple[Inode | None, str]


def path_of(place: Place) -> str:
    """Return the path on the share of a place, as its directory is called now."""
    parent, name = place
    return f"{parent.path}/{name}" if parent is not None and parent.path else name


class InodeTable:
    """Inodes by number and by file id, with the kernel's lookup counts."""

    def __init__(self, root: Inode, numbers: dict[int, int]) -> None:
        """*numbers* maps file ids to the numbers of files that got theirs before their id."""
        self.root = root
        self.numbers = numbers
        self._by_number: dict[int, Inode] = {root.number: root}
        self._by_file_id: dict[int, Inode] = {}
        self._lookups: dict[int, int] = {root.number: 1}
        root.lookups = 1
        #: Sets the numbers of one table apart from those of another.
        self._salt = 0

    def beside(self, root: Inode, view: str) -> "InodeTable":
        """Return the table of another *view* of the share, with numbers that are no other's.

        Numbers of both lead to inodes by either table; ids on the share by one's own.
        """
        table = copy.copy(self)
        digest = hashlib.blake2b(view.encode(), digest_size=8).digest()
        table._salt = int.from_bytes(digest) | 1 << 63
        table._by_file_id = {}
        table.numbers = {}
        table.root = root
        root.number = table.number_for(0)
        return table

    def __getitem__(self, number: int) -> Inode:
        """Return the inode the kernel calls *number*."""
        return self._by_number[number]

    def __contains__(self, number: int) -> bool:
        return number in self._by_number

    def by_file_id(self, file_id: int) -> Inode | None:
        """Return the inode with this id on the share, if it is known."""
        return self._by_file_id.get(file_id)

    def new_local_number(self) -> int:
        """Make a number for a file that has no id yet."""
        while True:
            number = secrets.randbits(61) << 1 | _LOCAL_NUMBER
            if number not in self._by_number:
                return number

    def number_for(self, file_id: int) -> int:
        """Return the stable number of the entry with *file_id*.

        The service's ids are counters with their bits reversed: numbers that differ
        in the high bits only. The kernel's hash of inodes puts such numbers into few
        long chains (listing 20,000 entries took it seven seconds), so they are reversed back.
        """
        known = self.numbers.get(file_id)
        if known is not None:
            return known
        number = int(f"{file_id:064b}"[::-1], 2)
        # 0 and the root's number are taken.
        return (number if number > pyfuse3.ROOT_INODE else number + (1 << 61)) ^ self._salt

    def add(self, inode: Inode) -> None:
        """Enter *inode*; it stays until nobody holds it any more."""
        self._by_number[inode.number] = inode
        if inode.file_id:
            self._by_file_id[inode.file_id] = inode

    def got_file_id(self, inode: Inode, file_id: int) -> None:
        """Note that *inode* was created on the share as *file_id*; it keeps its number."""
        if inode.file_id and self._by_file_id.get(inode.file_id) is inode:
            del self._by_file_id[inode.file_id]
        inode.file_id = file_id
        self._by_file_id[file_id] = inode
        if inode.number != file_id:
            self.numbers[file_id] = inode.number

    def lost_file_id(self, inode: Inode) -> None:
        """Note that *inode* is no longer what the share calls by its id."""
        if self._by_file_id.get(inode.file_id) is inode:
            del self._by_file_id[inode.file_id]

    def alias(self, inode: Inode, name: str) -> int:
        """Return a number for *inode* under another letter case of its name.

        The kernel takes two names of one number for hard links of one file, and
        answers a rename from one to the other without asking. Under a number of
        its own the other case can be renamed to.
        """
        number = inode.aliases.get(name)
        if number is None:
            number = self.new_local_number()
            inode.aliases = {**inode.aliases, name: number}
            self._by_number[number] = inode
        return number

    def referenced(self, number: int) -> None:
        """Count one more reference of the kernel."""
        self._lookups[number] = self._lookups.get(number, 0) + 1
        self._by_number[number].lookups += 1

    def forget(self, number: int, count: int) -> Inode | None:
        """Take back *count* references; return the inode if the kernel holds none any more."""
        inode = self._by_number[number]
        inode.lookups -= count
        left = self._lookups[number] - count
        if left > 0:
            self._lookups[number] = left
        else:
            del self._lookups[number]
            if number != inode.number:
                del self._by_number[number]
                inode.aliases = {k: v for k, v in inode.aliases.items() if v != number}
        return None if inode.lookups else inode

    def drop(self, inode: Inode) -> None:
        """Remove *inode* from the table."""
        self._by_number.pop(inode.number, None)
        for number in inode.aliases.values():
            self._by_number.pop(number, None)
        self.lost_file_id(inode)

    def __len__(self) -> int:
        """Return how many numbers lead to an inode."""
        return len(self._by_number)

    def __iter__(self) -> Iterator[Inode]:
        return iter({id(inode): inode for inode in self._by_number.values()}.values())
