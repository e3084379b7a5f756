"""What `azfuse stats` says of a real mount, against what the service counted."""

import errno
import json
import os
import re
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from azfuse import __version__
from tests.mount.harness import PATIENCE, Mount, errno_of, run

MIB = 1024 * 1024
QUIET = "dirty-expire=600,actimeo=600"


def command(mounted: Mount, *words: str, check: bool = True):
    environ = {"XDG_RUNTIME_DIR": str(mounted.path.parent)}
    return run([sys.executable, "-m", "azfuse", *words], env=environ, check=check)


def stats(mounted: Mount):
    return json.loads(command(mounted, "stats", str(mounted.path), "--json").stdout)


def work(path) -> None:
    """Do a bit of everything."""
    (path / "d").mkdir()
    (path / "d" / "f").write_bytes(os.urandom(9 * MIB))
    (path / "d" / "g").write_bytes(b"x")
    (path / "d" / "g").chmod(0o600)
    (path / "d" / "g").rename(path / "h")
    os.symlink("h", path / "l")
    with (path / "h").open("ab") as file:
        file.write(b"y")
    assert sorted(os.listdir(path)) == ["d", "h", "l", "there"]
    (path / "there").read_bytes()
    (path / "d" / "f").unlink()
    (path / "d").rmdir()


def test_requests_agree_with_the_service(emulator, share, mount):
    share.write("there", os.urandom(5 * MIB))
    with emulator.counting() as usage, mount(QUIET) as m:
        work(m.path)
        counted = stats(m)["requests"]
    by_operation = counted["byOperation"]
    assert {name: counts["requests"] for name, counts in by_operation.items()} == usage.requests
    total = counted["total"]
    assert total["requests"] == usage.requests.total()
    assert (total["bytesSent"], total["bytesReceived"]) == (usage.bytes_in, usage.bytes_out)
    assert (total["retries"], total["throttles"]) == (0, 0)


def test_what_memory_answers(share, mount):
    content = os.urandom(9 * MIB)
    share.write("f", content)
    with mount(QUIET) as m:
        for _ in range(2):
            assert (m.path / "f").read_bytes() == content
        before = m.ask("stats")["reads"]
        assert before["bytesFetched"] == 9 * MIB
        assert before["bytesRead"] >= 9 * MIB
        assert before["bytesAhead"] == before["bytesAheadUsed"] > 0
        assert before["bytesAheadWasted"] == 0
        for _ in range(3):
            with (m.path / "f").open("r+b", buffering=0) as file:  # the kernel keeps no pages
                assert file.read() == content
        after = m.ask("stats")["reads"]
        assert after["bytesRead"] - before["bytesRead"] >= 3 * 9 * MIB
        reads = after["reads"] - before["reads"]
        assert reads == after["readsFromMemory"] - before["readsFromMemory"] > 0
        for key in ("bytesMissed", "bytesFetched", "fetches"):
            assert after[key] == before[key], key


def test_what_is_read_ahead_in_vain_is_counted(share, mount):
    share.write("f", os.urandom(24 * MIB))
    with mount(QUIET) as m:
        with (m.path / "f").open("rb", buffering=0) as file:
            for _ in range(8):
                file.read(MIB)
        (m.path / "f").write_bytes(b"")
        reads = m.ask("stats")["reads"]
        assert reads["bytesAhead"] > reads["bytesAheadUsed"]
        assert reads["bytesAheadWasted"] == reads["bytesAhead"] - reads["bytesAheadUsed"]


def test_metadata_is_counted(share, mount):
    for number in range(10):
        share.write(f"f{number}", b"x")
    with mount(QUIET) as m:
        for number in range(10):
            (m.path / f"f{number}").stat()
            assert not (m.path / f"g{number}").exists()
        metadata = m.ask("stats")["metadata"]
    assert metadata["lookups"] == {"hits": 19, "misses": 1}
    assert metadata["negative"] == 10


def test_what_is_dirty_failing_leased_and_open(emulator, share, mount):
    with mount(f"{QUIET},lease=always,retry-timeout=0") as m:
        m.expected.append("giving up|could not be|EIO|ServerBusy")
        share.write("there", b"x" * 100)
        with (m.path / "there").open("r+b", buffering=0) as file:
            file.write(b"y" * 10)
            os.fsync(file.fileno())
            file.write(b"z" * 20)
            found = m.ask("stats")
            assert found["leases"] == {"held": 1, "paths": ["there"]}
            assert (found["writes"]["dirtyBytes"], found["writes"]["dirtyFiles"]) == (20, 1)
            assert found["writes"]["failing"] == []
            assert found["open"]["files"] == 1
            emulator.faults(rules=[{"action": "busy", "operation": "PutRange"}])
            assert errno_of(os.fsync, file.fileno()) == errno.EIO
            writes = m.ask("stats")["writes"]
            (failing,) = writes["failing"]
            assert (failing["path"], failing["dirtyBytes"]) == ("there", 20)
            assert "ServerBusy" in failing["error"]
            assert writes["failedUploads"] == failing["failures"] == 1
            assert m.ask("stats")["requests"]["byOperation"]["PutRange"]["throttles"] >= 1
            emulator.faults()
            os.fsync(file.fileno())
            assert m.ask("stats")["writes"]["failing"] == []
        found = m.ask("stats")
        assert found["leases"] == {"held": 0, "paths": []}
        calls = found["kernel"]["byOperation"]
        assert calls["fsync"]["requests"] == 3
        assert calls["fsync"]["errors"] == 1
        assert calls["fsync"]["seconds"] > 0


def test_a_summary_at_the_end(emulator, share, mount):
    share.write("there", b"x" * 5000)
    with emulator.counting() as usage, mount(QUIET) as m:
        work(m.path)
    (line,) = re.findall(r"mounted for .*", m.log)
    assert line.endswith("0 retries, 0 throttled")
    assert f" {usage.requests.total()} requests, 9.0 MiB up, " in line
    assert re.search(r" [0-9.]+ % of [0-9.]+ KiB read from memory, [0-9.]+ % of \d+ lookups", line)


def test_metrics(emulator, share, mount):
    share.write("there", b"x" * 5000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with emulator.counting() as usage, mount(f"{QUIET},metrics={port}") as m:
        work(m.path)
        url = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            text = answer.read().decode()
        figures = m.ask("stats")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        for path, method, status in [("/", "GET", 404), ("/metrics", "POST", 405)]:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=PATIENCE)
            assert refused.value.code == status
            refused.value.close()
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"hello\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    requests = {name: samples["azfuse_requests_total", name] for name in usage.requests}
    assert requests == usage.requests
    assert samples["azfuse_received_bytes_total", "GetFile"] == 5000
    assert samples["azfuse_writes_dirty_bytes",] == 0
    assert samples["azfuse_reads_read_bytes_total",] == figures["reads"]["bytesRead"]
    assert samples["azfuse_kernel_requests_total", "mkdir"] == 1
    assert samples["azfuse_metadata_questions_total", "listings", "service"] >= 0
    assert samples["azfuse_mount_info", str(m.path), share.source, "mounted", __version__] == 1


def test_a_port_that_is_taken(share, mount):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(AssertionError, match=f"served at 127.0.0.1:{port}: .* in use"),
            mount(f"metrics={port}"),
        ):
            pass


def test_the_readme_tells_the_keys(mount, tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("`azfuse stats --json` has these keys")[2].partition(
        "\n\n`--json` of"
    )[0]
    told = {
        match[1]: set(re.findall(r"`(\w+)`", match[2]))
        for match in re.finditer(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    }
    with mount(f"{QUIET},cache-dir={tmp_path}/cache") as m:
        os.listdir(m.path)
        found = json.loads(command(m, "stats", str(m.path), "--json", "--cost").stdout)
    assert set(found) == set(told)
    for section, keys in found.items():
        assert set(keys) <= told[section], section


def test_a_page_of_a_running_mount(share, mount, tmp_path):
    with mount() as m:
        (m.path / "file").write_bytes(b"content")
        command(m, "stats", m.path, "--html", tmp_path / "page.html")
        assert str(m.path) in (tmp_path / "page.html").read_text()
