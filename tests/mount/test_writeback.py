"""`-o writeback`: close waits for the journal, and nothing that was acknowledged is lost."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.mount.harness import PATIENCE, errno_of, run, wait_until

MIB = 1024 * 1024
#: Nothing goes up by itself while a test looks.
LATER = "writeback=3600,dirty-expire=3600"


def records(tmp_path: Path) -> int:
    """Return how many files the journal holds."""
    (path,) = tmp_path.glob("state/*/journal.sqlite")
    database = sqlite3.connect(path)
    try:
        return int(database.execute("SELECT count(*) FROM records").fetchone()[0])
    finally:
        database.close()


def test_a_close_asks_the_share_nothing(share, mount, emulator, tmp_path):
    with mount(LATER) as m:
        os.listdir(m.path)
        with emulator.counting() as usage:
            for number in range(20):
                (m.path / f"f{number}").write_bytes(b"%d" % number)
            (m.path / "f7").chmod(0o600)
            os.utime(m.path / "f7", (1, 1_600_000_000))
            assert sorted(os.listdir(m.path)) == sorted(f"f{number}" for number in range(20))
            assert (m.path / "f7").read_bytes() == b"7"
        assert not usage.requests
        assert share.names() == set()
        assert records(tmp_path) == 20
        with emulator.counting() as usage:
            os.unlink(m.path / "f3")  # never was anywhere else
        assert not usage.requests
        with (m.path / "f8").open("r+b") as file:
            os.fsync(file.fileno())
        assert share.read("f8") == b"8"
    assert share.names() == {f"f{number}" for number in range(20)} - {"f3"}
    assert records(tmp_path) == 0
    with mount() as m:
        status = (m.path / "f7").stat()
        assert (status.st_mode & 0o777, status.st_mtime) == (0o600, 1_600_000_000)


def test_uploads_follow_by_themselves(share, mount, emulator):
    with mount("writeback=0") as m, emulator.counting() as usage:
        for number in range(50):
            (m.path / f"f{number}").write_bytes(b"x" * number)
        until_clean = 'until azfuse stats --json "$0" | grep -q "dirtyFiles.: 0"; do :; done'
        binaries = Path(sys.executable).parent
        run(["sh", "-c", until_clean, m.path], env={"PATH": f"{binaries}:{os.environ['PATH']}"})
        assert share.names() == {f"f{number}" for number in range(50)}
    assert usage.requests["CreateFile"] == 50


def test_what_was_closed_survives_a_crash(share, mount, tmp_path):
    share.write("patched", b"a" * 2 * MIB)
    share.write("longer", b"b" * 100)
    share.write("shorter", b"c" * 5000)
    share.write("emptied", b"d" * 5000)
    with mount(LATER) as m:
        (m.path / "new").write_bytes(b"new" * 1000)
        (m.path / "moved").write_bytes(b"moved")
        os.rename(m.path / "moved", m.path / "there")
        (m.path / "dir").mkdir()
        (m.path / "dir/inside").write_bytes(b"inside")
        os.setxattr(m.path / "dir/inside", "user.colour", b"red")
        with (m.path / "patched").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"PATCH", MIB)
        with (m.path / "longer").open("ab") as file:
            file.write(b"more")
        with (m.path / "shorter").open("r+b") as file:
            file.truncate(10)
            file.truncate(20)
        (m.path / "emptied").write_bytes(b"")
        (m.path / "dropped").write_bytes(b"x")
        os.unlink(m.path / "dropped")
        (m.path / "held").write_bytes(b"x")
        held = os.open(m.path / "held", os.O_RDONLY)
        os.unlink(m.path / "held")
        m.kill()
        assert errno_of(os.close, held) == errno.ENOTCONN
    assert share.names() == {"patched", "longer", "shorter", "emptied"}
    assert records(tmp_path) == 7
    expected = {
        "new": b"new" * 1000,
        "there": b"moved",
        "dir/inside": b"inside",
        "patched": b"a" * MIB + b"PATCH" + b"a" * (MIB - 5),
        "longer": b"b" * 100 + b"more",
        "shorter": b"c" * 10 + bytes(10),
        "emptied": b"",
    }
    with mount(LATER) as m:
        # At once, whether or not it went up by now.
        assert {name: (m.path / name).read_bytes() for name in expected} == expected
        assert os.getxattr(m.path / "dir/inside", "user.colour") == b"red"
        assert not {"dropped", "held"} & set(os.listdir(m.path))
    assert {name: share.read(name) for name in expected} == expected
    assert records(tmp_path) == 0


def test_a_crash_in_the_middle_of_uploads(share, mount, emulator):
    """Some files were created, some answers were lost: the next mount makes it whole."""
    rule = {"operation": "CreateFile", "after": 10, "seconds": 60}
    emulator.faults(rules=[{"action": "delay", **rule}, {"action": "reset-after", **rule}])
    content = {f"f{number}": os.urandom(3000 + number) for number in range(40)}
    with mount("writeback=0") as m:
        for name, data in content.items():
            (m.path / name).write_bytes(data)
        m.kill()
    emulator.faults()
    with mount() as m:
        assert {name: (m.path / name).read_bytes() for name in content} == content
    assert share.names() == set(content)
    assert {name: share.read(name) for name in content} == content


def test_what_others_put_in_the_place_is_not_overwritten(share, mount):
    share.write("replaced", b"a" * 5000)
    share.write("deleted", b"b" * 5000)
    share.sdk.create_directory("dir")
    with mount(LATER) as m:
        (m.path / "taken").write_bytes(b"ours")
        for name in ("replaced", "deleted"):
            with (m.path / name).open("r+b") as file:
                file.write(b"OURS")
        (m.path / "dir/inside").write_bytes(b"inside")
        m.kill()
    share.write("taken", b"theirs")
    for name in ("replaced", "deleted"):
        share.sdk.get_file_client(name).delete_file()
    share.write("replaced", b"theirs")
    share.sdk.get_directory_client("dir").delete_directory()
    with mount() as m:
        m.expected.append("what it wrote is saved as")
        assert (m.path / "taken").read_bytes() == b"theirs"
    assert share.read("taken") == share.read("replaced") == b"theirs"
    assert share.read("taken.azfuse-recovered") == b"ours"
    assert share.read("inside.azfuse-recovered") == b"inside"
    for name in ("replaced", "deleted"):
        assert share.read(f"{name}.azfuse-recovered")[:4] == b"OURS"
    assert "deleted" not in share.names()


def test_a_rename_onto_a_file_comes_after_the_upload(share, mount, emulator):
    share.write("file", b"old")
    with mount(LATER) as m:
        os.listdir(m.path)
        with emulator.counting() as usage:
            (m.path / "file.new").write_bytes(b"new")
            os.rename(m.path / "file.new", m.path / "file")
        assert usage.requests == {"CreateFile": 1, "RenameFile": 1}
        assert share.read("file") == b"new"
        m.kill()
    with mount() as m:
        assert os.listdir(m.path) == ["file"]


def test_a_directory_is_moved_after_what_lies_in_it(share, mount):
    with mount(LATER) as m:
        (m.path / "a").mkdir()
        for number in range(5):
            (m.path / f"a/f{number}").write_bytes(b"x")
        os.rename(m.path / "a", m.path / "b")
        assert share.names("b") == {f"f{number}" for number in range(5)}
        (m.path / "b/last").write_bytes(b"y")
        m.kill()
    with mount() as m:
        assert (m.path / "b/last").read_bytes() == b"y"


def test_the_service_is_away_at_close_and_back_later(share, mount, emulator):
    with mount(f"{LATER},retry-timeout=1") as m:
        os.listdir(m.path)
        m.expected += ["CreateFile", "EIO", "could not be uploaded", "statfs"]
        emulator.faults(rules=[{"action": "error", "operation": "CreateFile"}])
        (m.path / "file").write_bytes(b"data")
        with (m.path / "file").open("r+b") as file:
            assert errno_of(os.fsync, file.fileno()) == errno.EIO
        emulator.faults()
        with (m.path / "file").open("r+b") as file:
            os.fsync(file.fileno())
    assert share.read("file") == b"data"


def test_without_a_journal_a_close_uploads(share, mount, tmp_path):
    with mount(LATER) as m:
        (state,) = (tmp_path / "state").iterdir()
        (state / "journal.sqlite").mkdir()
        m.expected += ["uploading at once instead", "the journal cannot be written"]
        (m.path / "file").write_bytes(b"data")
        assert share.read("file") == b"data"


def test_the_records_of_a_living_mount_are_its_own(share, mount):
    with mount(LATER) as one:
        (one.path / "one").write_bytes(b"1")
        with mount(LATER) as two:
            assert os.listdir(two.path) == []
            (two.path / "two").write_bytes(b"2")
            two.kill()
        with mount() as three:
            assert os.listdir(three.path) == ["two"]
        assert share.names() == {"two"}
    assert share.names() == {"one", "two"}


@pytest.mark.parametrize("size", [3 * MIB, 80 * MIB])
def test_large_files(share, mount, size):
    content = os.urandom(size)
    with mount(LATER) as m:
        (m.path / "file").write_bytes(content)
        m.kill()
    with mount() as m:
        assert (m.path / "file").read_bytes() == content


def test_a_rename_that_fails_costs_nobody_the_target(share, mount, emulator):
    """A file on the share is to replace one that only the journal has; the service refuses."""
    share.write("source", b"source")
    with mount(f"{LATER},retry-timeout=1") as m:
        m.expected += ["rename: ", "RenameFile"]
        (m.path / "target").write_bytes(b"target")
        emulator.faults(rules=[{"action": "error", "operation": "RenameFile"}])
        assert errno_of(os.rename, m.path / "source", m.path / "target")
        emulator.faults()
        assert (m.path / "target").read_bytes() == b"target"
        m.kill()
    with mount() as again:
        again.expected += m.expected  # one log for both
        assert (again.path / "target").read_bytes() == b"target"
    assert share.read("target") == b"target"
    assert share.read("source") == b"source"


@pytest.mark.parametrize("how", ["unlink", "rename"])
def test_a_crash_while_a_file_is_removed_leaves_no_copy_of_it(share, mount, emulator, how):
    """The share has done it, its answer was lost, and the driver dies before it asks again."""
    operation = {"unlink": "DeleteFile", "rename": "RenameFile"}[how]
    share.write("file", b"a" * 5000)
    share.write("other", b"new")
    with mount(LATER) as m:
        m.expected.append("try 1 failed")
        with (m.path / "file").open("r+b") as file:
            file.write(b"pending")
        emulator.faults(rules=[
            {"action": "reset-after", "operation": operation, "times": 1},
            {"action": "delay", "operation": operation, "after": 1, "seconds": 60},
        ])  # fmt: skip
        doomed = {"unlink": ["unlink", m.path / "file"],
                  "rename": ["mv", "-fT", m.path / "other", m.path / "file"]}[how]  # fmt: skip
        program = subprocess.Popen(doomed, stderr=subprocess.DEVNULL)
        try:
            left = {"unlink": {"other"}, "rename": {"file"}}[how]
            wait_until(lambda: share.names() == left)
        finally:
            m.kill()
            program.wait(PATIENCE)
    emulator.faults()
    with mount() as m:
        m.expected.append("try 1 failed")  # one log for both
        assert set(os.listdir(m.path)) == left
    assert share.names() == left
    assert share.read(left.pop()) == b"new"


def test_a_pending_file_that_was_replaced_does_not_come_back(share, mount):
    share.write("source", b"source")
    with mount(LATER) as m:
        (m.path / "target").write_bytes(b"target")
        os.rename(m.path / "source", m.path / "target")
        assert (m.path / "target").read_bytes() == b"source"
        m.kill()
    with mount() as m:
        assert os.listdir(m.path) == ["target"]
        assert (m.path / "target").read_bytes() == b"source"
    assert share.names() == {"target"}


def test_a_directory_that_cannot_be_emptied_first_is_not_moved(share, mount, emulator):
    with mount(f"{LATER},retry-timeout=1") as m:
        m.expected += ["rename: ", "CreateFile"]
        (m.path / "a").mkdir()
        for number in range(3):
            (m.path / f"a/f{number}").write_bytes(b"x")
        emulator.faults(rules=[{"action": "error", "operation": "CreateFile"}])
        assert errno_of(os.rename, m.path / "a", m.path / "b")
        emulator.faults()
        assert sorted(os.listdir(m.path / "a")) == ["f0", "f1", "f2"]
    assert share.names("a") == {"f0", "f1", "f2"}


def test_a_crash_while_a_file_is_created_that_was_written_again_since(share, mount, emulator):
    """The next mount knows what the earlier one has created, though its times have moved on."""
    with mount(LATER) as m, (m.path / "file").open("wb", buffering=0) as file:
        file.write(b"first")
        os.close(os.dup(file.fileno()))  # a close: the journal has it
        file.write(b"second")
        with emulator.counting() as usage:
            # Created, and then no more.
            emulator.faults(rules=[{"action": "delay", "operation": "PutRange", "seconds": 30}])
            fsync = threading.Thread(target=errno_of, args=[os.fsync, file.fileno()])
            fsync.start()
            while "file" not in share.names():
                pass
            m.kill()
            fsync.join()
        assert usage.requests["CreateFile"] == 1
        assert errno_of(file.close)
    emulator.faults()
    with mount() as m:
        assert os.listdir(m.path) == ["file"]
        assert (m.path / "file").read_bytes()[:5] == b"first"
    assert share.names() == {"file"}
