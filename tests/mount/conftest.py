"""An emulator for all tests, a share for each, mounts that leave nothing behind."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.mount.harness import MOUNT_LIMIT, Emulator, Mount, Share, let_others_in

_numbers = itertools.count()


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    reason = None
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        reason = "/dev/fuse is missing or may not be used"
    elif shutil.which("fusermount3") is None:
        reason = "fusermount3 is not installed"
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.mount)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def start_emulator(directory: Path) -> Iterator[Emulator]:
    emulator = Emulator(directory)
    emulator.start()
    try:
        yield emulator
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory) -> Iterator[Emulator]:
    yield from start_emulator(tmp_path_factory.mktemp("emulator"))


@pytest.fixture
def emulator(shared_emulator) -> Iterator[Emulator]:
    """The emulator of all tests; the faults that a test sets end with it."""
    shared_emulator.assert_alive()
    yield shared_emulator
    shared_emulator.assert_alive()
    shared_emulator.faults()


@pytest.fixture
def own_emulator(tmp_path) -> Iterator[Emulator]:
    """An emulator that the test may stop and start."""
    yield from start_emulator(tmp_path)


@contextmanager
def make_share(emulator: Emulator, quota: int = 100, protocol: str = "SMB") -> Iterator[Share]:
    share = Share(emulator, f"share{next(_numbers)}")
    share.sdk.create_share(quota=quota, protocols=protocol)
    try:
        yield share
    finally:
        share.sdk.close()


@pytest.fixture
def share(emulator) -> Iterator[Share]:
    with make_share(emulator) as share:
        yield share


MountFactory = Callable[..., AbstractContextManager[Mount]]


def make_mount(directory: Path, source: str) -> MountFactory:
    # The same mount point again when it is free: what is kept on this machine goes by it.
    points = [directory / f"mnt{number}" for number in range(3)]

    @contextmanager
    def mount(
        options: str = "",
        *,
        source: str = source,
        env: dict[str, str] | None = None,
        limit: float = MOUNT_LIMIT,
    ) -> Iterator[Mount]:
        point = points.pop(0)
        mounted = Mount(source, point, directory, options, env or {}, limit)
        with ExitStack() as stack:
            stack.callback(mounted.unmount)
            mounted.wait_until_ready()
            yield mounted
            stack.pop_all().close()
            points.insert(0, point)
            mounted.check()

    return mount


@pytest.fixture
def mount(tmp_path, share) -> MountFactory:
    """`with mount("actimeo=0") as m:` mounts the test's share; several times if need be."""
    return make_mount(tmp_path, share.source)


@pytest.fixture(scope="module")
def common(shared_emulator, tmp_path_factory) -> Iterator[tuple[Mount, Share]]:
    """One mount for all tests of a module that need nothing special."""
    directory = tmp_path_factory.mktemp("common")
    let_others_in(directory)
    with (
        make_share(shared_emulator) as share,
        make_mount(directory, share.source)("allow_other,umask=000") as mounted,
    ):
        yield mounted, share


@pytest.fixture
def here(common) -> Path:
    """A fresh directory on the common mount."""
    mounted: Mount = common[0]
    path = mounted.path / f"test{next(_numbers)}"
    path.mkdir()
    return path
