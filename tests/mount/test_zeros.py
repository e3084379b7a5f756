"""Zeros and holes through a real mount: what travels, what is there in the end."""

import os

import pytest

from tests.mount.harness import run

KIB = 1024
MIB = 1024 * KIB
QUIET = "dirty-expire=600"


@pytest.fixture
def counting(emulator):
    return emulator.counting


def ranges(share, path: str) -> list[tuple[int, int]]:
    """Return what the share holds of a file other than holes, in MiB."""
    found = share.sdk.get_file_client(path).list_ranges()
    return [(item.start / MIB, (item.end + 1) / MIB) for item in found]


def fill(target, size: int, *words: str) -> None:
    """Write zeros as dd does."""
    count = size // MIB
    run(["dd", "if=/dev/zero", f"of={target}", "bs=1M", f"count={count}", *words])


@pytest.mark.parametrize("lease", ["auto", "off"])
def test_zeros_of_a_new_file(mount, share, counting, lease):
    size = 64 * MIB
    with mount(f"{QUIET},lease={lease}") as m:
        os.listdir(m.path)
        with counting() as usage:
            fill(m.path / "zeros", size)
        assert not usage.requests["PutRange"]
        assert usage.requests["CreateFile"] == 1
        assert usage.requests.total() <= 4
        assert usage.bytes_in == 0
        with (m.path / "zeros").open("rb") as file:
            assert not any(file.read())
    assert share.properties("zeros").size == size
    assert ranges(share, "zeros") == []


def test_zeros_over_data(mount, share, counting):
    share.write("file", b"x" * 20 * MIB)
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage:
            fill(m.path / "file", 16 * MIB, "seek=2", "conv=notrunc")
        assert usage.requests["ClearRange"] == 1
        assert not usage.requests["PutRange"]
        assert usage.requests.total() <= 4
        assert usage.bytes_in == 0
    assert ranges(share, "file") == [(0, 2), (18, 20)]
    assert share.read("file") == b"x" * 2 * MIB + bytes(16 * MIB) + b"x" * 2 * MIB


def test_zeros_between_data(mount, share, counting):
    content = os.urandom(4 * MIB) + bytes(3 * MIB) + os.urandom(5 * MIB)
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage:
            (m.path / "file").write_bytes(content)
        assert usage.requests["PutRange"] + usage.requests["CreateFile"] <= 4
        assert usage.bytes_in == len(content) - 3 * MIB
    assert ranges(share, "file") == [(0, 4), (7, 12)]
    assert share.read("file") == content
    with mount() as m:
        assert (m.path / "file").read_bytes() == content


def test_copies_of_a_sparse_file(mount, share, counting, tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(20 * MIB)
        file.write(b"end")
    content = (tmp_path / "sparse").read_bytes()
    with mount(QUIET) as m:
        for how in ("always", "never"):
            with counting() as usage:
                run(["cp", f"--sparse={how}", tmp_path / "sparse", m.path / how])
            assert usage.requests.total() <= 5
            assert usage.bytes_in <= 16 * KIB
            assert share.read(how) == content


def test_zeros_in_a_file_that_was_only_made_long(mount, share, counting):
    with mount(QUIET) as m, (m.path / "file").open("wb", buffering=0) as file:
        os.ftruncate(file.fileno(), 32 * MIB)
        os.fsync(file.fileno())
        before = os.fstat(file.fileno()).st_mtime_ns
        with counting() as usage:
            os.pwrite(file.fileno(), bytes(MIB), 8 * MIB)
            os.fsync(file.fileno())
        # One request in any case: it tells the time of the write, and that the file is ours.
        assert usage.requests == {"ClearRange": 1}
        assert os.fstat(file.fileno()).st_mtime_ns > before
    assert ranges(share, "file") == []


def test_space_set_aside(mount, share, counting):
    """posix_fallocate writes a byte here and there, for want of anything better."""
    with mount(QUIET) as m:
        os.listdir(m.path)
        with counting() as usage, (m.path / "file").open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, 8 * MIB)
        assert usage.requests == {"CreateFile": 1}
    assert share.properties("file").size == 8 * MIB


def test_zeros_where_another_mount_wrote_meanwhile(mount, share):
    """We made the file and know its holes; that does not hold for ever."""
    with mount(QUIET) as m, mount(QUIET) as other:
        with (m.path / "file").open("wb", buffering=0) as file:
            os.ftruncate(file.fileno(), 12 * MIB)
            os.fsync(file.fileno())
            with (other.path / "file").open("r+b", buffering=0) as theirs:
                os.pwrite(theirs.fileno(), b"x" * MIB, 5 * MIB)
            os.pwrite(file.fileno(), bytes(10 * MIB), 0)
            os.pwrite(file.fileno(), b"end", 12 * MIB)
        with (other.path / "file").open("rb") as file:
            assert file.read() == bytes(12 * MIB) + b"end"


@pytest.mark.parametrize("tail", [MIB, 6 * MIB])
def test_a_read_only_file_with_zeros_at_its_end(mount, counting, tail):
    """It is created read-only at once: no range follows for which it would have to be writable."""
    content = b"x" + bytes(tail)
    with mount(QUIET) as m:
        path = m.path / "file"
        os.listdir(m.path)
        with counting() as usage, path.open("wb") as file:
            os.fchmod(file.fileno(), 0o444)
            file.write(content)
        assert usage.requests == {"CreateFile": 1}
        assert path.read_bytes() == content
    with mount(QUIET) as m:
        assert (m.path / "file").stat().st_mode & 0o777 == 0o444
        assert (m.path / "file").read_bytes() == content
