"""Boots and shutdowns: who is late is waited for, what is not saved is saved."""

import re

import pytest

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, DEVELOPMENT_PORT
from tests.system.conftest import SHARE, SOURCE, configure, on_share, start_emulator
from tests.system.machine import Machine

SERVICE = "azfuse@team.service"
MOUNT_UNIT = "mnt-share.mount"
POINT = "/mnt/share"
#: As Azure's portal writes it for cifs: systemd takes it for a local file system.
OF_PORTAL = "nofail,dir_mode=0777,file_mode=0777,serverino,nosharesock,actimeo=30"
#: An address that documentation may use; no route leads there before the network is up.
ADDRESS = "192.0.2.1"


def prepare(machine: Machine, how: str, source: str = SOURCE, options: str = "") -> None:
    """Have the share mounted at boot: by a `service`, or by a line of fstab with these words."""
    credentials = "/etc/azfuse/team.cred"
    machine.write(credentials, f'key = "{DEVELOPMENT_KEY}"\n', 0o600)
    options = f"credentials={credentials}{',' if options else ''}{options}"
    if how == "service":
        configure(machine, options=options, SOURCE=source)
        enable(machine, SERVICE)
    else:
        machine.write("/etc/fstab", f"{source} {POINT} azfuse {how},{options} 0 0\n")


def enable(machine: Machine, unit: str) -> None:
    """Enable a unit of a machine that is switched off."""
    machine.run_offline("systemctl", "enable", unit)


def wait_for_mount(machine: Machine) -> None:
    machine.wait_until(lambda: machine.kinds(POINT)[-1:] == ["fuse.azfuse"])


@pytest.fixture
def prepared(switched_off) -> Machine:
    """A machine that is switched off; its emulator, not enabled, has a share."""
    machine: Machine = switched_off
    machine.boot()
    start_emulator(machine)
    machine.shut_down()
    return machine


WAYS = ["service", "_netdev,nofail", "_netdev", "_netdev,nofail,x-systemd.automount"]


@pytest.mark.parametrize("how", WAYS)
def test_mounted_at_boot_and_saved_at_shutdown(prepared, how):
    machine = prepared
    enable(machine, "azfuse-emulator")
    prepare(machine, how, options="writeback=600")
    machine.boot()
    machine.shell(f"for n in $(seq 100); do echo $n > {POINT}/file$n; done")
    assert machine.kinds(POINT)[-1] == "fuse.azfuse"
    machine.shut_down()
    machine.write("/etc/fstab", "")
    machine.run_offline("systemctl", "disable", SERVICE)
    machine.boot()
    assert machine.kinds(POINT) == []
    for number in (1, 100):
        assert on_share(machine, f"file{number}") == f"{number}\n"


@pytest.mark.parametrize(
    "how", ["service", "_netdev,nofail", "_netdev", "_netdev,nofail,mount-timeout=60", OF_PORTAL]
)
def test_the_server_is_late(prepared, how):
    machine = prepared
    prepare(machine, how)
    machine.boot(wait=False)
    unit = SERVICE if how == "service" else MOUNT_UNIT
    machine.wait_until(lambda: machine.show(unit, "ActiveState") == "activating")
    machine.run("systemctl", "start", "azfuse-emulator")
    wait_for_mount(machine)
    machine.shell(f"echo text > {POINT}/file")
    assert on_share(machine, "file") == "text\n"


def test_a_boot_goes_on_without_what_may_fail(prepared):
    prepare(prepared, "_netdev,nofail")
    prepared.boot(wait=False)
    prepared.wait_until(lambda: prepared.show("multi-user.target", "ActiveState") == "active")
    assert prepared.show(MOUNT_UNIT, "ActiveState") == "activating"


def test_a_look_after_the_server_came_late(prepared):
    machine = prepared
    prepare(machine, "_netdev,nofail,x-systemd.automount")
    machine.boot()
    assert machine.run("ls", POINT, check=False).returncode == 2
    machine.run("systemctl", "start", "azfuse-emulator")
    machine.shell(f"echo text > {POINT}/file")
    assert on_share(machine, "file") == "text\n"


def listen_anywhere(machine: Machine) -> str:
    """Have the emulator listen on what address comes, and return the source at ours."""
    settings = (
        "[Service]\nIPAddressDeny=\nExecStart=\n"
        "ExecStart=/usr/local/bin/azfuse emulator --data %S/azfuse-emulator --host 0.0.0.0\n"
    )
    machine.write("/etc/systemd/system/azfuse-emulator.service.d/anywhere.conf", settings)
    return f"http://{ADDRESS}:{DEVELOPMENT_PORT}/{DEVELOPMENT_ACCOUNT}/{SHARE}"


def plug_in(machine: Machine) -> None:
    machine.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "far0")
    machine.run("ip", "link", "set", "far0", "up")


@pytest.mark.parametrize(
    "how", ["service", "_netdev,nofail", OF_PORTAL, "_netdev,nofail,x-systemd.automount"]
)
def test_the_network_is_late(prepared, how):
    """Later than network-online.target, as with a network that nobody waits for."""
    machine = prepared
    prepare(machine, how, listen_anywhere(machine))
    machine.boot(wait=False)
    machine.run("systemctl", "start", "azfuse-emulator")
    if "automount" in how:
        assert machine.run("ls", POINT, check=False).returncode == 2
    else:
        unit = SERVICE if how == "service" else MOUNT_UNIT
        machine.wait_until(lambda: machine.show(unit, "ActiveState") == "activating")
        assert machine.kinds(POINT) == []
    plug_in(machine)
    machine.run("ip", "link", "set", "late0", "up")
    machine.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "late0")
    if "automount" in how:
        machine.run("ls", POINT)
    wait_for_mount(machine)
    machine.shell(f"echo text > {POINT}/file")
    assert on_share(machine, "file") == "text\n"


@pytest.mark.parametrize("how", ["service", "_netdev,nofail"])
def test_the_name_of_the_server_is_late(prepared, how):
    machine = prepared
    source = f"http://files.test:{DEVELOPMENT_PORT}/{DEVELOPMENT_ACCOUNT}/{SHARE}"
    prepare(machine, how, source)
    enable(machine, "azfuse-emulator")
    machine.boot(wait=False)
    unit = SERVICE if how == "service" else MOUNT_UNIT
    machine.wait_until(lambda: machine.show(unit, "ActiveState") == "activating")
    machine.write("/etc/hosts", "127.0.0.1 localhost files.test\n")
    wait_for_mount(machine)
    machine.shell(f"echo text > {POINT}/file")
    assert on_share(machine, "file") == "text\n"


@pytest.mark.parametrize("how", ["service", "_netdev,nofail"])
def test_the_network_is_waited_for(prepared, how):
    """Where something does, nothing is tried before: no attempt fails."""
    machine = prepared
    prepare(machine, how, listen_anywhere(machine))
    network = f"[Match]\nName=late0\n[Network]\nAddress={ADDRESS}/24\n"
    machine.write("/etc/systemd/network/late.network", network)
    enable(machine, "systemd-networkd")
    enable(machine, "azfuse-emulator")
    machine.boot(wait=False)
    unit = SERVICE if how == "service" else MOUNT_UNIT
    machine.wait_until(lambda: machine.show("azfuse-emulator", "ActiveState") == "active")
    jobs = machine.run("systemctl", "list-jobs", unit).stdout
    assert re.search(r"start +waiting", jobs), jobs
    plug_in(machine)
    wait_for_mount(machine)
    assert "failed" not in machine.journal("--unit", unit).lower()
    machine.shell(f"echo text > {POINT}/file")
    assert on_share(machine, "file") == "text\n"


@pytest.mark.parametrize("how", ["service", "_netdev,nofail"])
def test_a_shutdown_without_the_server_keeps_the_data(prepared, how):
    machine = prepared
    prepare(machine, how, options="writeback=600,retry-timeout=2,mount-timeout=60")
    machine.boot(wait=False)
    machine.run("systemctl", "start", "azfuse-emulator")
    wait_for_mount(machine)
    machine.shell(f"echo kept > {POINT}/file")
    machine.run("systemctl", "stop", "azfuse-emulator")
    machine.shut_down()
    machine.boot(wait=False)
    machine.run("systemctl", "start", "azfuse-emulator")
    wait_for_mount(machine)
    machine.wait_until(lambda: "file" in machine.run("ls", POINT).stdout)
    machine.run("umount", POINT)
    assert on_share(machine, "file") == "kept\n"
