"""Blocks against a plain model: one entry a byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from azfuse.cache import segments
from azfuse.cache.segments import Block

SPACE = 96  # offsets that the machine plays with
GATHER = 8

offsets = st.integers(0, SPACE - 1)
spans = st.tuples(offsets, st.integers(1, 24)).map(lambda pair: (pair[0], min(sum(pair), SPACE)))
fills = st.integers(1, 255)


class BlockMachine(RuleBasedStateMachine):
    """Each position is None (unknown) or (byte, dirty, flight)."""

    def __init__(self):
        super().__init__()
        self.limit, segments.GATHER_LIMIT = segments.GATHER_LIMIT, GATHER  # type: ignore[misc]
        self.block = Block()
        self.model: list[tuple[int, bool, int] | None] = [None] * SPACE
        self.flights = 0
        self.views: list[tuple[memoryview, bytes]] = []

    def teardown(self):
        segments.GATHER_LIMIT = self.limit  # type: ignore[misc]

    @rule(span=spans, value=fills, kind=st.sampled_from([bytes, bytearray, memoryview]))
    def write(self, span, value, kind):
        first, last = span
        self.block.write(first, kind(bytes([value]) * (last - first)))
        self.model[first:last] = [(value, True, 0)] * (last - first)

    @rule(start=offsets, values=st.lists(fills, min_size=2, max_size=12))
    def append_bytes(self, start, values):
        """Write as programs that write little do: byte after byte."""
        for position, value in enumerate(values, start):
            if position < SPACE:
                self.write((position, position + 1), value, bytes)

    @rule(span=spans, value=fills)
    def fill(self, span, value):
        first, last = span
        self.block.fill(first, memoryview(bytes([value]) * (last - first)))
        for position in range(first, last):
            if self.model[position] is None:
                self.model[position] = (value, False, 0)

    @rule(span=spans)
    def cut(self, span):
        self.block.cut(*span)
        self.model[slice(*span)] = [None] * (span[1] - span[0])

    @rule(offset=offsets)
    def split(self, offset):
        self.block.split(offset)
        assert not any(s.start < offset < s.end for s in self.block.segments)

    @rule(span=spans)
    def send(self, span):
        """Mark the dirty bytes of a span as in flight, as an upload does."""
        self.flights += 1
        self.block.split(span[0])
        self.block.split(span[1])
        for segment in self.block.overlapping(*span):
            if segment.dirty and not segment.flight:
                segment.flight = self.flights
                for position in range(segment.start, segment.end):
                    entry = self.model[position]
                    assert entry is not None
                    self.model[position] = (entry[0], entry[1], self.flights)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def settle(self, data):
        flight = data.draw(st.integers(1, self.flights))
        self.block.settle(flight, 0, SPACE)
        self.model = [
            (entry[0], False, 0) if entry and entry[2] == flight else entry for entry in self.model
        ]

    @rule()
    def drop_clean(self):
        self.block.drop_clean()
        self.model = [entry if entry and entry[1] else None for entry in self.model]

    @precondition(lambda self: self.block.segments)
    @rule(data=st.data())
    def look(self, data):
        """Hold on to a view, as a reader or an upload does; it must not change."""
        segment = data.draw(st.sampled_from(self.block.segments))
        if segment.flight or not isinstance(segment.data, bytearray):
            view = segment.view(segment.start, segment.end)
            self.views.append((view, bytes(view)))

    @rule()
    def look_away(self):
        self.views.clear()

    @rule(span=spans)
    def gaps(self, span):
        unknown = {p for first, last in self.block.gaps(*span) for p in range(first, last)}
        assert unknown == {p for p in range(*span) if self.model[p] is None}

    @invariant()
    def agrees(self):
        known: list[tuple[int, bool, int] | None] = [None] * SPACE
        last = -1
        for segment in self.block.segments:
            assert segment.start >= last, "out of order or overlapping"
            assert len(segment.data), "empty"
            last = segment.end
            for position, value in enumerate(bytes(segment.data), segment.start):
                known[position] = (value, segment.dirty, segment.flight)
        assert known == self.model
        assert self.block.total_bytes == sum(entry is not None for entry in known)
        assert self.block.dirty_bytes == sum(bool(entry and entry[1]) for entry in known)

    @invariant()
    def views_stay(self):
        assert all(bytes(view) == content for view, content in self.views)


TestBlock = BlockMachine.TestCase
TestBlock.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_small_appends_are_gathered_in_one_segment():
    block = Block()
    for position in range(1000):
        block.write(position, b"x")
    assert len(block.segments) == 1
    assert block.total_bytes == block.dirty_bytes == 1000


def test_an_append_while_somebody_reads_does_not_fail():
    block = Block()
    block.write(0, b"abc")
    view = block.segments[0].view(0, 3)
    block.write(3, b"def")
    assert bytes(view) == b"abc"
    assert b"".join(bytes(s.data) for s in block.segments) == b"abcdef"


def test_large_writes_keep_the_very_buffer():
    data = b"x" * (segments.GATHER_LIMIT + 1)
    block = Block()
    block.write(0, data)
    assert block.segments[0].data is data


def test_bytes_in_flight_are_not_written_into():
    block = Block()
    block.write(0, b"abcdef")
    block.segments[0].flight = 1
    carried = block.segments[0].data
    block.write(2, b"XY")
    assert bytes(carried) == b"abcdef"
    block.settle(1, 0, 6)
    assert [(bytes(s.data), s.dirty) for s in block.segments] == [
        (b"ab", False), (b"XY", True), (b"ef", False),
    ]  # fmt: skip


@given(st.lists(st.tuples(spans, fills), max_size=30))
def test_overlapping_yields_what_touches_and_no_more(writes):
    block = Block()
    for (first, last), value in writes:
        block.write(first, bytes([value]) * (last - first))
    for first in range(0, SPACE, 7):
        last = first + 5
        expected = [s for s in block.segments if s.start < last and s.end > first]
        assert list(block.overlapping(first, last)) == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_writer_may_reuse_a_small_buffer(kind):
    source = bytearray(b"abc")
    block = Block()
    block.write(0, kind(source))
    source[:] = b"xyz"
    assert bytes(block.segments[0].data) == b"abc"
