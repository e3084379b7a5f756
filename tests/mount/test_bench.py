"""The bench itself, end to end, on two small workloads: `make bench` must work when wanted."""

import json
import sys

from tests.mount.harness import run

BENCH = [sys.executable, "-m", "tests.bench"]


def test_quick(tmp_path):
    words = ["--quick", "--workload", "patch", "one-byte", "--latency", "20", "--json",
             tmp_path / "out.json", "--directory", tmp_path, "--keep-page-cache"]  # fmt: skip
    done = run([*BENCH, *words])
    assert "ok    patch 4 KiB in 16 MiB, fsync" in done.stdout
    runs = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert [(one["workload"], one["outcome"]) for one in runs] == [
        ("patch", "ok"),
        ("one-byte", "ok"),
    ]
    for one in runs:
        assert one["seconds"] <= one["durable"]
        assert one["peak_bytes"] > 0
        assert sum(one["requests"].values()) <= 2
    assert runs[0]["bytes_in"] == 4096
    # Each request waits for the latency that is added to it.
    assert runs[0]["durable"] >= 0.020
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_the_floor_and_a_run_that_takes_too_long(tmp_path):
    words = ["--quick", "--workload", "one-byte", "--latency", "0", "--directory", tmp_path,
             "--keep-page-cache", "--peer"]  # fmt: skip
    done = run([*BENCH, *words, "passthrough"])
    assert "write and close 1 byte, 0 ms, passthrough: 0." in done.stdout
    done = run([*BENCH, *words, "azfuse", "--limit", "0.01"], check=False)
    assert done.returncode == 1
    assert "write and close 1 byte, azfuse: timed out: " in done.stdout
    assert not list(tmp_path.iterdir())
