"""Mounts of fstab(5) and mount units under a real systemd: what an administrator would write."""

import json

import pytest

from azfuse.rest.wire import DEVELOPMENT_KEY
from tests.system.conftest import REPOSITORY, SOURCE, USER, on_share, put_on_share, slow_down
from tests.system.machine import Machine

UNITS = REPOSITORY / "systemd"
POINT = "/mnt/share"
UNIT = "mnt-share.mount"
CREDENTIALS = "/etc/azfuse/team.cred"
OPTIONS = f"_netdev,nofail,uid={USER},gid={USER},credentials={CREDENTIALS}"


def fstab(machine: Machine, options: str, kind: str = "azfuse", source: str = SOURCE) -> None:
    """Write the line, as for mount.cifs with its credentials in a file, and have it read."""
    machine.write(CREDENTIALS, f"username=devstoreaccount1\npassword={DEVELOPMENT_KEY}\n", 0o600)
    machine.write("/etc/fstab", f"{source} {POINT} {kind} {options} 0 0\n")
    machine.run("systemctl", "daemon-reload")


def active(machine: Machine, unit: str) -> str:
    return machine.show(unit, "ActiveState")


@pytest.mark.parametrize("kind", ["azfuse", "fuse.azfuse"])
def test_a_line_is_mounted_by_hand(machine, kind):
    fstab(machine, OPTIONS, kind)
    machine.run("mount", "-a")
    machine.run("mount", "-a")
    assert machine.kinds(POINT) == ["fuse.azfuse"]
    assert active(machine, UNIT) == "active"
    machine.run("sh", "-c", f"umask 022; echo mine > {POINT}/file", user=USER)
    assert on_share(machine, "file") == "mine\n"
    assert machine.run("stat", "-c", "%U:%G %a", f"{POINT}/file").stdout == f"{USER}:{USER} 644\n"
    header, line = machine.run("df", "-T", POINT).stdout.splitlines()
    assert "Type" in header
    assert line.split()[1] == "fuse.azfuse"
    assert line.split()[0] == SOURCE
    machine.run("umount", POINT)
    assert machine.kinds(POINT) == []
    machine.wait_until(lambda: active(machine, UNIT) == "inactive")


def test_umount_returns_when_everything_is_saved(machine):
    fstab(machine, f"{OPTIONS},writeback=600")
    machine.run("mount", POINT)
    machine.shell(f"for n in $(seq 200); do echo $n > {POINT}/file$n; done")
    slow_down(machine, 200)
    machine.run("umount", POINT)
    assert POINT not in machine.run("azfuse", "list").stdout
    slow_down(machine, 0)
    assert on_share(machine, "file200") == "200\n"


def test_automount_by_a_look(machine):
    put_on_share(machine, "theirs", "from elsewhere")
    fstab(machine, f"{OPTIONS},x-systemd.automount,x-systemd.idle-timeout=2")
    machine.run("systemctl", "start", "remote-fs.target")
    machine.run("systemctl", "start", "mnt-share.automount")
    assert machine.kinds(POINT) == ["autofs"]
    assert machine.run("cat", f"{POINT}/theirs").stdout == "from elsewhere"
    assert machine.kinds(POINT) == ["autofs", "fuse.azfuse"]
    machine.shell(f"echo ours > {POINT}/ours")
    machine.wait_until(lambda: machine.kinds(POINT) == ["autofs"])
    assert on_share(machine, "ours") == "ours\n"
    assert machine.run("cat", f"{POINT}/ours", user=USER).stdout == "ours\n"
    machine.run("systemctl", "stop", "mnt-share.automount")
    assert machine.kinds(POINT) == []


def test_a_unit_is_restarted_and_reloaded(machine):
    fstab(machine, OPTIONS)
    machine.run("systemctl", "start", UNIT)
    machine.shell(f"echo one > {POINT}/one")
    machine.run("systemctl", "restart", UNIT)
    assert machine.run("cat", f"{POINT}/one").stdout == "one\n"
    fstab(machine, f"{OPTIONS},ro")
    machine.run("systemctl", "reload", UNIT)
    assert "Read-only" in machine.run("touch", f"{POINT}/two", check=False).stderr


@pytest.mark.parametrize("options", [OPTIONS, f"{OPTIONS},x-systemd.automount"])
def test_a_killed_mount_is_restarted_by_hand(machine, options):
    fstab(machine, options)
    unit = "mnt-share.automount" if "automount" in options else UNIT
    machine.run("systemctl", "start", unit)
    machine.shell(f"echo one > {POINT}/one")
    (mount,) = json.loads(machine.run("azfuse", "list", "--json").stdout)
    machine.shell('kill -KILL "$1"', str(mount["pid"]))
    machine.wait_until(lambda: machine.run("ls", POINT, check=False).returncode == 2)
    machine.run("systemctl", "restart", UNIT)
    assert machine.run("cat", f"{POINT}/one").stdout == "one\n"


def test_a_line_that_users_may_mount(machine):
    point, credentials = f"/home/{USER}/share", f"/home/{USER}/cred"
    key = f'key = "{DEVELOPMENT_KEY}"'
    machine.run("sh", "-euc", f"umask 077; mkdir {point}; echo '{key}' > {credentials}", user=USER)
    options = f"_netdev,noauto,user,writeback=600,credentials={credentials}"
    machine.write("/etc/fstab", f"{SOURCE} {point} azfuse {options} 0 0\n")
    machine.run("mount", point, user=USER)
    machine.run("sh", "-c", f"echo mine > {point}/file", user=USER)
    machine.run("umount", point, user=USER)
    assert machine.kinds(point) == []
    assert on_share(machine, "file") == "mine\n"


def test_the_example_units(machine):
    for name in ("mnt-share.mount", "mnt-share.automount"):
        text = (UNITS / name).read_text().replace("account/share", SOURCE)
        machine.write(f"/etc/systemd/system/{name}", text)
    machine.write("/etc/azfuse/share.cred", f'key = "{DEVELOPMENT_KEY}"\n', 0o600)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", UNIT)
    machine.shell(f"echo one > {POINT}/one")
    machine.run("systemctl", "stop", UNIT)
    assert machine.kinds(POINT) == []
    assert on_share(machine, "one") == "one\n"
    machine.run("systemctl", "enable", "--now", "mnt-share.automount")
    assert machine.run("cat", f"{POINT}/one", user=USER).stdout == "one\n"
    assert machine.kinds(POINT) == ["autofs", "fuse.azfuse"]
