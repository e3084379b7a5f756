"""Requests per piece of work: the table of architecture.md, section 3, line by line.

Every test mounts anew, so that nothing is cached, and counts on the service's
side. `dirty-expire` is long: no background upload is to run in between.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.mount.harness import errno_of, run

KIB = 1024
MIB = 1024 * KIB
QUIET = "dirty-expire=600"


@pytest.fixture
def counting(emulator):
    return emulator.counting


def test_listing_with_attributes(share, mount, counting):
    for number in range(40):
        share.write(f"file{number}", b"x")
    with mount(QUIET) as m, counting() as usage:
        assert len(run(["ls", "-l", m.path]).stdout.splitlines()) == 41
        run(["find", m.path, "-ls"])
        run(["du", "-s", m.path])
    assert usage.requests == {"ListDirectoriesAndFiles": 1}


def test_a_stat_of_what_is_known_costs_nothing(share, mount, counting):
    share.write("file", b"x")
    with mount(f"{QUIET},actimeo=60") as m:
        (m.path / "file").stat()
        with counting() as usage:
            for _ in range(10):
                assert (m.path / "file").stat().st_size == 1
                assert errno_of(os.stat, m.path / "missing")
                assert errno_of(os.stat, m.path / "other")
        assert not usage.requests


def test_attributes_that_are_no_longer_believed_cost_one_listing(share, mount, counting):
    """Time does not pass in tests: with actimeo=0 nothing is ever believed."""
    for number in range(20):
        share.write(f"file{number}", b"x")
    with mount(f"{QUIET},actimeo=0") as m:
        run(["ls", "-l", m.path])
        with counting() as usage, os.scandir(m.path) as entries:
            names = [entry.name for entry in entries]
        assert len(names) == 20
        assert usage.requests["ListDirectoriesAndFiles"] <= 2
        assert not usage.requests["GetFileProperties"]


def test_all_entries_of_a_directory_after_actimeo(share, mount, emulator):
    for number in range(150):
        share.write(f"file{number}", b"x")
    with mount(f"{QUIET},actimeo=2") as m:
        os.listdir(m.path)
        before = emulator.totals()[0]
        while emulator.totals()[0] == before:
            (m.path / "file0").stat()
        with emulator.counting() as usage:
            for number in range(150):
                (m.path / f"file{number}").stat()
        # The first question was about one file; who asks for more gets them all.
        assert usage.requests["ListDirectoriesAndFiles"] <= 1
        assert usage.requests.total() <= 3
        with (m.path / "file0").open() as file, (m.path / "file1").open() as other:
            before = emulator.totals()[0]
            while emulator.totals()[0] == before:
                os.fstat(file.fileno())
            with emulator.counting() as usage:
                os.fstat(other.fileno())
                for number in range(150):
                    (m.path / f"file{number}").stat()
            assert usage.requests["ListDirectoriesAndFiles"] <= 1
            assert usage.requests.total() <= 3


def test_our_own_changes_need_no_listing_even_while_one_is_under_way(share, mount, emulator):
    share.write("removed", b"x")
    with mount(f"{QUIET},actimeo=3") as m, ThreadPoolExecutor() as threads:
        new = os.open(m.path / "new", os.O_CREAT | os.O_WRONLY)
        before = emulator.totals()[0]
        emulator.faults(
            rules=[{"action": "delay", "operation": "ListDirectories*", "seconds": 1}]
        )  # fmt: skip
        finding = threads.submit(_look_for_others, m.path, emulator)
        while not emulator.faults_applied():
            pass
        os.close(new)
        finding.result(30)
        assert sorted(os.listdir(m.path)) == ["new", "removed"]
        requests = emulator.totals()[0] - before
    assert requests["ListDirectoriesAndFiles"] == 1
    assert requests["CreateFile"] == 1


def _look_for_others(directory, emulator):
    number = 0
    while not emulator.faults_applied():
        number += 1
        assert errno_of(os.stat, directory / f"missing{number}")


def test_what_was_looked_into_is_not_looked_into_again(share, mount, counting):
    """Modes, links: what a listing does not tell holds as long as it shows the same ETag."""
    with mount(QUIET) as m:
        for number in range(5):
            (m.path / f"file{number}").touch(0o600)
            (m.path / f"link{number}").symlink_to("file0")
        (m.path / "as-long-as-a-link").write_bytes(b"x" * 1067)
    with mount(f"{QUIET},acregmin=60,acdirmax=0") as m:
        with counting() as usage:
            first = run(["ls", "-l", m.path]).stdout
        assert usage.requests["GetFileProperties"] == 5
        assert usage.requests["GetFile"] == 6
        with counting() as usage:
            assert run(["ls", "-l", m.path]).stdout == first
        assert usage.requests["ListDirectoriesAndFiles"] >= 1
        assert usage.requests["GetFileProperties"] == usage.requests["GetFile"] == 0


def test_files_and_directories_are_believed_for_times_of_their_own(share, mount, counting):
    share.write("file", b"x")
    with mount(f"{QUIET},acregmax=0,acdirmin=60") as m:
        os.listdir(m.path)
        with counting() as usage:
            for _ in range(3):
                assert errno_of(os.stat, m.path / "missing")
                os.listdir(m.path)
        assert not usage.requests
        share.write("file", b"longer")
        assert (m.path / "file").stat().st_size == 6
    with mount(f"{QUIET},acregmin=60,acdirmax=0") as m:
        os.listdir(m.path)
        with (m.path / "file").open() as file, counting() as usage:
            for _ in range(3):
                os.fstat(file.fileno())
        assert not usage.requests
        share.write("new", b"x")
        assert (m.path / "new").exists()


def test_reading_a_small_file(share, mount, counting):
    share.write("file", b"x" * 100 * KIB)
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage:
            assert (m.path / "file").read_bytes() == b"x" * 100 * KIB
        assert usage.requests == {"GetFile": 1}
        with counting() as usage:
            (m.path / "file").read_bytes()
        assert usage.requests in ({}, {"GetFileProperties": 1})
        assert usage.bytes_out == 0


def test_reading_a_file_of_just_one_block(share, mount, counting):
    share.write("file", b"x" * 4 * MIB)
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage:
            assert (m.path / "file").read_bytes() == b"x" * 4 * MIB
        assert usage.requests == {"GetFile": 1}


def test_reading_sequentially(share, mount, counting):
    content = os.urandom(50 * MIB + 17)
    share.write("file", content)
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage:
            assert (m.path / "file").read_bytes() == content
        assert usage.requests == {"GetFile": 13}
        assert usage.bytes_out == len(content)


def test_reading_here_and_there(share, mount, counting):
    share.write("file", os.urandom(64 * MIB))
    with mount(QUIET) as m:
        os.listdir(m.path)
        with (m.path / "file").open("rb", buffering=0) as file, counting() as usage:
            for step in range(20):
                os.pread(file.fileno(), 4 * KIB, (step * 7 % 20) * 3 * MIB + 40 * KIB)
        assert usage.requests == {"GetFile": 20}
        assert usage.bytes_out <= 2 * 20 * 4 * KIB


def test_creating_a_small_file(mount, counting):
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage, (m.path / "file").open("wb") as file:
            file.write(b"x" * MIB)
            os.fchmod(file.fileno(), 0o640)
            file.flush()
            os.utime(file.fileno(), (1, 1_600_000_000))
        assert usage.requests == {"CreateFile": 1}
        with counting() as usage:
            (m.path / "empty").touch()
        assert usage.requests == {"CreateFile": 1}
        status = (m.path / "file").stat()
        assert (status.st_mode & 0o777, status.st_mtime) == (0o640, 1_600_000_000)


@pytest.mark.parametrize("lease", ["off", "auto"])
def test_creating_a_large_file(mount, counting, lease):
    size = 41 * MIB + 3
    with mount(f"{QUIET},lease={lease}") as m:
        os.listdir(m.path)
        with counting() as usage:
            run(["dd", "if=/dev/urandom", f"of={m.path}/file", f"count={size}", "iflag=count_bytes",
                 "bs=1M"])  # fmt: skip
        chunks = -(-size // (4 * MIB))
        assert chunks <= usage.requests.total() <= chunks + 4
        assert size <= usage.bytes_in <= size + 4 * KIB


def test_creating_a_file_that_does_not_fit_what_may_be_dirty(mount, counting):
    size = 100 * MIB
    with mount(f"{QUIET},cache-size=32M") as m:
        os.listdir(m.path)
        with counting() as usage:
            run(["dd", "if=/dev/urandom", f"of={m.path}/file", f"count={size}", "iflag=count_bytes",
                 "bs=1M"])  # fmt: skip
        assert usage.requests.total() <= 25 + 4
        assert usage.bytes_in <= size * 1.01


def test_overwriting_in_the_middle(share, mount, counting):
    share.write("file", bytes(9 * MIB))
    with mount(QUIET) as m:
        os.listdir(m.path)
        with (m.path / "file").open("r+b", buffering=0) as file:
            with counting() as usage:
                os.pwrite(file.fileno(), b"y" * 4 * KIB, 5 * MIB + 123)
                os.fsync(file.fileno())
            assert usage.requests == {"PutRange": 1}
            assert usage.bytes_in == 4 * KIB
            with counting() as usage:
                os.fsync(file.fileno())
            assert not usage.requests
    assert share.read_range("file", 5 * MIB + 122, 4) == b"\0yyy"


def test_appending(share, mount, counting):
    share.write("file", b"x" * 10 * KIB)
    with mount(QUIET) as m:
        os.listdir(m.path)
        with (m.path / "file").open("ab", buffering=0) as file:
            for _ in range(3):
                with counting() as usage:
                    file.write(b"y" * 4 * KIB)
                    os.fsync(file.fileno())
                assert usage.requests == {"SetFileProperties": 1, "PutRange": 1}
                assert usage.bytes_in == 4 * KIB


def test_many_small_writes_and_one_fsync(share, mount, counting):
    share.write("file", bytes(32 * MIB))
    with mount(QUIET) as m:
        os.listdir(m.path)
        offsets = [step * 7919 % 8192 * 4 * KIB for step in range(1000)]
        blocks = sorted({offset // (4 * KIB) for offset in offsets})
        runs = sum(block - 1 not in set(blocks) for block in blocks)
        with (m.path / "file").open("r+b", buffering=0) as file, counting() as usage:
            for offset in offsets:
                os.pwrite(file.fileno(), b"y" * 4 * KIB, offset)
            os.fsync(file.fileno())
        assert usage.requests["PutRange"] <= runs
        assert usage.requests.total() <= runs + 2
        assert usage.bytes_in <= 1.01 * len(blocks) * 4 * KIB


def test_truncating(share, mount, counting):
    share.write("file", b"x" * 10 * KIB)
    with mount(QUIET) as m:
        os.listdir(m.path)
        for size in (100, 20 * KIB, 0):
            with counting() as usage:
                os.truncate(m.path / "file", size)
            assert usage.requests == {"SetFileProperties": 1}
            assert share.properties("file").size == size


def test_holes_do_not_travel(mount, share, counting):
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage, (m.path / "sparse").open("wb", buffering=0) as file:
            os.pwrite(file.fileno(), b"x" * 4 * KIB, 1024 * MIB)
            os.ftruncate(file.fileno(), 3000 * MIB)
        assert usage.requests.total() <= 3
        assert usage.bytes_in == 4 * KIB
    with mount(QUIET) as m:
        os.listdir(m.path)
        with (m.path / "sparse").open("rb", buffering=0) as file, counting() as usage:
            assert os.pread(file.fileno(), 64 * KIB, 2000 * MIB) == bytes(64 * KIB)
        assert usage.bytes_out <= 2 * 64 * KIB


def one_each(path, share):
    """Yield pieces of work that cost one request each."""
    (path / "dir").mkdir()
    yield "mkdir", "CreateDirectory"
    (path / "file").touch()
    yield "create", "CreateFile"
    os.rename(path / "file", path / "dir/file")
    yield "rename", "RenameFile"
    os.rename(path / "dir", path / "other")
    yield "rename of a directory", "RenameDirectory"
    os.chmod(path / "other", 0o700)
    yield "chmod of a directory", None
    os.chmod(path / "other/file", 0o600)
    yield "chmod", None
    os.chmod(path / "other/file", 0o640)
    yield "second chmod", None
    os.utime(path / "other/file", (1, 2))
    yield "utimens", "SetFileProperties"
    os.symlink("file", path / "link")
    yield "symlink", "CreateFile"
    os.unlink(path / "link")
    yield "unlink of a symlink", "DeleteFile"
    os.unlink(path / "other/file")
    yield "unlink", "DeleteFile"
    os.rmdir(path / "other")
    yield "rmdir", "DeleteDirectory"


def test_one_request_each(share, mount, emulator):
    found = {}
    with mount(f"{QUIET},actimeo=60") as m:
        os.listdir(m.path)
        before = emulator.totals()[0]
        for title, operation in one_each(m.path, share):
            after = emulator.totals()[0]
            requests = after - before
            if requests != Counter([operation]) and (operation or requests.total() != 1):
                found[title] = dict(requests)
            before = after
    assert not found


def test_saving_as_editors_do(share, mount, counting):
    share.write("file", b"old")
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage:
            (m.path / "file.new").write_bytes(b"new")
            os.rename(m.path / "file.new", m.path / "file")
        assert usage.requests == {"CreateFile": 1, "RenameFile": 1}
    assert share.read("file") == b"new"


def test_removing_a_tree(share, mount, counting):
    share.sdk.create_directory("tree")
    for name in ("a", "b", "c"):
        share.sdk.create_directory(f"tree/{name}")
        for number in range(10):
            share.write(f"tree/{name}/{number}", b"x")
    with mount(QUIET) as m:
        with counting() as usage:
            run(["rm", "-r", m.path / "tree"])
        lists = usage.requests.pop("ListDirectoriesAndFiles")
        assert usage.requests == {"DeleteFile": 30, "DeleteDirectory": 4}
        assert lists <= 5


def test_names_that_programs_only_look_for(share, mount, counting):
    """What shells, compilers and interpreters do all day: names along a search path."""
    share.sdk.create_directory("include")
    share.write("include/here.h", b"x")
    with mount(QUIET) as m, counting() as usage:
        for number in range(50):
            assert errno_of(os.stat, m.path / f"include/missing{number}.h")
            assert errno_of(os.stat, m.path / f"missing{number}.h")
        assert (m.path / "include/here.h").stat().st_size == 1
    assert usage.requests["ListDirectoriesAndFiles"] == usage.requests.total() == 2
