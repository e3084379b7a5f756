"""Snapshots: `-o snapshot=TIME`, and `.snapshots` under the root of a mount."""

import errno
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.fileshare import ShareClient, generate_share_sas

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.mount.conftest import MountFactory, make_mount, make_share
from tests.mount.harness import Share, errno_of, run


def take(share: Share) -> str:
    return str(share.sdk.create_snapshot()["snapshot"])


def delete(share: Share, taken: str) -> None:
    with ShareClient(
        share.emulator.endpoint, share.name, snapshot=taken, credential=DEVELOPMENT_KEY
    ) as client:
        client.delete_share()


def fill_and_take(share: Share, mount: MountFactory) -> str:
    """Fill the share, take a snapshot, change everything since; return the snapshot's time."""
    with mount() as m:
        (m.path / "dir/deep").mkdir(parents=True)
        (m.path / "file").write_bytes(b"then")
        (m.path / "dir/deep/data").write_bytes(b"d" * 100_000)
        (m.path / "run").write_text("#!/bin/sh\necho it runs\n")
        (m.path / "run").chmod(0o750)
        (m.path / "dir").chmod(0o711)
        os.symlink("dir/deep", m.path / "link")
        os.setxattr(m.path / "file", "user.note", b"kept")
        taken = take(share)
        (m.path / "file").write_bytes(b"now, and longer")
        (m.path / "run").unlink()
        shutil.rmtree(m.path / "dir")
    return taken


@pytest.fixture(scope="module")
def past(shared_emulator, tmp_path_factory) -> Iterator[tuple[Share, MountFactory, str]]:
    """A share that no test changes, mounts of it, and the time of its snapshot."""
    with make_share(shared_emulator) as share:
        mount = make_mount(tmp_path_factory.mktemp("past"), share.source)
        yield share, mount, fill_and_take(share, mount)


@pytest.fixture
def then(share, mount) -> str:
    """The time of a snapshot of the test's own share."""
    return fill_and_take(share, mount)


def check_tree(root: Path) -> None:
    assert sorted(os.listdir(root)) == ["dir", "file", "link", "run"]
    assert (root / "file").read_bytes() == b"then"
    assert (root / "link/data").read_bytes() == b"d" * 100_000
    assert os.readlink(root / "link") == "dir/deep"
    assert oct((root / "dir").stat().st_mode) == oct(0o040711)
    assert oct((root / "run").stat().st_mode) == oct(0o100750)
    assert os.getxattr(root / "file", "user.note") == b"kept"
    assert run([root / "run"]).stdout == "it runs\n"
    assert errno_of((root / "nothing").stat) == errno.ENOENT


CHANGES = {
    "write": lambda root: (root / "file").open("r+b"),
    "truncate": lambda root: (root / "file").open("wb"),
    "length": lambda root: os.truncate(root / "file", 1),
    "create": lambda root: (root / "new").open("xb"),
    "mkdir": lambda root: (root / "new").mkdir(),
    "mkfifo": lambda root: os.mkfifo(root / "new"),
    "symlink": lambda root: os.symlink("x", root / "new"),
    "link": lambda root: os.link(root / "file", root / "new"),
    "unlink": lambda root: (root / "file").unlink(),
    "rmdir": lambda root: (root / "dir/deep").rmdir(),
    "rename": lambda root: (root / "file").rename(root / "new"),
    "chmod": lambda root: (root / "file").chmod(0o600),
    "chown": lambda root: os.chown(root / "file", 1, 1),
    "utime": lambda root: os.utime(root / "file", (1, 1)),
    "setxattr": lambda root: os.setxattr(root / "file", "user.x", b""),
    "removexattr": lambda root: os.removexattr(root / "file", "user.note"),
}


def check_read_only(root: Path) -> None:
    done = {name: errno_of(change, root) for name, change in CHANGES.items()}
    assert done == dict.fromkeys(CHANGES, errno.EROFS)


def test_a_snapshot_is_mounted_read_only(past):
    _, mount, then = past
    with mount(f"snapshot={then}") as m:
        check_tree(m.path)
        check_read_only(m.path)
        assert errno_of((m.path / ".snapshots").stat) == errno.ENOENT


def test_snapshots_are_trees_below_the_root(past):
    _, mount, then = past
    with mount() as m:
        assert ".snapshots" not in os.listdir(m.path)
        assert os.listdir(m.path / ".snapshots") == [then]
        root = m.path / ".snapshots" / then
        check_tree(root)
        check_read_only(root)
        assert (m.path / "file").read_bytes() == b"now, and longer"
        assert errno_of((m.path / "run").stat) == errno.ENOENT
        numbers = {(root / name).stat().st_ino for name in ("file", "dir", ".", "..")}
        assert numbers.isdisjoint({(m.path / "file").stat().st_ino, m.path.stat().st_ino})
        assert len(numbers) == 4
        before = (root / "file").stat()
    with mount() as again:
        assert (again.path / ".snapshots" / then / "file").stat().st_ino == before.st_ino


def test_what_was_lost_is_copied_back(mount, then, share):
    with mount() as m:
        root = m.path / ".snapshots" / then
        run(["cp", "-a", root / "dir", root / "run", m.path])
        run(["cp", root / "file", m.path / "file"])
        check_tree(m.path)
        run(["diff", "-r", root, m.path])
        assert errno_of((root / "file").rename, m.path / "stolen") == errno.EROFS
        assert errno_of((m.path / "file").rename, root / "stolen") == errno.EROFS
    assert share.read("file") == b"then"


def test_nothing_is_asked_before_it_must_be_and_nothing_twice(past, emulator):
    _, mount, then = past
    with emulator.counting() as at_mount, mount() as m:
        pass
    assert not at_mount.requests["ListShares"]
    with mount("actimeo=600") as m:
        os.listdir(m.path)
        with emulator.counting() as listing:
            assert os.listdir(m.path / ".snapshots") == [then]
        assert listing.requests == {"ListShares": 1}
        root = m.path / ".snapshots" / then
        check_tree(root)
    with mount("actimeo=0") as m:
        # By its name alone, without any list.
        root = m.path / ".snapshots" / then
        inside = os.open(root / "dir", os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert (root / "link/data").read_bytes()
            os.stat("deep/data", dir_fd=inside)
            with emulator.counting() as again:
                for _ in range(3):
                    os.stat("deep/data", dir_fd=inside)
                    os.listdir(inside)
                    descriptor = os.open("deep/data", os.O_RDONLY, dir_fd=inside)
                    assert len(os.read(descriptor, 1 << 20)) == 100_000
                    os.close(descriptor)
            assert not again.requests
        finally:
            os.close(inside)


def test_the_directory_itself_stays_as_it_is(past):
    _, mount, then = past
    with mount() as m:
        snapshots = m.path / ".snapshots"
        assert snapshots.stat().st_mode & 0o222 == 0
        done = {
            "mkdir": errno_of((snapshots / "new").mkdir),
            "create": errno_of((snapshots / "new").open, "wb"),
            "rmdir": errno_of((snapshots / then).rmdir),
            "chmod": errno_of(snapshots.chmod, 0o777),
            "rename": errno_of((snapshots / then).rename, m.path / "x"),
        }
        assert done == dict.fromkeys(done, errno.EROFS)
        assert errno_of(snapshots.rmdir) == errno.EBUSY
        assert errno_of(snapshots.rename, m.path / "other") == errno.EBUSY
        (m.path / "empty").mkdir()
        assert errno_of((m.path / "empty").rename, snapshots) == errno.EBUSY
        assert errno_of(snapshots.mkdir) == errno.EEXIST
        for name in ("nonsense", "2020-01-01T00:00:00.0000000Z", "2020-99-01T00:00:00.0000000Z"):
            assert errno_of((snapshots / name).stat) == errno.ENOENT
        run(["ls", "-lR", snapshots])


def test_a_real_entry_of_the_name_comes_first(mount, then, share):
    share.sdk.create_directory(".snapshots")
    share.write(".snapshots/own", b"mine")
    with mount() as m:
        assert os.listdir(m.path / ".snapshots") == ["own"]
        assert ".snapshots" in os.listdir(m.path)
        shutil.rmtree(m.path / ".snapshots")
        assert os.listdir(m.path / ".snapshots") == [then]


def test_a_snapshot_that_is_deleted_is_gone(mount, then, share):
    second = take(share)
    with mount("actimeo=0") as m:
        snapshots = m.path / ".snapshots"
        assert sorted(os.listdir(snapshots)) == sorted([then, second])
        root = snapshots / then
        with (root / "file").open("rb") as file, (root / "run").open("rb"):
            assert file.read() == b"then"
            delete(share, then)
            assert os.listdir(snapshots) == [second]
            assert errno_of(root.stat) == errno.ENOENT
            assert errno_of((root / "dir/deep").stat) == errno.ENOENT
        m.expected.append("SHARE_SNAPSHOT_NOT_FOUND|ShareSnapshotNotFound")
        assert (snapshots / second / "file").read_bytes() == b"now, and longer"


def test_a_directory_of_the_share_shows_its_own_past(mount, share):
    share.sdk.create_directory("part")
    before = take(share)
    share.write("part/file", b"then")
    after = take(share)
    share.write("part/file", b"now")
    share.write("other", b"not seen")
    with mount(source=f"{share.source}/part") as m:
        assert os.listdir(m.path / ".snapshots" / before) == []
        assert (m.path / ".snapshots" / after / "file").read_bytes() == b"then"
        assert (m.path / "file").read_bytes() == b"now"


def test_who_may_not_list_shares_enters_by_name(past):
    share, mount, then = past
    sas = generate_share_sas(
        DEVELOPMENT_ACCOUNT,
        share.name,
        DEVELOPMENT_KEY,
        permission="rwdl",
        expiry=datetime.now(UTC) + timedelta(days=30),
    )
    with mount(env={"AZURE_STORAGE_SAS_TOKEN": sas}) as m:
        m.expected.append("snapshots cannot be listed")
        for _ in range(3):
            assert errno_of(os.listdir, m.path / ".snapshots") == errno.EACCES
        check_tree(m.path / ".snapshots" / then)
        assert m.log.count("snapshots cannot be listed") == 1
