"""The whole of it: emulator, `azfuse mount`, trouble, and the share afterwards."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azfuse.cli.demo_stage import Stage
from azfuse.mount.errors import MountError
from azfuse.mount.mountpoint import mounted_here
from tests.mount_words.conftest import REPOSITORY, TIME_LIMIT, clean_environment, only_sentence

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse"),
]

OLD = "2020-01-01T00:00:00.0000000Z"
OTHER_KEY = base64.b64encode(b"k" * 64).decode()
EXPIRED = "sv=2024-11-04&ss=f&srt=sco&sp=rwdlc&se=2020-01-02T03:04:05Z&sig=SECRET"
UNSIGNED = "sv=2024-11-04&ss=f&srt=sco&sp=rwdlc&se=2099-01-01T00:00:00Z&sig=SECRET"


def real_azfuse(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "azfuse", *words],
        cwd=REPOSITORY,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(1, mount_options="retry-timeout=3") as stage:
        yield stage


@pytest.mark.parametrize(
    ("variables", "source", "sentence"),
    [
        ({"AZURE_STORAGE_KEY": OTHER_KEY}, "{}/demo", "is not the key of account devstoreaccount1"),
        ({"AZURE_STORAGE_SAS_TOKEN": EXPIRED}, "{}/demo", "expired at 2020-01-02T03:04:05Z"),
        ({"AZURE_STORAGE_SAS_TOKEN": UNSIGNED}, "{}/demo", "is not accepted for account"),
        ({}, "{}/missing", "share 'missing' does not exist in account devstoreaccount1"),
        ({}, "{}/demo/no/dir", "directory 'no/dir' does not exist in share 'demo'"),
        ({"AZFUSE_SNAPSHOT": OLD}, "{}/demo", f"no share 'demo' with a snapshot of {OLD}"),
    ],
)
def test_refusals(stage, tmp_path, variables, source, sentence):
    words = ["mount", source.format(stage.endpoint), str(tmp_path), "-o", f"state-dir={tmp_path}/s"]
    refused = any(name.startswith("AZURE_") for name in variables)
    line = only_sentence(real_azfuse(*words, **variables), 3 if refused else 1)
    assert sentence in line
    assert "SECRET" not in line
    assert mounted_here(tmp_path) is None


def test_a_file_is_no_directory_to_mount(stage, tmp_path):
    (stage.share / "a file").write_text("x")
    words = ["mount", f"{stage.endpoint}/demo/a%20file", str(tmp_path)]
    line = only_sentence(real_azfuse(*words, "-o", f"state-dir={tmp_path}/s"), 1)
    assert "'a file'" in line
    assert mounted_here(tmp_path) is None


def test_a_directory_of_the_share_and_read_only(stage, mount_point, tmp_path):
    (stage.share / "top/sub dir").mkdir(parents=True)
    (stage.share / "top/sub dir/file").write_text("text")
    source = f"{stage.endpoint}/demo/top/sub%20dir"
    done = real_azfuse("mount", source, str(mount_point), "-o", f"ro,state-dir={tmp_path}/s")
    assert (done.returncode, done.stderr) == (0, "")
    assert (mount_point / "file").read_text() == "text"
    with pytest.raises(OSError, match="Read-only file system"):
        (mount_point / "other").touch()
    assert real_azfuse("unmount", str(mount_point)).returncode == 0


def test_an_outage_delays_and_loses_nothing(stage):
    path = stage.share / "during the outage"
    stage.stop_emulator()
    began = time.monotonic()
    # What cannot be saved is an error at close, after the time for retries, and not before.
    with pytest.raises(OSError, match=r"Input/output error|timed out"), path.open("w") as file:
        file.write("text\n" * 1000)
    assert 2 < time.monotonic() - began < 30
    stage.start_emulator()
    # The mount works on.
    wait_until(lambda: (stage.share / "after").write_text("text") == 4)
    assert (stage.share / "after").read_text() == "text"


def test_status_asks_the_service(stage):
    # What an outage before this left dirty may still be on its way.
    wait_until(lambda: real_azfuse("status", str(stage.share)).returncode == 0)
    stage.stop_emulator()
    path = stage.share / "not to be saved now"
    with pytest.raises(OSError, match=r"Input/output error|timed out"), path.open("w") as file:
        file.write("text")
    done = real_azfuse("status", str(stage.share), "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert "nothing listens there" in report["problem"]
    assert any("giving up after" in line for line in report["complaints"])
    stage.start_emulator()
    wait_until(lambda: real_azfuse("status", str(stage.share)).returncode == 0)


def test_dirty_data_goes_up_after_an_outage(stage):
    path = stage.share / "dirty"
    path.write_bytes(b"before")
    with path.open("r+b", buffering=0) as file:
        stage.stop_emulator()
        file.write(b"during")
        with pytest.raises(OSError, match=r"Input/output error|timed out"):
            os.fsync(file.fileno())
        stage.start_emulator()
        wait_until(lambda: synced(file.fileno()))
    stage.unmount()
    stage.mount()
    assert path.read_bytes() == b"during"


def synced(descriptor: int) -> bool:
    os.fsync(descriptor)
    return True


def wait_until(action: Callable[[], object]) -> None:
    """Try *action* until it neither fails nor says no."""
    deadline = time.monotonic() + 30
    while True:
        try:
            if action():
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def test_what_cannot_be_saved_at_unmount_is_said_and_goes_up_with_the_next_mount(tmp_path):
    with Stage(1, mount_options="retry-timeout=1,dirty-expire=3600,lease=off") as stage:
        path = stage.share / "file"
        path.write_bytes(b"before")
        # Held open by a program that is killed: nobody hears of the error but us.
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"written\n"
            stage.stop_emulator()
            holder.kill()
        with pytest.raises(MountError, match="could not be uploaded; the data is kept"):
            stage.unmount()
        log = Path(stage.root, "mount.log")
        assert "file: 6 bytes could not be uploaded" in log.read_text()
        stage.start_emulator()
        stage.mount()
        assert "file: 6 bytes of an earlier mount will be uploaded" in log.read_text()
        assert path.read_bytes() == b"during"
        stage.unmount()
        stage.mount()
        assert path.read_bytes() == b"during"


HOLD = """
import os, sys, time
number = os.open(sys.argv[1], os.O_RDWR)
os.write(number, b"during")
print("written", flush=True)
time.sleep(60)
"""
