"""What the FUSE library leaves out, and the edges of files: what programs get instead."""

import ctypes
import errno
import fcntl
import mmap
import os

import pytest

from tests.mount.harness import errno_of, run

TIB = 1 << 40
PAGE = 4096
FICLONE, FS_IOC_GETFLAGS = 0x40049409, 0x80086601
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def file(here):
    """A file of 10,000 bytes, open."""
    descriptor = os.open(here / "file", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"0123456789" * 1000)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("mode", [0, 1, 3, 0x10])
def test_fallocate_is_refused_and_changes_nothing(file, mode):
    """Set aside, keep the length, punch a hole, write zeros."""
    length = ctypes.c_long(20_000)
    assert libc.fallocate(file, mode, ctypes.c_long(0), length) == -1
    assert ctypes.get_errno() == errno.EOPNOTSUPP
    assert os.pread(file, 30_000, 0) == b"0123456789" * 1000


def test_posix_fallocate_keeps_what_is_there(file):
    """The C library reads and writes bytes in its place."""
    os.posix_fallocate(file, 5000, 100_000)
    assert os.fstat(file).st_size == 105_000
    assert os.pread(file, 200_000, 0) == b"0123456789" * 1000 + bytes(95_000)


def test_a_file_is_one_piece_of_data(file):
    assert os.lseek(file, 5000, os.SEEK_DATA) == 5000
    assert os.lseek(file, 5000, os.SEEK_HOLE) == 10_000
    assert errno_of(os.lseek, file, 10_000, os.SEEK_DATA) == errno.ENXIO
    assert errno_of(os.lseek, file, 10_000, os.SEEK_HOLE) == errno.ENXIO


def test_copies_go_through_the_kernel(here, file):
    with (here / "copy").open("w+b", buffering=0) as copy:
        assert os.copy_file_range(file, copy.fileno(), 9000, 500, 7) == 9000
        assert os.pread(copy.fileno(), 20_000, 7) == (b"0123456789" * 1000)[500:9500]
        assert errno_of(fcntl.ioctl, copy.fileno(), FICLONE, file) == errno.EOPNOTSUPP
        assert errno_of(fcntl.ioctl, file, FS_IOC_GETFLAGS, b"\0" * 8) == errno.ENOTTY


@pytest.mark.parametrize("how", ["sparse=always", "sparse=auto", "sparse=never", "reflink=auto"])
def test_cp(here, file, how):
    os.pwrite(file, b"end", 300_000)
    run(["cp", f"--{how}", here / "file", here / "copy"])
    assert (here / "copy").read_bytes() == (here / "file").read_bytes()


def test_nameless_files_are_refused(here):
    assert errno_of(os.open, here, os.O_TMPFILE | os.O_RDWR) == errno.EOPNOTSUPP


def test_a_private_mapping_keeps_to_itself(file):
    with mmap.mmap(file, 10_000, mmap.MAP_PRIVATE) as mapping:
        mapping[:5] = b"own.."
        os.pwrite(file, b"new", 5000)
        assert mapping[:6] == b"own..5"
    assert os.pread(file, 6, 0) == b"012345"


def test_files_end_at_4_tib(file):
    last = 4 * TIB - 1
    assert os.pwrite(file, b"x", last) == 1
    assert os.fstat(file).st_size == 4 * TIB
    assert errno_of(os.pwrite, file, b"x", last + 1) == errno.EFBIG
    assert os.pread(file, 10, last - 1) == b"\0x"
    assert os.pread(file, 10, last + 1) == b""
    assert errno_of(os.ftruncate, file, 4 * TIB + 1) == errno.EFBIG
    os.ftruncate(file, 4 * TIB)
    os.ftruncate(file, 10_000)


def test_a_write_across_the_end_of_files_writes_what_has_room(file):
    start = 4 * TIB - 3 * PAGE
    assert os.pwrite(file, b"x" * 8 * PAGE, start) == 3 * PAGE
    assert os.fstat(file).st_size == 4 * TIB
    assert os.pread(file, 8 * PAGE, start) == b"x" * 3 * PAGE
    os.ftruncate(file, 10_000)


def test_a_removed_directory_that_is_open(here):
    (here / "gone").mkdir()
    descriptor = os.open(here / "gone", os.O_RDONLY)
    try:
        (here / "gone").rmdir()
        os.fchmod(descriptor, 0o700)
        os.utime(descriptor, (10, 20))
        status = os.fstat(descriptor)
        assert (status.st_nlink, status.st_mode & 0o777, status.st_mtime) == (0, 0o700, 20)
        assert os.listdir(descriptor) == []
        assert errno_of(os.mkdir, "below", dir_fd=descriptor) == errno.ENOENT
    finally:
        os.close(descriptor)


def test_find_descends_where_subdirectories_are_not_counted(here):
    (here / "a/b/c").mkdir(parents=True)
    assert (here / "a").stat().st_nlink == 1
    found = run(["find", here, "-type", "d", "-printf", "%P\n"]).stdout.split()
    assert found == ["a", "a/b", "a/b/c"]
