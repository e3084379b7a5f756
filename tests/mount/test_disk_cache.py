"""`-o cache-dir=`: what is read once is not asked for again, by any mount, while it holds."""

import os
import resource
import stat
import sys

import pytest

from tests.mount.harness import run

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def options(tmp_path) -> str:
    return f"dirty-expire=600,cache-dir={tmp_path}/blocks"


@pytest.fixture
def counting(emulator):
    return emulator.counting


def test_a_remount_reads_from_disk(mount, share, counting, options, tmp_path):
    content = os.urandom(20 * MIB + 5)
    share.write("file", content)
    with mount(options) as m, counting() as usage:
        assert (m.path / "file").read_bytes() == content
    assert usage.requests["GetFile"] == 6
    with mount(options) as m, counting() as usage:
        assert (m.path / "file").read_bytes() == content
        with (m.path / "file").open("rb") as file:
            assert os.pread(file.fileno(), 4 * KIB, 9 * MIB) == content[9 * MIB : 9 * MIB + 4 * KIB]
    assert not usage.requests["GetFile"]
    assert usage.requests["ListDirectoriesAndFiles"] == 1
    assert (
        usage.requests["GetFileProperties"] <= 2
    )  # an open each, where it is not the first to ask
    blocks = tmp_path / "blocks"
    assert stat.S_IMODE(blocks.stat().st_mode) == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in blocks.rglob("*"))


def test_one_question_for_a_whole_file(mount, share, counting, options):
    content = os.urandom(20 * MIB)
    share.write("file", content)
    with mount(options) as m:
        (m.path / "file").read_bytes()
    with mount(options) as m:
        os.listdir(m.path)
        (m.path / "file").stat()
        with counting() as usage:
            assert (m.path / "file").read_bytes() == content
        assert usage.requests == {"GetFileProperties": 1}
        assert usage.bytes_out == 0


@pytest.mark.parametrize("known", [False, True])
def test_what_another_client_wrote_is_seen(mount, share, options, known):
    share.write("file", b"old" * MIB)
    with mount(options) as m:
        (m.path / "file").read_bytes()
    with mount(options) as m:
        if known:
            # The attributes may be believed for a while; the content may not.
            (m.path / "file").stat()
        share.write("file", b"new" * MIB)
        assert (m.path / "file").read_bytes() == b"new" * MIB
    with mount(options) as m:
        assert (m.path / "file").read_bytes() == b"new" * MIB


def test_what_we_uploaded_is_there_after_a_remount(mount, counting, options):
    small, large = os.urandom(3 * MIB), os.urandom(9 * MIB)
    with mount(f"{options},lease=always") as m:
        (m.path / "small").write_bytes(small)
        (m.path / "large").write_bytes(bytes(9 * MIB))
        (m.path / "large").write_bytes(large)
    with mount(options) as m, counting() as usage:
        assert (m.path / "small").read_bytes() == small
        assert (m.path / "large").read_bytes() == large
    assert not usage.requests["GetFile"]


def test_a_mount_that_is_killed_leaves_nothing_wrong(mount, share, counting, options):
    contents = {f"file{number}": os.urandom(8 * MIB) for number in range(3)}
    for name, content in contents.items():
        share.write(name, content)
    with mount(options) as m:
        for name in contents:
            (m.path / name).read_bytes()
        m.kill()
    for _ in range(2):
        with mount(options) as m, counting() as usage:
            for name, content in contents.items():
                assert (m.path / name).read_bytes() == content
    assert not usage.requests["GetFile"]


def test_two_mounts_share_a_directory(mount, share, counting, options):
    content = os.urandom(12 * MIB)
    share.write("file", content)
    with mount(options) as first, mount(options) as second:
        assert (first.path / "file").read_bytes() == content
        assert (second.path / "file").read_bytes() == content
        (first.path / "file").write_bytes(content[::-1])
        assert (second.path / "file").read_bytes() == content[::-1]
    with mount(options) as m, counting() as usage:
        assert (m.path / "file").read_bytes() == content[::-1]
    assert not usage.requests["GetFile"]


def test_a_disk_that_takes_no_more_is_done_without(mount, share, options):
    content = os.urandom(12 * MIB)
    share.write("file", content)
    with mount(options) as m:
        m.expected.append("disk cache in .* is switched off")
        resource.prlimit(m.process.pid, resource.RLIMIT_FSIZE, (MIB, MIB))
        assert (m.path / "file").read_bytes() == content
        (m.path / "new").write_bytes(content)
        assert (m.path / "new").read_bytes() == content
    assert m.log.count("is switched off") == 1
    assert share.read("new") == content


def test_a_damaged_block_is_asked_for_again(mount, share, options, tmp_path):
    content = os.urandom(5 * MIB)
    share.write("file", content)
    with mount(options) as m:
        (m.path / "file").read_bytes()
    for path in (tmp_path / "blocks").glob("??/*"):
        path.write_bytes(os.urandom(path.stat().st_size))
    with mount(options) as m:
        m.expected.append("dropped: its checksum is wrong")
        assert (m.path / "file").read_bytes() == content


def test_directories_that_are_refused(share, tmp_path):
    (tmp_path / "point").mkdir()
    cases = {"point/cache": "on the mount that it serves", "file": "File exists"}
    (tmp_path / "file").touch()
    if not os.geteuid():
        (tmp_path / "theirs").mkdir()
        os.chown(tmp_path / "theirs", 12345, 12345)
        cases["theirs"] = "it belongs to another user"
    for name, sentence in cases.items():
        done = run(
            [sys.executable, "-m", "azfuse", "mount", share.source, tmp_path / "point", "-f", "-o",
             f"state-dir={tmp_path}/state,cache-dir={tmp_path}/{name}"], check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert sentence in done.stderr
        assert len(done.stderr.splitlines()) == 1
