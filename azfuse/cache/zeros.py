"""Zeros need not travel: what of a dirty run is put, what is cleared, what is there already.

Pure decisions. The share holds zeros wherever nothing was ever written, and a
clear makes zeros of any number of bytes in one request without a body. Requests
are what is paid for, so leaving zeros out never takes more of them than sending
everything would.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

#: How a piece reaches the share: its bytes are put, it is cleared, or it is zero there already.
How = Literal["put", "clear", "skip"]

#: Zeros between data are looked for from this length on: putting what is before and after
#: them by itself may cost a request more.
LONG_RUN: Final = 1024 * 1024
#: Step and resolution of that search, a fraction of `LONG_RUN`.
GRAIN: Final = 64 * 1024
#: Resolution at which zeros at the ends of a chunk are cut off, and the least that is cleared.
PAGE: Final = 4096

_ZEROS: Final = bytes(GRAIN)

IsZero = Callable[[int, int], bool]


class Piece(NamedTuple):
    """A part of a dirty run, and how it reaches the share."""

    start: int
    end: int
    how: How


def is_blank(data: memoryview) -> bool:
    """Return True if *data* is all zeros. Ordinary data is told by its first or last byte."""
    length = len(data)
    if data[0] or data[-1] or data[length // 2]:
        return False
    for position in range(0, length, len(_ZEROS)):
        # Only `bytes` are compared as memory; a memoryview would be compared item by item.
        part = bytes(data[position : position + len(_ZEROS)])
        if part != (_ZEROS if len(part) == len(_ZEROS) else _ZEROS[: len(part)]):
            return False
    return True


def plan(start: int, stop: int, hole_from: int, longest: int, is_zero: IsZero) -> Iterator[Piece]:
    """Yield the pieces of the dirty run `[start, stop)`, in order.

    *hole_from* is the offset from which the share is known to read as zeros,
    *longest* the most bytes that one request may put. `is_zero(first, last)` says
    if a part of the run is all zeros.
    """
    if is_zero(start, stop):
        yield from _zeros(start, stop, hole_from)
        return
    runs = sorted(_long_runs(start, stop, is_zero), key=lambda run: run[0] - run[1])
    most = _requests(start, stop, longest)
    while runs and _cost(start, stop, runs, hole_from, longest) > most:
        runs.pop()  # the shortest one travels
    position = start
    for first, last in [*sorted(runs), (stop, stop)]:
        for chunk in range(position, first, longest):
            yield from _trimmed(chunk, min(chunk + longest, first), hole_from, is_zero)
        yield from _zeros(first, last, hole_from)
        position = last


def without_tail(start: int, end: int, is_zero: IsZero) -> int:
    """Return where `[start, end)` ends without the zeros at its end, to a page."""
    while end > start:
        page = max((end - 1) // PAGE * PAGE, start)
        if not is_zero(page, end):
            break
        end = page
    return end


def _zeros(start: int, end: int, hole_from: int) -> Iterator[Piece]:
    edge = min(max(start, hole_from), end)
    if start < edge:
        yield Piece(start, edge, "clear" if edge - start >= PAGE else "put")
    if edge < end:
        yield Piece(edge, end, "skip")


def _trimmed(start: int, end: int, hole_from: int, is_zero: IsZero) -> Iterator[Piece]:
    """Yield a chunk, without the zeros at its ends where the share has them already."""
    if is_zero(start, end):
        yield from _zeros(start, end, hole_from)
        return
    first = start
    while first >= hole_from and is_zero(first, min((first // PAGE + 1) * PAGE, end)):
        first = (first // PAGE + 1) * PAGE
    last = without_tail(max(first, hole_from), end, is_zero) if end > hole_from else end
    if start < first:
        yield Piece(start, first, "skip")
    yield Piece(first, last, "put")
    if last < end:
        yield Piece(last, end, "skip")


def _long_runs(start: int, stop: int, is_zero: IsZero) -> Iterator[tuple[int, int]]:
    """Yield the runs of at least `LONG_RUN` zeros, each to a `GRAIN`.

    Half a run further there is always another sample of it, so that two bytes in
    a million are looked at where there are none.
    """
    step = LONG_RUN // 2
    known = start
    sample = -(-start // step) * step
    while sample < stop:
        first, last = sample, min(sample + GRAIN, stop)
        if is_zero(first, last):
            while first > known and is_zero(max(first - GRAIN, known), first):
                first = max(first - GRAIN, known)
            while last < stop and is_zero(last, min(last + GRAIN, stop)):
                last = min(last + GRAIN, stop)
            if last - first >= LONG_RUN:
                yield first, last
            known = last
        sample = -(-max(last, sample + 1) // step) * step


def _requests(start: int, end: int, longest: int) -> int:
    return -(-(end - start) // longest)


def _cost(start: int, stop: int, runs: list[tuple[int, int]], hole_from: int, longest: int) -> int:
    """Return the requests that it takes if *runs* are not put."""
    total, position = 0, start
    for first, last in sorted(runs):
        total += _requests(position, first, longest) + (first < hole_from)
        position = last
    return total + _requests(position, stop, longest)
