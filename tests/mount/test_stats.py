"""What `azfuse stats` says of a real mount, against what the service counted."""

import json
import os
import sys

from tests.mount.harness import Mount, run

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
