"""What fsync and close promise: the bytes are on the share, for everyone, whatever comes."""

import os
import signal
import threading

from tests.mount.harness import errno_of, python, run

MIB = 1024 * 1024


def eventually(condition):
    """Say whether *condition* comes true; it asks the share, so each look takes its time."""
    return any(condition() for _ in range(2000))


def test_after_fsync_the_bytes_are_on_the_share(share, mount):
    with mount("dirty-expire=600") as m, (m.path / "file").open("wb", buffering=0) as file:
        for size in (1, 5000, 9 * MIB):
            content = os.urandom(size)
            os.pwrite(file.fileno(), content, 0)
            os.fsync(file.fileno())
            assert share.read_range("file", 0, size) == content
        os.ftruncate(file.fileno(), 10)
        os.fdatasync(file.fileno())
        assert share.read("file") == content[:10]


def test_after_close_another_mount_sees_everything(mount):
    with mount("dirty-expire=600") as one, mount("dirty-expire=600") as two:
        for step in range(4):
            content = os.urandom(3000 * (step + 1))
            (one.path / "file").write_bytes(content)
            assert (two.path / "file").read_bytes() == content
            (two.path / "file").write_bytes(content[::-1])
            assert (one.path / "file").read_bytes() == content[::-1]


def test_the_same_size_at_the_same_time_is_still_another_content(mount):
    with mount() as one, mount() as two:
        for letter in b"abcdef":
            (one.path / "file").write_bytes(bytes([letter]) * 100)
            os.utime(one.path / "file", (1, 1))
            assert (two.path / "file").read_bytes() == bytes([letter]) * 100


def test_two_mounts_that_write_different_ranges_keep_both(share, mount):
    share.write("file", bytes(MIB))
    with (
        mount("lease=off") as one,
        mount("lease=off") as two,
        (one.path / "file").open("r+b", buffering=0) as first,
        (two.path / "file").open("r+b", buffering=0) as second,
    ):
        os.pwrite(first.fileno(), b"first", 1000)
        os.pwrite(second.fileno(), b"second", 500_000)
        os.pwrite(second.fileno(), b"second", 2000)
    content = share.read("file")
    assert content[1000:1005] == b"first"
    assert content[2000:2006] == content[500_000:500_006] == b"second"
    assert content.count(0) == MIB - 17


def test_nothing_that_was_acknowledged_is_lost_with_the_driver(share, mount):
    with mount("dirty-expire=600") as m:
        (m.path / "closed").write_bytes(b"closed" * 1000)
        (m.path / "dir").mkdir()
        os.rename(m.path / "closed", m.path / "dir/renamed")
        file = (m.path / "synced").open("wb", buffering=0)
        file.write(b"synced" * 100_000)
        os.fsync(file.fileno())
        file.write(b"not synced")
        m.kill()
        assert errno_of(file.close)
    assert share.read("dir/renamed") == b"closed" * 1000
    assert share.read("synced") == b"synced" * 100_000
    with mount() as again:
        assert (again.path / "dir/renamed").read_bytes() == b"closed" * 1000
        (again.path / "synced").write_bytes(b"the name is not held by the dead")
        assert (again.path / "synced").read_bytes() == b"the name is not held by the dead"


def test_a_crash_leaves_no_hidden_files_for_ever(share, mount):
    with mount() as m:
        file = (m.path / "file").open("wb", buffering=0)
        file.write(b"x")
        os.fsync(file.fileno())
        os.unlink(m.path / "file")
        m.kill()
        errno_of(file.close)
    assert len(share.names()) == 1
    with mount() as again:
        assert os.listdir(again.path) == []
        assert eventually(lambda: not share.names())


def test_unmounting_saves_what_is_dirty(share, mount):
    with mount("dirty-expire=600") as m:
        # The file stays open in a process that ends with the mount.
        python(
            "import os, sys\n"
            "fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
            "os.write(fd, b'x' * 7_000_000)\n"
            "os._exit(0)",
            m.path / "file",
        )
    assert share.properties("file").size == 7_000_000


def test_sigterm_saves_what_is_dirty(share, mount):
    with mount("dirty-expire=600") as m:
        file = (m.path / "file").open("wb", buffering=0)
        file.write(b"x" * 5_000_000)
        m.process.send_signal(signal.SIGTERM)
        m.process.wait(30)
        errno_of(file.close)
    assert share.properties("file").size == 5_000_000


def test_old_dirty_bytes_go_up_by_themselves(share, emulator, mount):
    with mount("dirty-expire=0.1") as m, (m.path / "file").open("wb", buffering=0) as file:
        file.write(b"content")
        assert eventually(lambda: "file" in share.names() and share.read("file") == b"content")
        file.write(b" more")
    assert share.read("file") == b"content more"


def test_cut_and_rewritten_while_an_upload_runs(share, emulator, mount):
    """A cut between the requests of an upload must not cost bytes that were acknowledged."""
    with (
        mount("dirty-expire=600,cache-size=16M") as m,
        (m.path / "file").open("w+b", buffering=0) as file,
    ):
        file.write(b"start")
        os.fsync(file.fileno())
        for _ in range(5):
            os.pwrite(file.fileno(), b"x" * 3 * MIB, 5)
            emulator.faults(operation_latency_ms={"SetFileProperties": 150})
            upload = threading.Thread(target=os.fsync, args=[file.fileno()])
            upload.start()
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), b"new content", 0)
            upload.join()
            emulator.faults()
            os.fsync(file.fileno())
            assert share.read("file") == b"new content"
            assert os.pread(file.fileno(), 100, 0) == b"new content"


def test_many_writers_of_many_files(share, mount):
    code = (
        "import os, sys\n"
        "for n in range(20):\n"
        "    with open(f'{sys.argv[1]}/{sys.argv[2]}-{n}', 'wb') as file:\n"
        "        file.write(sys.argv[2].encode() * (n * 1000 + 1))\n"
    )
    with mount() as m:
        script = " & ".join(f'python3 -c "$0" "$1" {name}' for name in "abcdefgh") + " & wait"
        run(["sh", "-c", script, code, m.path])
        assert len(os.listdir(m.path)) == 160
    for name in ("a-0", "d-7", "h-19"):
        assert share.read(name) == name[0].encode() * (int(name[2:]) * 1000 + 1)
