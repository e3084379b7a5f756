"""The systemd units: systemd takes them, they keep to little, and the watchdog is fed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import trio
import trio.testing

from azfuse.mount.notify import feed_watchdog, watchdog_period

UNITS = Path(__file__).parents[2] / "systemd"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they are where the command is installed."""
    command = tmp_path / "azfuse"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/usr/local/bin/azfuse", str(command))
        (tmp_path / unit.name).write_text(text.replace("/usr/bin/fusermount3", str(command)))
    return tmp_path


def analyze(*words: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.iterdir()))
def test_systemd_takes_the_unit(installed, unit):
    found = [line for line in analyze("verify", installed / unit).splitlines() if str(unit) in line]
    assert not found


@needs_systemd
@pytest.mark.parametrize(
    ("unit", "most"), [("azfuse@.service", 4.4), ("azfuse-emulator.service", 1.5)]
)
def test_the_unit_exposes_little(installed, unit, most):
    said = analyze("security", "--offline=true", installed / unit)
    level = re.search(r"Overall exposure level .*: ([0-9.]+)", said)
    assert level is not None, said
    assert float(level[1]) <= most


def test_a_mount_is_seen_by_everybody():
    """None of the settings that give a service a mount namespace of its own."""
    text = (UNITS / "azfuse@.service").read_text()
    settings = [line.partition("=")[0] for line in text.splitlines() if not line.startswith("#")]
    private = re.compile("Private(?!Users)|Protect(System|Home|Proc|Kernel|Control)|"
                         "ReadOnly|ReadWrite|Inaccessible|Bind|Root|Temporary|DynamicUser|"
                         "MountFlags|Load")  # fmt: skip
    assert not [name for name in settings if private.match(name)]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_what_systemd_asks_of_the_watchdog(environ, seconds):
    assert watchdog_period(environ) == seconds


def test_the_watchdog_is_fed_twice_a_period(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("azfuse.mount.notify.notify", said.append)
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)

    async def live() -> None:
        with trio.move_on_after(26):
            await feed_watchdog()

    trio.run(live, clock=trio.testing.MockClock(autojump_threshold=0))
    assert said == ["WATCHDOG=1"] * 6
