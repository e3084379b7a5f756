"""When reads are taken for sequential, and how far ahead of them is fetched."""

from hypothesis import given
from hypothesis import strategies as st

from azfuse.cache.content import BLOCK_SIZE
from azfuse.cache.readahead import PAGE, REORDER, Readahead

KIB = 1024
MIB = 1024 * KIB
SIZE = 1024 * MIB
LIMIT = 32 * MIB


def read_through(readahead, start, stop, step=128 * KIB):
    """Read `[start, stop)` in steps; return the blocks that were to be fetched ahead, each time."""
    ahead = []
    for offset in range(start, stop, step):
        readahead.note(offset, offset + step, SIZE)
        ahead.append(readahead.ahead(offset + step, SIZE))
    return ahead


def test_reading_on_from_the_start_fetches_more_and_more():
    widths = [len(blocks) for blocks in read_through(Readahead(LIMIT), 0, 40 * MIB)]
    assert widths == sorted(widths)
    assert widths[0] == 0
    assert widths[-1] == LIMIT // BLOCK_SIZE


def test_a_small_file_read_at_once_fetches_nothing_ahead():
    readahead = Readahead(LIMIT)
    readahead.note(0, 100 * KIB, 100 * KIB)
    assert not readahead.ahead(100 * KIB, 100 * KIB)


def test_one_page_at_the_start_of_a_large_file_says_nothing_yet():
    """What a program does that looks for a magic number, or reads at random from offset 0."""
    readahead = Readahead(LIMIT)
    readahead.note(0, 4 * KIB, SIZE)
    assert not readahead.sequential
    readahead.note(4 * KIB, 132 * KIB, SIZE)
    assert readahead.sequential


def test_a_small_file_is_fetched_as_a_whole():
    readahead = Readahead(LIMIT)
    readahead.note(0, 4 * KIB, MIB)
    assert readahead.wanted(0, 4 * KIB, MIB) == (0, MIB)


def test_reading_on_from_the_middle_becomes_sequential():
    readahead = Readahead(LIMIT)
    readahead.note(500 * MIB, 500 * MIB + 128 * KIB, SIZE)
    assert not readahead.sequential
    readahead.note(500 * MIB + 128 * KIB, 500 * MIB + 256 * KIB, SIZE)
    assert readahead.sequential


def test_jumping_about_stays_random():
    readahead = Readahead(LIMIT)
    for step in range(1, 100):
        offset = step * 7919 * 64 * KIB % SIZE
        readahead.note(offset, offset + 4 * KIB, SIZE)
        assert not readahead.sequential
        assert not readahead.ahead(offset + 4 * KIB, SIZE)
        first, last = readahead.wanted(offset, offset + 4 * KIB, SIZE)
        assert last - first <= 2 * 4 * KIB


def test_a_jump_ends_what_was_sequential():
    readahead = Readahead(LIMIT)
    read_through(readahead, 0, 20 * MIB)
    assert readahead.sequential
    readahead.note(700 * MIB, 700 * MIB + 4 * KIB, SIZE)
    assert not readahead.sequential


def test_reads_that_the_kernel_sent_out_of_order_stay_sequential():
    readahead = Readahead(LIMIT)
    read_through(readahead, 0, 10 * MIB)
    readahead.note(10 * MIB + 256 * KIB, 10 * MIB + 384 * KIB, SIZE)
    readahead.note(10 * MIB, 10 * MIB + 128 * KIB, SIZE)
    readahead.note(10 * MIB + 128 * KIB, 10 * MIB + 256 * KIB, SIZE)
    assert readahead.sequential


reads = st.lists(st.tuples(st.integers(0, 40 * MIB), st.integers(1, MIB)), max_size=40)


@given(reads, st.integers(0, 64 * MIB), st.integers(1, 40 * MIB))
def test_what_holds_for_any_reads(pattern, limit, size):
    readahead = Readahead(limit)
    for start, length in pattern:
        end = min(start + length, size)
        if start >= end:
            continue
        readahead.note(start, end, size)
        first, last = readahead.wanted(start, end, size)
        assert first <= start
        assert end <= last <= size
        if not readahead.sequential:
            assert first % PAGE == 0
            assert last - first < (end - start) + 2 * PAGE
        ahead = readahead.ahead(end, size)
        assert len(ahead) * BLOCK_SIZE <= max(limit, BLOCK_SIZE)
        assert all(end // BLOCK_SIZE <= block <= (size - 1) // BLOCK_SIZE for block in ahead)


def test_out_of_order_means_within_what_the_kernel_reads_ahead():
    readahead = Readahead(LIMIT)
    read_through(readahead, 0, 20 * MIB)
    readahead.note(20 * MIB + REORDER + 1, 21 * MIB + REORDER, SIZE)
    assert not readahead.sequential
