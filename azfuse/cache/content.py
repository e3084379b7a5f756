"""The content of one file as we know it: cached and dirty bytes, sizes, what to send next.

Pure state, no I/O: every decision that can be made without asking anyone.

Three lengths describe a file. `size` is what programs see. `remote_size` is the
length of the file on the share. `remote_end` (at most `remote_size`) bounds the
bytes on the share that are still part of the file: a truncation that was not
sent yet lowers it, and what lies beyond reads as zeros.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from azfuse.cache.segments import Block, Buffer, Segment
from azfuse.cache.zeros import How, Piece, is_blank, plan, without_tail
from azfuse.rest.wire import MAX_FILE_BYTES

#: Blocks are as large as the largest range request of the service.
BLOCK_SIZE: Final = 4 * 1024 * 1024

#: `remote_size` where the file may be longer than what we cut it to.
UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class Chunk:
    """Adjoining dirty bytes that one Put Range settles; at most one block if they travel."""

    start: int
    length: int
    flight: int
    segments: Sequence[Segment]
    how: How = "put"

    @property
    def end(self) -> int:
        """Offset just past the last byte."""
        return self.start + self.length


class FileContent:
    """Blocks and lengths of one file.

    `etag` is the ETag that the clean bytes are bound to. `continuous` is False
    once the file changed under another ETag than ours could account for: the
    clean bytes may still be read by who has the file open, but not past the next
    open. `epoch` counts the times that clean bytes were dropped or cut away, so
    that a download started before does not bring them back. `truncations` counts
    the cuts, so that an upload notices one. `own_changes` counts the changes we
    made ourselves, so that their ETags are not taken for foreign ones. From
    `hole_from` on the share reads as zeros, unless somebody wrote there under another
    ETag than `etag` and our own. `writes` counts the writes of programs. `exact`
    is False while bytes that were uploaded may have been overwritten by others before
    the ETag that they are bound to.
    """

    __slots__ = (
        "__weakref__", "_flights", "blocks", "continuous", "dirty_bytes", "epoch", "etag", "exact",
        "hole_from", "lowest", "own_changes", "remote_end", "remote_size", "size", "truncations",
        "writes",
    )  # fmt: skip

    def __init__(self, size: int = 0, etag: str | None = None) -> None:
        self.blocks: dict[int, Block] = {}
        self.size = self.remote_size = self.remote_end = self.hole_from = size
        #: The least length that programs saw since a create was begun.
        self.lowest = size
        self.etag = etag
        self.continuous = self.exact = True
        self.dirty_bytes = 0
        self.epoch = 0
        self.truncations = 0
        self.own_changes = 0
        self.writes = 0
        self._flights = 0

    @property
    def changed(self) -> bool:
        """True while the share does not have what programs see."""
        return bool(
            self.dirty_bytes or self.size != self.remote_size or self.remote_end < self.remote_size
        )

    @property
    def cached(self) -> bool:
        """True if any byte is in memory that the share could give as well."""
        return any(block.total_bytes > block.dirty_bytes for block in self.blocks.values())

    # -- what programs do ---------------------------------------------------------------

    def write(self, offset: int, data: Buffer) -> list[int]:
        """Put dirty bytes at *offset*; return the indexes of the blocks touched."""
        touched = []
        view = memoryview(data)
        position = offset
        while position < offset + len(data):
            index, within = divmod(position, BLOCK_SIZE)
            length = min(BLOCK_SIZE - within, offset + len(data) - position)
            block = self.blocks.setdefault(index, Block())
            before = block.dirty_bytes
            whole = length == len(data)
            first = position - offset
            block.write(position, data if whole else view[first : first + length])
            self.dirty_bytes += block.dirty_bytes - before
            touched.append(index)
            position += length
        self.size = max(self.size, offset + len(data))
        self.writes += 1
        return touched

    def truncate(self, size: int) -> list[int]:
        """Set the length that programs see; return the indexes of the blocks touched."""
        touched = []
        if size < self.size:
            self.epoch += 1
            self.truncations += 1
            for index in [i for i in self.blocks if (i + 1) * BLOCK_SIZE > size]:
                block = self.blocks[index]
                before = block.dirty_bytes
                block.cut(size, (index + 1) * BLOCK_SIZE)
                self.dirty_bytes += block.dirty_bytes - before
                touched.append(index)
            self.remote_end = min(self.remote_end, size)
            self.lowest = min(self.lowest, size)
        self.size = size
        return touched

    def first_gap(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first part of `[start, end)` that must be asked for, None if all is known.

        Gaps past `remote_end` are zeros and are not asked for. A gap never
        crosses a block's border.
        """
        end = min(end, self.remote_end)
        while start < end:
            index = start // BLOCK_SIZE
            stop = min(end, (index + 1) * BLOCK_SIZE)
            block = self.blocks.get(index)
            if block is None:
                return start, stop
            for gap in block.gaps(start, stop):
                return gap
            start = stop
        return None

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Return the bytes of `[start, end)`; what is not known reads as zeros.

        Only a read that crosses segments, or takes from a buffer that may yet
        grow, is copied.
        """
        index = start // BLOCK_SIZE
        if (end - 1) // BLOCK_SIZE == index and index in self.blocks:
            inside = list(self.blocks[index].overlapping(start, end))
            if len(inside) == 1 and inside[0].start <= start and end <= inside[0].end:
                view = inside[0].view(start, end)
                return bytes(view) if isinstance(inside[0].data, bytearray) else view
        result = bytearray(end - start)
        target = memoryview(result)
        for index in range(start // BLOCK_SIZE, (end - 1) // BLOCK_SIZE + 1):
            if (block := self.blocks.get(index)) is not None:
                for segment in block.overlapping(start, end):
                    first, last = max(start, segment.start), min(end, segment.end)
                    target[first - start : last - start] = segment.view(first, last)
        return target

    # -- what the share answers ---------------------------------------------------------

    def fill(self, start: int, data: memoryview) -> list[int]:
        """Keep downloaded bytes where nothing is known; return the blocks touched."""
        touched = []
        end = min(start + len(data), self.remote_end)
        position = start
        while position < end:
            index = position // BLOCK_SIZE
            stop = min(end, (index + 1) * BLOCK_SIZE)
            block = self.blocks.setdefault(index, Block())
            block.fill(position, data[position - start : stop - start])
            touched.append(index)
            position = stop
        return touched

    def forget_clean(self) -> list[int]:
        """Drop what the share can give again; return the indexes of the blocks touched."""
        touched = list(self.blocks)
        for index in touched:
            self.blocks[index].drop_clean()
        self.epoch += 1
        self.continuous = self.exact = True
        self.doubt_holes()
        return touched

    def adopt(self, size: int, etag: str | None) -> list[int]:
        """Take over what the share says of an unchanged file; return the blocks touched.

        Drops the clean bytes unless they are bound to that very ETag.
        """
        if self.changed:
            return []
        keep = self.continuous and etag is not None and etag == self.etag
        touched = [] if keep else self.forget_clean()
        self.etag = etag
        self.size = self.remote_size = self.remote_end = size
        self.ends_in_holes(size)
        return touched

    def learn_size(self, size: int) -> None:
        """Take notice that the file on the share is longer than was believed.

        What was cut off here, and not there yet, stays cut off.
        """
        if self.size == self.remote_size == self.remote_end < size:
            self.size = self.remote_size = self.remote_end = size
        self.doubt_holes()

    def ends_at(self, end: int) -> None:
        """Take notice that the share has no bytes past *end*: what is not known there is zeros."""
        self.remote_end = min(self.remote_end, end)

    def doubt_size(self) -> None:
        """Have the length sent with the next upload: the file may have grown since we asked."""
        self.remote_size = UNKNOWN
        self.doubt_holes()

    def ends_in_holes(self, end: int) -> None:
        """Take notice that nothing but zeros is on the share from *end* on."""
        self.hole_from = min(self.hole_from, end)

    def doubt_holes(self) -> None:
        """Take notice that others may have written, wherever it was."""
        self.hole_from = MAX_FILE_BYTES

    def give_up(self, size: int) -> None:
        """Forget what was not sent, once the bytes are dropped: the share has *size*, as known."""
        self.size = self.remote_size = self.remote_end = size
        self.etag = None
        self.epoch += 1
        self.truncations += 1

    # -- what to send -------------------------------------------------------------------

    def must_clear(self) -> bool:
        """True if the share holds bytes past `remote_end` that nothing dirty will cover."""
        stop = self.size if self.remote_size == UNKNOWN else min(self.remote_size, self.size)
        position = self.remote_end
        while position < stop:
            index = position // BLOCK_SIZE
            block = self.blocks.get(index)
            edge = min(stop, (index + 1) * BLOCK_SIZE)
            if block is None:
                return True
            for segment in block.overlapping(position, edge):
                if segment.start > position or not segment.dirty:
                    return True
                position = segment.end
            if position < edge:
                return True
        return False

    def created(self, size: int) -> None:
        """Note that the file is on the share now, *size* bytes long.

        `lowest` was set to that when the request was made: what was cut off since is on
        the share, and no longer part of the file. What lies before was sent along.
        """
        self.remote_size = size
        self.remote_end = min(self.lowest, size)

    def resized(self, size: int, truncations: int) -> None:
        """Note that the file on the share is *size* bytes long now.

        *truncations* is the counter's value when the size was decided: a cut made
        since has left bytes on the share that are no longer part of the file.
        """
        if truncations != self.truncations:
            self.remote_end = min(self.remote_end, size)
        elif size != self.remote_size:
            self.remote_end = size
        else:
            # Nothing was asked of the share: what was cut off may still be there, up to
            # where programs have written since.
            self.remote_end = min(max(self.remote_end, self.size), size)
        self.remote_size = size

    def take(self, *, whole_only: bool = False, holes: bool = False) -> list[Chunk]:
        """Take the dirty bytes that are not in flight yet, as chunks to send.

        Only bytes below `remote_end` can be sent: the service refuses those past the
        file's length, and past a cut that it was not told of they would be cleared with
        what was cut off. With *whole_only* only chunks of full length are taken: a run
        that still grows is left to grow. With *holes* what `hole_from` says is relied on.
        """
        hole_from = self.hole_from if holes else MAX_FILE_BYTES
        pieces: list[Piece] = []
        for first, last in self._dirty_runs():
            stop = min(last, self.remote_end)
            if whole_only:
                stop -= (stop - first) % BLOCK_SIZE
            if first < stop:
                pieces.extend(plan(first, stop, hole_from, BLOCK_SIZE, self._is_zero))
        return [self._take_chunk(*piece) for piece in pieces]

    def count_chunks(self) -> int:
        """Return how many requests the dirty bytes will take."""
        return sum(-(-(last - first) // BLOCK_SIZE) for first, last in self._dirty_runs())

    def only_zeros_left(self) -> bool:
        """Say if what is dirty and not in flight is nothing but zeros."""
        return all(self._is_zero(first, last) for first, last in self._dirty_runs())

    def take_head(self) -> Chunk | None:
        """Take the dirty bytes at the very beginning, at most a block of them, if any.

        Zeros at their end are left out: a new file has them anyway.
        """
        first, last = next(self._dirty_runs(), (0, 0))
        end = 0 if first else without_tail(0, min(last, BLOCK_SIZE), self._is_zero)
        return self._take_chunk(0, end) if end else None

    def sent(self, chunk: Chunk) -> None:
        """Note that the share has the bytes of *chunk*; bytes written since stay dirty."""
        for block in self._blocks_of(chunk):
            before = block.dirty_bytes
            block.settle(chunk.flight, chunk.start, chunk.end)
            self.dirty_bytes += block.dirty_bytes - before

    def put_back(self, chunk: Chunk) -> None:
        """Note that *chunk* did not reach the share."""
        for block in self._blocks_of(chunk):
            for segment in block.overlapping(chunk.start, chunk.end):
                if segment.flight == chunk.flight:
                    segment.flight = 0

    # -- what to keep on local disk -------------------------------------------------------

    def to_journal(self, *, everything: bool) -> list[tuple[int, Buffer]]:
        """Return the dirty runs that the journal lacks, in order, and count them as journaled.

        With *everything* also those that it has.
        """
        runs: list[tuple[int, Buffer]] = []
        for index in sorted(self.blocks):
            for segment in self.blocks[index].segments:
                if segment.dirty and (everything or not segment.journaled):
                    segment.journaled = True
                    runs.append((segment.start, segment.data))
        return runs

    def restore(
        self, size: int, remote_end: int, runs: Iterable[tuple[int, bytes]], *, cut: bool
    ) -> list[int]:
        """Take over what the journal kept of the file; return the indexes of the blocks touched.

        With *cut* the file was cut to *remote_end* first; otherwise it may have grown
        on the share since, and keeps that.
        """
        touched: list[int] = []
        if cut:
            touched += self.truncate(min(self.size, remote_end))
            self.doubt_size()
        for start, data in runs:
            touched += self.write(start, data)
        if size > self.size:
            self.truncate(size)
        return touched

    def _take_chunk(self, start: int, end: int, how: How = "put") -> Chunk:
        self._flights += 1
        segments = []
        for index in range(start // BLOCK_SIZE, (end - 1) // BLOCK_SIZE + 1):
            block = self.blocks[index]
            block.split(start)
            block.split(end)
            for segment in block.overlapping(start, end):
                segment.flight = self._flights
                segments.append(segment)
        if how == "put":
            # Whether it gets there or not.
            self.hole_from = max(self.hole_from, end)
        return Chunk(start, end - start, self._flights, segments, how)

    def _is_zero(self, start: int, end: int) -> bool:
        """Say whether the known bytes of `[start, end)` are all zeros."""
        for index in range(start // BLOCK_SIZE, (end - 1) // BLOCK_SIZE + 1):
            for segment in self.blocks[index].overlapping(start, end):
                if not is_blank(segment.view(max(start, segment.start), min(end, segment.end))):
                    return False
        return True

    def _dirty_runs(self) -> Iterator[tuple[int, int]]:
        """Yield the runs of adjoining dirty bytes that are not in flight, in order."""
        first = last = -1
        for index in sorted(self.blocks):
            for segment in self.blocks[index].segments:
                if not segment.dirty or segment.flight:
                    continue
                if segment.start != last:
                    if last > first:
                        yield first, last
                    first = segment.start
                last = segment.end
        if last > first:
            yield first, last

    def _blocks_of(self, chunk: Chunk) -> Iterator[Block]:
        for index in range(chunk.start // BLOCK_SIZE, (chunk.end - 1) // BLOCK_SIZE + 1):
            if (block := self.blocks.get(index)) is not None:
                yield block
