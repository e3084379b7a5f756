"""Which zeros travel: what holds for any bytes, and the cases that were in mind."""

from contextlib import ExitStack
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azfuse.cache import zeros
from azfuse.cache.content import BLOCK_SIZE, FileContent
from azfuse.cache.zeros import Piece, is_blank, plan, without_tail

KIB = 1024
MIB = 1024 * KIB
NOTHING_KNOWN = 1 << 42

#: Runs of one byte: many zeros, some of them long.
runs = st.lists(st.tuples(st.sampled_from([0, 0, 1]), st.integers(1, 40)), min_size=1, max_size=12)


@given(runs, st.integers(0, 30), st.one_of(st.integers(0, 200), st.just(NOTHING_KNOWN)))
@settings(max_examples=500, deadline=None)
def test_whatever_is_left_out_is_zero_and_costs_nothing(spans, start, hole_from):
    data = b"".join(bytes([value]) * length for value, length in spans)
    stop = start + len(data)
    with ExitStack() as stack:
        for name, size in (("LONG_RUN", 16), ("GRAIN", 4), ("PAGE", 2)):
            stack.enter_context(mock.patch.object(zeros, name, size))
        pieces = list(
            plan(start, stop, hole_from, 32, lambda a, b: not any(data[a - start : b - start]))
        )
    assert [piece.start for piece in pieces] == [start, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == stop
    for piece in pieces:
        assert piece.start < piece.end
        if piece.how == "put":
            assert piece.end - piece.start <= 32
        else:
            assert not any(data[piece.start - start : piece.end - start])
        if piece.how == "skip":
            assert piece.start >= hole_from
    assert sum(piece.how != "skip" for piece in pieces) <= -(-len(data) // 32)


def pieces_of(data: bytes, hole_from: int, start: int = 0) -> list[tuple[int, int, str]]:
    """Return the plan for *data*, written in pieces as the kernel does, in KiB."""
    content = FileContent(start)
    for position in range(0, len(data), MIB):
        content.write(start + position, data[position : position + MIB])
    content.resized(content.size, 0)
    content.hole_from = hole_from
    found = [(c.start / KIB, c.end / KIB, c.how) for c in content.take(holes=True)]
    assert all(first % 1 == last % 1 == 0 for first, last, _ in found)
    return [(int(first), int(last), how) for first, last, how in found]


X = b"x" * MIB
O = bytes(MIB)  # noqa: E741 # it looks like what it is


@pytest.mark.parametrize(
    ("data", "hole_from", "expected"),
    [
        (9 * O, 0, [(0, 9216, "skip")]),
        (9 * O, NOTHING_KNOWN, [(0, 9216, "clear")]),
        (9 * O, 2 * MIB, [(0, 2048, "clear"), (2048, 9216, "skip")]),
        (O[: 4 * KIB], NOTHING_KNOWN, [(0, 4, "clear")]),
        (O[: 2 * KIB], NOTHING_KNOWN, [(0, 2, "put")]),
        (O[: 2 * KIB], 0, [(0, 2, "skip")]),
        (3 * X + O, 0, [(0, 3072, "put"), (3072, 4096, "skip")]),
        (O + 3 * X, 0, [(0, 1024, "skip"), (1024, 4096, "put")]),
        # over data a clear beside the put would be one request more
        (3 * X + O, NOTHING_KNOWN, [(0, 4096, "put")]),
        (4 * X + 3 * O + 4 * X, 0, [(0, 4096, "put"), (4096, 7168, "skip"), (7168, 11264, "put")]),
        (4 * X + 5 * O + 4 * X, NOTHING_KNOWN,
         [(0, 4096, "put"), (4096, 9216, "clear"), (9216, 13312, "put")]),
        # two requests, whichever way; and one would do
        (2 * X + 3 * O + X, 0, [(0, 2048, "put"), (2048, 5120, "skip"), (5120, 6144, "put")]),
        (X + 2 * O + X, 0, [(0, 4096, "put")]),
        # a border of chunks in the middle of too few zeros to be looked for
        (4 * X[: -100 * KIB] + O[: 400 * KIB] + X, 0,
         [(0, 3696, "put"), (3696, 4096, "skip"), (4096, 5120, "put")]),
    ],
)  # fmt: skip
def test_plans(data, hole_from, expected):
    assert pieces_of(data, hole_from) == expected


def test_the_shortest_of_several_runs_travels():
    data = 2 * X + 2 * O + 2 * X + O + X
    assert pieces_of(data, 0) == [(0, 2048, "put"), (2048, 4096, "skip"), (4096, 8192, "put")]


def test_data_is_told_from_zeros_by_looking_at_very_little():
    looked_at = []

    def is_zero(start, end):
        looked_at.append((start, end))
        return False

    assert list(plan(0, BLOCK_SIZE, 0, BLOCK_SIZE, is_zero)) == [Piece(0, BLOCK_SIZE, "put")]
    assert len(looked_at) <= 12


@pytest.mark.parametrize("length", [1, 2, 3, 4096, 64 * KIB, 64 * KIB + 1, 200 * KIB])
def test_blank(length):
    assert is_blank(memoryview(bytes(length)))
    for position in {0, length // 3, length // 2, length - 1}:
        data = bytearray(length)
        data[position] = 1
        assert not is_blank(memoryview(data))


@pytest.mark.parametrize(
    ("data", "end"), [(b"x" * 5000, 5000), (b"x" + bytes(9000), 4096), (bytes(9000), 0)]
)
def test_tails(data, end):
    assert without_tail(0, len(data), lambda a, b: not any(data[a:b])) == end


def test_a_new_file_is_created_without_the_zeros_at_its_end():
    content = FileContent()
    content.write(0, b"x" * 100 + bytes(MIB))
    head = content.take_head()
    assert head is not None
    assert (head.start, head.end) == (0, 4096)
    content.put_back(head)
    content.write(0, bytes(100))
    assert content.take_head() is None
