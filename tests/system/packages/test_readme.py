"""The README's words on installing, followed from the top on a clean Debian 12."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse import __version__
from tests.system import debian
from tests.system.packages.build import REPOSITORY
from tests.system.packages.chroot import run_in

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * debian.BUILD_LIMIT)]

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Install\n")[2].partition("\n## ")[0]
PACKAGE, MAKE, PIPX = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture
def root(source: Path, tmp_path: Path) -> Iterator[Path]:
    """A Debian 12 of nothing but what it needs itself, with the source tree in /root/azfuse."""
    if reason := debian.why_not():
        pytest.skip(reason)
    with debian.layered([debian.debian_tree(())], tmp_path / "debian") as root:
        (root / "etc/apt/apt.conf.d/yes").write_text('APT::Get::Assume-Yes "true";\n')
        if bundle := os.environ.get("PIP_CERT"):
            # Where a proxy signs what pip fetches: what is trusted here is trusted there.
            shutil.copy(bundle, root / "etc/trusted.pem")
            (root / "etc/pip.conf").write_text("[global]\ncert = /etc/trusted.pem\n")
        run_in(root, "apt-get update; apt-get install sudo")
        shutil.copytree(source, root / "root/azfuse")
        yield root


def follow(root: Path, commands: str) -> str:
    """Run *commands* in the source tree, as root, and return what they printed."""
    return run_in(root, f"cd /root/azfuse\n{commands}").stdout


def named(pattern: str) -> str:
    """Return the words in backquotes in the section that *pattern* describes."""
    (words,) = re.findall(f"`({pattern})`", SECTION)
    assert isinstance(words, str)
    return words


def test_package_and_make(root):
    follow(root, named("apt-get install git make"))
    install, uninstall = (line.partition(" #")[0] for line in MAKE.splitlines())
    assert f"azfuse {__version__}\n" in follow(root, f"{PACKAGE}\nazfuse --version")
    refused = follow(root, f"if {install} 2>&1; then exit 1; fi")
    assert "the Debian package azfuse is installed" in refused
    follow(root, named("apt-get purge azfuse"))
    assert "there" in follow(root, "command -v azfuse || echo there is none")

    before = follow(root, "find / -xdev -path /root -prune -o -print | sort")
    said = follow(root, f"{install}\nazfuse --version\n/sbin/mount.azfuse -V")
    assert said.endswith(f"azfuse {__version__}\nmount.azfuse {__version__}\n")
    follow(root, uninstall)
    assert follow(root, "find / -xdev -path /root -prune -o -print | sort") == before


def test_pipx(root):
    needs = named("fuse3 libfuse3-dev [a-z0-9 -]+")
    follow(root, f"apt-get install pipx {needs}")
    said = follow(root, f"{PIPX}\n~/.local/bin/azfuse --version")
    assert f"azfuse {__version__}\n" in said
