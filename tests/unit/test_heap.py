"""Freed memory goes back to the system when there is too much of it, and only then."""

import ctypes

from azfuse.cache.heap import Heap, resident_bytes, trim

MIB = 1024 * 1024


class Process:
    """A process of *resident* bytes of which a trim gives *gain* back."""

    def __init__(self, resident: int, gain: int) -> None:
        self.resident = resident
        self.gain = gain
        self.trims = 0

    def trim(self) -> None:
        self.trims += 1
        self.resident -= self.gain


def test_nothing_is_done_up_to_the_limit():
    process = Process(600 * MIB, 50 * MIB)
    Heap(600 * MIB, lambda: process.resident, process.trim).tidy()
    assert process.trims == 0


def test_it_is_trimmed_each_time_that_this_gives_much_back():
    process = Process(650 * MIB, 100 * MIB)
    heap = Heap(600 * MIB, lambda: process.resident, process.trim)
    heap.tidy()
    assert process.resident == 550 * MIB
    process.resident = 610 * MIB
    heap.tidy()
    assert process.trims == 2


def test_where_it_gives_little_back_it_is_not_tried_again_at_that_size():
    process = Process(800 * MIB, MIB)
    heap = Heap(600 * MIB, lambda: process.resident, process.trim)
    heap.tidy()
    heap.tidy()
    assert process.trims == 1
    process.resident = 900 * MIB
    heap.tidy()
    assert process.trims == 2


def test_this_process():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    # Below the threshold for mappings of their own, and every second one freed: gaps.
    pieces = [libc.malloc(ctypes.c_size_t(100_000)) for _ in range(2000)]
    for piece in pieces:
        ctypes.memset(piece, 1, 100_000)
    before = resident_bytes()
    for piece in pieces[::2]:
        libc.free(piece)
    trim()
    after = resident_bytes()
    for piece in pieces[1::2]:
        libc.free(piece)
    assert before - after > 50_000_000
