"""Bad input: one sentence on standard error, exit status 2, nothing mounted or begun."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from azfuse.mount import mountpoint
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.mountpoint import absolute, check_machine, check_mount_point
from tests.mount_words.conftest import REPOSITORY, clean_environment, only_sentence

DEVELOPMENT = "http://127.0.0.1:9/devstoreaccount1/share"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mount"], "azfuse: Missing argument 'SOURCE'."),
        (["mount", "acct/share"], "azfuse: Missing argument 'MOUNTPOINT'."),
        (["mount", "a", "b", "c"], "azfuse: Got unexpected extra argument (c)"),
        (["mount", "--sas", "x"], "azfuse: No such option '--sas'"),
        (["mount", "-o"], "azfuse: Option '-o' requires an argument."),
        (["frobnicate"], "azfuse: No such command 'frobnicate'; azfuse --help lists all"),
        (["umount", "/x"], "azfuse: No such command 'umount'; did you mean unmount?"),
        (["ls"], "azfuse: No such command 'ls'; did you mean list?"),
        (["help"], "azfuse: No such command 'help'; did you mean --help?"),
        (["version"], "azfuse: No such command 'version'; did you mean --version?"),
        (["share", "lst"], "azfuse: No such command 'lst'; did you mean list?"),
        (["share", "frobnicate"], "command 'frobnicate'; azfuse share --help lists all"),
        (["share", "--frobnicate"], "azfuse: No such option '--frobnicate'"),
        (["mount", "acct", "/tmp"], "names no share"),
        (["mount", "acct/share", "/tmp", "-o", "zzz"], "unknown option zzz"),
        (["mount", "acct/share", "/tmp", "-o", "sas=SECRET"], "do not belong on the command line"),
        (["mount", "acct/share", "/tmp"], "no credentials for account acct"),
        (["mount", "acct/share", "/no/such/dir"], "/no/such/dir does not exist: run mkdir -p"),
        (["mount", "acct/share", "/dev/null"], "/dev/null is not a directory"),
        (["mount", "acct/share", "/dev/null/x"], "/dev/null/x is inside something"),
        (["mount", "acct/share", ""], "the mount point must be named"),
        (["unmount"], "azfuse: Missing argument 'MOUNTPOINT'."),
        (["unmount", "/proc"], "/proc is a mount of type proc, not of azfuse"),
        (["unmount", "/no/such"], "/no/such is not mounted"),
        (["unmount", "/x", "--timeout", "soon"], "'soon' is not a valid float"),
    ],
)
def test_one_sentence(azfuse, words, sentence):
    line = only_sentence(azfuse(*words), 2)
    assert line.startswith("azfuse: ")
    assert sentence in line
    assert "SECRET" not in line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "usage: mount.azfuse SOURCE DIR"),
        (["acct/share"], "usage: mount.azfuse SOURCE DIR"),
        (["-q"], "option -q not recognized"),
        (["acct/share", "/tmp", "-N", "/proc/1/ns/mnt"], "-N cannot be used"),
        (["acct/share", "/tmp", "-o", "rw,zzz"], "unknown option zzz"),
        (["acct/share", "/tmp", "-o", "rw,dev"], "no credentials for account acct"),
    ],
)
def test_the_helper_ends_as_mount_expects(azfuse, words, sentence):
    line = only_sentence(azfuse(*words, FAKE_HELPER="mount"), 1)
    assert line.startswith("mount.azfuse: ")
    assert sentence in line


def test_the_helper_pretends(azfuse, tmp_path, state):
    done = azfuse(DEVELOPMENT, str(tmp_path), "-sfnv", "-o", f"zzz,{state}", FAKE_HELPER="mount")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_helper_says_its_version(azfuse):
    assert azfuse("-V", FAKE_HELPER="mount").stdout.startswith("mount.azfuse ")
    assert azfuse("-V", FAKE_HELPER="umount").stdout.startswith("umount.azfuse ")
    assert "usage: " in only_sentence(azfuse("a", "b", FAKE_HELPER="umount"), 1)


@pytest.mark.parametrize("words", [["--debug", "mount", "acct", "/tmp"], ["mount", "--debug"]])
def test_debug_shows_the_traceback_and_changes_no_status(azfuse, words):
    done = azfuse(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("azfuse: ")


def test_debug_changes_no_status_of_what_failed(azfuse):
    done = azfuse("--debug", "share", "show", DEVELOPMENT)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("words", [["share"], ["config"], ["share", "policy"], ["--debug", "sas"]])
def test_a_group_by_itself_prints_its_help(azfuse, words):
    done = azfuse(*words)
    assert (done.returncode, done.stderr) == (0, "")
    group = [word for word in words if word != "--debug"]
    assert done.stdout.startswith(f"Usage: azfuse {' '.join(group)} [OPTIONS] COMMAND")
    assert done.stdout == azfuse(*group, "--help").stdout


@pytest.mark.parametrize("words", [["--help"], ["mount", "--help"], ["--version"], []])
def test_help_is_quick_and_loads_no_machinery(words):
    script = (
        "import sys, azfuse.cli.main as m\n"
        "try: m.main(sys.argv[1:])\n"
        "finally: print([name for name in ('pyfuse3', 'starlette', 'uvicorn', 'httpx') "
        "if name in sys.modules], file=sys.stderr)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=REPOSITORY, env=clean_environment(), capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout
    assert time.monotonic() - began < 5


def test_a_machine_without_fuse(monkeypatch, tmp_path):
    monkeypatch.setattr(mountpoint, "FUSE_DEVICE", tmp_path / "fuse")
    with pytest.raises(MountError, match="is missing: run modprobe fuse"):
        check_machine(allow_other=False)
    (tmp_path / "fuse").mkdir()
    with pytest.raises(MountError, match="cannot be opened"):
        check_machine(allow_other=False)


def test_a_machine_without_fusermount(monkeypatch, tmp_path):
    monkeypatch.setattr(mountpoint, "FUSE_DEVICE", tmp_path / "fuse")
    (tmp_path / "fuse").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountError, match="fusermount3 is missing: install it"):
        check_machine(allow_other=False)


def test_allow_other_needs_permission(monkeypatch, tmp_path):
    monkeypatch.setattr(mountpoint, "FUSE_DEVICE", tmp_path / "fuse")
    monkeypatch.setattr(mountpoint, "FUSE_CONF", tmp_path / "fuse.conf")
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "fuse").touch()
    with pytest.raises(MountError, match="needs a line user_allow_other"):
        check_machine(allow_other=True)
    (tmp_path / "fuse.conf").write_text("#user_allow_other\n")
    with pytest.raises(MountError, match="needs a line user_allow_other"):
        check_machine(allow_other=True)
    (tmp_path / "fuse.conf").write_text("# yes\nuser_allow_other\n")
    check_machine(allow_other=True)


def test_options_are_explained_by_the_helper_too(azfuse):
    assert "cache-dir=DIR" in azfuse("-o", "help", FAKE_HELPER="mount").stdout


def test_mount_points_are_made_absolute(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert check_mount_point("real/../link") == tmp_path / "real"
    assert absolute("link/x") == tmp_path / "real/x"
    assert absolute("link") == tmp_path / "real"
    (tmp_path / "loop").symlink_to("loop")
    assert absolute("loop") == tmp_path / "loop"
    # What may hang is not touched: a mount is not looked at.
    monkeypatch.setattr("azfuse.mount.mountpoint.mounted_here", lambda path: object())
    monkeypatch.setattr(Path, "is_symlink", lambda path: pytest.fail("it was touched"))
    assert absolute("link") == tmp_path / "link"


def test_a_mount_point_that_may_not_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="that you may write to"):
        check_mount_point(str(tmp_path))
