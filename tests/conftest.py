"""Fixtures for every layer of tests, and how tests are shared out among processes."""

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

MOUNTS = Path(__file__).parent / "mount"
_CLONE_NEWNS = 0x20000  # unshare(2)


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of `pytest -n` mounts of its own, and a registry of them.

    Otherwise one would see what the other has mounted. Where that is not to be had,
    as without root, they get on: no test touches what it has not made.
    """
    if not hasattr(config, "workerinput") or os.geteuid() != 0:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        return
    subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=20)
    Path("/run/azfuse").mkdir(mode=0o700, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", "/run/azfuse"], check=True, timeout=20
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests on real mounts in one process: they count requests while seconds pass.

    They take longest, so they come first. Of the others a file is what stays together.
    """
    for item in items:
        of_mounts = item.path.is_relative_to(MOUNTS)
        item.add_marker(pytest.mark.xdist_group("mount" if of_mounts else str(item.path)))
    items.sort(key=lambda item: not item.path.is_relative_to(MOUNTS))


@pytest.fixture
def anyio_backend() -> str:
    """Run every async test on trio, the only loop azfuse runs on."""
    return "trio"
