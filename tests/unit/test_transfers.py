"""Reader and write-back against a share whose answers come in any order, or not at all.

Hypothesis deals a list of actions; each one is carried out and the tasks run
until all of them wait for the share again. What a request does and its answer are
two separate actions, so everything may happen in between. Other writers too.
"""

import errno
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar, cast
from unittest import mock

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from azfuse.cache.blocks import BlockCache
from azfuse.cache.content import FileContent
from azfuse.cache.diskstore import Block, BlockKey, DiskStore
from azfuse.cache.disktier import DiskTier
from azfuse.cache.journal import Journal
from azfuse.cache.metadata import Facts
from azfuse.cache.readahead import Readahead
from azfuse.cache.reader import Reader
from azfuse.cache.transfers import Transfers
from azfuse.cache.writeback import CachedFile, WriteBack
from azfuse.rest.models import Body
from azfuse.rest.wire import FileAttributes, etag_of_time
from tests.unit.test_content import assert_sane

ResultT = TypeVar("ResultT")

BLOCK = 32
CAPACITY = 8 * BLOCK
LONGEST = 6 * BLOCK


class Waiting:
    """A request that waits: first to have its effect, then to be answered."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.outcome = "done"


class FakeRemote:
    """One file on a share. Every request waits twice, until the test lets it go on."""

    file_id = 1

    def __init__(self, data: bytes | None, *, takes_body: bool, leases: bool = False) -> None:
        self.data = bytearray(data or b"")
        self.leases = leases
        self.leased = False
        self.exists = data is not None
        self.takes_body = takes_body
        self.waiting: list[Waiting] = []
        self.clock = 10**18
        self.freely = False

    @property
    def etag(self) -> str:
        return etag_of_time(self.clock)

    def note(self) -> None:
        """Nothing is kept in a journal."""

    def changed(self) -> str:
        self.clock += 1000
        return self.etag

    async def _wait(self) -> str:
        if self.freely:
            await trio.lowlevel.checkpoint()
            return "done"
        request = Waiting()
        self.waiting.append(request)
        await request.event.wait()
        return request.outcome

    async def _request(self, effect: Callable[[], ResultT]) -> ResultT:
        if await self._wait() != "done":
            raise OSError(errno.EIO, "refused")
        result = effect()
        if await self._wait() != "done":
            raise OSError(errno.EIO, "the answer was lost")
        return result

    async def read_into(self, buffer: memoryview, offset: int) -> tuple[Facts, int]:
        def effect() -> tuple[Facts, int]:
            part = self.data[offset : offset + len(buffer)]
            buffer[: len(part)] = part
            facts = Facts("f", False, 1, len(self.data), self.etag, 0, 0, 0,
                          FileAttributes.NONE, None, None, 0.0)  # fmt: skip
            return facts, len(part)

        return await self._request(effect)

    async def create(self, size: int, body: Body | None, body_length: int) -> str:
        content = await self._bytes(body) if body is not None else b""
        assert len(content) == body_length

        def effect() -> str:
            self.data[:] = content.ljust(size, b"\0")[:size]
            return self.changed()

        etag = await self._request(effect)
        self.exists = True  # to who has the answer
        return etag

    async def resize(self, size: int) -> str:
        def effect() -> str:
            self.data[size:] = bytes(max(0, size - len(self.data)))
            return self.changed()

        return await self._request(effect)

    async def put_range(self, offset: int, length: int, body: Body) -> str:
        content = await self._bytes(body)
        assert len(content) == length

        def effect() -> str:
            if offset + length > len(self.data):
                raise OSError(errno.EINVAL, "InvalidRange")
            self.data[offset : offset + length] = content
            return self.changed()

        return await self._request(effect)

    async def clear_range(self, offset: int, length: int) -> str:
        def effect() -> str:
            if offset + length > len(self.data):
                raise OSError(errno.EINVAL, "InvalidRange")
            self.data[offset : offset + length] = bytes(length)
            return self.changed()

        return await self._request(effect)

    async def lease(self, requests: int, *, growing: bool) -> str | None:
        """Lease where `-o lease=auto` does; the lease ends with the upload that is final."""
        if not self.leases or (not self.leased and requests < 2 and not growing):
            await trio.lowlevel.checkpoint()
            return None

        def effect() -> str:
            self.leased = True
            return self.etag

        return await self._request(effect)

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        self.leased = False

    @staticmethod
    async def _bytes(body: Body) -> bytes:
        if isinstance(body, bytes):
            return body
        return b"".join([bytes(piece) async for piece in body()])


class MemoryStore:
    """What `DiskStore` is to the tier, without a disk."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], tuple[str, bytes]] = {}

    def numbers(self, file: str, etag: str) -> set[int]:
        return {n for (name, n), (tag, _) in self.kept.items() if (name, tag) == (file, etag)}

    def load(self, key: BlockKey, buffer: memoryview) -> bool:
        etag, data = self.kept.get((key.file, key.number), ("", b""))
        if (etag, len(data)) != (key.etag, len(buffer)):
            return False
        buffer[:] = data
        return True

    def store(self, blocks: list[Block]) -> list[Block]:
        for block in blocks:
            self.kept[block.key.file, block.key.number] = block.key.etag, b"".join(block.parts)
        return blocks

    def usage(self) -> tuple[int, int]:
        return len(self.kept), 0

    def sweep(self) -> int:
        return 0


class InlineTier(DiskTier):
    """A tier without threads, so that time stands still while it works."""

    def __init__(self) -> None:
        super().__init__(Path(), 0, "share")
        self._store = cast("DiskStore", MemoryStore())

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        await trio.lowlevel.checkpoint()
        return work()


class Scene:
    """One file, its caches and tasks, and what the bytes ought to be."""

    def __init__(
        self, nursery: trio.Nursery, *, new: bool, takes_body: bool, leases: bool, disk: bool
    ) -> None:
        start = None if new else b"A" * 40
        self.remote = FakeRemote(start, takes_body=takes_body, leases=leases)
        self.seen = bytearray(start or b"")
        #: When each byte was last written, cut or taken over, to tell what a task could see.
        self.stamps = [0] * len(self.seen)
        self.now = 0
        #: When others last wrote each byte.
        self.foreign: dict[int, int] = {}
        #: Others wrote since the file was last opened: what is read may be theirs or not.
        self.others = False
        self.nursery = nursery
        self.cache = BlockCache(CAPACITY, lambda content: None)
        self.content = FileContent(len(self.seen), self.remote.etag if start else None)
        self.file = CachedFile(self.content, self.remote)
        transfers = Transfers(16)
        tier = InlineTier() if disk else None
        if tier is not None:
            nursery.start_soon(tier.run)
        self.reader = Reader(self.cache, nursery, transfers, tier)
        journal = Journal(Path("never-used"), "test")
        self.writeback = WriteBack(self.cache, nursery, transfers, lambda: 0.0, 1e9, journal)
        self.tasks = 0
        if new:
            self.writeback.note(self.file)

    # -- actions --------------------------------------------------------------------------

    def write(self, offset: int, length: int, value: int) -> None:
        self.now += 1
        end = offset + length
        self._grow(end)
        self.seen[offset:end] = bytes([value]) * length
        self.stamps[offset:end] = [self.now] * length
        self.touch(self.content.write(offset, bytes([value]) * length))
        self.writeback.note(self.file)

    def truncate(self, size: int) -> None:
        self.now += 1
        if size == len(self.seen):
            return
        self._grow(size)
        del self.seen[size:], self.stamps[size:]
        self.touch(self.content.truncate(size))
        self.writeback.note(self.file)

    def others_write(self, offset: int, length: int, value: int) -> None:
        end = min(offset + length, len(self.remote.data))
        if self.remote.exists and offset < end and not self.remote.leased:
            self.now += 1
            self.remote.data[offset:end] = bytes([value]) * (end - offset)
            self.foreign.update(dict.fromkeys(range(offset, end), self.now))
            self.remote.changed()
            self.others = True

    def open(self) -> None:
        """Confirm what is cached, as a new open(2) does; see `fuse/files.py`."""
        content = self.content
        if not self.remote.exists or content.changed or self.file.lock.locked():
            return
        if not content.continuous:
            self.touch(content.forget_clean())
        self.touch(content.adopt(len(self.remote.data), self.remote.etag))
        self.reader.keep(content, self.remote)
        self.now += 1
        self.seen[:] = self.remote.data
        self.stamps = [self.now] * len(self.seen)
        # A file that we created in several requests without a lease is believed to have been
        # ours alone meanwhile, as long as it stays in memory.
        self.others = self.others and not content.exact

    def answer(self, number: int, outcome: str) -> None:
        if self.remote.waiting:
            request = self.remote.waiting.pop(number % len(self.remote.waiting))
            request.outcome = outcome
            request.event.set()

    def start(self, task: Callable[..., Awaitable[None]], *args: int) -> None:
        self.tasks += 1
        self.nursery.start_soon(task, *args)

    async def read(self, offset: int, length: int) -> None:
        began, others, size = self.now, self.others, len(self.seen)
        try:
            readahead = Readahead(4 * BLOCK)
            result = await self.reader.read(self.content, self.remote, readahead, offset, length)
        except OSError:
            return
        finally:
            self.tasks -= 1
        if others or self.others:
            return
        if size == len(self.seen):
            assert len(result) == max(0, min(length, size - offset))
        for position, value in enumerate(bytes(result), offset):
            if position < len(self.seen) and self.stamps[position] <= began:
                assert value == self.seen[position], f"byte {position} is not what was written"

    async def flush(self) -> None:
        began, stamps = self.now, list(self.stamps)
        try:
            await self.writeback.flush(self.file)
        except OSError:
            return
        finally:
            self.tasks -= 1
        self.check_share(began, stamps)

    def check_share(self, began: int, stamps: list[int]) -> None:
        """Check that what was written until *began* is on the share, if nobody wrote since."""
        for position, stamp in enumerate(stamps[: len(self.seen)]):
            ours = self.foreign.get(position, -1) < stamp
            if self.stamps[position] == stamp <= began and ours:
                assert self.remote.data[position] == self.seen[position], (
                    f"byte {position} was acknowledged and is not on the share"
                )

    # -- what always holds ------------------------------------------------------------------

    def check(self) -> None:
        content = self.content
        assert_sane(content, self.cache)
        assert content.size == len(self.seen) or self.others
        if self.others:
            return
        for block in content.blocks.values():
            for segment in block.segments:
                part = self.seen[segment.start : segment.end]
                assert segment.view(segment.start, segment.start + len(part)) == part

    async def finish(self) -> None:
        """Let everything go through; then all is on the share, and read from there."""
        self.remote.freely = True
        while self.remote.waiting:
            self.answer(0, "done")
        await trio.testing.wait_all_tasks_blocked()
        assert self.tasks == 0, "somebody waits for ever"
        for _ in range(3):
            await self.writeback.flush(self.file)
        assert not self.content.changed
        assert not self.writeback.pending
        self.check_share(self.now, self.stamps)
        if not self.others:
            assert self.remote.data == self.seen
            assert await self._all(self.content) == self.seen
        self.open()
        if not self.others:
            assert await self._all(self.content) == self.remote.data
        self.check()
        await self.remount()

    async def remount(self) -> None:
        """Read all again with nothing in memory: what is on disk is what the share has."""
        self.reader.keep(self.content, self.remote)
        await trio.testing.wait_all_tasks_blocked()
        self.cache.discard(self.content)
        content = FileContent(len(self.remote.data), self.remote.etag)
        assert await self._all(content) == self.remote.data

    async def _all(self, content: FileContent) -> bytes:
        result = b""
        for offset in range(0, len(self.seen), BLOCK):
            readahead = Readahead(4 * BLOCK)
            result += await self.reader.read(content, self.remote, readahead, offset, BLOCK)
        return result

    def _grow(self, end: int) -> None:
        missing = max(0, end - len(self.seen))
        self.seen.extend(bytes(missing))
        self.stamps.extend([self.now] * missing)

    def touch(self, indexes: list[int]) -> None:
        self.cache.touch(self.content, indexes)
        self.cache.evict()


offsets = st.integers(0, LONGEST)
lengths = st.integers(1, 2 * BLOCK)
#: Half of what programs write is zeros.
values = st.one_of(st.integers(1, 255), st.just(0))
own = st.one_of(
    st.tuples(st.just("write"), offsets, lengths, values),
    st.tuples(st.just("truncate"), offsets),
    st.tuples(st.just("read"), offsets, lengths),
    st.tuples(st.just("flush")),
    st.tuples(st.just("open")),
    st.tuples(st.just("answer"), st.integers(0, 5), st.just("done")),
    st.tuples(st.just("answer"), st.integers(0, 5), st.just("done")),
    st.tuples(st.just("answer"), st.integers(0, 5), st.just("failed")),
)
foreign = st.tuples(st.just("others_write"), offsets, lengths, values)


def play(actions, *, new=False, takes_body=True, leases=False, disk=False) -> None:
    async def scene() -> None:
        async with trio.open_nursery() as nursery:
            stage = Scene(nursery, new=new, takes_body=takes_body, leases=leases, disk=disk)
            for name, *args in actions:
                if name in ("read", "flush"):
                    stage.start(getattr(stage, name), *args)
                else:
                    getattr(stage, name)(*args)
                await trio.testing.wait_all_tasks_blocked()
                stage.check()
            await stage.finish()
            nursery.cancel_scope.cancel()

    with ExitStack() as stack:
        for module in ("content", "disktier", "reader", "readahead", "upload", "writeback"):
            path = f"azfuse.cache.{module}"
            stack.enter_context(mock.patch(f"{path}.BLOCK_SIZE", BLOCK))
        stack.enter_context(mock.patch("azfuse.cache.readahead.PAGE", 4))
        stack.enter_context(mock.patch("azfuse.cache.readahead.FIRST_READ", 4))
        for name, size in (("LONG_RUN", 16), ("GRAIN", 4), ("PAGE", 2)):
            stack.enter_context(mock.patch(f"azfuse.cache.zeros.{name}", size))
        stack.enter_context(mock.patch("azfuse.cache.upload.FIRST_ALLOCATION", 2 * LONGEST))
        trio.run(scene)


plenty = settings(max_examples=300, deadline=None)


CUT_DURING_A_LOST_CREATE = [
    ("truncate", 1), ("flush",), ("truncate", 0), ("answer", 0, "done"), ("answer", 0, "failed"),
]  # fmt: skip


@plenty
@example(actions=CUT_DURING_A_LOST_CREATE, new=True, takes_body=True, leases=False, disk=False)
@given(
    actions=st.lists(own, max_size=30),
    new=st.booleans(), takes_body=st.booleans(), leases=st.booleans(), disk=st.booleans(),
)  # fmt: skip
def test_programs_alone(actions, new, takes_body, leases, disk):
    play(actions, new=new, takes_body=takes_body, leases=leases, disk=disk)


@plenty
@given(
    st.lists(st.one_of(own, own, own, foreign), max_size=30),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_with_other_writers(actions, new, leases, disk):
    play(actions, new=new, leases=leases, disk=disk)


DONE = ("answer", 0, "done")


@pytest.mark.parametrize("outcome", ["failed", "done"])
def test_a_length_whose_answer_was_lost_is_set_again(outcome):
    play([("truncate", 0), ("flush",), DONE, ("answer", 0, outcome), ("write", 0, 40, 7)])


def test_a_late_download_does_not_bring_back_what_was_overwritten_since():
    """The new bytes went up, became clean, and were evicted while the old ones were on the way."""
    last = ("answer", 1, "done")  # all but the download, as long as there is anything else
    actions = [
        ("read", 0, 8), DONE,  # the old bytes leave the share
        ("write", 0, 8, 7), ("flush",), last, last,
        *[("write", offset, 32, 9) for offset in range(32, 9 * 32, 32)],
        ("flush",), *[last] * 60,
    ]  # fmt: skip
    play(actions)


def test_a_cut_while_an_upload_sets_the_length_leaves_the_rest_acknowledged():
    play([("write", 0, 42, 1), ("flush",), ("truncate", 41)])


def test_a_cut_while_a_file_is_created_leaves_the_rest_acknowledged():
    play([("write", 0, 1, 1), ("truncate", 2), ("flush",), ("truncate", 1)], new=True)


def test_a_cut_between_the_requests_of_an_upload():
    play([
        ("write", 40, 20, 1), ("flush",), DONE, ("truncate", 0), ("write", 0, 10, 2),
        DONE, DONE, DONE, ("flush",), DONE, DONE, DONE, DONE, DONE,
    ])  # fmt: skip


ZEROS = ("write", 0, BLOCK + 16, 0)
MINE = ("write", 0, 4, 7)
THEIRS = ("others_write", BLOCK + 4, 4, 2)


def test_zeros_over_what_others_wrote_after_the_file_was_created():
    flushed = [("flush",), DONE, DONE, DONE, DONE]
    play([ZEROS, *flushed, THEIRS, ZEROS, MINE], new=True)
    play([ZEROS, *flushed, THEIRS, ZEROS, MINE], new=True, leases=True)


def test_zeros_over_what_others_wrote_while_the_file_was_created():
    play([ZEROS, ("flush",), DONE, THEIRS, ZEROS, DONE], new=True)


def test_zeros_over_what_others_wrote_between_two_changes_of_ours():
    flushed = [("flush",), DONE, DONE, DONE, DONE]
    actions = [ZEROS, *flushed, THEIRS, MINE, *flushed, ZEROS]
    play(actions, new=True)
    play(actions, new=True, leases=True)


def test_what_others_wrote_while_a_file_was_created_is_not_kept_from_them_on_disk():
    actions = [("write", 0, BLOCK + 8, 5), ("flush",), DONE, ("others_write", 0, 1, 9)]
    play(actions, new=True, disk=True)


def test_others_write_while_one_request_is_under_way():
    play([
        ("write", 0, 8, 1), ("flush",), ("read", 16, 8), ("answer", 1, "done"),
        ("answer", 1, "done"), ("others_write", 16, 8, 2), DONE, DONE, ("open",), ("read", 16, 8),
    ])  # fmt: skip


async def _in_flight(content: FileContent, remote: FakeRemote) -> int:
    """Flush *content* to a share that answers nothing; return how many requests it has got."""
    async with trio.open_nursery() as nursery:
        cache = BlockCache(1 << 30, lambda content: None)
        journal = Journal(Path("never-used"), "test")
        writeback = WriteBack(cache, nursery, Transfers(2), lambda: 0.0, 1e9, journal)
        file = CachedFile(content, remote)
        writeback.note(file)
        nursery.start_soon(writeback.flush, file)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return len(remote.waiting)


@pytest.mark.parametrize(("length", "expected"), [(4096, 8), (65536, 8), (65537, 2)])
def test_small_ranges_travel_four_times_as_many(length: int, expected: int) -> None:
    remote = FakeRemote(bytes(20 * 200_000), takes_body=True)
    content = FileContent(len(remote.data), remote.etag)
    for number in range(20):
        content.write(number * 200_000, b"x" * length)
    assert trio.run(_in_flight, content, remote) == expected


async def _reads_in_flight() -> int:
    """Read twenty large and twenty small pieces of a share that answers nothing."""
    remote = FakeRemote(bytes(100_000_000), takes_body=True)
    content = FileContent(len(remote.data), remote.etag)
    async with trio.open_nursery() as nursery:
        reader = Reader(BlockCache(1 << 30, lambda content: None), nursery, Transfers(2))
        for length, first in ((200_000, 0), (4096, 50_000_000)):
            for number in range(1, 21):
                where = first + number * 2_000_000
                nursery.start_soon(reader.read, content, remote, Readahead(0), where, length)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return len(remote.waiting)


def test_small_reads_do_not_wait_for_large_ones() -> None:
    assert trio.run(_reads_in_flight) == 2 + 8
