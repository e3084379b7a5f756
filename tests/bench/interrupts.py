"""Ctrl-C and SIGTERM: they end the bench, but never between a start and what will clean up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _State:
    """What is on: how many blocks hold signals back, and whether one came meanwhile."""

    holds = 0
    pending = False


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _State.holds:
        _State.pending = True
    else:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Have both signals raise KeyboardInterrupt in the block, wherever it is not held back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Keep KeyboardInterrupt back until the end of the block."""
    _State.holds += 1
    try:
        yield
    finally:
        _State.holds -= 1
        if _State.pending and not _State.holds:
            _State.pending = False
            raise KeyboardInterrupt
