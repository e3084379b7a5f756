"""A game of two mounts: random moves by either, and both must show what a model says.

With `actimeo=0` nothing is believed, so every move of one is seen by the other at
once: contents, lengths, names, listings; also through files that stayed open. A
file that one mount holds the lease of (`lease=always`, from fsync to close) must
refuse the other every change, and keep nothing of what it refused.
"""

import contextlib
import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.mount.harness import errno_of

NAMES = [f"{parent}{name}" for parent in ("", "d/", "e/") for name in ("a", "b", "c")]
DIRECTORIES = ["d", "e"]
#: What a file shows that somebody else removed while it was open.
GONE = {errno.ENOENT, errno.ESTALE}


@dataclass(eq=False)
class Node:
    """One file of the model. `holder` is the mount that holds its lease."""

    content: bytes = b""
    holder: int | None = None
    #: The mount that removed the last name, if one did.
    removed_by: int | None = None


@dataclass(eq=False)
class Handle:
    """A file that is open, on one of the mounts."""

    mount: int
    fd: int
    node: Node
    writable: bool


@dataclass
class Game:
    """The model, and the mounts that are to be like it."""

    roots: list[Path]
    deal: random.Random
    leases: bool
    files: dict[str, Node] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    handles: list[Handle] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    def play(self, moves: int) -> None:
        try:
            for number in range(moves):
                name = self.deal.choice(MOVES)
                mount = self.deal.randrange(2)
                path = self.deal.choice([n for n in NAMES if self.parent_exists(n)])
                self.story.append(f"{number}: {name} {mount} {path}")
                getattr(self, name)(mount, path)
                self.look(path)
                if number % 10 == 0:
                    self.look_everywhere()
        except BaseException as error:
            error.add_note("\n".join(self.story[-25:]))
            raise
        finally:
            for handle in self.handles:
                with contextlib.suppress(OSError):
                    os.close(handle.fd)

    def parent_exists(self, path: str) -> bool:
        parent = path.rpartition("/")[0]
        return not parent or parent in self.directories

    def note(self, text: object) -> None:
        self.story[-1] += f" {text}"

    def busy(self, node: Node | None, mount: int) -> bool:
        return node is not None and node.holder not in {None, mount}

    def some_bytes(self, most: int = 5000) -> bytes:
        return self.deal.randbytes(self.deal.randrange(1, most))

    # -- moves --------------------------------------------------------------------------

    def write(self, mount: int, path: str) -> None:
        node = self.files.get(path)
        if self.busy(node, mount) or self.leases_kept(node):
            return
        content = self.some_bytes()
        (self.roots[mount] / path).write_bytes(content)
        self.files.setdefault(path, Node()).content = content

    def append(self, mount: int, path: str) -> None:
        node = self.files.get(path)
        if node is None or self.busy(node, mount) or self.leases_kept(node):
            return
        more = self.some_bytes()
        with (self.roots[mount] / path).open("ab", buffering=0) as file:
            file.write(more)
        node.content += more

    def overwrite(self, mount: int, path: str) -> None:
        node = self.files.get(path)
        if node is None or self.busy(node, mount) or self.leases_kept(node):
            return
        offset, piece = self.deal.randrange(len(node.content) + 100), self.some_bytes(500)
        with (self.roots[mount] / path).open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), piece, offset)
        node.content = replaced(node.content, offset, piece)

    def cut(self, mount: int, path: str) -> None:
        node, size = self.files.get(path), self.deal.randrange(6000)
        code = errno_of(os.truncate, self.roots[mount] / path, size)
        self.note(f"{size} -> {code}")
        if node is None:
            assert code == errno.ENOENT
        elif self.busy(node, mount):
            assert code == errno.EBUSY
        else:
            assert code == 0
            node.content = node.content[:size].ljust(size, b"\0")
            for handle in self.handles:  # what was cut is dirty until somebody syncs
                if handle.node is node and handle.mount == mount and handle.writable:
                    os.fsync(handle.fd)
                    self.holds(handle)

    def remove(self, mount: int, path: str) -> None:
        node = self.files.get(path)
        code = errno_of(os.unlink, self.roots[mount] / path)
        self.note(code)
        if node is None:
            assert code == errno.ENOENT
        elif self.busy(node, mount):
            assert code == errno.EBUSY
        else:
            assert code == 0
            self.drop(self.files.pop(path), mount)

    def make_again(self, mount: int, path: str) -> None:
        self.remove(mount, path)
        if path not in self.files:
            self.write(1 - mount, path)

    def move(self, mount: int, path: str) -> None:
        target = self.deal.choice([n for n in NAMES if self.parent_exists(n)])
        node, old = self.files.get(path), self.files.get(target)
        root = self.roots[mount]
        code = errno_of(os.rename, root / path, root / target)
        self.note(f"to {target} -> {code}")
        if node is None:
            assert code == errno.ENOENT
        elif path != target and (self.busy(node, mount) or self.busy(old, mount)):
            assert code == errno.EBUSY
        else:
            assert code == 0
            if path != target:
                if old is not None:
                    self.drop(old, mount)
                self.files[target] = self.files.pop(path)
        self.look(target)

    def make_directory(self, mount: int, path: str) -> None:
        name = self.deal.choice(DIRECTORIES)
        code = errno_of(os.mkdir, self.roots[mount] / name)
        self.note(f"{name} -> {code}")
        assert code == (errno.EEXIST if name in self.directories else 0)
        self.directories.add(name)

    def remove_directory(self, mount: int, path: str) -> None:
        name = self.deal.choice(DIRECTORIES)
        code = errno_of(os.rmdir, self.roots[mount] / name)
        self.note(f"{name} -> {code}")
        if name not in self.directories:
            assert code == errno.ENOENT
        elif any(file.startswith(f"{name}/") for file in self.files):
            assert code == errno.ENOTEMPTY
        else:
            assert code == 0
            self.directories.discard(name)

    def move_directory(self, mount: int, path: str) -> None:
        source, target = self.deal.sample(DIRECTORIES, 2)
        if source not in self.directories or target in self.directories:
            return
        if any(handle.mount != mount for handle in self.handles):
            return  # they would not know where their files are
        os.rename(self.roots[mount] / source, self.roots[mount] / target)
        self.note(f"{source} to {target}")
        self.directories ^= {source, target}
        for name in [name for name in self.files if name.startswith(f"{source}/")]:
            self.files[target + name.removeprefix(source)] = self.files.pop(name)

    def change_mode(self, mount: int, path: str) -> None:
        node, mode = self.files.get(path), self.deal.choice([0o600, 0o640, 0o644, 0o755])
        code = errno_of(os.chmod, self.roots[mount] / path, mode)
        self.note(f"{mode:o} -> {code}")
        if node is None:
            assert code == errno.ENOENT
        elif not code:
            for root in self.roots:
                assert (root / path).stat().st_mode & 0o777 == mode
        else:
            assert code == errno.EBUSY
            assert self.busy(node, mount)

    def open_file(self, mount: int, path: str) -> None:
        node, writable = self.files.get(path), self.deal.random() < 0.5
        if node is None or len(self.handles) >= 5 or (writable and node.holder == 1 - mount):
            return
        if writable and self.elsewhere_writing(node, mount):
            return
        fd = os.open(self.roots[mount] / path, os.O_RDWR if writable else os.O_RDONLY)
        self.handles.append(Handle(mount, fd, node, writable))
        assert os.pread(fd, 20_000, 0) == node.content

    def use_open_file(self, mount: int, path: str) -> None:
        if not self.handles:
            return
        handle = self.deal.choice(self.handles)
        node = handle.node
        self.note((handle.mount, handle.writable, node.removed_by))
        if node.removed_by == 1 - handle.mount:
            return
        if handle.writable and self.deal.random() < 0.7:
            offset, piece = self.deal.randrange(6000), self.some_bytes(2000)
            os.pwrite(handle.fd, piece, offset)
            os.fsync(handle.fd)
            self.holds(handle)
            node.content = replaced(node.content, offset, piece)
        assert os.fstat(handle.fd).st_size == len(node.content)
        assert os.pread(handle.fd, 20_000, 0) == node.content

    def close_file(self, mount: int, path: str) -> None:
        if self.handles:
            handle = self.handles.pop(self.deal.randrange(len(self.handles)))
            gone = handle.node.removed_by == 1 - handle.mount
            code = errno_of(os.close, handle.fd)
            assert code == 0 or (gone and code in GONE)
            others = [h for h in self.handles if h.node is handle.node and h.writable]
            if handle.writable and not others:
                handle.node.holder = None

    # -- rules --------------------------------------------------------------------------

    def holds(self, handle: Handle) -> None:
        if self.leases and handle.node.removed_by is None:
            handle.node.holder = handle.mount

    def leases_kept(self, node: Node | None) -> bool:
        """Say whether closing another descriptor would give up the lease, or take it."""
        return self.leases and any(h.writable for h in self.handles if h.node is node)

    def elsewhere_writing(self, node: Node, mount: int) -> bool:
        return any(h.node is node and h.writable and h.mount != mount for h in self.handles)

    def drop(self, node: Node, mount: int) -> None:
        node.removed_by, node.holder = mount, None

    # -- looks --------------------------------------------------------------------------

    def look(self, path: str) -> None:
        for root in self.roots:
            node = self.files.get(path)
            if node is None:
                assert errno_of(os.stat, root / path) == errno.ENOENT, root
            else:
                assert (root / path).stat().st_size == len(node.content), root
                assert (root / path).read_bytes() == node.content, root

    def look_everywhere(self) -> None:
        for root in self.roots:
            for directory in ("", *self.directories):
                prefix = f"{directory}/" if directory else ""
                names = {n.removeprefix(prefix) for n in self.files if n.startswith(prefix)}
                expected = {name for name in names if "/" not in name}
                if not directory:
                    expected |= self.directories
                assert set(os.listdir(root / directory)) == expected, root


def replaced(content: bytes, offset: int, piece: bytes) -> bytes:
    """Return *content* with *piece* written at *offset*."""
    return content[:offset].ljust(offset, b"\0") + piece + content[offset + len(piece) :]


MOVES = (
    ["write"] * 4 + ["append", "overwrite", "cut"] * 2 + ["remove", "make_again"]
    + ["move"] * 2 + ["make_directory", "remove_directory", "move_directory", "change_mode"]
    + ["open_file", "use_open_file", "use_open_file", "close_file"]
)  # fmt: skip


#: On a machine with other work they may take minutes.
LONG = (pytest.mark.long, pytest.mark.timeout(300))


@pytest.mark.parametrize("lease", ["auto", "always"])
@pytest.mark.parametrize(
    ("seed", "moves"),
    [(1, 40), *(pytest.param(s, 1500, marks=LONG) for s in range(2, 5))],
)
def test_two_mounts_show_the_same(mount, lease, seed, moves):
    options = f"actimeo=0,lease={lease},dirty-expire=600"
    with mount(options, limit=300) as one, mount(options, limit=300) as two:
        for mounted in (one, two):
            mounted.expected += ["EBUSY", "LeaseIdMissing", "LeaseAlreadyPresent"]
        Game([one.path, two.path], random.Random(seed), lease == "always").play(moves)


def work_alone(root: Path, who: int, moves: int) -> None:
    """Change names of one's own in a directory of many, and see what one did each time."""
    deal, mine = random.Random(who), dict[str, bytes]()
    for number in range(moves):
        move = deal.choice(["write", "remove", "move", "list", "directory"])
        name, other = (f"{who}-{deal.randrange(6)}" for _ in range(2))
        if move == "write":
            mine[name] = deal.randbytes(deal.randrange(300))
            (root / name).write_bytes(mine[name])
        elif move == "remove":
            assert (errno_of(os.unlink, root / name) == 0) == (name in mine), number
            mine.pop(name, None)
        elif move == "move":
            assert (errno_of(os.rename, root / name, root / other) == 0) == (name in mine), number
            if name in mine:
                mine[other] = mine.pop(name)
        elif move == "directory":
            (root / f"d{who}").mkdir()
            (root / f"d{who}").rmdir()
        else:
            found = {each for each in os.listdir(root) if each.startswith(f"{who}-")}
            assert found == set(mine), number
        for touched in {name, other}:
            assert (root / touched).exists() == (touched in mine), (number, move)
            if touched in mine:
                assert (root / touched).read_bytes() == mine[touched], (number, move)


@pytest.mark.parametrize(
    ("actimeo", "moves"),
    [(0.05, 15), *(pytest.param(*each, marks=pytest.mark.long)
                   for each in [(0, 40), (0.05, 100), (1, 100)])],
)  # fmt: skip
def test_programs_side_by_side_see_what_they_did(mount, emulator, actimeo, moves):
    """Listings are under way while entries come and go, with answers in any order."""
    with mount(f"actimeo={actimeo}") as m, ThreadPoolExecutor(8) as threads:
        emulator.faults(latency_ms=5)
        for done in [threads.submit(work_alone, m.path, who, moves) for who in range(8)]:
            done.result(90)
