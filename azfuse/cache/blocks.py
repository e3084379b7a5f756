"""How much file content is in memory, and which of it goes first when there is too much."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from azfuse.cache.content import FileContent


class BlockCache:
    """Bounds the bytes that all files keep, and evicts clean ones, least recently used first.

    Dirty bytes are never evicted: `over_dirty` tells writers to wait until
    enough of them have been uploaded. Not a cachetools cache, which would evict
    whatever is oldest at the moment something is added, dirty or not.
    """

    def __init__(
        self,
        capacity: int,
        on_empty: Callable[[FileContent], None],
        on_evicted: Callable[[], None] = lambda: None,
    ) -> None:
        """*capacity* is bytes; *on_empty* is told of a file whose last block was evicted.

        *on_evicted* is called when a round of evictions is over.
        """
        self.capacity = capacity
        #: Writers wait above this many dirty bytes, so that reads keep half of the cache.
        self.dirty_limit = capacity // 2
        self.used = 0
        #: Bytes of buffers that downloads under way will fill.
        self.reserved = 0
        self.dirty = 0
        #: Clean bytes dropped for want of room.
        self.evicted = 0
        self._on_empty = on_empty
        self._on_evicted = on_evicted
        self._order: OrderedDict[tuple[int, int], tuple[FileContent, int, int]] = OrderedDict()

    @property
    def over_dirty(self) -> bool:
        """True while writers should wait for uploads."""
        return self.dirty > self.dirty_limit

    def touch(self, content: FileContent, indexes: Iterable[int]) -> None:
        """Count the blocks *indexes* of *content* anew and make them the most recently used."""
        for index in indexes:
            key = (id(content), index)
            _, total, dirty = self._order.pop(key, (content, 0, 0))
            block = content.blocks.get(index)
            if block is not None and not block.segments:
                del content.blocks[index]
                block = None
            new_total, new_dirty = (block.total_bytes, block.dirty_bytes) if block else (0, 0)
            self.used += new_total - total
            self.dirty += new_dirty - dirty
            if block is not None:
                self._order[key] = (content, new_total, new_dirty)

    def discard(self, content: FileContent) -> None:
        """Forget every byte of *content*, dirty ones too."""
        indexes = list(content.blocks)
        content.blocks.clear()
        content.dirty_bytes = 0
        self.touch(content, indexes)

    @contextmanager
    def room_for(self, length: int) -> Iterator[None]:
        """Count *length* bytes that are on their way as if they were there."""
        self.reserved += length
        self.evict()
        try:
            yield
        finally:
            self.reserved -= length

    def evict(self) -> None:
        """Drop clean bytes, least recently used first, once there are more than the capacity.

        Goes a sixteenth below it, so that the walk is not made for every block.
        """
        # In a small cache what just arrived would make room for what is on its way, and be
        # fetched again for who waits for it.
        capacity = self.capacity - min(self.reserved, self.capacity // 2)
        if self.used <= capacity:
            return
        self._evict_down_to(capacity - self.capacity // 16)
        self._on_evicted()

    def _evict_down_to(self, enough: int) -> None:
        for (_, index), (content, total, dirty) in list(self._order.items()):
            if self.used <= enough:
                return
            if total == dirty:
                continue
            block = content.blocks[index]
            self.evicted += total - dirty
            if block.drop_clean():
                content.epoch += 1
            if block.segments:
                # keeps its place in the order: what is left of it is dirty
                self._order[id(content), index] = (content, block.total_bytes, block.dirty_bytes)
                self.used -= total - block.total_bytes
            else:
                self.touch(content, [index])
                if not content.blocks:
                    self._on_empty(content)

    @property
    def unread_ahead(self) -> int:
        """Bytes that were read ahead and that nobody has read yet."""
        blocks = [content.blocks[index] for (_, index), (content, _, _) in self._order.items()]
        return sum(min(block.ahead_bytes, block.total_bytes) for block in blocks)

    def stats(self) -> dict[str, int]:
        """Return what is cached, in bytes."""
        return {
            "cachedBytes": self.used,
            "capacityBytes": self.capacity,
            "blocks": len(self._order),
            "evictedBytes": self.evicted,
        }
