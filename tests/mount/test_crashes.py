"""kill -9 at random moments, against a record of what the mount had acknowledged."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

#: Writes, closes, syncs, renames and removes at random; says on standard output, one line
#: each, what it is about to do and what was acknowledged: [name, hex content or None].
PROGRAM = """
import json, os, random, sys
root, deal = sys.argv[1], random.Random(int(sys.argv[2]))
files = {}
def say(kind, *names):
    states = [[n, files[n].hex() if n in files else None] for n in names]
    print(json.dumps([kind, states]), flush=True)
MOVES = ["new", "patch", "append", "cut", "rename", "remove"]
while True:
    name, other = (f"f{deal.randrange(12)}" for _ in range(2))
    path, move = f"{root}/{name}", deal.choice(MOVES)
    if move == "new" or name not in files:
        move, files[name] = "new", deal.randbytes(deal.randrange(20000))
    elif move == "patch":
        start, piece = deal.randrange(len(files[name]) + 1), deal.randbytes(deal.randrange(1, 3000))
        files[name] = files[name][:start] + piece + files[name][start + len(piece):]
    elif move == "append":
        files[name] += (piece := deal.randbytes(deal.randrange(1, 3000)))
    elif move == "cut":
        files[name] = files[name][:deal.randrange(len(files[name]) + 1)]
    elif move == "rename" and other != name:
        files[other] = files.pop(name)
    elif move == "remove":
        del files[name]
    else:
        continue
    touched = [name, other] if move == "rename" else [name]
    say("begin", *touched)
    if move == "rename":
        os.rename(path, f"{root}/{other}")
    elif move == "remove":
        os.unlink(path)
    else:
        flags = {"new": os.O_CREAT | os.O_TRUNC, "append": os.O_APPEND}.get(move, 0)
        number = os.open(path, os.O_RDWR | flags)
        if move == "new":
            os.write(number, files[name])
        elif move == "patch":
            os.pwrite(number, piece, start)
        elif move == "append":
            os.write(number, piece)
        else:
            os.ftruncate(number, len(files[name]))
        if deal.random() < 0.3:
            os.fsync(number)
        os.close(number)
    say("done", *touched)
"""


class Ledger:
    """What must be there: the acknowledged content of each name, and what may be instead."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str | None] = {}
        self.begun: dict[str, str | None] = {}

    def read(self, lines: list[str]) -> None:
        for line in lines:
            kind, states = json.loads(line)
            if kind == "begin":
                self.begun = dict(states)
            else:
                self.acknowledged |= dict(states)
                self.begun = {}

    def check(self, root: Path) -> None:
        """What was under way when the driver was killed may be so or so; all else is certain."""
        for name, content in self.acknowledged.items():
            path = root / name
            found = path.read_bytes().hex() if path.exists() else None
            if name not in self.begun:
                assert found == content, f"{name}: {_difference(found, content)}"
        # A file that was being replaced may be saved beside what replaced it.
        spared = {f"{name}.azfuse-recovered" for name in self.begun}
        left = {path.name for path in root.iterdir()} - spared
        assert left <= set(self.acknowledged) | set(self.begun), left


def _difference(found: str | None, content: str | None) -> str:
    if found is None or content is None:
        return f"{'missing' if found is None else 'there'}"
    one, two = bytes.fromhex(found), bytes.fromhex(content)
    start = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), -1)
    return f"{len(one)} bytes, not {len(two)}; they differ from {start} on"


def crash(mount, options: str, seed: int) -> None:
    deal, ledger = random.Random(seed), Ledger()
    with mount(options) as m:
        player = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, m.path, str(seed)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert player.stdout is not None
        lines = [player.stdout.readline() for _ in range(deal.randrange(1, 400))]
        m.kill()
        lines += player.stdout.readlines()
        player.stdout.close()
        player.wait(30)
        ledger.read(lines)
    with mount(options) as m:
        m.expected.append("")  # leases and hidden files of the dead are cleared away with a word
        ledger.check(m.path)
    with mount() as m:
        ledger.check(m.path)


@pytest.mark.parametrize("options", ["writeback", "writeback=0", "writeback=3600", "lease=always"])
def test_a_crash_loses_nothing_that_was_acknowledged(share, mount, options):
    crash(mount, options, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 30))
def test_many_crashes(share, mount, seed):
    crash(mount, ["writeback", "writeback=0", "writeback=3600", "lease=auto"][seed % 4], seed)
