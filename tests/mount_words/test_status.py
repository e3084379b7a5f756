"""`azfuse status` and `unmount --all`, over a registry of their own: others mount here, too."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from azfuse.mount.errors import MountError
from azfuse.mount.registry import Record, Registry, start_time
from tests.mount_words.conftest import REPOSITORY

HEALTHY: dict[str, Any] = {
    "mount": {"state": "mounted", "mountedAt": "2026-01-01T00:00:00Z"},
    "writes": {"dirtyBytes": 7, "dirtyFiles": 1, "failedUploads": 0, "failing": []},
    "leases": {"held": 2, "paths": []},
}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr("azfuse.mount.registry.runtime_dir", lambda: tmp_path)
    return Registry(tmp_path)


def add(registry: Registry, path: Path, **changes: str) -> str:
    path.mkdir()
    pid = os.getpid()
    values = {"mount_point": str(path), "source": "acct/share", **changes}
    registry.write(Record(pid=pid, started=start_time(pid), **values))  # type: ignore[arg-type]
    return str(path)


def answering(stats: dict[str, Any], service: str | None = None, *complaints: str):
    health = {
        "service": service,
        "seconds": 0.25,
        "complaints": [
            {"time": "2026-01-01T00:00:00Z", "level": "warning", "message": text}
            for text in complaints
        ],
    }
    return lambda record, what: {"stats": stats, "health": health}[what]


def told(command: str) -> list[str]:
    """Return the keys that the README tells of *command*."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{command}` | "))
    return re.findall(r"`(\w+)`", row.split("|")[2].partition(";")[0])


def test_a_healthy_mount(registry, run, tmp_path, monkeypatch):
    point = add(registry, tmp_path / "a")
    monkeypatch.setattr("azfuse.cli.status.ask", answering(HEALTHY))
    status, out, _ = run("status", "--json")
    report = json.loads(out)
    assert (status, report["healthy"], report["mountPoint"]) == (0, True, point)
    assert (report["dirtyBytes"], report["leases"]) == (7, 2)
    assert (report["serviceSeconds"], report["complaints"]) == (0.25, [])
    assert list(report) == told("status")
    assert run("status", point)[1].startswith("Healthy:")


def test_an_upload_that_fails(registry, run, tmp_path, monkeypatch):
    add(registry, tmp_path / "a")
    writes = {**HEALTHY["writes"], "failing": [{"path": "x", "error": "quota"}]}
    monkeypatch.setattr("azfuse.cli.status.ask", answering({**HEALTHY, "writes": writes}))
    status, out, _ = run("status", "--json")
    assert (status, json.loads(out)["problem"]) == (1, "x: quota")


def test_a_service_that_is_away_and_what_the_log_said(registry, run, tmp_path, monkeypatch):
    add(registry, tmp_path / "a")
    said = [f"complaint {number}" for number in range(7)]
    monkeypatch.setattr("azfuse.cli.status.ask", answering(HEALTHY, "refused", *said))
    status, out, _ = run("status", "--json")
    report = json.loads(out)
    assert (status, report["problem"], report["serviceSeconds"]) == (1, "refused", None)
    assert len(report["complaints"]) == 7
    lines = run("status")[1].splitlines()
    assert lines[-6] == "Complaints of the log:"
    assert lines[-1] == "  2026-01-01T00:00:00Z warning: complaint 6"


def test_a_process_that_does_not_answer_and_one_that_failed(registry, run, tmp_path):
    silent = add(registry, tmp_path / "a")
    failed = add(registry, tmp_path / "b", state="failed", message="2 files lost data")
    status, out, _ = run("status", silent, "--json")
    assert status == 1
    assert "does not answer" in json.loads(out)["problem"]
    status, out, _ = run("status", failed, "--json")
    assert (status, json.loads(out)["problem"]) == (1, "2 files lost data")


def test_unmount_all_goes_on_past_failures(registry, run, tmp_path, monkeypatch):
    outer = add(registry, tmp_path / "a")
    inner = add(registry, tmp_path / "a/b")
    asked = []

    def unmount(point: str, *, lazy: bool, timeout: float) -> None:
        asked.append((point, lazy, 0 <= timeout <= 9))
        if point == inner:
            raise MountError("it is in use")

    monkeypatch.setattr("azfuse.mount.unmount.unmount", unmount)
    status, out, err = run("unmount", "--all", "--lazy", "--timeout", "9")
    assert asked == [(inner, True, True), (outer, True, True)]
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "azfuse: it is in use",
        "azfuse: 1 of 2 not unmounted, or not saved",
    ]


def test_the_list(registry, run, tmp_path, monkeypatch):
    def ask(record: Record, what: str, timeout: float) -> dict[str, Any]:
        if record.mount_point.endswith("busy"):
            raise MountError("it does not answer")
        return HEALTHY

    monkeypatch.setattr("azfuse.cli.list.ask", ask)
    monkeypatch.setattr("azfuse.cli.list.kernel_mounts", list)
    monkeypatch.setattr("azfuse.cli.list.mounted_here", lambda path: path.name != "gone" or None)
    add(registry, tmp_path / "a")
    add(registry, tmp_path / "busy")
    add(registry, tmp_path / "failed", state="failed", message="m" * 200)
    status, out, _ = run("list", "--json")
    rows = json.loads(out)
    assert status == 0
    assert list(rows[0]) == told("list")
    assert [(row["since"], row["dirtyBytes"]) for row in rows] == [
        ("2026-01-01T00:00:00Z", 7), (None, None), (None, None),
    ]  # fmt: skip
    assert rows[2]["state"] == f"failed: {'m' * 200}"
    head, first, _, last = run("list")[1].splitlines()
    assert head.split() == ["MOUNT", "POINT", "SOURCE", "PID", "SINCE", "DIRTY", "BYTES", "STATE"]
    assert first.split()[-2:] == ["7", "mounted"]
    assert last.endswith("m…")
    add(registry, tmp_path / "gone")
    assert "unmounted, but in use" in run("list")[1]


def test_unmount_all_or_one(registry, run):
    assert run("unmount", "--all") == (0, "", "")
    status, _, err = run("unmount", "--all", "/x")
    assert (status, "exclude each other" in err) == (2, True)
