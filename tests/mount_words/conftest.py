"""Programs as subprocesses, with time limits, and mounts that never stay."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azfuse.cli.main import main
from azfuse.mount.mountpoint import MOUNT_TYPE, mounted_here
from azfuse.mount.registry import Registry

REPOSITORY = Path(__file__).parents[2]
#: A program that touches a mount may hang with it.
TIME_LIMIT = 60

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment(**variables: str) -> dict[str, str]:
    """Return our environment without the words of Azure, and with *variables*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    return {**kept, **variables}


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A mount option that keeps state out of the machine's own directory."""
    return f"state-dir={tmp_path / 'state'}"


@pytest.fixture
def azfuse() -> Run:
    """Run azfuse (over the fake file system) with words and environment variables."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tests.mount_words.fake_azfuse", *words],
            cwd=REPOSITORY,
            env=clean_environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )

    return run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; returns its exit status and what it printed."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """A directory that is unmounted at the end, whatever happened."""
    path = tmp_path / "mnt with a blank"
    path.mkdir()
    try:
        yield path
    finally:
        while (mount := mounted_here(path)) is not None and mount.kind == MOUNT_TYPE:
            subprocess.run(["fusermount3", "-uz", "--", str(path)], timeout=20, check=True)
        registry = Registry()
        if record := registry.find(str(path)):
            registry.remove(record)


def only_sentence(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Check that *done* failed with one line on standard error, and return that."""
    assert done.returncode == status, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in lines[0]
    return lines[0]
