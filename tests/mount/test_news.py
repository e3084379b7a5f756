"""What the kernel is told without having asked: pages, attributes, names that are out of date."""

import json
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.mount.harness import errno_of

#: The file holds one number many times. Half of a newer one may be seen while it is written,
#: an older one than was closed before the file was opened may not.
READER = """
import json, mmap, os, sys, time
path, seconds, kind = sys.argv[1], float(sys.argv[2]), sys.argv[3]
end = time.monotonic() + seconds
seen = rounds = 0
mapped = None
while time.monotonic() < end:
    rounds += 1
    with open(path + ".closed") as note:
        closed = int(note.read())
    with open(path, "rb", buffering=0) as file:
        if kind == "stat":
            os.fstat(file.fileno()), os.stat(path)
        if kind == "map":
            with mmap.mmap(file.fileno(), 65536, prot=mmap.PROT_READ) as view:
                found = min(int.from_bytes(view[i : i + 8], "little") for i in (0, 40000, 65528))
        else:
            found = min(int.from_bytes(os.pread(file.fileno(), 8, i), "little")
                        for i in (0, 40000, 65528))
    assert found >= closed, f"{kind}: {found} was read when {closed} had been closed"
    seen = max(seen, found)
print(json.dumps([rounds, seen]))
"""


def wait_for(what: Callable[[], bool]) -> None:
    """Return once *what* is true."""
    for _ in range(2000):
        if what():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")


def test_pages_of_a_mapped_file_are_dropped(mount, share):
    """Length and times are as before: only the ETag shows that something has changed."""
    client = share.sdk.get_file_client("file")
    share.write("file", b"a" * 8192)
    with (
        mount("actimeo=0") as m,
        (m.path / "file").open("rb", buffering=0) as file,
        mmap.mmap(file.fileno(), 8192, prot=mmap.PROT_READ) as view,
    ):
        assert view[:1] == b"a"
        client.upload_range(b"b" * 8192, 0, 8192, file_last_write_mode="preserve")
        os.fstat(file.fileno())
        wait_for(lambda: view[:1] == b"b")


def test_a_listing_tells_of_everything_in_it(mount, share):
    """Attributes are believed for a minute; the directory is listed anew each time."""
    for name in ("grown", "removed", "replaced"):
        share.write(name, b"x")
    with mount("acregmin=60,acdirmax=0") as m:
        before = {name: (m.path / name).stat() for name in ("grown", "removed", "replaced")}
        share.write("grown", b"longer")
        share.sdk.get_file_client("removed").delete_file()
        share.sdk.get_file_client("replaced").delete_file()
        share.write("replaced", b"another")
        assert sorted(os.listdir(m.path)) == ["grown", "replaced"]
        assert (m.path / "grown").stat().st_size == 6
        wait_for(lambda: not (m.path / "removed").exists())
        wait_for(lambda: (m.path / "replaced").stat().st_ino != before["replaced"].st_ino)


def test_a_name_that_was_missing_is_looked_for_again(mount, share):
    """Names are believed for a minute, attributes not at all: each stat lists the directory."""
    share.write("file", b"x")
    with mount("acregmax=0,acdirmin=60") as m:
        assert errno_of(os.stat, m.path / "new")
        share.write("new", b"x")
        assert errno_of(os.stat, m.path / "new")
        (m.path / "file").stat()
        wait_for((m.path / "new").exists)


@pytest.mark.parametrize("seconds", [2.5, pytest.param(60, marks=pytest.mark.long)])
def test_readers_never_see_what_a_writer_has_closed_over(mount, seconds):
    with mount("actimeo=1") as one, mount("actimeo=1") as two:
        (one.path / "file").write_bytes(bytes(65536))
        (one.path / "file.closed").write_bytes(b"00000000")
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", READER, m.path / "file", str(seconds), kind],
                stdout=subprocess.PIPE, text=True,
            )
            for m in (one, two)
            for kind in ("map", "read", "stat")
        ]  # fmt: skip
        number, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            number += 1
            writer = (one, two)[number // 8 % 2]
            with (writer.path / "file").open("r+b") as file:
                file.write(number.to_bytes(8, "little") * 8192)
            with (writer.path / "file.closed").open("r+b") as file:
                file.write(b"%08d" % number)
        found = [reader.communicate(timeout=60)[0] for reader in readers]
        assert all(reader.returncode == 0 for reader in readers), found
        assert all(json.loads(text)[1] > 0 for text in found)
