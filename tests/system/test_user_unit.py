"""The unit for one user, without root."""

import pytest

from azfuse.rest.wire import DEVELOPMENT_KEY
from tests.system.conftest import SOURCE, USER, on_share
from tests.system.machine import Machine

SERVICE = "azfuse-user@team.service"
HOME = f"/home/{USER}"
POINT = f"{HOME}/share"


@pytest.fixture
def session(machine: Machine) -> Machine:
    """A machine on which the user's own systemd runs, and knows what to mount."""
    machine.shell(f"loginctl enable-linger {USER}")
    machine.wait_until(lambda: machine.show("user@1000.service", "ActiveState") == "active")
    script = f"""
        umask 077
        mkdir -p {POINT} {HOME}/.config/azfuse
        cd {HOME}/.config/azfuse
        echo 'key = "{DEVELOPMENT_KEY}"' > team.cred
        printf '%s\\n' SOURCE={SOURCE} WHERE={POINT} \\
            OPTIONS=writeback=600,credentials={HOME}/.config/azfuse/team.cred > team.conf
    """
    machine.run("sh", "-euc", script, user=USER)
    return machine


def control(machine: Machine, *words: str) -> None:
    machine.run("systemctl", "--user", *words, user=USER)


def test_systemd_has_nothing_to_say_of_the_unit(session):
    said = session.run("systemd-analyze", "verify", "--user", SERVICE, user=USER)
    assert (said.stdout, said.stderr) == ("", "")


def test_a_mount_of_ones_own(session):
    control(session, "enable", "--now", SERVICE)
    assert session.kinds(POINT) == ["fuse.azfuse"]
    session.run("sh", "-c", f"echo mine > {POINT}/file", user=USER)
    assert session.run("stat", "-c", "%U", f"{POINT}/file", user=USER).stdout == f"{USER}\n"
    assert session.run("ls", POINT, check=False).returncode == 2  # not even root is let in
    control(session, "stop", SERVICE)
    assert session.kinds(POINT) == []
    assert session.show(SERVICE, "Result", user=USER) == "success"
    assert on_share(session, "file") == "mine\n"


def test_killed_it_comes_back(session):
    control(session, "start", SERVICE)
    first = session.show(SERVICE, "MainPID", user=USER)
    control(session, "kill", "--kill-whom=main", "--signal=KILL", SERVICE)
    session.wait_until(lambda: session.show(SERVICE, "MainPID", user=USER) not in ("0", first))
    session.wait_until(lambda: session.show(SERVICE, "ActiveState", user=USER) == "active")
    session.run("sh", "-c", f"echo again > {POINT}/file", user=USER)


def test_mounted_at_boot_and_saved_at_shutdown(session):
    session.run("systemctl", "enable", "azfuse-emulator")
    control(session, "start", SERVICE)
    session.run("sh", "-c", f"echo late > {POINT}/file", user=USER)
    session.shut_down()
    session.boot()
    assert session.kinds(POINT) == []
    assert on_share(session, "file") == "late\n"
    control(session, "enable", SERVICE)
    session.shut_down()
    session.boot()
    session.wait_until(lambda: session.kinds(POINT) == ["fuse.azfuse"])
    assert session.run("cat", f"{POINT}/file", user=USER).stdout == "late\n"
