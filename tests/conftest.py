"""Fixtures for every layer of tests, and what keeps processes of `pytest -n` apart."""

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

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


@pytest.fixture
def anyio_backend() -> str:
    """Run every async test on trio, the only loop azfuse runs on."""
    return "trio"
