"""`make install` and `make uninstall`, from the source tree that the sdist holds."""

import os
import shutil
import sys

import pytest

from azfuse import __version__
from tests.system.packages.build import (
    BUILD_LIMIT,
    PATIENCE,
    check_in_use,
    emulator,
    everything_below,
    run,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(BUILD_LIMIT)]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_are_sound(source):
    scripts = [path for path in (source / ".ci").rglob("*") if path.is_file()]
    shell = [path for path in scripts if path.read_text().startswith("#!/bin/sh\n")]
    assert {path.name for path in shell} >= {"bootstrap", "install", "build", "prerm"}
    assert run("shellcheck", "--severity=warning", *shell).stdout == ""


def test_staged(source, tmp_path):
    # Directories that are there already, and files of others, are not ours to take away.
    stage = tmp_path / "stage"
    (stage / "usr/share/man/man1").mkdir(parents=True)
    (stage / "usr/share/doc").mkdir()
    (stage / "usr/share/doc/other").touch()
    before = everything_below(stage)
    words = ["make", f"DESTDIR={stage}", "PREFIX=/usr", "SBINDIR=/usr/sbin"]
    run(*words, "install", f"PYTHON={sys.executable}", cwd=source)
    made = everything_below(stage)
    assert {
        "usr/sbin/mount.azfuse",
        "usr/sbin/umount.azfuse",
        "usr/lib/systemd/system/azfuse@.service",
        "usr/lib/systemd/user/azfuse-user@.service",
        "usr/share/bash-completion/completions/azfuse",
        "usr/share/doc/azfuse/README.md",
        "usr/share/doc/azfuse/examples/mnt-share.automount",
        "usr/share/doc/azfuse/examples/mnt-share.mount",
        "usr/share/man/man1/azfuse.1",
        "usr/share/man/man5/azfuse.toml.5",
        "usr/share/man/man8/mount.azfuse.8",
    } <= made
    assert str((stage / "usr/bin/azfuse").readlink()) == "/usr/lib/azfuse/bin/azfuse"
    script = (stage / "usr/lib/azfuse/bin/azfuse").read_text()
    assert script.startswith("#!/usr/lib/azfuse/bin/python")
    unit = (stage / "usr/lib/systemd/system/azfuse@.service").read_text()
    assert "ExecStart=/usr/bin/azfuse mount" in unit
    page = (stage / "usr/share/man/man8/mount.azfuse.8").read_text()
    assert page.startswith(".TH")

    run(*words, "uninstall", cwd=source)
    assert everything_below(stage) == before


@pytest.mark.mount
@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="no /dev/fuse")
def test_in_place(source, tmp_path):
    prefix = tmp_path / "a prefix"
    words = ["make", f"PREFIX={prefix}", f"SBINDIR={tmp_path / 'sbin'}"]
    run(*words, "install", f"PYTHON={sys.executable}", cwd=source)
    azfuse = prefix / "bin/azfuse"
    assert run(azfuse, "--version").stdout.split()[-1] == __version__
    check_in_use(azfuse, tmp_path)
    assert run(tmp_path / "sbin/mount.azfuse", "-V").stdout == f"mount.azfuse {__version__}\n"
    with emulator([azfuse]) as (_, pid):
        refused = run(*words, "uninstall", cwd=source, limit=PATIENCE, check=False)
        assert f"azfuse still runs from {prefix}/lib/azfuse, as {pid}:" in refused.stderr
        assert refused.returncode != 0
        run(azfuse, "--version")
    # A second time over the first: the list of what was made still holds everything.
    run(*words, "install", f"PYTHON={sys.executable}", cwd=source)
    # What somebody has put in the place of a link stays.
    helper = tmp_path / "sbin/mount.azfuse"
    helper.unlink()
    helper.symlink_to("/elsewhere")
    run(*words, "uninstall", cwd=source)
    assert not prefix.exists()
    assert list(helper.parent.iterdir()) == [helper]
