"""The Debian package: built from the sdist, installed on a clean Debian 12, used, and purged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse import __version__
from tests.system import debian, machine
from tests.system.conftest import configure, on_share, start_emulator
from tests.system.packages.build import PATIENCE, run
from tests.system.packages.chroot import run_in

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * debian.BUILD_LIMIT)]

#: Start an emulator and mount its share with mount(8).
MOUNT = """
mkdir -p /mnt/team
mkfifo /tmp/said
azfuse emulator --in-memory --port 0 --create-share team > /tmp/said &
exec 3< /tmp/said
rm /tmp/said
read -r line <&3
url=${line##* }/devstoreaccount1/team
mount -t azfuse "$url" /mnt/team -o _netdev,nofail,writeback
"""


@pytest.fixture(scope="module")
def package(source: Path) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("not Debian: no dpkg-deb")
    run("make", "deb", cwd=source)
    (file,) = (source / "dist").glob("*.deb")
    return file


@pytest.fixture(scope="module")
def root(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian 12 of nothing but what it needs itself, and then the package."""
    if reason := debian.why_not():
        pytest.skip(reason)
    if not Path("/dev/fuse").exists():
        pytest.skip("no /dev/fuse")
    with debian.layered([debian.debian_tree(())], tmp_path_factory.mktemp("debian")) as root:
        assert run_in(root, "command -v python3 fusermount3 azfuse", check=False).stdout == ""
        shutil.copy(package, root / "tmp/azfuse.deb")
        run_in(root, """
            apt-get update --quiet
            apt-get install --quiet --yes --no-install-recommends /tmp/azfuse.deb
        """)  # fmt: skip
        yield root


def field(package: Path, name: str) -> str:
    return run("dpkg-deb", "--field", package, name).stdout.strip()


def contents(package: Path) -> dict[str, list[str]]:
    """Return the words that `dpkg-deb --contents` has for each path."""
    lines = [line.split() for line in run("dpkg-deb", "--contents", package).stdout.splitlines()]
    return {words[5].removeprefix("."): words for words in lines}


def test_control(package):
    assert package.name == f"azfuse_{__version__}-1_{field(package, 'Architecture')}.deb"
    assert field(package, "Version") == f"{__version__}-1"
    depends = field(package, "Depends")
    minor = run("/usr/bin/python3", "-c", "import sys; print(sys.version_info.minor)").stdout
    assert f"python3 (>= 3.{int(minor)}~), python3 (<< 3.{int(minor) + 1}~)" in depends
    for name in ("libfuse3-3 (", "libc6 (", "fuse3", "ca-certificates"):
        assert name in depends


def test_contents(package):
    held = contents(package)
    assert {words[1] for words in held.values()} == {"root/root"}
    modules = {words[7] for name in held if len(words := name.split("/")) > 7}
    assert {"azfuse", "pyfuse3", "trio"} <= modules
    assert not {"pip", "setuptools", "pkg_resources"} & modules
    for name in (
        "/usr/sbin/mount.azfuse",
        "/usr/sbin/umount.azfuse",
        "/usr/lib/systemd/system/azfuse@.service",
        "/usr/share/man/man8/mount.azfuse.8.gz",
        "/usr/share/doc/azfuse/changelog.Debian.gz",
        "/usr/share/doc/azfuse/copyright",
        "/usr/share/doc/azfuse/examples/mnt-share.mount",
        "/usr/share/zsh/vendor-completions/_azfuse",
    ):
        assert name in held


def test_nothing_tells_where_it_was_built(package, source, tmp_path):
    run("dpkg-deb", "--raw-extract", package, tmp_path / "tree")
    for place in (str(source.parent), "/tmp/", ".pyenv"):
        words = ["grep", "-rlF", "--exclude=*.py", place, tmp_path / "tree/usr/lib/azfuse"]
        found = run(*words, check=False).stdout.splitlines()
        assert [name for name in found if not name.endswith((".pyc", "METADATA"))] == []
    modules = tmp_path / "tree/usr/lib/azfuse/lib"
    for compiled in modules.rglob("azfuse/**/*.pyc"):
        assert b"/usr/lib/azfuse/lib/" in compiled.read_bytes()


def test_lintian_has_nothing_to_say(package):
    if shutil.which("lintian") is None:
        pytest.skip("no lintian")
    words = ["lintian", "--fail-on", "error,warning", "--no-cfg", package]
    said = run(*words, check=False)
    assert (said.returncode, said.stdout) == (0, "")


def test_installed(root):
    said = run_in(root, """
        azfuse --version
        readlink -f /usr/lib/azfuse/bin/python
        dpkg --verify azfuse
        for page in azfuse.1 azfuse-emulator.1 azfuse.toml.5 mount.azfuse.8 \
                umount.azfuse.8 umount.fuse.azfuse.8; do
            gzip -t "/usr/share/man/man${page##*.}/$page.gz"
        done
        azfuse emulator --help > /tmp/help
        # As it came, and not one file more for having been run.
        find /usr/lib/azfuse | sort > /tmp/there
        dpkg -L azfuse | grep ^/usr/lib/azfuse | sort | diff - /tmp/there
    """)  # fmt: skip
    version, python = said.stdout.splitlines()
    assert version.split()[-1] == __version__
    assert python.startswith("/usr/bin/python3.")


def test_mounted_with_mount(root):
    said = run_in(root, MOUNT + """
        findmnt --noheadings -t fuse.azfuse -o TARGET,FSTYPE
        df -T /mnt/team | awk 'NR == 2 { print $2, $NF }'
        echo hello > /mnt/team/file
        umount /mnt/team
        findmnt --noheadings -t fuse.azfuse
        mount -t azfuse "$url" /mnt/team -o ro
        cat /mnt/team/file
        umount /mnt/team
        azfuse doctor
    """, limit=PATIENCE)  # fmt: skip
    mounted, shown, read, *findings = said.stdout.splitlines()
    assert mounted.split() == ["/mnt/team", "fuse.azfuse"]
    assert shown == "fuse.azfuse /mnt/team"
    assert read == "hello"
    assert {line.split()[0] for line in findings} == {"ok"}
    assert said.stderr == ""


def test_what_runs_is_not_removed(root):
    said = run_in(root, MOUNT + """
        echo kept > /mnt/team/file
        if apt-get remove --quiet --yes azfuse 2>&1; then exit 1; fi
        dpkg --status azfuse | grep ^Status
        cat /mnt/team/file
        apt-get install --quiet --yes --reinstall /tmp/azfuse.deb
        cat /mnt/team/file
        azfuse unmount /mnt/team
    """, limit=PATIENCE)  # fmt: skip
    assert "azfuse: in use by the processes" in said.stdout
    assert "Status: install ok installed\nkept\n" in said.stdout
    assert "until it is mounted anew.\nkept\n" in said.stdout


# Last of the chroot: there is nothing to be tested after it.
def test_purge_leaves_nothing(root):
    said = run_in(root, """
        mkdir -p /var/lib/azfuse/a.b.c /run/azfuse
        touch /var/lib/azfuse/a.b.c/inodes.sqlite
        python3 -c 'import sqlite3
journal = sqlite3.connect("/var/lib/azfuse/a.b.c/journal.sqlite")
journal.execute("CREATE TABLE records (id)")
journal.execute("INSERT INTO records VALUES (1)")
journal.commit()'
        apt-get purge --quiet --yes azfuse 2>&1
        ls /var/lib/azfuse/a.b.c
        apt-get install --quiet --yes --no-install-recommends /tmp/azfuse.deb
        python3 -c 'import sqlite3
journal = sqlite3.connect("/var/lib/azfuse/a.b.c/journal.sqlite")
journal.execute("DELETE FROM records")
journal.commit()'
        apt-get purge --quiet --yes azfuse 2>&1
        rm /tmp/azfuse.deb
    """)  # fmt: skip
    assert "/var/lib/azfuse stays: it holds data that never reached the share" in said.stdout
    assert "journal.sqlite" in said.stdout
    words = ["/", "-xdev", "-name", "*azfuse*", "-not", "-path", "/proc/*"]
    assert run_in(root, "find " + " ".join(f"'{word}'" for word in words)).stdout == ""


def test_services_are_stopped_with_care(package, tmp_path):
    if reason := machine.why_not():
        pytest.skip(reason)
    with machine.machine_of([debian.debian_tree()], tmp_path) as booted:
        shutil.copy(package, booted.root / "root/azfuse.deb")
        (booted.root / "mnt/share").mkdir()
        booted.boot()
        booted.run("dpkg", "--install", "/root/azfuse.deb")
        start_emulator(booted)
        # What programs write goes up when it is asked for, and that is now.
        configure(booted, options="writeback=600")
        booted.run("systemctl", "enable", "--now", "azfuse@team", "azfuse-emulator")
        booted.shell("echo kept > /mnt/share/file")
        booted.run("dpkg", "--remove", "azfuse", timeout=machine.PATIENCE)
        booted.shell("""
            test -z "$(findmnt -t fuse.azfuse)"
            test -z "$(systemctl list-units --plain --no-legend 'azfuse*.service')"
        """)

        booted.run("dpkg", "--install", "/root/azfuse.deb")
        booted.run("systemctl", "start", "azfuse-emulator")
        assert on_share(booted, "file") == "kept\n"
        booted.run("dpkg", "--purge", "azfuse")
        said = booted.shell("find /etc/systemd /var/lib /run -name '*azfuse*'")
        assert said == ""
