"""Times of directories move when entries come and go, as on a local disk; no request for that."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.harness import errno_of

#: CLOCK_REALTIME_COARSE of clock_gettime(2): local file systems take their times from it.
COARSE = 5

Step = Callable[[Path], object]

#: Steps in a row: what is done below a root, with `a` and `b` as the directories looked at.
STEPS: dict[str, Step] = {
    "create": lambda r: (r / "a/file").touch(),
    "write": lambda r: (r / "a/file").write_bytes(b"x"),
    "chmod of an entry": lambda r: (r / "a/file").chmod(0o600),
    "open again": lambda r: (r / "a/file").read_bytes(),
    "mkdir": lambda r: (r / "a/dir").mkdir(),
    "create deeper": lambda r: (r / "a/dir/x").touch(),
    "symlink": lambda r: os.symlink("file", r / "a/link"),
    "mkfifo": lambda r: os.mkfifo(r / "a/fifo"),
    "create what is there": lambda r: errno_of((r / "a/file").open, "x"),
    "mkdir what is there": lambda r: errno_of((r / "a/dir").mkdir),
    "unlink what is not": lambda r: errno_of((r / "a/none").unlink),
    "rmdir what is not empty": lambda r: errno_of((r / "a/dir").rmdir),
    "rename inside": lambda r: (r / "a/file").rename(r / "a/other"),
    "rename onto": lambda r: (r / "a/fifo").rename(r / "a/other"),
    "rename to itself": lambda r: (r / "a/other").rename(r / "a/other"),
    "rename across": lambda r: (r / "a/other").rename(r / "b/other"),
    "rename a directory across": lambda r: (r / "a/dir").rename(r / "b/dir"),
    "unlink": lambda r: (r / "a/link").unlink(),
    "unlink deeper": lambda r: (r / "b/dir/x").unlink(),
    "rmdir": lambda r: (r / "b/dir").rmdir(),
    "chmod": lambda r: (r / "a").chmod(0o700),
    "utime": lambda r: os.utime(r / "a", ns=(1, 1_500_000_000_000_000_000)),
    "create after utime": lambda r: (r / "a/again").touch(),
    "into the future": lambda r: os.utime(r / "a", ns=(1, 4_000_000_000_000_000_000)),
    "back from the future": lambda r: (r / "a/back").touch(),
    "unlink while open": lambda r: unlink_open(r / "a/again"),
}


def unlink_open(path: Path) -> None:
    with path.open("wb"):
        path.unlink()


def times(root: Path) -> dict[str, int]:
    """Return the times of the two directories, and of the root."""
    found = {name: (root / name).stat() for name in ("a", "b", ".")}
    return {
        f"{what} of {name}": getattr(status, f"st_{what}_ns")
        for name, status in found.items()
        for what in ("mtime", "ctime")
    }


def moved(root: Path, step: Step) -> dict[str, int]:
    """Do one step; say of each time whether it moved on (1), back (-1), or stayed."""
    before = times(root)
    clock = time.clock_gettime_ns(COARSE)
    while time.clock_gettime_ns(COARSE) == clock:
        pass
    step(root)
    after = times(root)
    return {name: (after[name] > before[name]) - (after[name] < before[name]) for name in before}


@pytest.mark.parametrize("options", ["", "actimeo=0", "writeback"])
def test_they_move_as_on_a_local_disk(mount, tmp_path, options):
    with mount(options) as m:
        roots = [tmp_path / "local", m.path / "root"]
        for root in roots:
            root.mkdir()
            (root / "a").mkdir()
            (root / "b").mkdir()
        for name, step in STEPS.items():
            local, here = (moved(root, step) for root in roots)
            assert here == local, name
        assert abs((roots[1] / "a").stat().st_mtime - time.time()) < 60


def test_they_cost_nothing_and_are_kept(mount, share, emulator):
    share.sdk.create_directory("dir")
    with mount("actimeo=600") as m:
        path = m.path / "dir"
        os.listdir(path)
        before = path.stat()
        with emulator.counting() as usage:
            (path / "sub").mkdir()
            assert path.stat().st_mtime_ns > before.st_mtime_ns
        assert usage.requests == {"CreateDirectory": 1}
    with mount("actimeo=0") as m:
        shown = path.stat().st_mtime_ns
        (path / "sub").rmdir()
        status = path.stat()
        assert status.st_mtime_ns > shown
        assert status.st_ctime_ns >= status.st_mtime_ns
        for _ in range(3):  # asked for each time
            assert path.stat() == status
        m.ask("refresh", path="")
        assert path.stat() == status
        if os.geteuid() == 0:
            # Forgotten by the kernel, and so here.
            Path("/proc/sys/vm/drop_caches").write_text("2")
            assert path.stat() == status
        # Somebody else sets another time: that one counts.
        client = share.sdk.get_directory_client("dir")
        client.set_http_headers(file_last_write_time="2020-01-01T00:00:00.0000000Z")
        assert path.stat().st_mtime_ns == 1_577_836_800_000_000_000
