"""Each package is built once, from what the one before holds."""

import sys
from pathlib import Path

import pytest

from tests.system.packages.build import REPOSITORY, run, unpacked


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that was built from it."""
    directory = tmp_path_factory.mktemp("packages")
    run(sys.executable, "-m", "build", "--outdir", directory, REPOSITORY)
    return directory


@pytest.fixture(scope="session")
def sdist(packages: Path) -> Path:
    (file,) = packages.glob("*.tar.gz")
    return file


@pytest.fixture(scope="session")
def wheel(packages: Path) -> Path:
    (file,) = packages.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def source(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree that the sdist holds: no repository, no virtual environment."""
    return unpacked(sdist, tmp_path_factory.mktemp("source"))
