"""Random programs on a mount and on a local directory: results, errors and trees are equal."""

import errno
import itertools
import mmap
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.mount.conftest import MountFactory
from tests.mount.harness import Emulator, Mount

_numbers = itertools.count()

names = st.sampled_from(["a", "b", "long name.txt", "ü:?"])
directories = st.sampled_from(["", "d", "e", "d/sub"])
paths = st.builds(lambda directory, name: f"{directory}/{name}".lstrip("/"), directories, names)
anything = st.one_of(paths, directories.filter(bool))
offsets = st.one_of(st.integers(0, 300), st.integers(0, 300_000))
contents = st.builds(
    lambda length, value: bytes([value]) * length,
    st.one_of(st.integers(0, 50), st.integers(1, 200_000)),
    st.integers(1, 255),
)
flags = st.builds(
    lambda access, others: access | others,
    st.sampled_from([os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_WRONLY]),
    st.sampled_from([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_CREAT | os.O_TRUNC,
                     os.O_CREAT | os.O_APPEND, os.O_TRUNC]),
)  # fmt: skip
modes = st.sampled_from([0o644, 0o600, 0o755, 0o444, 0o000])


def settled(max_examples: int, steps: int) -> settings:
    return settings(
        max_examples=max_examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        database=None,
    )


def result_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0)


def status(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    kind = stat.S_IFMT(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return kind, stat.S_IMODE(found.st_mode)
    return kind, stat.S_IMODE(found.st_mode), found.st_size, found.st_nlink


def tree(root: Path) -> dict[str, object]:
    """Return everything below *root* that can be compared."""
    found: dict[str, object] = {}
    for directory, below, files in os.walk(root):
        for name in below + files:
            path = Path(directory, name)
            what: object = None
            if path.is_symlink():
                what = path.readlink()
            elif path.is_file():
                what = path.read_bytes()
            found[str(path.relative_to(root))] = status(path), what
    return found


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def put_at(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), content, offset)


class Twins(RuleBasedStateMachine):
    """Does everything twice: below `mounts` (one of them, see `mount`) and below `local`."""

    mounts: ClassVar[list[Path]] = []
    local: ClassVar[Path]
    chosen = 0

    def __init__(self) -> None:
        super().__init__()
        self.name = f"example{next(_numbers)}"
        self.both(lambda root: root.mkdir())

    @property
    def mount(self) -> Path:
        return self.mounts[self.chosen] / self.name

    def both(self, call: Callable[[Path], Any]) -> Any:
        theirs = result_of(lambda: call(self.local / self.name))
        ours = result_of(lambda: call(self.mount))
        assert ours == theirs
        return ours

    @rule(path=directories.filter(bool))
    def mkdir(self, path):
        self.both(lambda root: os.mkdir(root / path))

    @rule(path=anything)
    def rmdir(self, path):
        self.both(lambda root: os.rmdir(root / path))

    @rule(path=anything)
    def unlink(self, path):
        self.both(lambda root: os.unlink(root / path))

    @rule(old=anything, new=anything)
    def rename(self, old, new):
        self.both(lambda root: os.rename(root / old, root / new))

    @rule(points_to=paths, path=paths)
    def symlink(self, points_to, path):
        self.both(lambda root: os.symlink(points_to, root / path))

    @rule(path=anything)
    def readlink(self, path):
        self.both(lambda root: os.readlink(root / path))

    @rule(path=anything)
    def stat(self, path):
        self.both(lambda root: status(root / path))

    @rule(path=directories)
    def listdir(self, path):
        self.both(lambda root: sorted(os.listdir(root / path)))

    @rule(path=paths, mode=modes)
    def chmod(self, path, mode):
        self.both(lambda root: os.chmod(root / path, mode))

    @rule(path=paths, when=st.integers(0, 2_000_000_000))
    def utime(self, path, when):
        self.both(lambda root: os.utime(root / path, (when, when)))
        self.both(lambda root: (root / path).stat().st_mtime_ns)

    @rule(path=paths, content=contents)
    def put(self, path, content):
        self.both(lambda root: put(root / path, content))

    @rule(path=paths, offset=offsets, content=contents)
    def put_at(self, path, offset, content):
        self.both(lambda root: put_at(root / path, offset, content))

    @rule(path=paths)
    def get(self, path):
        self.both(lambda root: (root / path).read_bytes())

    @rule(path=paths, size=offsets)
    def truncate(self, path, size):
        self.both(lambda root: os.truncate(root / path, size))

    @rule()
    def compare(self):
        self.both(tree)

    def teardown(self):
        self.both(tree)


class OneMount(Twins):
    """One mount; files stay open while the tree around them changes."""

    def __init__(self) -> None:
        self.open: list[tuple[int, int]] = []
        super().__init__()

    def on_both(self, descriptors: tuple[int, int], call: Callable[[int], Any]) -> Any:
        theirs, ours = (result_of(lambda d=d: call(d)) for d in descriptors)  # type: ignore[misc]
        assert ours == theirs
        return ours

    def some(self, data):
        return data.draw(st.sampled_from(self.open))

    opened = precondition(lambda self: self.open)

    @precondition(lambda self: len(self.open) < 5)
    @rule(path=paths, flags=flags, mode=modes)
    def open_file(self, path, flags, mode):
        descriptors: list[int] = []

        def call(root):
            descriptors.append(os.open(root / path, flags, mode))

        try:
            if self.both(call) is None:
                self.open.append((descriptors[0], descriptors[1]))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    @opened
    @rule(data=st.data())
    def close(self, data):
        descriptors = self.some(data)
        self.open.remove(descriptors)
        self.on_both(descriptors, os.close)

    @opened
    @rule(data=st.data(), offset=offsets, content=contents)
    def pwrite(self, data, offset, content):
        self.on_both(self.some(data), lambda d: os.pwrite(d, content, offset))

    @opened
    @rule(data=st.data(), content=contents)
    def write(self, data, content):
        self.on_both(self.some(data), lambda d: os.write(d, content))

    @opened
    @rule(data=st.data(), offset=offsets, length=st.integers(1, 300_000))
    def pread(self, data, offset, length):
        self.on_both(self.some(data), lambda d: os.pread(d, length, offset))

    @opened
    @rule(data=st.data(), size=offsets)
    def ftruncate(self, data, size):
        self.on_both(self.some(data), lambda d: os.ftruncate(d, size))

    @opened
    @rule(data=st.data())
    def fsync(self, data):
        self.on_both(self.some(data), os.fsync)

    @opened
    @rule(data=st.data())
    def fstat(self, data):
        def call(descriptor):
            found = os.fstat(descriptor)
            return stat.S_IMODE(found.st_mode), found.st_size, found.st_nlink

        self.on_both(self.some(data), call)

    @opened
    @rule(data=st.data(), mode=modes)
    def fchmod(self, data, mode):
        self.on_both(self.some(data), lambda d: os.fchmod(d, mode))

    @opened
    @rule(data=st.data(), value=st.integers(1, 255))
    def write_through_a_mapping(self, data, value):
        def call(descriptor):
            size = os.fstat(descriptor).st_size
            if not size:
                return
            with mmap.mmap(descriptor, size) as mapping:
                middle = size // 2
                mapping[middle : middle + 10] = bytes([value]) * len(mapping[middle : middle + 10])
                mapping.flush()

        self.on_both(self.some(data), call)

    @invariant()
    def listings_agree(self):
        self.both(lambda root: sorted(os.listdir(root)))

    def teardown(self):
        try:
            while self.open:
                self.on_both(self.open.pop(), os.close)
            super().teardown()
        finally:
            for descriptor in itertools.chain(*self.open):
                os.close(descriptor)


class Trouble:
    """A mount that can be made to forget, can be made anew, and whose service can fail."""

    def __init__(self, stack: ExitStack, mount: MountFactory, emulator: Emulator) -> None:
        self._stack, self._mount, self._emulator = stack, mount, emulator
        self._mounted: Mount | None = None
        self.mount_anew()

    def mount_anew(self) -> None:
        self._emulator.faults()
        self._stack.close()
        self._mounted = self._stack.enter_context(self._mount("umask=000", limit=1200))
        self._mounted.expected.append(r"try \d+ failed")

    @property
    def path(self) -> Path:
        assert self._mounted is not None
        return self._mounted.path

    def forget(self) -> None:
        assert self._mounted is not None
        self._mounted.ask("refresh", path="")

    def fail(self, action: str, after: int) -> None:
        self._emulator.faults(rules=[{"action": action, "times": 1, "after": after}])


class InTrouble(OneMount):
    """Between calls caches are dropped, requests fail and answers are lost, the mount is new."""

    trouble: ClassVar[Trouble]

    @rule()
    def forget(self):
        self.trouble.forget()

    @rule(
        action=st.sampled_from(["busy", "error", "error-after", "reset-before", "reset-after"]),
        after=st.integers(0, 3),
    )
    def fail(self, action, after):
        self.trouble.fail(action, after)

    @precondition(lambda self: not self.open)
    @rule()
    def mount_anew(self):
        self.trouble.mount_anew()


class TwoMounts(Twins):
    """Two mounts that always ask, each call on either: what one did, the other sees."""

    @rule(chosen=st.integers(0, 1))
    def go_to(self, chosen):
        self.chosen = chosen


@pytest.fixture
def local(tmp_path):
    path = tmp_path / "local"
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("examples", [100, pytest.param(2000, marks=pytest.mark.long)])
def test_one_mount(mount, local, examples):
    with mount("umask=000", limit=1200) as m:
        OneMount.mounts, OneMount.local = [m.path], local
        run_state_machine_as_test(OneMount, settings=settled(examples, 60))
    # Not only in the caches of that mount: the next one finds the same.
    with mount("umask=000") as m:
        for directory in local.iterdir():
            assert tree(m.path / directory.name) == tree(directory)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.long)])
def test_two_mounts(mount, local, examples):
    words = "umask=000,actimeo=0"
    with mount(words, limit=1200) as one, mount(words, limit=1200) as two:
        TwoMounts.mounts, TwoMounts.local = [one.path, two.path], local
        run_state_machine_as_test(TwoMounts, settings=settled(examples, 40))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("examples", [2, pytest.param(40, marks=pytest.mark.long)])
def test_a_mount_in_trouble(mount, local, emulator, examples):
    with ExitStack() as stack:
        trouble = Trouble(stack, mount, emulator)
        InTrouble.trouble, InTrouble.mounts, InTrouble.local = trouble, [trouble.path], local
        run_state_machine_as_test(InTrouble, settings=settled(examples, 40))
        trouble.mount_anew()
        for directory in local.iterdir():
            assert tree(trouble.path / directory.name) == tree(directory)
