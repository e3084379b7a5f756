"""Which process has a file open."""

import os
from contextlib import ExitStack

from azfuse.fuse.descriptors import MOST_DESCRIPTORS, holds


def test_what_a_process_has_open(tmp_path):
    path = tmp_path / "file"
    path.touch()
    number = path.stat().st_ino
    assert not holds(os.getpid(), number)
    with path.open():
        assert holds(os.getpid(), number)
    assert not holds(os.getpid(), number)


def test_nobody_is_asked_about_thousands(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with ExitStack() as stack:
        for _ in range(MOST_DESCRIPTORS + 1):
            stack.enter_context(path.open())
        assert not holds(os.getpid(), path.stat().st_ino)


def test_a_process_that_is_gone(tmp_path):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert not holds(child, tmp_path.stat().st_ino)
