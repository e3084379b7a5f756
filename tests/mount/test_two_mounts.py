"""Two mounts of one share: what one closes the other opens, and leases between them."""

import errno
import os
import random

import pytest
from azure.storage.fileshare import ShareLeaseClient

from tests.mount.harness import errno_of

MIB = 1024 * 1024


@pytest.fixture
def pair(mount):
    with mount() as one, mount() as two:
        yield one, two


def lease_state(share, path: str) -> str:
    return str(share.properties(path).lease.state)


def test_what_one_closes_the_other_opens(pair):
    """A long game of writes, appends, cuts and overwrites by turns, read by both each time."""
    deal = random.Random(7)
    content = b""
    for mounted in pair[:1]:
        (mounted.path / "file").write_bytes(content)
    for _ in range(120):
        writer, reader = deal.sample(pair, 2)
        path = writer.path / "file"
        move = deal.choice(["replace", "append", "overwrite", "cut", "cut open", "look"])
        if move == "replace":
            content = deal.randbytes(deal.randrange(3000))
            path.write_bytes(content)
        elif move == "append":
            more = deal.randbytes(deal.randrange(1, 300))
            with path.open("ab") as file:
                file.write(more)
            content += more
        elif move == "overwrite" and content:
            offset, piece = deal.randrange(len(content)), deal.randbytes(deal.randrange(1, 500))
            with path.open("r+b", buffering=0) as file:
                os.pwrite(file.fileno(), piece, offset)
            content = content[:offset] + piece + content[offset + len(piece) :]
        elif move.startswith("cut"):
            size = deal.randrange(4000)
            if move == "cut":
                os.truncate(path, size)
            else:
                with path.open("r+b") as file:
                    file.truncate(size)
            content = content[:size].ljust(size, b"\0")
        else:
            (reader.path / "file").stat()
        assert (reader.path / "file").read_bytes() == content, move
        assert (writer.path / "file").read_bytes() == content, move


def test_a_long_write_keeps_others_off_until_it_is_closed(pair, share):
    one, two = pair
    two.expected.append("LeaseIdMissing")
    (one.path / "file").write_bytes(bytes(16 * MIB))
    with (one.path / "file").open("r+b", buffering=0) as first:
        os.pwrite(first.fileno(), b"1" * 9 * MIB, 0)
        os.fsync(first.fileno())
        assert lease_state(share, "file") == "leased"
        with (two.path / "file").open("r+b", buffering=0) as second:
            os.pwrite(second.fileno(), b"2", 5)
            assert errno_of(os.fsync, second.fileno()) == errno.EBUSY
            assert (one.path / "file").read_bytes()[:8] == b"1" * 8
            first.close()
            assert lease_state(share, "file") == "available"
            os.fsync(second.fileno())
    assert (one.path / "file").read_bytes()[:8] == b"11111211"


def test_a_write_of_one_request_takes_no_lease(mount, share, emulator):
    with mount() as m:
        (m.path / "file").write_bytes(bytes(MIB))
        with emulator.counting() as usage, (m.path / "file").open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), b"x" * 4096, 8192)
            os.fsync(file.fileno())
        assert usage.requests["LeaseFile"] == 0
        with mount("lease=always") as other, (other.path / "file").open("r+b") as file:
            file.write(b"y")
            file.flush()
            os.fsync(file.fileno())
            assert lease_state(share, "file") == "leased"
        assert lease_state(share, "file") == "available"
        assert (m.path / "file").read_bytes()[:1] == b"y"


def test_a_leased_file_can_be_moved_removed_and_given_attributes(mount, share):
    with mount("lease=always") as m:
        path = m.path / "file"
        path.write_bytes(b"one")
        with path.open("r+b", buffering=0) as file:
            file.write(b"two")
            os.fsync(file.fileno())
            assert lease_state(share, "file") == "leased"
            path.chmod(0o600)
            os.setxattr(path, "user.note", b"x")
            moved = path.rename(m.path / "moved")
            file.write(b"three")
            os.fsync(file.fileno())
        assert share.read("moved") == b"twothree"
        with moved.open("r+b", buffering=0) as file:
            file.write(b"TWO")
            os.fsync(file.fileno())
            moved.unlink()
            file.write(b"gone")
    assert share.names() == set()


def test_the_leases_of_a_killed_mount_are_given_back(mount, share):
    with mount("lease=always") as m:
        (m.path / "file").write_bytes(b"one")
        file = (m.path / "file").open("r+b", buffering=0)
        file.write(b"two")
        os.fsync(file.fileno())
        assert lease_state(share, "file") == "leased"
        m.kill()
        with pytest.raises(OSError, match=r"Transport endpoint|not connected|aborted"):
            file.close()
    with mount() as again:
        assert (again.path / "file").read_bytes() == b"two"
        for _ in range(1000):  # the lease goes in the background; each look takes a moment
            if lease_state(share, "file") == "available":
                break
        (again.path / "file").write_bytes(b"three")
    assert share.read("file") == b"three"


def test_a_lease_broken_in_mid_write_fails_the_writer_once(mount, share):
    with mount("lease=always") as m:
        m.expected += ["lease was broken", "could not be uploaded"]
        (m.path / "file").write_bytes(bytes(1000))
        with (m.path / "file").open("r+b", buffering=0) as file:
            file.write(b"one")
            os.fsync(file.fileno())
            ShareLeaseClient(share.sdk.get_file_client("file")).break_lease()
            file.write(b"two")
            assert errno_of(os.fsync, file.fileno()) == errno.EIO
            os.fsync(file.fileno())
        assert share.read("file")[:6] == b"onetwo"
