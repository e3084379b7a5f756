"""The bytes of one block: segments that are clean or dirty, never overlapping.

Pure state, no I/O. Offsets are absolute positions in the file. A segment keeps
the very buffer it was given (the bytes of a write, the buffer of a download),
so nothing is copied on the way from the kernel to the wire; only small writes
are gathered in buffers that grow.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

Buffer = bytes | bytearray | memoryview

#: Writes up to this size are copied into a growing buffer, larger ones are kept as they are.
#: A copy of 64 KiB costs a few microseconds, about as much as one more segment to walk.
GATHER_LIMIT: Final = 64 * 1024

_start = attrgetter("start")


@dataclass(slots=True, eq=False)
class Segment:
    """A run of known bytes. `flight` is the number of the upload that carries it, 0 if none.

    `uploaded` bytes are clean because the share acknowledged them: a download that
    is still under way may carry what was there before. `journaled` bytes are on their
    way to the journal or there: they are replaced, never changed.
    """

    start: int
    data: Buffer
    dirty: bool
    flight: int = 0
    uploaded: bool = False
    journaled: bool = False

    @property
    def end(self) -> int:
        """Offset just past the last byte."""
        return self.start + len(self.data)

    def view(self, start: int, end: int) -> memoryview:
        """Return the bytes of `[start, end)` without copying them."""
        return memoryview(self.data)[start - self.start : end - self.start]


class Block:
    """Known bytes within one block of a file, in order of offset."""

    __slots__ = ("ahead_bytes", "dirty_bytes", "segments", "total_bytes")

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        #: Known bytes, and those of them that the share has not acknowledged.
        self.total_bytes = 0
        self.dirty_bytes = 0
        #: Bytes that were read ahead, as long as nobody has read any of the block.
        self.ahead_bytes = 0

    def overlapping(self, start: int, end: int) -> Iterator[Segment]:
        """Yield the segments that have bytes in `[start, end)`, in order."""
        for position in range(self._at_or_after(start), len(self.segments)):
            segment = self.segments[position]
            if segment.start >= end:
                return
            yield segment

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of `[start, end)` that are not known, in order."""
        for segment in self.overlapping(start, end):
            if segment.start > start:
                yield start, segment.start
            start = segment.end
        if start < end:
            yield start, end

    def write(self, start: int, data: Buffer) -> None:
        """Put dirty bytes over whatever was known of their range."""
        if self._write_in_place(start, data):
            return
        self.cut(start, start + len(data))
        kept = bytearray(data) if len(data) <= GATHER_LIMIT else data
        self._insert(Segment(start, kept, dirty=True))

    def fill(self, start: int, data: memoryview) -> None:
        """Add clean bytes where nothing is known; what is known already stays."""
        for first, last in list(self.gaps(start, start + len(data))):
            self._insert(Segment(first, data[first - start : last - start], dirty=False))

    def cut(self, start: int, end: int) -> None:
        """Forget `[start, end)`, dirty or not."""
        position = self._at_or_after(start)
        kept: list[Segment] = []
        stop = position
        for segment in self.overlapping(start, end):
            stop += 1
            self._count(segment, -(min(segment.end, end) - max(segment.start, start)))
            if segment.start < start:
                kept.append(self._part(segment, segment.start, start))
            if segment.end > end:
                kept.append(self._part(segment, end, segment.end))
        self.segments[position:stop] = kept

    def split(self, offset: int) -> None:
        """Make *offset* a border between segments if it lies within one."""
        position = self._at_or_after(offset)
        if position < len(self.segments) and self.segments[position].start < offset:
            segment = self.segments[position]
            self.segments[position : position + 1] = [
                self._part(segment, segment.start, offset),
                self._part(segment, offset, segment.end),
            ]

    def drop_clean(self) -> bool:
        """Forget everything that the share can give again; say if any of it was uploaded here."""
        uploaded = any(segment.uploaded for segment in self.segments)
        self.segments = [segment for segment in self.segments if segment.dirty]
        self.total_bytes = self.dirty_bytes
        self.ahead_bytes = 0
        return uploaded

    def settle(self, flight: int, start: int, end: int) -> None:
        """Make the bytes of `[start, end)` that upload *flight* carried clean."""
        for segment in self.overlapping(start, end):
            if segment.flight == flight:
                self._count(segment, -len(segment.data))
                segment.dirty = False
                segment.uploaded = True
                segment.flight = 0
                self._count(segment, len(segment.data))

    def _count(self, segment: Segment, length: int) -> None:
        self.total_bytes += length
        if segment.dirty:
            self.dirty_bytes += length

    def _at_or_after(self, offset: int) -> int:
        """Return the position of the first segment that ends after *offset*."""
        position = bisect_right(self.segments, offset, key=_start)
        if position and self.segments[position - 1].end > offset:
            return position - 1
        return position

    def _insert(self, segment: Segment) -> None:
        self.segments.insert(bisect_right(self.segments, segment.start, key=_start), segment)
        self._count(segment, len(segment.data))

    @staticmethod
    def _part(segment: Segment, start: int, end: int) -> Segment:
        view = segment.view(start, end)
        return Segment(
            start, view, segment.dirty, segment.flight, segment.uploaded, segment.journaled
        )

    def _write_in_place(self, start: int, data: Buffer) -> bool:
        """Write into, or append to, a growing buffer; say whether that was possible.

        Bytes in flight, and on their way to the journal, are left alone: somebody may
        still be reading them.
        """
        position = bisect_right(self.segments, start, key=_start) - 1
        if position < 0 or len(data) > GATHER_LIMIT:
            return False
        segment = self.segments[position]
        buffer = segment.data
        if not (isinstance(buffer, bytearray) and segment.dirty):
            return False
        if segment.flight or segment.journaled:
            return False
        end = start + len(data)
        if start > segment.end:
            return False
        if end > segment.end:
            following = position + 1
            if following < len(self.segments) and self.segments[following].start < end:
                return False
            before = len(buffer)
            try:
                del buffer[start - segment.start :]
                buffer += data
            except BufferError:  # somebody still reads the buffer: it cannot grow just now
                return False
            self._count(segment, len(buffer) - before)
            return True
        with memoryview(buffer) as view:
            view[start - segment.start : end - segment.start] = data
        return True
