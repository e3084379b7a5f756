"""Sdist and wheel are whole, and work where nothing else is installed; so they do with pipx."""

import os
import shutil
import sys
import tarfile
import zipfile

import pytest

from azfuse import __version__
from tests.system.packages.build import BUILD_LIMIT, REPOSITORY, check_in_use, outside, run

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(BUILD_LIMIT),
    pytest.mark.mount,
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse"),
]


def test_the_sdist_is_the_source_tree(sdist):
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        modes = {m.name.partition("/")[2]: m.mode for m in archive.getmembers()}
    assert {"Makefile", "README.md", "LICENSE", ".ci/bootstrap", "systemd/azfuse@.service"} <= held
    assert "tests/system/packages/test_python.py" in held
    assert modes[".ci/install"] & 0o111
    if not (REPOSITORY / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git repository, so nobody knows what belongs in the sdist")
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = {n for n in run(*words, cwd=REPOSITORY).stdout.split("\0") if n}
    assert held - {"PKG-INFO"} == {name for name in tracked if (REPOSITORY / name).exists()}


def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {
        "azfuse",
        f"azfuse-{__version__}.dist-info",
    }
    assert {"azfuse/py.typed", "azfuse/cli/prices.toml"} <= set(names)
    assert not [name for name in names if name.endswith(".pyc")]


def test_all_tests_of_the_sdist_can_be_found(source):
    words = ["-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    env = outside(PYTHONPATH=str(source), PYTHONDONTWRITEBYTECODE="1")
    said = run(sys.executable, *words, cwd=source, env=env).stdout
    assert "tests/system/packages/test_python.py" in said
    assert "error" not in said.splitlines()[-1]


@pytest.mark.parametrize("package", ["sdist", "wheel"])
def test_works_in_a_clean_environment(package, request, tmp_path):
    file = request.getfixturevalue(package)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/pip", "install", "--quiet", f"{file}[emulator]")
    azfuse = tmp_path / "venv/bin/azfuse"
    assert run(azfuse, "--version").stdout.split()[-1] == __version__
    check_in_use(azfuse, tmp_path)


def test_pipx(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "tool")
    run(tmp_path / "tool/bin/pip", "install", "--quiet", "pipx>=1.7,<2")
    places = {name: str(tmp_path / name) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    words = ["install", "--python", sys.executable, f"{wheel}[emulator]"]
    run(tmp_path / "tool/bin/pipx", *words, env=outside(**places))
    programs = tmp_path / "PIPX_BIN_DIR"
    names = {path.name for path in programs.iterdir()}
    assert names == {"azfuse", "mount.azfuse", "umount.azfuse"}
    assert run(programs / "azfuse", "--version").stdout.split()[-1] == __version__
    assert run(programs / "mount.azfuse", "-V").stdout == f"mount.azfuse {__version__}\n"
    check_in_use(programs / "azfuse", tmp_path)
