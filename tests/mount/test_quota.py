"""The quota: programs see it, nothing that was acknowledged is lost, what waits goes up later."""

import errno
import os
from pathlib import Path

import pytest

from tests.mount.harness import Emulator, Mount, Share, errno_of, wait_until

MIB = 1024 * 1024
SAID = "ENOSPC|could not be uploaded|will try again"


def limit(emulator: Emulator, share: Share, size: int) -> None:
    emulator.faults(quota_bytes={share.name: size})


def write(path: Path, content: bytes) -> int:
    """Write a file as a careful program does; return the errno of the first call that fails."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    code = errno_of(os.write, descriptor, content) or errno_of(os.fsync, descriptor)
    return errno_of(os.close, descriptor) or code


def dirty_bytes(m: Mount) -> int:
    return int(m.ask("stats")["writes"]["dirtyBytes"])


def test_quota_and_use_are_those_of_the_share(share, mount):
    share.write("file", b"x" * 5 * MIB)
    share.sdk.set_share_quota(7)
    with mount() as m:
        figures = os.statvfs(m.path)
        assert figures.f_frsize * figures.f_blocks == 7 * 1024**3
        assert figures.f_frsize * figures.f_bavail == 7 * 1024**3 - 5 * MIB
        (m.path / "more").write_bytes(b"x" * 3 * MIB)
        assert figures.f_bavail - os.statvfs(m.path).f_bavail == 3 * MIB // figures.f_frsize
        os.unlink(m.path / "file")
        assert os.statvfs(m.path).f_bavail - figures.f_bavail == 2 * MIB // figures.f_frsize


@pytest.mark.parametrize(
    "room",
    [
        "unlink",
        pytest.param("rename", marks=pytest.mark.long),
        pytest.param("quota", marks=pytest.mark.long),
    ],
)
def test_what_found_no_room_goes_up_when_there_is_some(emulator, share, mount, room):
    content = os.urandom(3 * MIB)
    with mount("dirty-expire=3600") as m:
        m.expected.append(SAID)
        (m.path / "old").write_bytes(b"o" * 2 * MIB)
        limit(emulator, share, 4 * MIB)
        assert write(m.path / "new", content) == errno.ENOSPC
        assert write(m.path / "new2", content[:MIB]) == 0  # there is room for this one
        assert (m.path / "new").read_bytes() == content
        assert (m.path / "old").read_bytes() == share.read("old") == b"o" * 2 * MIB
        if room == "unlink":
            os.unlink(m.path / "old")
        elif room == "rename":
            os.rename(m.path / "new2", m.path / "old")
        else:
            limit(emulator, share, 100 * MIB)
        # Nobody asks for it again.
        wait_until(lambda: not dirty_bytes(m))
        assert share.read("new") == content


def test_overwriting_takes_no_room_and_loses_nothing(emulator, share, mount):
    before = os.urandom(4 * MIB)
    with mount("dirty-expire=3600") as m:
        m.expected.append(SAID)
        (m.path / "file").write_bytes(before)
        limit(emulator, share, 4 * MIB)
        with (m.path / "file").open("r+b", buffering=0) as file:
            file.seek(MIB)
            file.write(b"n" * MIB)
            os.fsync(file.fileno())
            file.seek(0, os.SEEK_END)
            code = errno_of(file.write, b"a" * MIB) or errno_of(os.fsync, file.fileno())
            assert code == errno.ENOSPC
            wanted = before[:MIB] + b"n" * MIB + before[2 * MIB :]
            assert share.read("file")[: 4 * MIB] == wanted
            os.ftruncate(file.fileno(), 4 * MIB)
            os.fsync(file.fileno())
        assert share.read("file") == wanted
        assert errno_of((m.path / "dir").mkdir) == 0  # directories take none


def test_with_writeback_fsync_tells_and_the_next_mount_brings_it(emulator, share, mount):
    content = os.urandom(3 * MIB)
    with mount("writeback=0.1") as m:
        m.expected.append(SAID)
        m.exit_code = 1
        limit(emulator, share, 2 * MIB)
        (m.path / "first").write_bytes(content)  # its close returns with the journal
        descriptor = os.open(m.path / "first", os.O_WRONLY)
        assert errno_of(os.fsync, descriptor) == errno.ENOSPC
        os.close(descriptor)
        limit(emulator, share, 4 * MIB)
        wait_until(lambda: not dirty_bytes(m))
        assert share.read("first") == content
        (m.path / "second").write_bytes(content)
        os.stat(m.path / "second")
    limit(emulator, share, 100 * MIB)
    with mount("writeback=0.1") as m:
        m.expected.append(SAID)  # of the mount before
        assert (m.path / "second").read_bytes() == content
    assert share.read("second") == content
