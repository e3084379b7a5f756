"""The services under a real systemd: started, stopped, killed, hung, refused."""

import pytest

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.system.conftest import (
    SOURCE,
    USER,
    WRONG_KEY,
    configure,
    on_share,
    put_on_share,
    slow_down,
)
from tests.system.machine import Machine

SERVICE = "azfuse@team.service"
POINT = "/mnt/share"


def main_pid(machine: Machine, unit: str = SERVICE) -> str:
    return machine.show(unit, "MainPID")


def signal_main(machine: Machine, name: str, unit: str = SERVICE) -> None:
    machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", unit)


def test_the_emulator(machine):
    assert machine.show("azfuse-emulator", "ActiveState") == "active"
    put_on_share(machine, "file", "text")
    assert on_share(machine, "file") == "text"
    machine.run("systemctl", "restart", "azfuse-emulator")
    assert on_share(machine, "file") == "text"
    machine.run("systemctl", "stop", "azfuse-emulator")
    assert machine.show("azfuse-emulator", "Result") == "success"


def test_systemd_has_nothing_to_say_of_the_units(machine):
    said = machine.run("systemd-analyze", "verify", SERVICE, "azfuse-emulator.service")
    assert (said.stdout, said.stderr) == ("", "")


def test_a_mount_is_there_when_its_service_is_active(machine):
    configure(machine)
    put_on_share(machine, "theirs", "from elsewhere")
    machine.run("systemctl", "start", SERVICE)
    assert machine.kinds(POINT) == ["fuse.azfuse"]
    assert machine.run("cat", f"{POINT}/theirs").stdout == "from elsewhere"
    machine.shell(f"echo ours > {POINT}/ours")
    assert on_share(machine, "ours") == "ours\n"
    assert "is mounted on" in machine.show(SERVICE, "StatusText")
    machine.run("systemctl", "restart", SERVICE)
    assert machine.run("cat", f"{POINT}/ours").stdout == "ours\n"
    machine.run("systemctl", "stop", SERVICE)
    assert machine.kinds(POINT) == []
    assert machine.show(SERVICE, "Result") == "success"


def test_stopping_saves_what_was_not_uploaded(machine):
    configure(machine, options="writeback=600")
    machine.run("systemctl", "start", SERVICE)
    machine.shell(f"for n in $(seq 50); do echo $n > {POINT}/file$n; done")
    machine.run("systemctl", "stop", SERVICE)
    assert machine.show(SERVICE, "Result") == "success"
    for number in (1, 50):
        assert on_share(machine, f"file{number}") == f"{number}\n"


def test_saving_may_take_longer_than_stopping_may(machine):
    machine.write(f"/etc/systemd/system/{SERVICE}.d/soon.conf", "[Service]\nTimeoutStopSec=2\n")
    machine.run("systemctl", "daemon-reload")
    configure(machine, options="writeback=600,max-transfers=1")
    machine.run("systemctl", "start", SERVICE)
    machine.shell(f"for n in $(seq 60); do echo $n > {POINT}/file$n; done")
    slow_down(machine, 500)
    machine.run("systemctl", "stop", SERVICE)
    slow_down(machine, 0)
    assert machine.show(SERVICE, "Result") == "success"
    assert "still saving" in machine.journal("--unit", SERVICE)
    assert on_share(machine, "file60") == "60\n"


def test_a_killed_mount_comes_back(machine):
    configure(machine)
    machine.run("systemctl", "start", SERVICE)
    machine.shell(f"echo kept > {POINT}/file")
    first = main_pid(machine)
    signal_main(machine, "KILL")
    machine.wait_until(lambda: main_pid(machine) not in ("0", first))
    machine.wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active")
    assert machine.run("cat", f"{POINT}/file").stdout == "kept\n"
    assert machine.kinds(POINT) == ["fuse.azfuse"]


def test_a_hung_mount_is_restarted(machine):
    machine.write(f"/etc/systemd/system/{SERVICE}.d/soon.conf", "[Service]\nWatchdogSec=2\n")
    machine.run("systemctl", "daemon-reload")
    configure(machine)
    machine.run("systemctl", "start", SERVICE)
    first = main_pid(machine)
    signal_main(machine, "STOP")
    machine.wait_until(lambda: main_pid(machine) not in ("0", first))
    machine.wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active")
    machine.shell(f"echo alive > {POINT}/file")
    assert on_share(machine, "file") == "alive\n"
    assert "Watchdog timeout" in machine.journal("--unit", SERVICE)


def test_a_wrong_key_ends_it_with_one_line(machine):
    file = "/etc/azfuse/team.cred"
    machine.write(file, f'key = "{WRONG_KEY}"\n', 0o600)
    configure(machine, options=f"credentials={file}")
    machine.run("systemctl", "start", SERVICE, check=False)
    assert machine.show(SERVICE, "ActiveState") == "failed"
    assert machine.show(SERVICE, "NRestarts") == "0"
    said = machine.journal("--unit", SERVICE, "--identifier", "azfuse").splitlines()
    assert machine.journal("--priority=err", "--identifier", "azfuse").splitlines() == said
    assert said == [f"azfuse: the key in {file} is not the key of account {DEVELOPMENT_ACCOUNT}"]


def test_a_mount_that_the_config_file_names(machine):
    machine.write("/etc/azfuse/team.cred", f'key = "{DEVELOPMENT_KEY}"\n', 0o600)
    config = f'''
[mounts.team]
source = "{SOURCE}"
mountpoint = "{POINT}"
credentials = "team.cred"
allow_other = true
'''
    machine.write("/etc/azfuse/config.toml", config)
    machine.run("systemctl", "start", SERVICE)
    machine.shell(f"echo text > {POINT}/file")
    assert machine.run("cat", f"{POINT}/file", user=USER).stdout == "text\n"
    machine.run("systemctl", "stop", SERVICE)
    assert machine.kinds(POINT) == []


def test_a_name_that_nothing_knows(machine):
    machine.run("systemctl", "start", SERVICE, check=False)
    assert machine.show(SERVICE, "ActiveState") == "failed"
    assert machine.show(SERVICE, "NRestarts") == "0"
    assert len(machine.journal("--unit", SERVICE, "--identifier", "azfuse").splitlines()) == 1


@pytest.mark.parametrize("late", [False, True])
def test_the_server_may_be_late(machine, late):
    configure(machine)
    machine.run("systemctl", "stop", "azfuse-emulator")
    machine.run("systemctl", "start", "--no-block", SERVICE)
    if late:
        machine.wait_until(lambda: machine.show(SERVICE, "NRestarts") != "0")
    machine.run("systemctl", "start", "azfuse-emulator")
    machine.wait_until(lambda: machine.show(SERVICE, "ActiveState") == "active")
    assert machine.kinds(POINT) == ["fuse.azfuse"]


def test_a_credential_of_systemd(machine):
    machine.write("/etc/azfuse/team.cred", f'key = "{DEVELOPMENT_KEY}"\n', 0o600)
    drop_in = "[Service]\nLoadCredential=azfuse:/etc/azfuse/team.cred\n"
    machine.write(f"/etc/systemd/system/{SERVICE}.d/credential.conf", drop_in)
    machine.run("systemctl", "daemon-reload")
    configure(machine, options="allow_other")
    machine.run("systemctl", "start", SERVICE)
    machine.shell(f"echo text > {POINT}/file")
    assert on_share(machine, "file") == "text\n"
    assert machine.run("cat", f"{POINT}/file", user=USER).stdout == "text\n"
