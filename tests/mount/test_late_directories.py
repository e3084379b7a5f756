"""With `-o writeback` directories reach the share behind the programs' backs, in order."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mount.harness import errno_of, run

#: Nothing goes up by itself while a test looks.
LATER = "writeback=3600,dirty-expire=3600"


def make_tree(root: Path) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/file").write_bytes(b"deep")
    (root / "a/file").write_bytes(b"high")
    (root / "a/b").chmod(0o2750)
    os.chown(root / "a/b/c", 1234, 5678)
    os.utime(root / "a/b/c", (1_500_000_000, 1_600_000_000))
    os.utime(root / "a", (1_500_000_000, 1_400_000_000))


def described(root: Path) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else status.st_mtime_ns
        found[str(path.relative_to(root))] = status.st_mode, status.st_uid, status.st_gid, content
    return found


def without_times(tree: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {
        path: entry if isinstance(entry[-1], bytes) else entry[:-1] for path, entry in tree.items()
    }


def test_a_tree_is_made_without_asking_the_share(share, mount, emulator):
    with mount(LATER) as m:
        os.listdir(m.path)
        with emulator.counting() as usage:
            make_tree(m.path)
            before = described(m.path)
            numbers = {path: path.stat().st_ino for path in m.path.rglob("*")}
        assert not usage.requests
        assert before["a/b"][0] & 0o7777 == 0o2750
        assert before["a/b/c"][1:] == (1234, 5678, 1_600_000_000 * 10**9)
        assert m.ask("stats")["writes"]["dirtyDirectories"] == 3
    with mount() as m:
        assert described(m.path) == before
        assert numbers == {path: path.stat().st_ino for path in m.path.rglob("*")}


def test_each_directory_is_one_request_whatever_is_set_of_it(share, mount, emulator):
    with emulator.counting() as usage, mount(LATER) as m:
        make_tree(m.path)
    assert usage.requests["CreateDirectory"] == 3
    assert usage.requests["CreateFile"] == 2
    assert not {"SetDirectoryProperties", "SetDirectoryMetadata", "RenameDirectory"} & set(
        usage.requests
    )


def test_attributes_of_a_directory_that_is_there_are_sent_once(share, mount, emulator):
    with mount() as m:
        (m.path / "d").mkdir()
    with emulator.counting() as usage, mount(LATER) as m:
        for second in range(20):
            os.utime(m.path / "d", (second, second))
        assert (m.path / "d").stat().st_mtime == 19
    assert usage.requests["SetDirectoryProperties"] == 1
    with mount() as m:
        assert (m.path / "d").stat().st_mtime == 19


def test_an_fsync_brings_the_directories_above_along(share, mount, emulator):
    with mount(LATER) as m:
        (m.path / "a/b").mkdir(parents=True)
        (m.path / "other").mkdir()
        with (m.path / "a/b/file").open("wb") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        assert share.names() == {"a"}
        assert share.read("a/b/file") == b"x"


def test_an_fsync_of_a_directory_brings_it_and_what_is_in_it(share, mount):
    with mount(LATER) as m:
        (m.path / "a/b/c").mkdir(parents=True)
        (m.path / "a/file").write_bytes(b"x")
        directory = os.open(m.path / "a", os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        assert share.names("a") == {"b", "file"}
        assert share.names("a/b") == set()


def test_what_is_removed_in_time_never_was_there(share, mount, emulator):
    with mount(LATER) as m:
        os.listdir(m.path)
        with emulator.counting() as usage:
            make_tree(m.path)
            run(["rm", "-r", m.path / "a"])
            assert os.listdir(m.path) == []
        assert not usage.requests
    assert share.names() == set()


def test_a_directory_with_files_is_not_removed(share, mount):
    with mount(LATER) as m:
        make_tree(m.path)
        assert errno_of(os.rmdir, m.path / "a") == errno.ENOTEMPTY
        assert errno_of(os.mkdir, m.path / "a") == errno.EEXIST


def test_renames(share, mount):
    share.write("old", b"old")
    with mount(LATER) as m:
        make_tree(m.path)
        os.rename(m.path / "a/b", m.path / "moved")
        (m.path / "new").mkdir()
        os.rename(m.path / "old", m.path / "new/old")
        os.rename(m.path / "a/file", m.path / "new/file")
        (m.path / "empty").mkdir()
        os.rename(m.path / "new", m.path / "empty")
        before = without_times(described(m.path))
        assert set(before) == {
            "a", "moved", "moved/c", "moved/c/file", "empty", "empty/old", "empty/file",
        }  # fmt: skip
    with mount() as m:
        assert without_times(described(m.path)) == before


def test_a_directory_that_is_not_there_yet_can_be_listed(share, mount):
    with mount(f"{LATER},actimeo=0") as m:
        (m.path / "a").mkdir()
        (m.path / "a/b").mkdir()
        (m.path / "a/b/file").write_bytes(b"x")
        assert os.listdir(m.path / "a") == ["b"]
        assert not (m.path / "a/b/missing").exists()
        assert (m.path / "a/b/file").read_bytes() == b"x"
        os.setxattr(m.path / "a/b", "user.colour", b"red")
        assert os.getxattr(m.path / "a/b", "user.colour") == b"red"
        os.symlink("file", m.path / "a/b/link")
        assert (m.path / "a/b/link").read_bytes() == b"x"


def test_two_mounts_that_make_the_same_directory_share_it(share, mount):
    with mount(LATER) as m:
        (m.path / "d").mkdir(mode=0o700)
        (m.path / "d/ours").write_bytes(b"ours")
        with mount() as other:
            (other.path / "d").mkdir()
            (other.path / "d/theirs").write_bytes(b"theirs")
    assert share.names("d") == {"ours", "theirs"}


def test_a_file_in_the_place_of_a_directory_is_told_to_whoever_needs_that(share, mount):
    with mount(LATER) as m:
        (m.path / "d").mkdir()
        share.write("d", b"in the way")
        with (m.path / "d/file").open("wb") as file:
            file.write(b"x")
            file.flush()
            assert errno_of(os.fsync, file.fileno()) == errno.EEXIST
        m.exit_code = 1
        trouble = ["could not be uploaded", "is not on the share", "EEXIST", "is saved as"]
        m.expected += trouble
    with mount() as m:
        m.expected += trouble
        assert (m.path / "d").read_bytes() == b"in the way"
        assert (m.path / "file.azfuse-recovered").read_bytes() == b"x"


def test_what_failed_is_tried_again(share, mount, emulator):
    emulator.faults(rules=[{"action": "full", "operation": "CreateDirectory", "times": 1}])
    with mount("writeback=0") as m:
        m.expected.append("directory d, will try again")
        (m.path / "d").mkdir()
        deadline = time.monotonic() + 60
        while share.names() != {"d"}:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("mode", [0o755, 0o2750])
def test_a_crash_loses_no_directory_that_files_are_in(share, mount, mode):
    with mount(LATER) as m:
        (m.path / "a").mkdir()
        (m.path / "a").chmod(mode)
        (m.path / "a/b").mkdir()
        (m.path / "a/b/file").write_bytes(b"x")
        (m.path / "a/b/other").write_bytes(b"y")
        m.kill()
    assert share.names() == set()
    with mount() as m:
        assert (m.path / "a").stat().st_mode & 0o7777 == mode
        assert (m.path / "a/b/file").read_bytes() == b"x"
        assert (m.path / "a/b/other").read_bytes() == b"y"
    assert share.names("a/b") == {"file", "other"}


def test_a_tree_too_deep_for_the_share_is_refused_at_once(share, mount):
    with mount(LATER) as m:
        os.makedirs(m.path / "/".join(["d"] * 250))
        os.chdir(m.path / "/".join(["d"] * 250))
        try:
            Path("file").write_bytes(b"x")
            os.mkdir("last")
            assert errno_of(os.mkdir, "last/one") == errno.ENAMETOOLONG
        finally:
            os.chdir("/")
    assert share.read("/".join(["d"] * 250) + "/file") == b"x"
