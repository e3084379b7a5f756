"""The driver is killed at random moments: nothing that was acknowledged is missing or torn."""

import errno
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from azfuse.fuse.tree import HIDDEN_PREFIX
from tests.mount.crasher import Model, read_all
from tests.mount.harness import PATIENCE, Share

ROOT = Path(__file__).parents[2]
#: What a program is told whose file system has died.
DEAD = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
#: Milliseconds that changes take, so that the driver dies in the middle of some.
LATENCY = {"CreateFile": 15, "PutRange": 15, "SetFileProperties": 15, "RenameFile": 15}
OPTIONS = ["", "writeback=3600", "writeback=0.05", "writeback,dirty-expire=0.05", "dirty-expire=0"]


def on_share(share: Share) -> dict[str, bytes]:
    entries = [f"{d}{e.name}" for d in ("", "dir/") for e in share.sdk.list_directories_and_files(d)
               if not e.is_directory]  # fmt: skip
    return {name: share.read(name) for name in entries if not name.startswith(HIDDEN_PREFIX)}


def crash(mount, options: str, record: Path, deal: random.Random) -> None:
    """Let the program run on a mount, and kill the driver."""
    with mount(options) as m:
        m.expected.append("what it wrote is saved as")
        record.write_bytes(b"")
        words = [sys.executable, "-m", "tests.mount.crasher", m.path, record]
        program = subprocess.Popen([*words, str(deal.randrange(1 << 30))], cwd=ROOT)
        try:
            while not record.read_bytes():
                assert program.poll() is None
            time.sleep(deal.random() ** 2 * 2)  # the moment is the test's matter
        finally:
            m.kill()
            status = program.wait(PATIENCE)
        assert status in DEAD, status


def one_round(mount, share: Share, emulator, record: Path, seed: int) -> None:
    deal = random.Random(seed)
    options = deal.choice(OPTIONS)
    before = on_share(share)
    emulator.faults(operation_latency_ms=LATENCY)
    crash(mount, options, record, deal)
    if deal.random() < 0.5:
        emulator.faults()
    if deal.random() < 0.4:
        # The next one does not get far either.
        with mount(deal.choice(OPTIONS)) as m:
            m.expected.append("what it wrote is saved as")
            time.sleep(deal.random() * 0.2)
            m.kill()
    model, steps = Model(before), record.read_text().split("\n")
    lines = [line for line in steps if line]
    under_way = json.loads(lines.pop()) if steps[-2:] != ["", ""] else None
    for line in lines:
        model.apply(json.loads(line))
    with mount() as m:
        m.expected.append("what it wrote is saved as")  # one log for all rounds
        found = read_all(m.path)
    emulator.faults()
    share_has = on_share(share)
    assert share_has == found, (seed, options, under_way)
    faults = list(model.faults(found, under_way))
    assert not faults, (seed, options, under_way, faults, lines[-12:])


def test_a_few_crashes(mount, share, emulator, tmp_path):
    share.sdk.create_directory("dir")
    for seed in range(3):
        one_round(mount, share, emulator, tmp_path / "record", seed)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1000, 2000, 100))
def test_many_crashes(mount, share, emulator, tmp_path, first):
    share.sdk.create_directory("dir")
    for seed in range(first, first + 12):
        one_round(mount, share, emulator, tmp_path / "record", seed)
