"""The block cache: the count of bytes, what is evicted, and in which order."""

from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import FileContent

BLOCK = 32
CAPACITY = 8 * BLOCK


@pytest.fixture(autouse=True)
def small_blocks():
    with mock.patch.multiple("azfuse.cache.content", BLOCK_SIZE=BLOCK):
        yield


def fill(cache, content, index, length=BLOCK):
    cache.touch(content, content.fill(index * BLOCK, memoryview(bytes(length))))


def full_cache(count: int) -> tuple[BlockCache, FileContent]:
    """Return a cache with room for *count* blocks, and the file whose first blocks fill it."""
    cache, content = BlockCache(count * BLOCK, lambda content: None), FileContent(10 * BLOCK)
    for index in range(count):
        fill(cache, content, index)
    return cache, content


def write(cache, content, index, length=BLOCK):
    cache.touch(content, content.write(index * BLOCK, bytes(length)))


def blocks(content):
    return sorted(content.blocks)


def test_the_least_recently_used_goes_first():
    emptied: list[FileContent] = []
    cache = BlockCache(4 * BLOCK, emptied.append)
    content, other = FileContent(10 * BLOCK), FileContent(BLOCK)
    fill(cache, other, 0)
    for index in range(4):
        fill(cache, content, index)
    cache.touch(content, [0])
    cache.evict()
    assert emptied == [other]
    assert blocks(content) == [0, 2, 3]  # a sixteenth below the capacity, in whole blocks
    assert cache.used == 3 * BLOCK


def test_nothing_is_evicted_up_to_the_capacity():
    cache, _ = full_cache(4)
    cache.evict()
    assert cache.used == 4 * BLOCK


def test_downloads_under_way_are_made_room_for():
    cache, content = full_cache(8)
    with cache.room_for(3 * BLOCK):
        assert blocks(content) == [4, 5, 6, 7]
        fill(cache, content, 0)
        cache.evict()
        assert cache.used == 5 * BLOCK
    for index in range(3):
        fill(cache, content, index)
    cache.evict()
    assert cache.used == 7 * BLOCK


def test_downloads_under_way_leave_half_of_the_cache_to_what_is_there():
    cache, content = full_cache(4)
    with cache.room_for(100 * BLOCK):
        assert blocks(content) == [3]  # a sixteenth below
        fill(cache, content, 0)
        cache.evict()
        assert blocks(content) == [0, 3]


def test_dirty_bytes_stay():
    emptied: list[FileContent] = []
    cache = BlockCache(2 * BLOCK, emptied.append)
    content = FileContent(10 * BLOCK)
    for index in range(5):
        write(cache, content, index, BLOCK // 2)
        fill(cache, content, index)
    assert cache.used == 5 * BLOCK
    cache.evict()
    assert cache.used == cache.dirty == content.dirty_bytes == 5 * BLOCK // 2
    assert blocks(content) == [0, 1, 2, 3, 4]
    assert not emptied
    assert cache.over_dirty


def test_a_block_that_was_dirty_is_evicted_once_it_is_clean():
    cache = BlockCache(2 * BLOCK, lambda content: None)
    content = FileContent(10 * BLOCK)
    for index in range(3):
        write(cache, content, index)
    for chunk in content.take():
        content.sent(chunk)
    cache.touch(content, range(3))
    assert (cache.used, cache.dirty) == (3 * BLOCK, 0)
    cache.evict()
    assert blocks(content) == [2]


def test_discarding():
    cache = BlockCache(CAPACITY, lambda content: None)
    content, other = FileContent(10 * BLOCK), FileContent(BLOCK)
    write(cache, content, 0)
    fill(cache, content, 3)
    write(cache, other, 0)
    cache.discard(content)
    assert (cache.used, cache.dirty) == (BLOCK, BLOCK)
    assert content.dirty_bytes == 0
    assert not content.blocks


def test_half_of_the_cache_may_be_dirty():
    cache = BlockCache(CAPACITY, lambda content: None)
    content = FileContent()
    write(cache, content, 0, CAPACITY // 2)
    assert not cache.over_dirty
    write(cache, content, CAPACITY // 2 // BLOCK, 1)
    assert cache.over_dirty


class CacheMachine(RuleBasedStateMachine):
    """Several files in one cache that is too small for them."""

    def __init__(self):
        super().__init__()
        self.patch = mock.patch.multiple("azfuse.cache.content", BLOCK_SIZE=BLOCK)
        self.patch.start()
        self.contents = [FileContent(10 * BLOCK) for _ in range(3)]
        self.emptied: list[FileContent] = []
        self.cache = BlockCache(CAPACITY, self.emptied.append)

    def teardown(self):
        self.patch.stop()

    files = st.integers(0, 2)
    spans = st.tuples(st.integers(0, 9 * BLOCK), st.integers(1, 2 * BLOCK))

    @rule(file=files, span=spans)
    def write(self, file, span):
        content = self.contents[file]
        self.cache.touch(content, content.write(span[0], bytes(span[1])))

    @rule(file=files, span=spans)
    def fill(self, file, span):
        content = self.contents[file]
        self.cache.touch(content, content.fill(span[0], memoryview(bytes(span[1]))))

    @rule(file=files, size=st.integers(0, 10 * BLOCK))
    def truncate(self, file, size):
        content = self.contents[file]
        self.cache.touch(content, content.truncate(size))

    @rule(file=files)
    def upload(self, file):
        content = self.contents[file]
        content.resized(content.size, content.truncations)
        for chunk in content.take():
            content.sent(chunk)
            self.cache.touch(content, range(chunk.start // BLOCK, (chunk.end - 1) // BLOCK + 1))

    @rule(file=files)
    def forget_clean(self, file):
        content = self.contents[file]
        self.cache.touch(content, content.forget_clean())

    @rule(file=files)
    def discard(self, file):
        self.cache.discard(self.contents[file])

    @rule()
    def evict(self):
        before = self.cache.dirty
        self.emptied.clear()
        self.cache.evict()
        assert self.cache.dirty == before
        assert self.cache.used <= max(CAPACITY, before)
        assert not any(content.blocks for content in self.emptied)

    @invariant()
    def counts_agree(self):
        segments = [
            segment
            for content in self.contents
            for block in content.blocks.values()
            for segment in block.segments
        ]
        assert self.cache.used == sum(len(s.data) for s in segments)
        assert self.cache.dirty == sum(len(s.data) for s in segments if s.dirty)
        assert self.cache.dirty == sum(content.dirty_bytes for content in self.contents)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
