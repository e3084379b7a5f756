"""Mounts that are real, over a file system that is not: begin, serve, end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azfuse.mount.mountpoint import MOUNT_TYPE, mounted_here
from azfuse.mount.registry import Record, Registry
from tests.mount_words.conftest import REPOSITORY, TIME_LIMIT, clean_environment, only_sentence
from tests.mount_words.service import Answer, serve

KEY = "a2V5IG9mIHRoZSBhY2NvdW50"

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse"),
]


@pytest.fixture
def source() -> Iterator[str]:
    with serve(Answer()) as endpoint:
        yield f"{endpoint}/share/sub"


@pytest.fixture
def mounted(azfuse, source, mount_point, state, tmp_path) -> Callable[..., Record]:
    """Mount in the background and return the record; the log is in tmp_path/log."""

    def mount(*options: str, **variables: str) -> Record:
        words = ",".join([state, f"log-file={tmp_path / 'log'}", *options])
        done = azfuse(
            "mount", source, str(mount_point), "-o", words, AZURE_STORAGE_KEY=KEY, **variables
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        record = Registry().find(str(mount_point))
        assert record is not None
        return record

    return mount


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def touch(path: Path) -> subprocess.CompletedProcess[str]:
    """Look at *path* from another process: this one must not hang with a mount."""
    return subprocess.run(
        ["stat", "-c", "%f", str(path)], capture_output=True, text=True, timeout=20, check=False
    )


def test_mount_list_unmount(azfuse, mounted, mount_point, source):
    record = mounted("noatime,dir_mode=0700")
    assert record.alive
    mount = mounted_here(mount_point)
    assert mount is not None
    assert (mount.kind, mount.source) == (MOUNT_TYPE, source)
    assert touch(mount_point).stdout == "41c0\n"
    # Nothing secret is left where others could look.
    assert KEY not in Path("/proc/self/mountinfo").read_text()
    assert KEY.encode() not in Path(f"/proc/{record.pid}/cmdline").read_bytes()
    assert Path(f"/proc/{record.pid}/cwd").readlink() == Path("/")
    shown = azfuse("list").stdout
    assert str(mount_point) in shown
    assert "mounted" in shown

    again = azfuse("mount", source, str(mount_point), AZURE_STORAGE_KEY=KEY)
    assert "is already mounted" in only_sentence(again, 2)

    done = azfuse("unmount", str(mount_point))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert mounted_here(mount_point) is None
    assert not record.alive
    assert str(mount_point) not in azfuse("list").stdout


def test_unmount_refuses_what_is_in_use(azfuse, mounted, mount_point):
    record = mounted()
    with subprocess.Popen(["sleep", "60"], cwd=mount_point) as user:
        try:
            line = only_sentence(azfuse("unmount", str(mount_point)), 1)
            assert "is in use" in line
            line = only_sentence(azfuse("unmount", "-l", "--timeout=0", str(mount_point)), 1)
            assert f"its process {record.pid} goes on: programs still use it" in line
        finally:
            user.kill()
    wait_for(lambda: not record.alive)


def test_a_newer_mount_and_the_one_that_has_not_ended(azfuse, mounted, mount_point):
    old = mounted()
    with subprocess.Popen(["sleep", "60"], cwd=mount_point) as user:
        try:
            subprocess.run(["fusermount3", "-uz", "--", mount_point], timeout=20, check=True)
            assert "unmounted, but in use" in azfuse("list").stdout
            new = mounted()
            assert new.pid != old.pid
            states = [line.split()[-1] for line in azfuse("list").stdout.splitlines()
                      if str(mount_point) in line]  # fmt: skip
            assert sorted(states) == ["mounted", "use"]
            # It waits for both.
            line = only_sentence(azfuse("unmount", "--timeout=3", str(mount_point)), 1)
            assert f"its process {old.pid} goes on" in line
        finally:
            user.kill()
    wait_for(lambda: not old.alive and not new.alive)
    assert not any(Registry().directory.glob(f"*-{old.pid}.json"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_caller_without_standard_streams(azfuse, source, mount_point, state, closed):
    words = [sys.executable, "-m", "tests.mount_words.fake_azfuse", "mount", source, mount_point]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *words, "-o", state], cwd=REPOSITORY,
        env=clean_environment(AZURE_STORAGE_KEY=KEY), timeout=TIME_LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert azfuse("unmount", str(mount_point)).returncode == 0


def test_a_link_to_a_mount(azfuse, mounted, mount_point, tmp_path):
    mounted()
    (tmp_path / "link").symlink_to(mount_point)
    assert azfuse("unmount", f"{tmp_path / 'link'}/").returncode == 0
    assert mounted_here(mount_point) is None


def test_unmount_waits_for_the_data(azfuse, mounted, mount_point, tmp_path):
    blocker = tmp_path / "blocker"
    blocker.touch()
    record = mounted(FAKE_BLOCKED=str(blocker))
    line = only_sentence(azfuse("unmount", "--timeout=0.1", str(mount_point)), 1)
    assert "data is still being saved" in line
    assert "saving" in azfuse("list").stdout
    blocker.unlink()
    wait_for(lambda: not record.alive)
    assert Registry().find(str(mount_point)) is None


def test_data_that_could_not_be_saved_is_shouted_about(azfuse, mounted, mount_point, tmp_path):
    mounted(FAKE_UNSAVED="1")
    line = only_sentence(azfuse("unmount", str(mount_point)), 1)
    assert "1 file could not be saved and lost data" in line
    assert "a/b.txt" in line
    log = (tmp_path / "log").read_text()
    assert "NOT SAVED: a/b.txt: 4096 bytes are lost: [Errno 5] the service is away" in log
    # Said once; the mount point is free again.
    assert "is not mounted" in only_sentence(azfuse("unmount", str(mount_point)), 2)


def test_data_that_is_kept_for_the_next_mount_is_said_to_be(azfuse, mounted, mount_point):
    mounted(FAKE_UNSAVED="kept")
    line = only_sentence(azfuse("unmount", str(mount_point)), 1)
    assert "1 file could not be uploaded; the data is kept in" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_drains(mounted, mount_point, number):
    record = mounted(FAKE_DRAIN="0.3")
    os.kill(record.pid, number)
    wait_for(lambda: mounted_here(mount_point) is None)
    # A second signal does not lose what is being saved.
    os.kill(record.pid, number)
    wait_for(lambda: not record.alive)
    assert Registry().find(str(mount_point)) is None


def test_a_signal_unmounts_what_is_in_use(mounted, mount_point):
    record = mounted()
    with subprocess.Popen(["sleep", "60"], cwd=mount_point) as user:
        try:
            os.kill(record.pid, signal.SIGTERM)
            wait_for(lambda: not record.alive)
            assert mounted_here(mount_point) is None
        finally:
            user.kill()


def test_sigusr1_dumps_the_tasks(mounted, tmp_path):
    record = mounted()
    os.kill(record.pid, signal.SIGUSR1)
    wait_for(lambda: "_watch_signals" in (tmp_path / "log").read_text())
    assert record.alive


def test_a_process_that_died_is_noticed(azfuse, mounted, mount_point):
    record = mounted()
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: not record.alive)
    assert "died while mounted" in azfuse("list").stdout
    again = mounted()
    assert again.alive
    assert touch(mount_point).returncode == 0
    os.kill(again.pid, signal.SIGKILL)
    wait_for(lambda: not again.alive)
    azfuse("unmount", str(mount_point))
    assert mounted_here(mount_point) is None
    assert Registry().find(str(mount_point)) is None


def test_a_broken_file_system_leaves_no_mount(azfuse, mounted, mount_point, tmp_path):
    record = mounted(FAKE_BROKEN="1")
    assert touch(mount_point / "x").returncode != 0
    wait_for(lambda: not record.alive)
    assert mounted_here(mount_point) is None
    assert "broken on purpose" in (tmp_path / "log").read_text()
    line = only_sentence(azfuse("unmount", str(mount_point)), 1)
    assert "internal error" in line


def test_a_session_that_ends_at_once_is_a_failure(azfuse, source, mount_point, state):
    done = azfuse(
        "mount", source, str(mount_point), "-o", state, AZURE_STORAGE_KEY=KEY, FAKE_EXIT="1"
    )
    assert "before it worked" in (line := only_sentence(done, 1)) or "before the mount" in line
    assert mounted_here(mount_point) is None


def test_a_log_that_cannot_be_written(azfuse, source, mount_point, state):
    done = azfuse(
        "mount", source, str(mount_point), "-o", f"{state},log-file=/no/such/dir/log",
        AZURE_STORAGE_KEY=KEY,
    )  # fmt: skip
    assert "the log /no/such/dir/log cannot be written" in only_sentence(done, 1)


def test_the_helper_mounts(azfuse, source, mount_point, state):
    done = azfuse(
        source, str(mount_point), "-o", f"rw,_netdev,{state}",
        AZURE_STORAGE_KEY=KEY, FAKE_HELPER="mount",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert mounted_here(mount_point) is not None
    # As umount(8) or anyone would; the daemon notices and ends.
    record = Registry().find(str(mount_point))
    assert record is not None
    subprocess.run(["fusermount3", "-u", "--", str(mount_point)], timeout=20, check=True)
    wait_for(lambda: not record.alive)
    assert Registry().find(str(mount_point)) is None


def test_the_helper_unmounts_and_waits(azfuse, mounted, mount_point):
    record = mounted(FAKE_DRAIN="1")
    done = azfuse(str(mount_point), "-n", FAKE_HELPER="umount")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not record.alive
    assert mounted_here(mount_point) is None


def test_the_lazy_helper_does_not_wait(azfuse, mounted, mount_point):
    record = mounted(FAKE_DRAIN="600")
    assert azfuse(str(mount_point), "-l", FAKE_HELPER="umount").returncode == 0
    assert mounted_here(mount_point) is None
    assert record.alive
    os.kill(record.pid, signal.SIGKILL)


def test_the_helper_says_what_was_not_saved(azfuse, mounted, mount_point):
    mounted(FAKE_UNSAVED="kept")
    done = azfuse(str(mount_point), FAKE_HELPER="umount")
    line = only_sentence(done, 32)
    assert line.startswith("umount.azfuse: ")
    assert "the data is kept in" in line


_GROUPS = """
import os, sys
from azfuse.mount.daemon import run_detached
def work(ready):
    before = os.getpgrp()
    ready()
    with open(sys.argv[1], "w") as file:
        print(before, os.getsid(0) == os.getpid(), file=file)
run_detached(work)
print(os.getpgrp())
"""


def test_a_daemon_stays_in_the_group_that_mounts(tmp_path):
    """autofs lets only that one look at the mount point before the mount is there."""
    os.mkfifo(tmp_path / "said")
    words = [sys.executable, "-c", _GROUPS, str(tmp_path / "said")]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, start_new_session=True
    ) as process:
        before, alone = (tmp_path / "said").read_text().split()
        group, _ = process.communicate(timeout=TIME_LIMIT)
    assert before == group.strip()
    assert alone == "True"


def test_the_foreground_tells_systemd(source, mount_point, state, tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(TIME_LIMIT)
        with subprocess.Popen(
            [
                sys.executable, "-m", "tests.mount_words.fake_azfuse",
                "mount", source, str(mount_point), "-f", "-o", state,
            ],
            cwd=REPOSITORY, stderr=subprocess.PIPE, text=True,
            env=clean_environment(AZURE_STORAGE_KEY=KEY, NOTIFY_SOCKET=str(address)),
        ) as process:  # fmt: skip
            try:
                assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=")
                assert mounted_here(mount_point) is not None
                process.send_signal(signal.SIGINT)
                assert systemd.recv(4096) == b"STOPPING=1"
                _, log = process.communicate(timeout=TIME_LIMIT)
            finally:
                process.kill()
        assert process.returncode == 0, log
    assert f"is mounted on {mount_point}" in log
    assert mounted_here(mount_point) is None
