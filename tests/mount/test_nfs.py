"""NFS shares: what programs see is what the same calls do on a local directory."""

import errno
import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import MountFactory, make_mount, make_share
from tests.mount.harness import Mount, Share, errno_of, run

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def share(emulator) -> Iterator[Share]:
    with make_share(emulator, protocol="NFS") as share:
        yield share


@pytest.fixture(scope="module")
def common(shared_emulator, tmp_path_factory) -> Iterator[Mount]:
    directory = tmp_path_factory.mktemp("nfs")
    with (
        make_share(shared_emulator, protocol="NFS") as share,
        make_mount(directory, share.source)() as mounted,
    ):
        yield mounted


@pytest.fixture
def both(common, tmp_path, request) -> tuple[Path, Path]:
    """A fresh directory on the mount, and a local one, to do the same in."""
    there = common.path / request.node.name
    there.mkdir()
    here = tmp_path / "local"
    here.mkdir()
    return there, here


def seen(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what stat(2) and friends say of everything below *root*; equal numbers by name."""
    firsts: dict[int, str] = {}
    found: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in sorted(names + files):
            path = Path(directory, name)
            status = path.lstat()
            relative = str(path.relative_to(root))
            is_directory = stat.S_ISDIR(status.st_mode)
            content: object = None
            if path.is_symlink():
                content = os.readlink(path)
            elif path.is_file():
                content = path.read_bytes()
            found[relative] = (
                oct(status.st_mode), status.st_uid, status.st_gid,
                None if is_directory else (status.st_size, status.st_nlink),
                firsts.setdefault(status.st_ino, relative), content,
            )  # fmt: skip
    return found


def test_names_are_as_linux_has_them(both):
    for root in both:
        for name in (
            "Foo",
            "foo",
            "FOO",
            "CON",
            "a:b",
            "back\\slash",
            "dot.",
            "blank ",
            "\x01",
            "ß",
        ):
            (root / name).write_text(name)
        os.rename(root / "foo", root / "fOO")
        assert errno_of(os.rename, root / "foo", root / "x") == errno.ENOENT
        (root / "Dir").mkdir()
        (root / "dir").mkdir()
        assert errno_of(os.mkdir, root / "dir") == errno.EEXIST
        os.rename(root / "FOO", root / "Foo")
    assert seen(both[0]) == seen(both[1])
    assert errno_of(os.mkdir, os.fsencode(both[0]) + b"/\xff") == errno.EILSEQ
    assert errno_of(os.mkdir, both[0] / ("x" * 256)) == errno.ENAMETOOLONG


def test_modes(both):
    for root in both:
        (root / "d").mkdir(mode=0o700)
        for mode in (0o600, 0o444, 0o4755, 0o000, 0o1777):
            path = root / f"d/{mode:o}"
            path.write_bytes(b"x" * mode)
            path.chmod(mode)
        (root / "d/444").unlink()
        os.symlink("d", root / "link")
        os.mkdir(root / "s", 0o2775)
        (root / "s").chmod(0o3777)
        (root / "s/below").mkdir()
    assert seen(both[0]) == seen(both[1])


@as_root
def test_owners(both):
    for root in both:
        (root / "f").write_bytes(b"x")
        (root / "f").chmod(0o6755)
        os.chown(root / "f", 12, 34)
        os.symlink("f", root / "l")
        os.chown(root / "l", 5, 6, follow_symlinks=False)
        os.mkdir(root / "d")
        os.chown(root / "d", -1, 77)
        (root / "d").chmod(0o2755)
        (root / "d/below").write_bytes(b"")
    assert seen(both[0]) == seen(both[1])


def test_symbolic_links(both):
    targets = ["x", "/absolute/ä b", "../..", "a" * 2000, "%41?#"]
    for root in both:
        for number, target in enumerate(targets):
            os.symlink(target, root / f"l{number}")
        os.rename(root / "l0", root / "l1")
        os.unlink(root / "l4")
        os.utime(root / "l2", ns=(1, 1_500_000_000_123_456_700), follow_symlinks=False)
        assert os.lstat(root / "l2").st_mtime_ns == 1_500_000_000_123_456_700
        assert errno_of(os.symlink, "x", root / "l1") == errno.EEXIST
        assert errno_of(os.readlink, root) == errno.EINVAL
    assert seen(both[0]) == seen(both[1])
    assert errno_of(os.symlink, "a" * 2049, both[0] / "long") == errno.ENAMETOOLONG


def test_there_are_no_special_files(both):
    assert errno_of(os.mkfifo, both[0] / "fifo") == errno.EPERM
    assert errno_of(os.mknod, both[0] / "s", stat.S_IFSOCK | 0o600) == errno.EPERM
    os.mknod(both[0] / "f", 0o640)
    assert stat.S_IMODE((both[0] / "f").stat().st_mode) == 0o640


def test_what_was_made_is_there_after_a_new_mount(mount):
    with mount() as first:
        root = first.path
        (root / "d").mkdir(mode=0o710)
        (root / "d/f").write_bytes(b"content")
        (root / "d/f").chmod(0o604)
        os.utime(root / "d/f", ns=(1, 1_600_000_000_123_456_700))
        os.setxattr(root / "d/f", "user.note", b"kept")
        os.symlink("d/f", root / "l")
        before = seen(root)
    with mount() as second:
        root = second.path
        assert seen(root) == before
        assert os.getxattr(root / "d/f", "user.note") == b"kept"
        assert (root / "l").read_bytes() == b"content"
        assert (root / "d/f").stat().st_mtime_ns == 1_600_000_000_123_456_700


def test_posix_off_fixes_modes(mount):
    with mount("posix=off,uid=1,gid=2,file_mode=0640") as m:
        (m.path / "f").write_bytes(b"x")
        os.symlink("f", m.path / "l")
        status = (m.path / "l").stat()
        assert (oct(status.st_mode), status.st_uid, status.st_gid) == ("0o100640", 1, 2)
        assert os.readlink(m.path / "l") == "f"
        assert errno_of(os.chmod, m.path / "f", 0o600) == errno.EPERM


def test_budgets(mount, share, emulator):
    """One request for each change; a listing, and one HEAD for each entry, for `ls -l`."""
    with mount("actimeo=60") as m:
        root = m.path
        run(["ls", root])
        with emulator.counting() as made:
            (root / "d").mkdir(mode=0o701)
            fd = os.open(root / "f", os.O_CREAT | os.O_WRONLY, 0o604)
            os.write(fd, b"x")
            os.fchmod(fd, 0o640)
            os.close(fd)
            os.symlink("f", root / "l")
        assert made.requests == {"CreateDirectory": 1, "CreateFile": 1, "CreateSymbolicLink": 1}
        with emulator.counting() as changed:
            os.chmod(root / "f", 0o600)
            os.chmod(root / "d", 0o755)
            os.utime(root / "f", (1, 1))
            os.utime(root / "d", (1, 1))
        assert changed.requests == {"SetFileProperties": 2, "SetDirectoryProperties": 2}
        with emulator.counting() as removed:
            os.rename(root / "f", root / "g")
            os.unlink(root / "g")
            os.unlink(root / "l")
            os.rmdir(root / "d")
        assert removed.requests == {"RenameFile": 1, "DeleteFile": 2, "DeleteDirectory": 1}
        for number in range(20):
            (root / f"f{number}").write_bytes(b"x")
            os.symlink("x", root / f"l{number}")
    with mount("actimeo=60") as m:
        with emulator.counting() as first:
            run(["ls", "-l", m.path])
        m.ask("refresh", path="")
        with emulator.counting() as again:
            run(["ls", "-l", m.path])
    assert first.requests == {
        "ListDirectoriesAndFiles": 1, "GetFileProperties": 40, "GetSymbolicLink": 20,
    }  # fmt: skip
    assert again.requests["ListDirectoriesAndFiles"] == 1
    assert again.requests.total() <= 2  # the root itself


def test_hard_links(both):
    for root in both:
        (root / "d").mkdir()
        (root / "a").write_bytes(b"first")
        os.link(root / "a", root / "b")
        os.link(root / "b", root / "d/c")
        assert errno_of(os.link, root / "a", root / "b") == errno.EEXIST
        assert errno_of(os.link, root / "d", root / "e") in {errno.EPERM, errno.EXDEV}
        assert errno_of(os.link, root / "missing", root / "e") == errno.ENOENT
        # One file, whichever name it is written by.
        with (root / "b").open("ab") as file:
            file.write(b" second")
        (root / "d/c").chmod(0o640)
        assert (root / "a").read_bytes() == b"first second"
        os.rename(root / "a", root / "b")  # the same file: nothing is done
        assert sorted(os.listdir(root)) == ["a", "b", "d"]
        os.rename(root / "a", root / "d/e")
        os.symlink("b", root / "l")
        os.link(root / "l", root / "l2", follow_symlinks=False)
        (root / "other").write_bytes(b"other")
    assert seen(both[0]) == seen(both[1])
    for root in both:
        os.rename(root / "other", root / "d/c")  # over one of three
        os.unlink(root / "b")
        os.unlink(root / "l")
    assert seen(both[0]) == seen(both[1])
    for root in both:
        os.unlink(root / "d/e")
        os.unlink(root / "d/c")
        os.rmdir(root / "d")
    assert seen(both[0]) == seen(both[1])


def test_a_new_file_has_two_names_before_it_is_closed(both):
    for root in both:
        with (root / "a").open("wb") as file:
            file.write(b"x" * 1000)
            file.flush()
            os.link(root / "a", root / "b")
            file.write(b"y")
            file.flush()
            os.unlink(root / "a")
            file.write(b"z")
            assert os.fstat(file.fileno()).st_nlink == 1
    assert seen(both[0]) == seen(both[1])


def test_open_files_outlive_their_names(both, common):
    for root in both:
        (root / "a").write_bytes(b"content")
        os.link(root / "a", root / "b")
        with (root / "a").open("r+b") as file:
            os.unlink(root / "a")
            assert (os.fstat(file.fileno()).st_nlink, file.read()) == (1, b"content")
            os.unlink(root / "b")
            assert os.fstat(file.fileno()).st_nlink == 0
            file.write(b" and more")
            file.seek(0)
            assert file.read() == b"content and more"
        assert os.listdir(root) == []


def test_a_name_that_this_mount_does_not_know_keeps_the_file(mount):
    with mount() as m:
        (m.path / "d").mkdir()
        (m.path / "a").write_bytes(b"content")
        os.link(m.path / "a", m.path / "d/b")
    with mount() as m:
        with (m.path / "a").open("r+b") as file:
            os.unlink(m.path / "a")
            assert os.fstat(file.fileno()).st_nlink == 1
            file.seek(0, os.SEEK_END)
            file.write(b" and more")
            file.flush()
            os.fsync(file.fileno())
            assert (m.path / "d/b").read_bytes() == b"content and more"
            assert (m.path / "d/b").stat().st_ino == os.fstat(file.fileno()).st_ino
            file.write(b", and the last")
        assert (m.path / "d/b").read_bytes() == b"content and more, and the last"
        (m.path / "c").write_bytes(b"new")
        (m.path / "c").rename(m.path / "d/b")
        assert os.listdir(m.path) == ["d"]
    with mount() as m:
        assert (m.path / "d/b").read_bytes() == b"new"
        assert os.listdir(m.path) == ["d"]


def test_what_another_mount_does_to_names(mount):
    with mount("actimeo=0") as one, mount("actimeo=0") as two:
        (one.path / "a").write_bytes(b"content")
        os.link(one.path / "a", one.path / "b")
        assert ((two.path / "a").stat().st_ino, (two.path / "a").stat().st_nlink) == (
            (two.path / "b").stat().st_ino, 2,
        )  # fmt: skip
        with (one.path / "a").open("rb") as file:
            os.unlink(two.path / "a")
            assert os.fstat(file.fileno()).st_nlink == 1
            assert file.read() == b"content"
        assert os.listdir(one.path) == ["b"]
        os.rename(two.path / "b", two.path / "c")
        assert (one.path / "c").stat().st_nlink == 1
        assert not (one.path / "b").exists()
        with (one.path / "c").open("ab") as file:
            file.write(b" and more")
        assert (two.path / "c").read_bytes() == b"content and more"


def test_too_many_names(both, common, emulator):
    there = both[0]
    (there / "0").write_bytes(b"")
    for number in range(1, 178):
        os.link(there / "0", there / str(number))
    assert errno_of(os.link, there / "0", there / "178") == errno.EMLINK
    assert len({entry.stat().st_ino for entry in os.scandir(there)}) == 1
    assert (there / "5").stat().st_nlink == 178
    # One file, asked about once.
    common.ask("refresh", path="")
    with emulator.counting() as listed:
        assert len(run(["ls", "-l", there]).stdout.splitlines()) == 179
    assert listed.requests["GetFileProperties"] <= 1


def test_a_snapshot(mount, share):
    with mount() as m:
        (m.path / "f").write_bytes(b"before")
        (m.path / "f").chmod(0o640)
        os.link(m.path / "f", m.path / "F")
        os.symlink("f", m.path / "l")
        before = seen(m.path)
        taken = share.sdk.create_snapshot()["snapshot"]
        (m.path / "f").write_bytes(b"after")
        os.unlink(m.path / "F")
        os.unlink(m.path / "l")
    with mount(f"snapshot={taken}") as m:
        assert seen(m.path) == before
        assert errno_of(os.link, m.path / "f", m.path / "g") == errno.EROFS


def test_hard_link_budgets(mount, emulator):
    with mount("actimeo=60") as m:
        (m.path / "a").write_bytes(b"x" * 100)
        (m.path / "a").read_bytes()
        with emulator.counting() as linked:
            os.link(m.path / "a", m.path / "b")
            assert (m.path / "b").stat().st_nlink == 2
        with emulator.counting() as read:
            assert (m.path / "b").read_bytes() == b"x" * 100
        with emulator.counting() as removed:
            os.unlink(m.path / "a")
            assert (m.path / "b").stat().st_nlink == 1
    assert linked.requests == {"CreateHardLink": 1}
    # The content is cached for both names, and asked about like any other.
    assert read.requests == {"GetFileProperties": 1}
    assert removed.requests == {"DeleteFile": 1}


def test_programs(both):
    """ln, cp -a, tar, rsync where it is installed, and git: trees are the same in the end."""
    git = [
        "git",
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    for root in both:
        (root / "tree/deep").mkdir(parents=True, mode=0o750)
        (root / "tree/file").write_bytes(b"x" * 10_000)
        run(["ln", "tree/file", "tree/deep/hard"], cwd=root)
        run(["ln", "-s", "../file", "tree/deep/soft"], cwd=root)
        run(["ln", "-sf", "nowhere", "tree/deep/soft"], cwd=root)
        run(["ln", "-f", "tree/file", "tree/deep/hard"], cwd=root)
        run(["chmod", "-R", "u=rwX,go=rX,g+s", "tree"], cwd=root)
        run(["cp", "-a", "tree", "copy"], cwd=root)
        run(["tar", "-cf", "tree.tar", "tree"], cwd=root)
        (root / "untarred").mkdir()
        run(["tar", "-xpf", "tree.tar", "-C", "untarred"], cwd=root)
        run(["rm", "tree.tar"], cwd=root)
        repository = root / "repository"
        run([*git, "init", "-q", repository])
        run(["cp", "-a", "tree", "repository/"], cwd=root)
        run([*git, "add", "-A"], cwd=repository)
        run([*git, "commit", "-qm", "one"], cwd=repository)
        run([*git, "clone", "-q", repository, root / "clone"])  # objects are hard links
        assert run([*git, "status", "--porcelain"], cwd=root / "clone").stdout == ""
        run([*git, "fsck", "--strict"], cwd=root / "clone")
        run(["rm", "-r", "repository", "clone/.git"], cwd=root)
    assert seen(both[0]) == seen(both[1])


class Game:
    """Plays the same random calls in both directories, files held open among them."""

    def __init__(self, roots: tuple[Path, Path], seed: int) -> None:
        self.roots = roots
        self.random = random.Random(seed)
        self.open: list[tuple[int, int]] = []
        self.played: list[tuple[object, ...]] = []

    def play(self, turns: int) -> None:
        for root in self.roots:
            (root / "d").mkdir()
        for _ in range(turns):
            name = self.random.choice(
                ["create", "create", "link", "link", "link", "unlink", "unlink", "rename", "rename",
                 "append", "hold", "use", "use", "drop", "symlink", "truncate", "chmod"],
            )  # fmt: skip
            one, two = (self.random.choice(["a", "b", "B", "c", "d/a", "d/e"]) for _ in range(2))
            number = self.random.randrange(1 << 20)
            self.played.append((name, one, two, number))
            answers = [self.call(name, i, root / one, root / two, number)
                       for i, root in enumerate(self.roots)]  # fmt: skip
            if name == "drop" and self.open:
                self.open.pop(number % len(self.open))
            assert answers[0] == answers[1], self.played
            if len(self.played) % 10 == 0:
                assert seen(self.roots[0]) == seen(self.roots[1]), self.played
        while self.open:
            for descriptor in self.open.pop():
                os.close(descriptor)
        assert seen(self.roots[0]) == seen(self.roots[1]), self.played

    def call(self, name: str, side: int, one: Path, two: Path, number: int) -> object:
        try:
            return getattr(self, f"_{name}")(side, one, two, number)
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    def _create(self, side: int, one: Path, two: Path, number: int) -> None:
        with one.open("xb") as file:
            file.write(b"%d" % number)

    def _append(self, side: int, one: Path, two: Path, number: int) -> None:
        with os.fdopen(os.open(one, os.O_WRONLY | os.O_APPEND), "wb") as file:
            file.write(b"+%d" % number)

    def _link(self, side: int, one: Path, two: Path, number: int) -> None:
        os.link(one, two, follow_symlinks=False)

    def _symlink(self, side: int, one: Path, two: Path, number: int) -> None:
        os.symlink(f"{number}", one)

    def _unlink(self, side: int, one: Path, two: Path, number: int) -> None:
        os.unlink(one)

    def _rename(self, side: int, one: Path, two: Path, number: int) -> None:
        os.rename(one, two)

    def _truncate(self, side: int, one: Path, two: Path, number: int) -> None:
        os.truncate(one, number % 5)

    def _chmod(self, side: int, one: Path, two: Path, number: int) -> None:
        os.chmod(one, 0o600 | number % 0o100)

    def _hold(self, side: int, one: Path, two: Path, number: int) -> None:
        descriptor = os.open(one, os.O_RDWR)
        if side == 0:
            self.open.append((descriptor, -1))
        else:
            self.open[-1] = (self.open[-1][0], descriptor)

    def _use(self, side: int, one: Path, two: Path, number: int) -> object:
        if not self.open:
            return None
        descriptor = self.open[number % len(self.open)][side]
        os.pwrite(descriptor, b"%d" % number, number % 7)
        status = os.fstat(descriptor)
        content = os.pread(descriptor, 100, 0)
        return content, status.st_size, status.st_nlink, oct(status.st_mode)

    def _drop(self, side: int, one: Path, two: Path, number: int) -> None:
        if self.open:
            os.close(self.open[number % len(self.open)][side])


def play(mount: MountFactory, local: Path, options: str, seed: int, turns: int) -> None:
    local.mkdir()
    with mount(options) as m:
        (m.path / "game").mkdir()
        Game((m.path / "game", local), seed).play(turns)
        before = seen(m.path)
    with mount() as m:
        assert seen(m.path) == before


@pytest.mark.parametrize("options", ["", "actimeo=0", "writeback"])
def test_random_calls(mount, tmp_path, options):
    play(mount, tmp_path / "local", options, 1, 60)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 106))
@pytest.mark.parametrize("options", ["", "actimeo=0", "writeback", "actimeo=0,lease=always"])
def test_long_random_games(mount, tmp_path, options, seed):
    play(mount, tmp_path / "local", options, seed, 150)


def test_links_whose_answer_was_lost(mount, emulator):
    with mount() as m:
        (m.path / "a").write_bytes(b"content")
        emulator.faults(
            rules=[
                {"action": "reset-after", "operation": "CreateHardLink", "times": 1},
                {"action": "reset-after", "operation": "CreateSymbolicLink", "times": 1},
            ]
        )
        os.link(m.path / "a", m.path / "b")
        os.symlink("a", m.path / "l")
        assert emulator.faults_applied() == 2
        m.expected.append("try 1 failed")
        assert ((m.path / "b").stat().st_nlink, os.readlink(m.path / "l")) == (2, "a")


def test_a_lease_is_given_back_under_the_name_that_is_left(mount, share):
    with mount("lease=always") as m:
        (m.path / "a").write_bytes(b"content")
        os.link(m.path / "a", m.path / "b")
        with (m.path / "b").open("r+b") as file:
            file.write(b"C")
            file.flush()
            os.fsync(file.fileno())
            os.unlink(m.path / "b")
            assert share.properties("a").lease.state == "leased"
            os.rename(m.path / "a", m.path / "c")
            file.write(b"O")
        assert share.properties("c").lease.state == "available"
        assert share.read("c") == b"COntent"


def test_modes_count(both):
    """The kernel goes by what the share says."""
    (both[0] / "f").write_bytes(b"#!/bin/sh\nexit 7\n")
    assert errno_of(os.execv, str(both[0] / "f"), ["f"]) == errno.EACCES
    (both[0] / "f").chmod(0o755)
    assert run([both[0] / "f"], check=False).returncode == 7


def test_a_crash_loses_nothing_of_a_file_with_several_names(mount):
    with mount("writeback=60") as m:
        (m.path / "a").write_bytes(b"content")
        os.link(m.path / "a", m.path / "b")
        os.link(m.path / "b", m.path / "c")
        with (m.path / "a").open("ab") as file:
            file.write(b" and more")
        with (m.path / "new").open("wb") as file:
            file.write(b"not there yet")
            os.fchmod(file.fileno(), 0o604)
        m.kill()
    with mount() as m:
        assert (m.path / "b").read_bytes() == b"content and more"
        assert (m.path / "a").stat().st_nlink == 3
        assert sorted(os.listdir(m.path)) == ["a", "b", "c", "new"]
        assert (m.path / "new").read_bytes() == b"not there yet"
        assert stat.S_IMODE((m.path / "new").stat().st_mode) == 0o604
