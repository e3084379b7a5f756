"""News for the kernel: what is said at once, what waits for a thread, what is left unsaid."""

import threading

import pyfuse3
import pytest
import trio
import trio.testing

from azfuse.fuse import kernel as module
from azfuse.fuse.inodes import Inode
from azfuse.fuse.kernel import Kernel
from azfuse.fuse.posix import Posix


@pytest.fixture
def said(monkeypatch) -> list[tuple[object, ...]]:
    """What the kernel was told, in order."""
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        pyfuse3, "invalidate_inode", lambda number, attr: told.append((number, attr))
    )
    monkeypatch.setattr(
        pyfuse3, "invalidate_entry", lambda parent, name: told.append((parent, name))
    )
    return told


def inode(number: int, *, opened: bool = True) -> Inode:
    made = Inode(number, None, "file", Posix(0o100644, 0, 0, 0), None)
    made.lookups = 1
    made.file = object() if opened else None  # type: ignore[assignment]
    return made


def served(work) -> None:
    """Run *work* with a kernel that is being served."""

    async def main() -> None:
        kernel = Kernel()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kernel.run)
                await trio.testing.wait_all_tasks_blocked()
                await work(kernel)
                nursery.cancel_scope.cancel()

    trio.run(main)


async def until(what) -> None:
    while not what():
        await trio.lowlevel.checkpoint()


def test_nothing_is_said_while_nobody_listens(said):
    kernel = Kernel()
    kernel.forget_attributes(inode(5))
    kernel.forget_content(inode(5), resized=False)
    kernel.forget_name(inode(5), b"name")
    assert not said


def test_attributes_at_once_pages_and_names_later(said):
    async def work(kernel: Kernel) -> None:
        node = inode(5)
        node.aliases = {"FILE": 6}
        kernel.forget_content(node, resized=False)
        kernel.forget_content(node, resized=False)
        kernel.forget_name(inode(1), b"name")
        assert said == [(5, True), (6, True)] * 2
        await until(lambda: len(said) == 7)
        assert set(said[4:]) == {(5, False), (6, False), (1, b"name")}

    served(work)


def test_of_another_length_only_attributes_are_said(said):
    async def work(kernel: Kernel) -> None:
        node = inode(5)
        kernel.forget_content(node, resized=False)
        kernel.forget_content(node, resized=True)
        kernel.forget_content(inode(7, opened=False), resized=False)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert said == [(5, True), (5, True), (7, True)]

    served(work)


def test_what_the_kernel_just_asks_for_is_not_taken_back(said):
    async def work(kernel: Kernel) -> None:
        node, other = inode(5), inode(6)
        with kernel.answering(node):
            with kernel.answering(node):
                pass
            kernel.forget_attributes(node)
            kernel.forget_attributes(other)
        kernel.forget_attributes(node)
        assert said == [(6, True), (5, True)]

    served(work)


def test_a_call_that_has_to_wait_holds_up_neither_others_nor_the_end(said, monkeypatch):
    free = threading.Event()
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    monkeypatch.setattr(pyfuse3, "invalidate_entry", lambda parent, name: free.wait(5) and None)

    async def work(kernel: Kernel) -> None:
        for number in range(3):
            kernel.forget_name(inode(1), b"name%d" % number)
        kernel.forget_content(inode(5), resized=False)
        await until(lambda: (5, False) in said)

    try:
        served(work)
    finally:
        free.set()
