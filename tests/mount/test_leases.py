"""Leases between mounts: who must wait, what a broken lease costs, what outlives a crash.

Mounts of one test share a state directory, as those of one machine do; a mount of
another machine gets one of its own.
"""

import errno
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from azure.storage.fileshare import ShareLeaseClient

from azfuse.rest.wire import DEVELOPMENT_KEY
from tests.mount.harness import errno_of, run

MIB = 1024 * 1024


@pytest.fixture
def elsewhere(tmp_path) -> str:
    """An option that makes a mount one of another machine."""
    return f"state-dir={tmp_path}/elsewhere"


class Background(threading.Thread):
    """Calls something in a thread and keeps the errno it ended with."""

    def __init__(self, call: Callable[..., object], *args: object) -> None:
        super().__init__(daemon=True)
        self.call, self.args, self.errno = call, args, -1
        self.start()

    def run(self) -> None:
        self.errno = errno_of(self.call, *self.args)

    def result(self) -> int:
        self.join(40)
        assert not self.is_alive()
        return self.errno


def state_of(share, path: str) -> str:
    return str(share.properties(path).lease.state)


def wait_for(what: Callable[[], bool]) -> None:
    """Return once *what* is true."""
    for _ in range(4000):
        if what():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")


def break_lease(share, path: str) -> None:
    ShareLeaseClient(share.sdk.get_file_client(path)).break_lease()


def hold(mounted, share, path: str):
    """Open a file through a mount and write so much that the mount keeps its lease."""
    file = (mounted.path / path).open("r+b", buffering=0)
    os.pwrite(file.fileno(), b"1" * 9 * MIB, 0)
    os.fsync(file.fileno())
    assert state_of(share, path) == "leased"
    return file


def test_a_writer_waits_for_the_lease_and_holds_nobody_else_up(mount, share, emulator):
    share.write("file", bytes(16 * MIB))
    with mount() as one, mount("lease-wait=60") as two, hold(one, share, "file") as first:
        with (two.path / "file").open("r+b", buffering=0) as second:
            os.pwrite(second.fileno(), b"2" * 9 * MIB, 0)
            with emulator.counting() as usage:
                waiting = Background(os.fsync, second.fileno())
                before = emulator.totals()[0]["GetFileProperties"]
                wait_for(lambda: emulator.totals()[0]["GetFileProperties"] >= before + 3)
            assert usage.requests["PutRange"] == 0
            (two.path / "other").write_bytes(b"x" * 9 * MIB)
            assert (two.path / "other").stat().st_size == 9 * MIB
            assert waiting.is_alive()
            os.pwrite(first.fileno(), b"1", 0)
            first.close()
            assert waiting.result() == 0
            assert state_of(share, "file") == "leased"
        assert state_of(share, "file") == "available"
    assert share.read_range("file", 0, 3) == b"222"


def test_waiting_has_an_end(mount, share):
    share.write("file", bytes(16 * MIB))
    with mount() as one, mount("lease-wait=0.2") as two, hold(one, share, "file"):
        two.expected.append("LeaseIdMissing|LeaseAlreadyPresent")
        path = two.path / "file"
        assert errno_of(path.chmod, 0o600) == errno.EBUSY
        assert path.stat().st_mode & 0o777 == 0o644
        assert errno_of(os.setxattr, path, "user.a", b"x") == errno.EBUSY
        assert errno_of(path.unlink) == errno.EBUSY
        assert errno_of(path.rename, two.path / "new") == errno.EBUSY
        assert errno_of(os.truncate, path, 5) == errno.EBUSY
        second = os.open(path, os.O_RDWR)
        os.pwrite(second, b"2", 0)
        assert errno_of(os.fsync, second) == errno.EBUSY
        assert errno_of(os.close, second) == errno.EBUSY
    assert share.read_range("file", 0, 1) == b"2"


def test_what_was_refused_is_not_done_later(mount, share):
    for name in ("leased", "target"):
        share.write(name, b"content")
    lease = share.sdk.get_file_client("leased").acquire_lease()
    with mount() as m, (m.path / "target").open("rb") as file:
        m.expected.append("LeaseIdMissing")
        assert errno_of(os.truncate, m.path / "leased", 2) == errno.EBUSY
        assert errno_of(os.rename, m.path / "leased", m.path / "target") == errno.EBUSY
        assert sorted(os.listdir(m.path)) == ["leased", "target"]
        assert (m.path / "target").read_bytes() == file.read() == b"content"
        lease.release()
        (m.path / "leased").rename(m.path / "target")
        assert (m.path / "target").read_bytes() == b"content"
    assert share.names() == {"target"}
    assert share.read("target") == b"content"


def test_what_others_hold_the_lease_of_is_asked_for_each_time(mount, share):
    client = share.sdk.get_file_client("file")
    share.write("file", b"one")
    lease = client.acquire_lease()
    with mount("actimeo=600") as m:
        m.expected.append("LeaseIdMissing")
        path = m.path / "file"
        assert errno_of(path.chmod, 0o600) == errno.EBUSY
        for size in (5, 9):
            client.resize_file(size, lease=lease)
            assert path.stat().st_size == size
            os.listdir(m.path)
        lease.release()


def test_our_own_lease_spares_every_question(mount, share, emulator):
    share.write("file", bytes(16 * MIB))
    with mount("actimeo=0") as m, hold(m, share, "file") as file, emulator.counting() as usage:
        for _ in range(3):
            os.fstat(file.fileno())
            with (m.path / "file").open("rb", buffering=0) as reader:
                assert os.pread(reader.fileno(), 4096, 0) == b"1" * 4096
    assert usage.requests["GetFileProperties"] == 0


def test_a_broken_lease_fails_each_writer_once(mount, share):
    share.write("file", bytes(32 * MIB))
    with mount("dirty-expire=600") as m, hold(m, share, "file") as file:
        m.expected += ["lease was broken"]
        with (m.path / "file").open("r+b", buffering=0) as other:
            os.pwrite(file.fileno(), b"2" * 20 * MIB, 0)
            break_lease(share, "file")
            assert errno_of(os.fsync, file.fileno()) == errno.EIO
            os.fsync(file.fileno())
            assert share.read("file") == b"2" * 20 * MIB + bytes(12 * MIB)
            assert errno_of(os.fsync, other.fileno()) == errno.EIO
            os.fsync(other.fileno())
        with (m.path / "file").open("r+b", buffering=0) as third:
            third.write(b"3")
            os.fsync(third.fileno())
    assert share.read_range("file", 0, 2) == b"32"
    assert m.log.count("our lease was broken") == 1


def test_a_lease_that_was_lost_in_the_background_is_told(mount, share):
    share.write("file", bytes(16 * MIB))
    with mount("dirty-expire=0.2") as m, hold(m, share, "file") as file:
        m.expected += ["lease was broken"]
        break_lease(share, "file")
        os.pwrite(file.fileno(), b"2" * 5 * MIB, 0)
        wait_for(lambda: "will try again" in m.log)
        assert errno_of(os.fsync, file.fileno()) == errno.EIO
        os.fsync(file.fileno())
        assert share.read_range("file", 0, 1) == b"2"


def test_what_another_wrote_after_breaking_our_lease_is_seen(mount, share):
    share.write("file", bytes(16 * MIB))
    with mount("actimeo=1") as m, hold(m, share, "file") as file:
        m.expected += ["lease was broken"]
        with (m.path / "file").open("rb") as reader:
            assert reader.read(1) == b"1"
        break_lease(share, "file")
        share.sdk.get_file_client("file").upload_range(b"theirs", 0, 6)
        # Any listing of the directory shows that something is wrong.
        wait_for(lambda: bool(os.listdir(m.path)) and "lease was broken" in m.log)
        with (m.path / "file").open("rb") as reader:
            assert reader.read(6) == b"theirs"
        assert errno_of(os.fsync, file.fileno()) == errno.EIO
        os.fsync(file.fileno())


def test_what_another_wrote_before_we_gave_the_broken_lease_back_is_seen(mount, share):
    share.write("file", bytes(16 * MIB))
    with mount("actimeo=600") as m:
        file = hold(m, share, "file")
        assert os.pread(file.fileno(), 1, 0) == b"1"
        break_lease(share, "file")
        share.sdk.get_file_client("file").upload_range(b"theirs", 0, 6)
        file.close()  # all that was written here had reached the share before
        with (m.path / "file").open("rb") as reader:
            assert reader.read(6) == b"theirs"


def test_attributes_can_be_set_after_a_lease_was_lost(mount, share):
    share.write("file", bytes(16 * MIB))
    with mount() as m, hold(m, share, "file") as file:
        m.expected += ["lease was broken"]
        break_lease(share, "file")
        (m.path / "file").chmod(0o600)
        assert errno_of(os.fsync, file.fileno()) == errno.EIO
        (m.path / "file").rename(m.path / "moved")
        (m.path / "moved").unlink()


def kill(mounted, file) -> None:
    mounted.kill()
    with pytest.raises(OSError, match=r"Transport endpoint|not connected|aborted"):
        file.close()


def test_another_machine_is_kept_off_until_the_first_comes_back(mount, share, elsewhere):
    share.write("file", bytes(16 * MIB))
    with mount(elsewhere) as other:
        other.expected.append("LeaseIdMissing")
        with mount() as m:
            kill(m, hold(m, share, "file"))
        with (other.path / "file").open("r+b", buffering=0) as file:
            file.write(b"2")
            assert errno_of(os.fsync, file.fileno()) == errno.EBUSY
            with mount():
                wait_for(lambda: state_of(share, "file") == "available")
            os.fsync(file.fileno())
    assert share.read_range("file", 0, 2) == b"21"


def test_a_lease_can_be_broken_by_hand(mount, share, elsewhere):
    share.write("file", bytes(16 * MIB))
    with mount() as m:
        kill(m, hold(m, share, "file"))
    with mount(elsewhere) as other, (other.path / "file").open("r+b", buffering=0) as file:
        other.expected.append("LeaseIdMissing")
        file.write(b"2")
        assert errno_of(os.fsync, file.fileno()) == errno.EBUSY
        endpoint, name = share.emulator.endpoint, share.name
        run(
            [sys.executable, "-m", "azfuse", "lease", "break", f"{endpoint}/{name}/file"],
            env={"AZURE_STORAGE_KEY": DEVELOPMENT_KEY},
        )
        os.fsync(file.fileno())
    assert share.read_range("file", 0, 2) == b"21"


def test_a_living_mount_of_the_machine_takes_over_at_once(mount, share):
    share.write("file", bytes(16 * MIB))
    with mount() as survivor:
        with mount() as m:
            kill(m, hold(m, share, "file"))
        with (survivor.path / "file").open("r+b", buffering=0) as file:
            file.write(b"2")
    assert share.read_range("file", 0, 2) == b"21"


def test_leases_of_the_dead_are_given_back_when_the_service_answers_again(mount, share, emulator):
    share.write("file", bytes(16 * MIB))
    with mount() as m:
        file = hold(m, share, "file")
        (m.path / "file").rename(m.path / "moved")
        kill(m, file)
    emulator.faults(rules=[{"action": "busy", "operation": "LeaseFile"}])
    with mount("retry-timeout=0.5") as again:
        again.expected += ["given back later", "LeaseFile"]
        wait_for(lambda: "given back later" in again.log)
        assert state_of(share, "moved") == "leased"
        emulator.faults()
        wait_for(lambda: state_of(share, "moved") == "available")


def test_without_a_state_directory_files_are_written_without_a_lease(mount, share, tmp_path):
    share.write("file", bytes(16 * MIB))
    with mount() as m:
        m.expected += ["written without a lease", "inode numbers", "given back later"]
        (path,) = (tmp_path / "state").glob("*/inodes.sqlite")
        for leftover in path.parent.glob("inodes.sqlite*"):
            leftover.unlink()
        path.mkdir()
        with (m.path / "file").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"1" * 9 * MIB, 0)
            os.fsync(file.fileno())
            assert state_of(share, "file") == "available"
    assert share.read_range("file", 9 * MIB - 1, 2) == b"1\0"


@pytest.mark.long
def test_leases_of_the_dead_are_given_back_when_the_state_directory_answers_again(
    mount, share, tmp_path
):
    share.write("file", bytes(16 * MIB))
    with mount() as m:
        kill(m, hold(m, share, "file"))
    (path,) = (tmp_path / "state").glob("*/inodes.sqlite")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        with mount() as again:
            again.expected += ["given back later", "inode numbers"]
            wait_for(lambda: "given back later" in again.log)
            database.rollback()
            database.close()
            wait_for(lambda: state_of(share, "file") == "available")


def test_a_lease_that_cannot_be_given_back_holds_up_neither_close_nor_unmount(
    mount, share, emulator
):
    share.write("file", bytes(16 * MIB))
    with mount("retry-timeout=1") as m:
        m.expected += ["given back later", "LeaseFile"]
        file = hold(m, share, "file")
        emulator.faults(
            rules=[{"action": "delay", "operation": "LeaseFile", "seconds": 30, "times": 1},
                   {"action": "busy", "operation": "LeaseFile"}]
        )  # fmt: skip
        closing_it = Background(file.close)
        (m.path / "other").write_bytes(b"x")
        assert closing_it.result() == 0
    emulator.faults()
    with mount() as again:
        again.expected += m.expected  # both write to one log
        wait_for(lambda: state_of(share, "file") == "available")
        (again.path / "file").write_bytes(b"x")


def test_our_own_lease_that_could_not_be_given_back_is_no_obstacle(mount, share, emulator):
    share.write("file", bytes(16 * MIB))
    with mount("retry-timeout=0.5") as m:
        m.expected += ["given back later", "LeaseFile"]
        file = hold(m, share, "file")
        emulator.faults(rules=[{"action": "busy", "operation": "LeaseFile"}])
        file.close()
        emulator.faults()
        with (m.path / "file").open("r+b", buffering=0) as file:
            file.write(b"2" * 9 * MIB)
    assert state_of(share, "file") == "available"
    assert share.read_range("file", 0, 1) == b"2"
