"""The exerciser on a mount with a small cache, and what the share has in the end."""

import sys
from pathlib import Path

import pytest

from tests.mount.harness import run

ROOT = Path(__file__).parents[2]


def exercise(mount, share, seed: int, steps: int) -> None:
    with mount("cache-size=32M,dirty-expire=1") as m:
        path = m.path / "file"
        words = [sys.executable, "-m", "tests.mount.exerciser", path, str(seed), str(steps)]
        run(words, ROOT, timeout=90)
        content = path.read_bytes()
    assert share.read("file") == content
    with mount() as again:
        assert (again.path / "file").read_bytes() == content


def test_a_short_run(mount, share):
    exercise(mount, share, seed=1, steps=150)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_long_runs(mount, share, seed):
    exercise(mount, share, seed, steps=800)
