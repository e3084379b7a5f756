"""The demo shows what it says, fails where a check fails, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse.cli import demo as demo_module
from azfuse.cli import main as cli
from azfuse.cli.demo_stage import Stage
from azfuse.mount.mountpoint import kernel_mounts
from tests.mount_words.conftest import REPOSITORY, clean_environment

pytestmark = [
    pytest.mark.mount,
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse"),
]


def processes_of(root: str) -> Iterator[str]:
    """Yield the command lines of processes that work in *root*."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if root in words:
            yield words


def assert_nothing_is_left(output: str) -> None:
    found = re.search(r"its data is in (/\S+)/data\.", output)
    assert found, output
    root = found[1]
    assert not Path(root).exists()
    assert not [mount for mount in kernel_mounts() if mount.mount_point.startswith(root)]
    deadline = time.monotonic() + 10
    while (left := list(processes_of(root))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


@pytest.mark.long
def test_the_whole_demo():
    done = subprocess.run(
        [sys.executable, "-m", "azfuse", "demo", "--size", "5"],
        cwd=REPOSITORY, env=clean_environment(), capture_output=True, text=True, timeout=110,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"All \d+ checks passed", done.stdout)
    assert re.search(r"^A source tree +[\d.]+ +\d+ ", done.stdout, re.MULTILINE)
    assert "\x1b" not in done.stdout
    assert_nothing_is_left(done.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(number, tmp_path):
    # A file, not a pipe: nobody reads while we wait for the first step.
    shown = tmp_path / "shown"
    with shown.open("wb") as file, subprocess.Popen(
        [sys.executable, "-u", "-m", "azfuse", "demo"],
        cwd=REPOSITORY, env=clean_environment(), stdout=file, stderr=file, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while "$ cp" not in shown.read_text():
                assert time.monotonic() < deadline, shown.read_text()
                time.sleep(0.02)
            # As a terminal does: to the demo and to the program it runs.
            os.killpg(process.pid, number)
            process.wait(timeout=60)
        finally:
            process.kill()
    output = shown.read_text()
    assert process.returncode == 130, output
    assert output.endswith("azfuse: interrupted\n")
    assert "Traceback" not in output
    assert_nothing_is_left(output)


def test_a_check_that_fails_fails_the_demo(monkeypatch, capsys):
    def wrong(stage: Stage) -> None:
        (stage.share / "x").write_text("x")
        stage.run("cmp", "share/x", "/dev/null", quiet=True)

    monkeypatch.setattr(demo_module, "STEPS", (("A wrong step", wrong),))
    with pytest.raises(SystemExit) as caught:
        cli.main(["demo"])
    assert caught.value.code == 1
    shown = capsys.readouterr()
    assert shown.err.endswith("azfuse: demo: a check failed: cmp ended with status 1\n")
    assert_nothing_is_left(shown.out)
