"""A file's content against two bytearrays: what programs see, and what the share holds."""

from collections.abc import Generator
from dataclasses import dataclass
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import UNKNOWN, Chunk, FileContent

BLOCK = 32  # small blocks, so that many things cross their borders
LONGEST = 5 * BLOCK

offsets = st.integers(0, LONGEST)
lengths = st.integers(1, 2 * BLOCK)
fills = st.integers(1, 255)


@pytest.fixture(autouse=True)
def small_blocks():
    with small():
        yield


def small():
    return mock.patch.multiple("azfuse.cache.content", BLOCK_SIZE=BLOCK)


def assert_sane(content: FileContent, cache: BlockCache | None = None) -> None:
    """Check everything that must hold between any two steps."""
    total = dirty = 0
    for index, block in content.blocks.items():
        last = index * BLOCK
        for segment in block.segments:
            assert last <= segment.start < segment.end <= (index + 1) * BLOCK
            assert segment.dirty or not segment.flight
            assert not segment.dirty or segment.end <= content.size
            last = segment.end
        total += sum(len(s.data) for s in block.segments)
        dirty += sum(len(s.data) for s in block.segments if s.dirty)
        assert block.total_bytes == sum(len(s.data) for s in block.segments)
    assert content.dirty_bytes == dirty
    assert content.remote_end >= 0
    assert content.remote_size == UNKNOWN or content.remote_end <= content.remote_size
    if cache is not None:
        assert (cache.used, cache.dirty) == (total, dirty)


@dataclass(eq=False)
class Download:
    """What the share answered to a read, before we look at the answer."""

    epoch: int
    start: int
    data: bytes


class ContentMachine(RuleBasedStateMachine):
    """Programs write, cut and read; uploads pass by; the cache is far too small.

    The upload is the one of `writeback.py`, cut into its steps, each with a request
    that is done, refused, or done with its answer lost. Nobody else writes here;
    `test_transfers.py` has those.
    """

    def __init__(self):
        super().__init__()
        self.patch = small()
        self.patch.start()
        self.seen = bytearray(b"A" * 40)
        self.share = bytearray(self.seen)
        self.content = FileContent(len(self.share), "etag")
        self.cache = BlockCache(3 * BLOCK, lambda content: None)
        self.upload: Generator[None, str, None] | None = None
        self.chunks: list[Chunk] = []
        self.views: list[tuple[bytes | memoryview, bytes]] = []
        self.downloads: list[Download] = []

    def teardown(self):
        try:
            self.drain()
        finally:
            self.patch.stop()

    # -- programs -----------------------------------------------------------------------

    @rule(offset=offsets, length=lengths, value=fills, kind=st.sampled_from([bytes, memoryview]))
    def write(self, offset, length, value, kind):
        data = bytes([value]) * length
        if offset > len(self.seen):
            self.seen.extend(bytes(offset - len(self.seen)))
        self.seen[offset : offset + length] = data
        self.touch(self.content.write(offset, kind(data)))

    @rule(size=offsets)
    def truncate(self, size):
        self.seen[size:] = bytes(max(0, size - len(self.seen)))
        self.touch(self.content.truncate(size))

    @rule(offset=offsets, length=lengths)
    def read(self, offset, length):
        end = min(offset + length, len(self.seen))
        if offset >= end:
            return
        while (gap := self.content.first_gap(offset, end)) is not None:
            first, last = gap
            assert offset <= first < last <= end
            assert first // BLOCK == (last - 1) // BLOCK
            answer = self.share[first:last]
            assert answer, "asked for what the share does not have"
            self.cache.touch(self.content, self.content.fill(first, memoryview(bytes(answer))))
        result = self.content.read(offset, end)
        assert bytes(result) == self.seen[offset:end]
        self.views.append((result, bytes(result)))
        self.cache.touch(self.content, range(offset // BLOCK, (end - 1) // BLOCK + 1))
        self.cache.evict()

    @rule()
    def programs_let_go(self):
        self.views.clear()

    # -- downloads that take their time -------------------------------------------------

    @rule(index=st.integers(0, LONGEST // BLOCK))
    def ask(self, index):
        gap = self.content.first_gap(index * BLOCK, (index + 1) * BLOCK)
        if gap is not None:
            data = bytes(self.share[slice(*gap)])
            self.downloads.append(Download(self.content.epoch, gap[0], data))

    @precondition(lambda self: self.downloads)
    @rule(data=st.data())
    def answer(self, data):
        download = self.downloads.pop(data.draw(st.integers(0, len(self.downloads) - 1)))
        if download.epoch == self.content.epoch:
            self.touch(self.content.fill(download.start, memoryview(download.data)))

    # -- the upload ---------------------------------------------------------------------

    @rule(final=st.booleans(), whole=st.booleans())
    def begin_upload(self, final, whole):
        if self.upload is None:
            self.upload = self.pass_over(final=final, whole_only=whole)
            self.resume(None)

    @precondition(lambda self: self.upload)
    @rule(outcome=st.sampled_from(["done", "done", "done", "refused", "lost"]))
    def go_on(self, outcome):
        if self.chunks:
            self.put(self.chunks.pop(0), outcome)
        elif outcome == "lost":
            outcome = "refused"
        self.resume(outcome)

    @precondition(lambda self: len(self.chunks) > 1)
    @rule(data=st.data(), outcome=st.sampled_from(["done", "done", "refused", "lost"]))
    def put_any(self, data, outcome):
        position = data.draw(st.integers(0, len(self.chunks) - 1))
        self.put(self.chunks.pop(position), outcome)

    def resume(self, outcome):
        assert self.upload is not None
        try:
            if outcome is None:
                next(self.upload)
            else:
                self.upload.send(outcome)
        except StopIteration:
            self.upload = None

    def pass_over(self, *, final: bool, whole_only: bool) -> Generator[None, str, None]:
        content = self.content
        while content.must_clear():
            cuts, end = content.truncations, content.remote_end
            if not self.resize(end, (yield)):
                return
            content.resized(end, cuts)
        cuts, size = content.truncations, content.size
        if not final:  # room ahead while the file grows; what is there already is left alone
            room = size + BLOCK
            size = room if size > content.remote_size else content.remote_size
        if size != content.remote_size and not self.resize(size, (yield)):
            return
        content.resized(size, cuts)
        self.chunks = content.take(whole_only=whole_only)
        for chunk in self.chunks:
            assert 0 < chunk.length <= BLOCK
            assert sum(len(s.data) for s in chunk.segments) == chunk.length
            assert chunk.end <= content.remote_size
            assert chunk.how == "put"  # zeros are `test_transfers.py`'s
            assert chunk.length == BLOCK or not whole_only
        while self.chunks:
            yield

    def resize(self, size: int, outcome: str) -> bool:
        if outcome == "done":
            self.share[size:] = bytes(max(0, size - len(self.share)))
        return outcome == "done"

    def put(self, chunk: Chunk, outcome: str) -> None:
        if outcome != "refused":
            assert chunk.end <= len(self.share), "the service refuses ranges past the end"
            self.share[chunk.start : chunk.end] = b"".join(bytes(s.data) for s in chunk.segments)
        if outcome == "done":
            self.content.sent(chunk)
        self.content.put_back(chunk)
        self.touch(range(chunk.start // BLOCK, (chunk.end - 1) // BLOCK + 1))

    def drain(self):
        for _ in range(5):
            while self.upload is not None:
                self.go_on("done")
            if not self.content.changed:
                break
            self.begin_upload(final=True, whole=False)
        assert not self.content.changed
        assert self.share == self.seen

    def touch(self, indexes):
        self.cache.touch(self.content, indexes)
        self.cache.evict()

    # -- what always holds --------------------------------------------------------------

    @invariant()
    def sane(self):
        assert_sane(self.content, self.cache)
        assert self.content.size == len(self.seen)
        assert self.cache.used <= max(self.cache.capacity, self.cache.dirty)

    @invariant()
    def nothing_is_lost(self):
        """Each byte is known rightly, or is on the share, or is a zero that nobody wrote."""
        content = self.content
        expected = bytearray(self.share[: min(content.remote_end, content.size)])
        expected.extend(bytes(content.size - len(expected)))
        for block in content.blocks.values():
            for segment in block.segments:
                if segment.start < content.size:
                    stop = min(segment.end, content.size)
                    expected[segment.start : stop] = segment.view(segment.start, stop)
        assert expected == self.seen

    @invariant()
    def views_stay(self):
        assert all(bytes(view) == before for view, before in self.views)


TestContent = ContentMachine.TestCase
TestContent.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def sizes(content: FileContent) -> tuple[int, int, int]:
    return content.size, content.remote_size, content.remote_end


def spans(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.start, chunk.end) for chunk in chunks]


def test_adjoining_writes_travel_together():
    content = FileContent(3 * BLOCK)
    content.write(0, b"a" * 4)
    content.write(4, b"b" * 4)
    content.write(20, b"c" * 4)
    content.write(BLOCK - 1, b"d" * 2)
    assert spans(content.take()) == [(0, 8), (20, 24), (BLOCK - 1, BLOCK + 1)]
    assert content.take() == []


def test_what_lies_past_the_length_on_the_share_is_not_taken():
    content = FileContent(10)
    content.write(8, b"abcd")
    content.write(20, b"abcd")
    assert spans(content.take()) == [(8, 10)]
    content.resized(24, content.truncations)
    assert spans(content.take()) == [(10, 12), (20, 24)]


def test_whole_only_leaves_a_growing_run_alone():
    content = FileContent(10 * BLOCK)
    content.write(0, b"x" * (BLOCK + 5))
    assert spans(content.take(whole_only=True)) == [(0, BLOCK)]
    assert spans(content.take()) == [(BLOCK, BLOCK + 5)]


@pytest.mark.parametrize(
    ("offset", "length", "head"), [(0, 5, (0, 5)), (0, 2 * BLOCK, (0, BLOCK)), (3, 5, None)]
)
def test_the_head_of_a_new_file(offset, length, head):
    content = FileContent()
    content.write(offset, b"x" * length)
    taken = content.take_head()
    assert (taken and (taken.start, taken.end)) == head


def test_bytes_written_while_in_flight_stay_dirty():
    content = FileContent(BLOCK)
    content.write(0, b"old!")
    (chunk,) = content.take()
    content.write(1, b"new")
    content.sent(chunk)
    assert content.dirty_bytes == 3
    assert spans(content.take()) == [(1, 4)]


def test_what_failed_is_taken_again():
    content = FileContent(BLOCK)
    content.write(0, b"abcd")
    (chunk,) = content.take()
    content.put_back(chunk)
    assert spans(content.take()) == [(0, 4)]
    assert content.dirty_bytes == 4


def test_a_late_failure_does_not_take_the_next_try_back():
    content = FileContent(BLOCK)
    content.write(0, b"abcd")
    (first,) = content.take()
    content.put_back(first)
    (second,) = content.take()
    content.put_back(first)
    assert content.take() == []
    content.sent(second)
    assert content.dirty_bytes == 0


def test_cut_and_grown_again_reads_as_zeros_and_is_cleared_on_the_share():
    content = FileContent(20, "etag")
    content.fill(0, memoryview(b"x" * 20))
    content.truncate(5)
    content.truncate(20)
    assert sizes(content) == (20, 20, 5)
    assert content.changed
    assert content.first_gap(0, 20) is None
    assert bytes(content.read(0, 20)) == b"x" * 5 + bytes(15)
    assert content.must_clear()
    content.resized(5, content.truncations)
    content.resized(20, content.truncations)
    assert not content.changed


def test_cut_and_written_anew_needs_no_clearing():
    content = FileContent(20)
    content.truncate(0)
    content.write(0, b"y" * 20)
    assert content.changed
    assert not content.must_clear()
    content.truncate(10)
    assert not content.must_clear()
    content.write(10, b"z" * 4)
    content.write(15, b"z")
    assert content.must_clear()


def test_a_cut_during_the_resize_is_noticed():
    content = FileContent(20)
    content.write(20, b"x" * 10)
    cuts = content.truncations
    content.truncate(3)
    content.truncate(30)
    content.resized(30, cuts)
    assert sizes(content) == (30, 30, 3)
    assert content.must_clear()


def test_adopting_what_the_share_says():
    content = FileContent(20, "one")
    content.fill(0, memoryview(b"x" * 20))
    epoch = content.epoch
    content.adopt(20, "one")
    assert content.cached
    assert content.epoch == epoch
    content.adopt(9, "two")
    assert sizes(content) == (9, 9, 9)
    assert content.epoch > epoch
    assert content.first_gap(0, 9) == (0, 9)


@pytest.mark.parametrize("reason", ["no etag", "not continuous"])
def test_what_cannot_be_told_is_not_kept(reason):
    content = FileContent(20, None if reason == "no etag" else "one")
    content.fill(0, memoryview(b"x" * 20))
    content.continuous = reason == "no etag"
    content.adopt(20, content.etag)
    assert not content.cached
    assert content.continuous


def test_changes_of_ours_are_not_given_up_for_what_the_share_says():
    content = FileContent(20, "one")
    content.write(0, b"mine")
    assert content.adopt(99, "two") == []
    assert sizes(content) == (20, 20, 20)
    assert content.etag == "one"
    content.truncate(7)
    content.adopt(99, "two")
    assert content.size == 7


def test_forgetting_keeps_what_is_dirty():
    content = FileContent(BLOCK)
    content.fill(0, memoryview(b"x" * BLOCK))
    content.write(3, b"mine")
    content.forget_clean()
    assert bytes(content.read(0, 10)) == b"\0\0\0mine\0\0\0"
    assert content.first_gap(0, 10) == (0, 3)
    assert content.first_gap(3, 10) == (7, 10)


def test_a_gap_never_crosses_a_block():
    content = FileContent(3 * BLOCK)
    assert content.first_gap(5, 3 * BLOCK) == (5, BLOCK)
    content.fill(5, memoryview(bytes(BLOCK - 5)))
    assert content.first_gap(5, 3 * BLOCK) == (BLOCK, 2 * BLOCK)
    assert content.first_gap(3 * BLOCK, 4 * BLOCK) is None


def test_a_pass_that_sets_no_length_brings_nothing_back():
    content = FileContent(40)
    content.truncate(0)
    content.write(0, b"x")
    content.resized(40, content.truncations)  # left alone: the file still grows
    content.write(20, b"y")
    assert content.first_gap(0, 21) is None
    assert bytes(content.read(0, 21)) == b"x" + bytes(19) + b"y"


def test_bytes_past_a_cut_wait_until_the_share_was_told_of_it():
    content = FileContent()
    cuts = content.truncations
    content.write(0, b"x" * 20)
    content.truncate(0)
    content.write(0, b"y" * 10)
    content.resized(20, cuts)
    assert content.take() == []
    assert not content.must_clear()
    content.resized(10, content.truncations)
    assert spans(content.take()) == [(0, 10)]
