"""A mount that systemd makes while the machine boots is given more time."""

from pathlib import Path

import pytest

from azfuse.mount.boot import is_booting


@pytest.mark.parametrize(
    ("said", "environ", "booting"),
    [
        ("starting", {"INVOCATION_ID": "1"}, True),
        ("initializing", {"INVOCATION_ID": "1"}, True),
        ("starting", {}, False),
        ("running", {"INVOCATION_ID": "1"}, False),
        ("degraded", {"INVOCATION_ID": "1"}, False),
        (None, {"INVOCATION_ID": "1"}, False),
    ],
)
def test_whether_the_machine_boots(monkeypatch, tmp_path: Path, said, environ, booting):
    if said is not None:
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f'#!/bin/sh\ntest "$1" = is-system-running && echo {said}; exit 1\n')
        systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_booting(environ) is booting
