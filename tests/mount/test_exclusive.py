"""`-o exclusive=atomic`: what programs make exclusively is theirs alone, on all mounts."""

import errno
import os
import threading

import pytest

from azfuse.fuse.tree import HIDDEN_PREFIX
from tests.mount.harness import errno_of, python, run, wait_until

ROUNDS = 15
#: Both mounts have seen that the name is free before either takes it.
LATENCY = {"ListDirectoriesAndFiles": 10, "CreateFile": 10, "RenameFile": 5, "CreateDirectory": 5}

#: Two threads, each on a mount of its own, make the same names at the same moments.
RACE = """
import errno, os, sys, threading
how, rounds, *roots = sys.argv[1:]
make = {
    "open": lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)),
    "symlink": lambda path: os.symlink(os.path.dirname(path), path),
    "mknod": lambda path: os.mknod(path, 0o600),
    "mkdir": os.mkdir,
}[how]
start, won = threading.Barrier(2), [[], []]

def take(number):
    for turn in range(int(rounds)):
        start.wait()
        try:
            make(f"{roots[number]}/lock{turn}")
            won[number].append(turn)
        except FileExistsError:
            pass

threads = [threading.Thread(target=take, args=[number]) for number in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
both = sorted(won[0] + won[1])
assert both == list(range(int(rounds))), won
print(len(won[0]), len(won[1]))
"""


@pytest.mark.parametrize(
    ("how", "options"),
    [
        ("open", ""),
        pytest.param("open", ",writeback", marks=pytest.mark.long),
        pytest.param("symlink", "", marks=pytest.mark.long),
        pytest.param("mknod", "", marks=pytest.mark.long),
        ("mkdir", ",writeback"),
    ],
)
def test_of_two_mounts_one_wins(mount, share, emulator, how, options):
    words = "exclusive=atomic,actimeo=600" + options
    with mount(words) as one, mount(words) as other:
        emulator.faults(operation_latency_ms=LATENCY)
        python(RACE, how, str(ROUNDS), one.path, other.path)
        names = {f"lock{turn}" for turn in range(ROUNDS)}
        # Who lost sees what the other has made.
        assert set(os.listdir(one.path)) == set(os.listdir(other.path)) == names
        for turn in range(ROUNDS):
            mine, theirs = (os.lstat(m.path / f"lock{turn}") for m in (one, other))
            assert oct(mine.st_mode) == oct(theirs.st_mode)
    assert share.names() == names


def test_what_was_made_exclusively_is_a_file_like_others(mount, share, emulator):
    content = os.urandom(100_000)
    with mount("exclusive=atomic") as m:
        (m.path / "dir").mkdir(mode=0o750)
        os.listdir(m.path / "dir")
        with emulator.counting() as usage:
            descriptor = os.open(m.path / "dir/new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
        assert usage.requests == {"CreateFile": 1, "RenameFile": 1}
        assert share.names("dir") == {"new"}
        assert errno_of((m.path / "dir/new").open, "x") == errno.EEXIST
        os.write(descriptor, content)
        os.close(descriptor)
        assert oct((m.path / "dir/new").stat().st_mode) == oct(0o100444)
        with emulator.counting() as usage:
            (m.path / "dir/ordinary").write_bytes(b"x")
        assert not usage.requests["RenameFile"]
        assert errno_of(os.link, m.path / "dir/new", m.path / "dir/link") == errno.EPERM
        before = (m.path / "dir/new").stat()
    with mount() as m:
        assert (m.path / "dir/new").read_bytes() == content
        after = (m.path / "dir/new").stat()
        assert (after.st_mode, after.st_ino, after.st_mtime_ns, after.st_size) == (
            before.st_mode, before.st_ino, before.st_mtime_ns, before.st_size,
        )  # fmt: skip


def test_the_name_is_taken_by_what_another_mount_has_made(mount, share):
    with mount("exclusive=atomic,actimeo=600") as m:
        assert os.listdir(m.path) == []
        share.write("file", b"theirs")
        share.sdk.create_directory("dir")
        for name in ("file", "dir"):
            assert errno_of((m.path / name).open, "x") == errno.EEXIST
            assert errno_of(os.symlink, "target", m.path / name) == errno.EEXIST
        assert share.read("file") == b"theirs"
        assert (m.path / "file").read_bytes() == b"theirs"
        assert errno_of((m.path / "other").mkdir) == 0
    assert share.names() == {"file", "dir", "other"}


def test_a_crash_in_between_leaves_nothing(mount, share, emulator):
    with mount("exclusive=atomic") as m:
        os.listdir(m.path)
        rule = {"action": "delay", "operation": "RenameFile", "seconds": 30}
        emulator.faults(rules=[rule])
        code = []
        program = threading.Thread(
            target=lambda: code.append(errno_of((m.path / "lock").open, "x"))
        )
        program.start()
        wait_until(emulator.faults_applied)
        m.kill()
        program.join(30)
        assert code[0] in {errno.ENOTCONN, errno.ECONNABORTED}
    emulator.faults()
    (left,) = share.names()
    assert left.startswith(HIDDEN_PREFIX)
    with mount("exclusive=atomic") as m:
        wait_until(lambda: not share.names())
        (m.path / "lock").touch(exist_ok=False)


@pytest.mark.long
def test_git_and_its_locks(mount):
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    name = ["-c", "user.name=A", "-c", "user.email=a@b"]
    with mount("exclusive=atomic") as m:
        git = ["git", "-C", m.path / "work", *name]
        run(["git", *name, "init", "-q", m.path / "work"], env=env)
        (m.path / "work/file").write_text("content")
        run([*git, "add", "file"], env=env)
        run([*git, "commit", "-qm", "first"], env=env)
        (m.path / "work/.git/index.lock").touch()
        (m.path / "work/file").write_text("more")
        refused = run([*git, "add", "file"], env=env, check=False)
        assert refused.returncode == 128
        assert "index.lock" in refused.stderr
        (m.path / "work/.git/index.lock").unlink()
        run([*git, "commit", "-qam", "second"], env=env)
        run([*git, "fsck", "--strict"], env=env)
