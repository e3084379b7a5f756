"""Files through the kernel, one call after another."""

import errno
import fcntl
import mmap
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.mount.harness import errno_of, python, run

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@pytest.fixture
def opened(here):
    """Open files on the mount; they are closed at the end."""
    descriptors = []

    def opening(name, flags=os.O_RDWR | os.O_CREAT, mode=0o644):
        descriptors.append(os.open(here / name, flags, mode))
        return descriptors[-1]

    yield opening
    for descriptor in descriptors:
        os.close(descriptor)


def test_create_write_read(here):
    (here / "file").write_bytes(b"content")
    assert (here / "file").read_bytes() == b"content"
    assert (here / "file").stat().st_size == 7
    assert os.listdir(here) == ["file"]


def test_an_empty_file(here):
    (here / "empty").touch()
    assert (here / "empty").read_bytes() == b""
    assert (here / "empty").stat().st_size == 0


def test_missing_names(here):
    assert errno_of(os.stat, here / "missing") == errno.ENOENT
    assert errno_of(os.open, here / "missing", os.O_RDONLY) == errno.ENOENT
    assert errno_of(os.open, here / "no/such/file", os.O_CREAT | os.O_RDWR) == errno.ENOENT
    assert errno_of(os.unlink, here / "missing") == errno.ENOENT
    assert errno_of(os.rmdir, here / "missing") == errno.ENOENT
    assert errno_of(os.rename, here / "missing", here / "other") == errno.ENOENT
    (here / "file").touch()
    assert errno_of(os.stat, here / "file/below") == errno.ENOTDIR


def test_exclusive_creation(here):
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(here / "file", flags))
    assert errno_of(os.open, here / "file", flags) == errno.EEXIST
    assert errno_of(os.open, here / "FILE", flags) == errno.EEXIST


def test_only_one_of_many_creates_exclusively(here):
    code = (
        "import os, sys\n"
        "try: os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY); said = 'won'\n"
        "except FileExistsError: said = 'lost'\n"
        "os.write(1, said.encode() + b'\\n')\n"
    )
    script = " & ".join([f'{sys.executable} -c "$0" "$1"'] * 6) + " & wait"
    said = run(["sh", "-c", script, code, here / "lock"]).stdout.split()
    assert sorted(said) == ["lost"] * 5 + ["won"]


def test_truncation_at_open(here):
    (here / "file").write_bytes(b"long content")
    with (here / "file").open("wb") as file:
        assert os.fstat(file.fileno()).st_size == 0
        file.write(b"new")
    assert (here / "file").read_bytes() == b"new"


def test_appends_of_two_processes_do_not_overlap(here):
    code = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "for _ in range(200): os.write(fd, sys.argv[2].encode() * 9 + b'\\n')\n"
        "os.close(fd)\n"
    )
    script = f'{sys.executable} -c "$0" "$1" a & {sys.executable} -c "$0" "$1" b & wait'
    run(["sh", "-c", script, code, here / "journal"])
    lines = (here / "journal").read_bytes().splitlines()
    assert sorted(lines) == [b"a" * 9] * 200 + [b"b" * 9] * 200


def test_append_after_the_file_was_cut(opened):
    descriptor = opened("file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"0123456789")
    os.ftruncate(descriptor, 4)
    os.write(descriptor, b"end")
    assert os.pread(descriptor, 100, 0) == b"0123end"


def test_writes_at_random_places(here):
    expected = bytearray()
    with (here / "file").open("w+b", buffering=0) as file:
        for step in range(300):
            offset, data = (step * 7919) % 90_000, bytes([step % 255 + 1]) * (step % 700 + 1)
            expected.extend(bytes(max(0, offset + len(data) - len(expected))))
            expected[offset : offset + len(data)] = data
            os.pwrite(file.fileno(), data, offset)
            if step % 50 == 0:
                os.fsync(file.fileno())
        assert os.pread(file.fileno(), 200_000, 0) == expected
    assert (here / "file").read_bytes() == expected


def test_two_descriptors_see_one_content(opened):
    writer, reader = opened("file"), opened("file", os.O_RDONLY)
    os.write(writer, b"one")
    assert os.read(reader, 10) == b"one"
    os.pwrite(writer, b"two", 3)
    assert os.read(reader, 10) == b"two"
    assert os.fstat(reader).st_size == 6


def test_holes(opened):
    descriptor = opened("sparse")
    os.pwrite(descriptor, b"end", 3 * MIB)
    assert os.pread(descriptor, 8, MIB) == bytes(8)
    os.fsync(descriptor)
    assert os.fstat(descriptor).st_size == 3 * MIB + 3
    assert os.pread(descriptor, 8, 3 * MIB - 2) == b"\0\0end"


def test_ftruncate_down_and_up_with_dirty_data(opened):
    descriptor = opened("file")
    os.write(descriptor, b"x" * 10_000)
    os.ftruncate(descriptor, 100)
    os.ftruncate(descriptor, 5_000)
    assert os.pread(descriptor, 10_000, 0) == b"x" * 100 + bytes(4_900)
    os.fsync(descriptor)
    os.ftruncate(descriptor, 50)
    os.pwrite(descriptor, b"y" * 10, 60)
    os.fsync(descriptor)
    assert os.pread(descriptor, 10_000, 0) == b"x" * 50 + bytes(10) + b"y" * 10


def test_truncate_by_name(here):
    (here / "file").write_bytes(b"x" * 1000)
    os.truncate(here / "file", 10)
    assert (here / "file").read_bytes() == b"x" * 10
    os.truncate(here / "file", 20)
    assert (here / "file").read_bytes() == b"x" * 10 + bytes(10)
    assert errno_of(os.truncate, here, 0) == errno.EISDIR


def test_an_old_file_cut_and_written_with_holes_does_not_show_old_bytes(here):
    """What `cp --sparse` onto an existing file does."""
    (here / "file").write_bytes(b"old" * 2 * MIB)
    with (here / "file").open("wb", buffering=0) as file:
        file.write(b"new")
        file.seek(5 * MIB)
        file.write(b"new")
    content = (here / "file").read_bytes()
    assert content == b"new" + bytes(5 * MIB - 3) + b"new"


def test_a_shared_mapping(here):
    (here / "file").write_bytes(bytes(20_000))
    with (here / "file").open("r+b") as file, mmap.mmap(file.fileno(), 20_000) as mapping:
        mapping[10_000:10_004] = b"here"
        mapping.flush()
        assert os.pread(file.fileno(), 4, 10_000) == b"here"
        os.fsync(file.fileno())
    assert python("import sys; print(open(sys.argv[1],'rb').read().find(b'here'))",
                  here / "file") == "10000\n"  # fmt: skip


def test_a_mapping_that_outlives_its_descriptor(common, here):
    (here / "file").write_bytes(bytes(5000))
    with (here / "file").open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 5000)
    mapping[0:5] = b"later"
    mapping.flush()
    mapping.close()
    os.sync()
    assert common[1].read(f"{here.name}/file")[:5] == b"later"


def test_a_file_over_4_gib(here):
    path = here / "huge"
    with path.open("w+b", buffering=0) as file:
        for offset in (0, 4 * GIB - 3, 5 * GIB):
            os.pwrite(file.fileno(), b"marked", offset)
    assert path.stat().st_size == 5 * GIB + 6
    with path.open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 8, 0) == b"marked\0\0"
        assert os.pread(file.fileno(), 12, 4 * GIB - 6) == b"\0\0\0marked\0\0\0"
        assert os.pread(file.fileno(), 100, 5 * GIB) == b"marked"


def test_unlink_while_open(common, here, opened):
    descriptor = opened("file")
    os.write(descriptor, b"first ")
    os.fsync(descriptor)
    os.unlink(here / "file")
    assert errno_of(os.stat, here / "file") == errno.ENOENT
    assert os.listdir(here) == []
    os.pwrite(descriptor, b"second", 6)
    os.fsync(descriptor)
    assert os.pread(descriptor, 100, 0) == b"first second"
    assert os.fstat(descriptor).st_nlink == 0
    assert os.fstat(descriptor).st_size == 12
    # The name is free for another file at once.
    (here / "file").write_bytes(b"other")
    assert os.pread(descriptor, 100, 0) == b"first second"
    assert (here / "file").read_bytes() == b"other"
    assert not any("azfuse" in name for name in os.listdir(common[0].path))


def test_a_file_replaced_while_open(here, opened):
    (here / "file").write_bytes(b"old content")
    descriptor = opened("file", os.O_RDONLY)
    (here / "new").write_bytes(b"new")
    os.replace(here / "new", here / "file")
    assert os.pread(descriptor, 100, 0) == b"old content"
    assert (here / "file").read_bytes() == b"new"


def test_rename_while_open(here, opened):
    (here / "dir").mkdir()
    descriptor = opened("dir/file")
    os.write(descriptor, b"before ")
    os.rename(here / "dir/file", here / "dir/moved")
    os.write(descriptor, b"between ")
    os.rename(here / "dir", here / "other")
    os.write(descriptor, b"after")
    os.fsync(descriptor)
    assert (here / "other/moved").read_bytes() == b"before between after"
    assert errno_of(os.stat, here / "dir") == errno.ENOENT


def test_reading_and_writing_through_the_wrong_descriptor(here, opened):
    (here / "file").write_bytes(b"x")
    assert errno_of(os.write, opened("file", os.O_RDONLY), b"y") == errno.EBADF
    assert errno_of(os.read, opened("file", os.O_WRONLY), 1) == errno.EBADF
    assert errno_of(os.open, here, os.O_WRONLY) == errno.EISDIR


def test_times_move_as_programs_expect(here):
    path = here / "file"
    path.write_bytes(b"x")
    os.utime(path, ns=(1_000_000_000, 2_000_000_100))
    status = path.stat()
    assert (status.st_atime_ns, status.st_mtime_ns) == (1_000_000_000, 2_000_000_100)
    path.write_bytes(b"xy")
    assert path.stat().st_mtime_ns > 2_000_000_100
    before = here.stat().st_mtime_ns
    (here / "another").touch()
    assert here.stat().st_mtime_ns > before


def test_posix_fallocate_and_preadv(opened):
    descriptor = opened("file")
    os.posix_fallocate(descriptor, 0, 100_000)
    assert os.fstat(descriptor).st_size == 100_000
    assert os.pread(descriptor, 200_000, 0) == bytes(100_000)
    buffers = [bytearray(3), bytearray(4)]
    os.pwritev(descriptor, [b"abc", b"defg"], 10)
    assert os.preadv(descriptor, buffers, 10) == 7
    assert buffers == [b"abc", b"defg"]


def test_special_files(here):
    os.mkfifo(here / "fifo", 0o600)
    os.mknod(here / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    assert stat.S_ISFIFO((here / "fifo").lstat().st_mode)
    status = (here / "null").lstat()
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == os.makedev(1, 3)
    assert errno_of(os.link, here / "fifo", here / "second") == errno.EPERM


def test_locks_between_processes_of_one_mount(here, opened):
    descriptor = opened("file")
    code = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'r+')\n"
        "for lock in fcntl.flock, fcntl.lockf:\n"
        "    try: lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "    except BlockingIOError: print('held')\n"
    )
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert python(code, here / "file").split() == ["held", "free"]
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    assert python(code, here / "file").split() == ["free", "held"]


@pytest.mark.parametrize("operation", ["DeleteFile", "RenameFile"])
def test_opened_while_it_is_removed_or_replaced(share, mount, emulator, operation):
    """What could be opened can be read."""
    share.write("file", b"content")
    share.write("other", b"another")
    with mount() as m, ThreadPoolExecutor() as threads:
        path = m.path / "file"
        path.stat()
        emulator.faults(rules=[{"action": "delay", "operation": operation, "seconds": 0.5}])
        change = path.unlink if operation == "DeleteFile" else (m.path / "other").rename
        done = threads.submit(change, *([] if operation == "DeleteFile" else [path]))
        seen = set()
        while not done.done():
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            with file:
                seen.add(file.read())
        done.result()
        assert seen <= {b"content", b"another"}
