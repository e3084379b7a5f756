"""What the caches count: cheap to write, one attribute each, read only by `azfuse stats`.

Every component that counts has a method `stats` which returns a mapping of names
(in camel case) to what JSON can say; `fuse/filesystem.py` joins them.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Questions that memory answered, and those for which the share was asked."""

    hits: int = 0
    misses: int = 0

    def stats(self) -> dict[str, int]:
        """Return the counts."""
        return {"hits": self.hits, "misses": self.misses}


@dataclass(slots=True)
class MetadataCounters:
    """Lookups of names, attributes of inodes, listings of directories.

    `negative` are the lookups that memory answered with no (they are hits as well).
    """

    lookups: Tally
    attributes: Tally
    listings: Tally
    negative: int = 0

    @classmethod
    def new(cls) -> "MetadataCounters":
        """Return counters that stand at zero."""
        return cls(Tally(), Tally(), Tally())

    def stats(self) -> dict[str, object]:
        """Return the counts."""
        return {
            "lookups": self.lookups.stats(),
            "attributes": self.attributes.stats(),
            "listings": self.listings.stats(),
            "negative": self.negative,
        }


@dataclass(slots=True)
class ReadCounters:
    """What programs read, and what was fetched for it. All `..._bytes` are bytes of content."""

    #: Reads, and those of them for which nothing was missing.
    reads: int = 0
    hits: int = 0
    bytes_read: int = 0
    #: Bytes that were missing when a read asked for them: it waited until they came.
    bytes_missed: int = 0
    #: Downloads, and what they brought.
    fetches: int = 0
    bytes_fetched: int = 0
    #: Those of them that nobody waited for when they were begun.
    bytes_ahead: int = 0
    #: What of that was in a block that somebody has read since.
    bytes_ahead_used: int = 0


@dataclass(slots=True)
class CallCounters:
    """Requests of one kind that the kernel sent. `seconds` is how long they took together."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0

    def stats(self) -> dict[str, float]:
        """Return the counts."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "seconds": round(self.seconds, 6),
        }
