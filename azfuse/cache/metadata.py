"""What the share said of its entries: attributes of one, listings of a directory.

Pure state: the present moment is handed in by `clock` (monotonic seconds).
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from cachetools import LRUCache, TLRUCache

from azfuse.rest.models import (
    DirectoryEntry,
    DirectoryProperties,
    FileProperties,
    NfsProperties,
    Written,
)
from azfuse.rest.wire import FileAttributes, time_of_etag

#: Directories of which it is remembered since when they have had the same entries.
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Belief:
    """How long an answer is believed, in seconds: from `least` to `most`.

    What is new or was found changed is believed for `least`; what was found unchanged,
    for as long again as it is known to have stood still. A `least` of 0 is never believed.
    """

    least: float = 5.0
    most: float = 5.0

    def seconds(self, unchanged: float) -> float:
        """Return how long to believe what has not changed for *unchanged* seconds."""
        return min(self.most, self.least + unchanged) if self.least else 0.0


@dataclass(slots=True)
class Facts:
    """What the share said of one entry, and when it was asked.

    `name` is the name on the share, in the share's letter case. Times are Unix
    nanoseconds. `metadata` is None where the answer did not carry it (listings), and so is
    `nfs`, which SMB shares never have.
    `asked` is the monotonic time at which the request was sent: an answer speaks
    for no later moment.
    """

    name: str
    is_directory: bool
    file_id: int
    size: int
    etag: str | None
    creation_time: int
    last_write_time: int
    change_time: int
    attributes: FileAttributes
    permission_key: str | None
    metadata: Mapping[str, str] | None
    asked: float
    #: `leased` where somebody holds the file's lease; listings do not say.
    lease_state: str | None = None
    #: When the share was first asked and showed the same ETag, if that was before `asked`.
    since: float | None = None
    nfs: NfsProperties | None = None

    @classmethod
    def of_entry(cls, entry: DirectoryEntry, asked: float) -> "Facts":
        """Make facts of one entry of a listing."""
        changed = _first(entry.change_time, _first(entry.last_modified, 0))
        return cls(
            name=entry.name,
            is_directory=entry.is_directory,
            file_id=entry.file_id or 0,
            size=entry.size,
            etag=entry.etag,
            creation_time=_first(entry.creation_time, changed),
            last_write_time=_first(entry.last_write_time, changed),
            change_time=changed,
            attributes=entry.attributes or FileAttributes.NONE,
            permission_key=sys.intern(entry.permission_key) if entry.permission_key else None,
            metadata=None,
            asked=asked,
        )

    @classmethod
    def of_properties(
        cls, name: str, properties: FileProperties | DirectoryProperties, asked: float
    ) -> "Facts":
        """Make facts of the headers of GET or HEAD."""
        smb = properties.smb
        modified = properties.last_modified
        is_file = isinstance(properties, FileProperties)
        return cls(
            name=name,
            is_directory=not is_file,
            file_id=smb.file_id or 0,
            size=properties.size if isinstance(properties, FileProperties) else 0,
            etag=properties.etag,
            creation_time=_first(smb.creation_time, modified),
            last_write_time=_first(smb.last_write_time, modified),
            change_time=_first(smb.change_time, modified),
            attributes=smb.attributes or FileAttributes.NONE,
            permission_key=smb.permission_key,
            metadata=properties.metadata,
            asked=asked,
            lease_state=properties.lease.state if isinstance(properties, FileProperties) else None,
            nfs=_newer(None, properties.nfs),
        )

    @classmethod
    def of_creation(
        cls,
        name: str,
        written: Written,
        asked: float,
        *,
        is_directory: bool = False,
        size: int = 0,
        attributes: FileAttributes = FileAttributes.NONE,
        metadata: Mapping[str, str],
    ) -> "Facts":
        """Make facts of the answer to the request that made the entry, and of what that said."""
        blank = cls(
            name=name,
            is_directory=is_directory,
            file_id=0,
            size=size,
            etag=None,
            creation_time=0,
            last_write_time=0,
            change_time=0,
            attributes=attributes,
            permission_key=None,
            metadata=metadata,
            asked=asked,
        )
        return blank.after(written, asked)

    @property
    def unchanged(self) -> float:
        """Seconds for which the entry is known to have had this ETag when it was asked for."""
        return 0.0 if self.since is None else self.asked - self.since

    def confirms(self, earlier: "Facts") -> None:
        """Take over what *earlier*, which showed the same ETag, knows beside."""
        self.since = earlier.asked if earlier.since is None else earlier.since
        if self.metadata is None:
            self.metadata = earlier.metadata
        if self.nfs is None:
            self.nfs = earlier.nfs

    def after(self, written: Written, asked: float, **changes: object) -> "Facts":
        """Return the facts as they are once *written* was answered to a change of ours.

        Answers of parallel requests arrive in any order: the later ETag stays.
        """
        smb = written.smb
        newer = _order(written.etag) >= _order(self.etag)
        facts = replace(
            self,
            etag=written.etag if newer else self.etag,
            asked=max(asked, self.asked),
            attributes=self.attributes if smb.attributes is None else smb.attributes,
            permission_key=smb.permission_key or self.permission_key,
            file_id=self.file_id if smb.file_id is None else smb.file_id,
            since=None,
            nfs=_newer(self.nfs, written.nfs),
        )
        if newer:
            moment = time_of_etag(written.etag)
            facts.creation_time = _first(smb.creation_time, self.creation_time)
            facts.last_write_time = _first(smb.last_write_time, self.last_write_time)
            facts.change_time = _first(smb.change_time, moment or written.last_modified)
        return replace(facts, **changes) if changes else facts  # type: ignore[arg-type]


def _first(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _newer(known: NfsProperties | None, answered: NfsProperties) -> NfsProperties | None:
    """Return what is known of an entry once something was *answered*, maybe in part."""
    if known is None:
        return answered if answered.mode is not None else None
    if answered == _NOTHING:
        return known
    return NfsProperties(
        mode=known.mode if answered.mode is None else answered.mode,
        owner=known.owner if answered.owner is None else answered.owner,
        group=known.group if answered.group is None else answered.group,
        file_type=answered.file_type or known.file_type,
        link_count=known.link_count if answered.link_count is None else answered.link_count,
    )


_NOTHING: Final = NfsProperties()


def _order(etag: str | None) -> int:
    return (time_of_etag(etag) or 0) if etag else -1


class Listing:
    """A whole directory as listed at one moment; kept true to our own changes since."""

    __slots__ = ("asked", "entries", "expires")

    def __init__(self, entries: Iterable[tuple[str, Facts]], asked: float) -> None:
        """*entries* are pairs of a folded name and facts, in the share's order."""
        self.entries: dict[str, Facts] = dict(entries)
        self.asked = asked
        #: Monotonic time until which it may be believed; the cache sets it.
        self.expires = asked


KeyT = TypeVar("KeyT")


class ListingCache(Generic[KeyT]):
    """Listings by directory, each believed for its time, bounded by their number of entries."""

    def __init__(
        self, belief: Belief, clock: Callable[[], float], max_entries: int = 200_000
    ) -> None:
        self._belief = belief
        self._cache: TLRUCache[KeyT, Listing] = TLRUCache(
            max_entries,
            lambda directory, listing, now: listing.expires,
            timer=clock,
            getsizeof=lambda listing: len(listing.entries) + 1,
        )
        #: What entries there were, as a hash, and since when there have been no others.
        self._entries_since: LRUCache[KeyT, tuple[int, float]] = LRUCache(_MOST_REMEMBERED)

    def get(self, directory: KeyT) -> Listing | None:
        """Return the listing of *directory* while it may be believed."""
        try:
            return self._cache[directory]
        except KeyError:
            return None

    def put(self, directory: KeyT, listing: Listing) -> None:
        """Keep *listing*, of one that is larger than the whole cache nothing."""
        # What counts is when it was asked for, not when it is stored.
        unchanged = listing.asked - self._unchanged_since(directory, listing)
        listing.expires = listing.asked + self._belief.seconds(unchanged)
        # The cache keeps what it has when it refuses a newer one.
        self._cache.pop(directory, None)
        if len(listing.entries) < self._cache.maxsize:
            self._cache[directory] = listing

    def drop(self, directory: KeyT) -> None:
        """Forget the listing of *directory*."""
        self._cache.pop(directory, None)
        self._entries_since.pop(directory, None)

    def clear(self) -> None:
        """Forget everything."""
        self._cache.clear()
        self._entries_since.clear()

    def _unchanged_since(self, directory: KeyT, listing: Listing) -> float:
        """Return when *directory* was first seen to have just the entries of *listing*."""
        if self._belief.least == self._belief.most:
            return listing.asked
        mark = hash(frozenset((key, facts.file_id) for key, facts in listing.entries.items()))
        known, since = self._entries_since.get(directory, (None, 0.0))
        if known != mark:
            since = listing.asked
            self._entries_since[directory] = mark, since
        return since
