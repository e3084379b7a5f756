"""POSIX to the edge: small programs of system calls answer on a mount as on a local disk."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.conformance import Place, Program, Step, User, as_user, named
from tests.mount.harness import let_others_in

OWNER, OTHER = User(65531, 65531), User(65532, 65532)
MEMBER = User(65533, 65533, (65531, 65533))

KINDS = ("file", "directory", "fifo", "socket", "block", "char", "symlink")


def make(kind: str, path: str, mode: int = 0o644, owner: User | None = None) -> list[Step]:
    """Return the steps that make an entry."""
    if kind == "file":
        steps: list[Step] = [("open", path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)]
    elif kind == "directory":
        steps = [("mkdir", path, mode)]
    elif kind == "symlink":
        steps = [("symlink", "target", path)]
    else:
        steps = [("mknod", path, kind, mode)]
    if owner is not None:
        steps.append(("lchown", path, owner.uid, owner.gid))
    return steps


def users() -> list[User]:
    return [OWNER, OTHER, MEMBER]


def by(user: User | None, *step: Any) -> Step:
    """Return *step* as *user* does it, root if None."""
    return step if user is None else as_user(user, *step)


# -- programs -----------------------------------------------------------------------------


def making() -> Iterator[Program]:
    """What is made has mode, owner and times; its directory's times move, if and only if."""
    for kind in KINDS:
        yield [
            ("mkdir", "d", 0o755), ("note", "d"), *make(kind, "d/e", 0o640), ("look", "d/e"),
            ("moved", "d"), ("note", "d", "d/e"), *make(kind, "d/e", 0o640), ("moved", "d"),
            ("moved", "d/e"), *make(kind, "missing/e"), *make(kind, "d/e/e"),
        ]  # fmt: skip
        for user, mode in itertools.product(users(), (0o755, 0o775, 0o777, 0o2777, 0o3777, 0o1775)):
            if kind in {"block", "char"}:
                continue
            steps = [as_user(user, *step) for step in make(kind, "d/e", 0o4751)]
            yield [("mkdir", "d"), ("chown", "d", OWNER.uid, OWNER.gid), ("chmod", "d", mode),
                   *steps, ("look", "d/e")]  # fmt: skip
    for kind, user, mode in itertools.product(KINDS[:4], users(), (0o2771, 0o2761, 0o6777)):
        # setgid is not for who is not in the group that the file gets
        yield [("mkdir", "d"), ("chown", "d", OTHER.uid, OWNER.gid), ("chmod", "d", 0o2777),
               *(as_user(user, *step) for step in make(kind, "d/e", mode)),
               ("look", "d/e")]  # fmt: skip
    for kind, user in itertools.product(("block", "char"), users()):
        yield [*(as_user(user, *step) for step in make(kind, "e")), ("look", "e")]
    for mask in (0o22, 0o77, 0o777):
        yield [("umask", mask), *(step for kind in KINDS for step in make(kind, kind, 0o6777)),
               *(("look", kind) for kind in KINDS)]  # fmt: skip
    for mode in (0, 0o1, 0o111, 0o777, 0o1777, 0o2755, 0o4755, 0o6777):
        yield [("mkdir", "e", mode), ("look", "e"), ("open", "f", os.O_CREAT, mode), ("look", "f"),
               ("mknod", "p", "fifo", mode), ("look", "p")]  # fmt: skip
    yield [("bind", "s"), ("look", "s"), ("bind", "s"), ("unlink", "s"), ("look", "s")]


def names() -> Iterator[Program]:
    """Names that are too long, links that lead in circles, files that are no directories."""
    long = ["n" * 255, "n" * 256, "ü" * 127, "n" * 4096, "/".join(["."] * 2047)]
    for name, kind in itertools.product(long, ("file", "directory", "symlink", "fifo")):
        yield [*make(kind, name), ("look", name), ("rename", name, "x"), ("unlink", "x"),
               ("rename", "missing", name), ("chmod", name, 0o600),
               ("truncate", name, 1)]  # fmt: skip
    yield [("symlink", "b", "a"), ("symlink", "a", "b"), ("open", "a", os.O_RDONLY),
           ("mkdir", "a/d"), ("chmod", "a", 0o600), ("truncate", "a", 0), ("list", "a"),
           ("open", "a", os.O_CREAT | os.O_WRONLY), ("look", "a")]  # fmt: skip
    calls: list[Step] = [("unlink", "f/e"), ("rmdir", "f/e"), ("mkdir", "f/e"),
                 ("open", "f/e", os.O_CREAT),
                 ("chmod", "f/e", 0o600), ("chown", "f/e", 1, 1), ("truncate", "f/e", 1),
                 ("rename", "f/e", "x"), ("rename", "x", "f/e"), ("symlink", "t", "f/e"),
                 ("readlink", "f/e"), ("mknod", "f/e", "fifo"), ("touch", "f/e"), ("list", "f"),
                 ("look", "f/e"), ("rmdir", "f"), ("mkdir", "f/"), ("unlink", "f/")]  # fmt: skip
    for call in calls:
        yield [*make("file", "f"), *make("file", "x"), call]
        yield [call]
    for target in ("", "t", "t" * 1023, "/", "../x", "ü" * 500, "n" * 256 + "/x"):
        yield [("symlink", target, "l"), ("readlink", "l"), ("look", "l"), ("unlink", "l"),
               ("readlink", "l")]  # fmt: skip
    for path in (".", "..", "d/.", "d/..", "/", "d/", "d//", "./d/./e"):
        for name in ("rmdir", "unlink", "mkdir"):
            yield [("mkdir", "d", 0o755), ("mkdir", "d/e", 0o755), (name, path), ("list", "d")]


def removing() -> Iterator[Program]:
    """unlink and rmdir: what is gone, whose times move, and who may."""
    for kind in KINDS:
        call = "rmdir" if kind == "directory" else "unlink"
        wrong = "unlink" if kind == "directory" else "rmdir"
        yield [("mkdir", "d", 0o755), *make(kind, "d/e"), ("note", "d"), (wrong, "d/e"),
               ("moved", "d"), (call, "d/e"), ("moved", "d"), ("look", "d/e"),
               (call, "d/e"), ("list", "d")]  # fmt: skip
        for user, mode, whose, entry in itertools.product(
            (OWNER, OTHER), (0o755, 0o777, 0o1777), (OWNER, OTHER), (OWNER, OTHER)
        ):
            yield [("mkdir", "d"), ("chown", "d", whose.uid, whose.gid), ("chmod", "d", mode),
                   *make(kind, "d/e", 0o666, entry), as_user(user, call, "d/e"),
                   ("list", "d")]  # fmt: skip
    yield [("mkdir", "d", 0o755), ("mkdir", "d/e", 0o755), ("rmdir", "d"), ("list", "d")]
    yield [*make("file", "f"), ("after-unlink", "f", 0o600), ("look", "f"), ("list", ".")]


def renaming() -> Iterator[Program]:
    """rename(2) in every combination."""
    for old, new in itertools.product(KINDS, (*KINDS, "nothing", "full")):
        there: list[Step] = [] if new == "nothing" else make(new, "b/n")
        if new == "full":
            there = [("mkdir", "b/n", 0o755), *make("file", "b/n/x")]
        yield [
            ("mkdir", "a", 0o755), ("mkdir", "b", 0o755), *make(old, "a/o", 0o600), *there,
            ("note", "a", "b", "a/o"), ("rename", "a/o", "b/n"), ("moved", "a"), ("moved", "b"),
            ("look", "b/n"), ("list", "a"), ("list", "b"), ("moved", "a/o"),
            ("moved-from", "a/o", "b/n"),
        ]  # fmt: skip
    for kind in KINDS:
        for user, mode, whose, entry, sticky in itertools.product(
            (OWNER, OTHER), (0o755, 0o777), (OWNER, OTHER), (OWNER, OTHER), (0, 0o1000)
        ):
            yield [("mkdir", "d"), ("chown", "d", whose.uid, whose.gid),
                   ("chmod", "d", mode | sticky), ("mkdir", "to"), ("chmod", "to", 0o777),
                   *make(kind, "d/e", 0o666, entry), as_user(user, "rename", "d/e", "to/e"),
                   as_user(user, "rename", "to/e", "d/x"), ("list", "d"),
                   ("list", "to")]  # fmt: skip
        for user, entry in itertools.product((OWNER, OTHER), (OWNER, OTHER)):
            yield [("mkdir", "d"), ("chmod", "d", 0o1777), *make(kind, "d/there", 0o666, entry),
                   *(as_user(user, *step) for step in make(kind, "d/mine", 0o600)),
                   as_user(user, "rename", "d/mine", "d/there"), ("list", "d")]  # fmt: skip
    yield [("mkdir", "d", 0o755), ("rename", "d", "d/e"), ("mkdir", "d/e", 0o755),
           ("rename", "d", "d/e/f"), ("rename", "d/e", "d"), ("rename", "d", "d"),
           ("rename", "d/.", "x"), ("rename", "d", "d/.."), ("rename", "d/e", "d/e/"),
           ("list", "d")]  # fmt: skip
    yield [*make("file", "f"), ("write", "f", "x"), ("note", "f"), ("rename", "f", "f"),
           ("moved", "f"), ("rename", "missing", "f"), ("rename", "f", "missing/f"),
           ("read", "f"), ("rename", "f", "g/"), ("look", "f")]  # fmt: skip


def modes() -> Iterator[Program]:
    """chmod and chown: what they change, what they clear, and who may."""
    for kind in KINDS[:-1]:
        for mode in (0, 0o111, 0o444, 0o1777, 0o2755, 0o4755, 0o6755, 0o7777):
            yield [*make(kind, "e"), ("note", "e"), ("chmod", "e", mode), ("look", "e"),
                   ("moved", "e")]  # fmt: skip
            for user in users():
                yield [*make(kind, "e", 0o640, OWNER), as_user(user, "chmod", "e", mode),
                       ("look", "e")]  # fmt: skip
                yield [*make(kind, "e", 0o640, OWNER), ("chmod", "e", mode),
                       ("lchown", "e", OWNER.uid, 65500), as_user(user, "chmod", "e", mode),
                       ("look", "e")]  # fmt: skip
        for before in (0o644, 0o755, 0o4755, 0o6755, 0o2745, 0o6644, 0o7777):
            for who, uid, gid in itertools.product(
                (None, *users()), (-1, OWNER.uid, OTHER.uid), (-1, OWNER.gid, MEMBER.gid)
            ):
                yield [*make(kind, "e", 0o600, OWNER), ("chmod", "e", before), ("note", "e"),
                       by(who, "chown", "e", uid, gid), ("look", "e"), ("moved", "e")]  # fmt: skip
    for user, gid in itertools.product(users(), (OWNER.gid, OTHER.gid, MEMBER.gid, -1)):
        for kind in ("file", "directory", "symlink"):
            yield [*make(kind, "e", 0o600, user), as_user(user, "lchown", "e", -1, gid),
                   ("look", "e")]  # fmt: skip
    yield [("symlink", "f", "l"), *make("file", "f"), ("chmod", "l", 0o600), ("look", "f"),
           ("chown", "l", 1, 2), ("look", "f"), ("lchown", "l", 3, 4), ("look", "l"),
           ("look", "f")]  # fmt: skip


def content() -> Iterator[Program]:
    """open, write and truncate: what they need, change, and clear."""
    accesses = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC,
                os.O_RDONLY | os.O_DIRECTORY, os.O_RDONLY | os.O_NOFOLLOW,
                os.O_CREAT | os.O_EXCL | os.O_WRONLY, os.O_CREAT | os.O_WRONLY,
                os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_SYNC,
                os.O_RDONLY | os.O_CREAT | os.O_DIRECTORY)  # fmt: skip
    for kind, flags in itertools.product(KINDS, accesses):
        if kind in {"block", "char"}:
            continue
        yield [*make(kind, "e"), ("open", "e", flags), ("look", "e")]
    for mode, user, flags in itertools.product(
        (0, 0o400, 0o200, 0o600, 0o040, 0o020, 0o060, 0o004, 0o002, 0o006), users(), accesses[:4]
    ):
        yield [*make("file", "f", 0o600, OWNER), ("chmod", "f", mode),
               as_user(user, "open", "f", flags), as_user(user, "truncate", "f", 1)]  # fmt: skip
    for mode, user in itertools.product((0o4777, 0o2777, 0o6777, 0o2767, 0o6666), (None, *users())):
        for step in (("write", "f", "data"), ("truncate", "f", 3), ("ftruncate", "f", 5),
                     ("open", "f", os.O_WRONLY | os.O_TRUNC), ("open", "f", os.O_RDWR),
                     ("open", "f", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                     ("write", "f", "", 0), ("write", "f", "x", os.O_TRUNC)):  # fmt: skip
            yield [*make("file", "f", 0o600, OWNER), ("write", "f", "abcd"), ("chmod", "f", mode),
                   ("note", "f"), by(user, *step), ("look", "f"), ("moved", "f")]  # fmt: skip
    yield [*make("file", "f"), ("write", "f", "x"), ("note", "f"), ("truncate", "f", 1),
           ("moved", "f"), ("truncate", "f", 0), ("moved", "f"), ("note", "f"),
           ("open", "f", os.O_WRONLY | os.O_TRUNC), ("moved", "f"), ("truncate", "f", -1),
           ("open", "f", os.O_WRONLY), ("note", "f"), ("open", "f", os.O_WRONLY),
           ("moved", "f")]  # fmt: skip
    for kind in KINDS[:4]:
        yield [*make(kind, "e"), ("truncate", "e", 5), ("look", "e")]


def searching() -> Iterator[Program]:
    """Directories that others may not search, read, or write."""
    calls: list[Step] = [
        ("open", "d/f", os.O_RDONLY), ("open", "d/new", os.O_CREAT | os.O_WRONLY),
        ("unlink", "d/f"), ("mkdir", "d/new"), ("rmdir", "d/s"), ("rename", "d/f", "d/g"),
        ("chmod", "d/f", 0o600), ("look", "d/f"), ("list", "d"), ("truncate", "d/f", 0),
        ("symlink", "t", "d/new"), ("readlink", "d/l"), ("mknod", "d/new", "fifo"),
        ("touch", "d/f"), ("rename", "d/f", "to"), ("access", "d/f", os.R_OK), ("rmdir", "d"),
    ]  # fmt: skip
    for call, user, mode in itertools.product(
        calls, (OWNER, OTHER), (0o700, 0o600, 0o500, 0o300, 0o100, 0o777)
    ):
        yield [("mkdir", "d", 0o777), *make("file", "d/f", 0o644, OWNER), ("mkdir", "d/s", 0o777),
               ("symlink", "t", "d/l"), ("chown", "d", OWNER.uid, OWNER.gid), ("chmod", "d", mode),
               as_user(user, *call)]  # fmt: skip


def times() -> Iterator[Program]:
    """utimensat(2): who may set which, and what moves with it."""
    for kind in ("file", "directory", "fifo"):
        for user, mode in itertools.product((None, *users()), (0o644, 0o666, 0o000)):
            for step in (("touch", "e"), ("set-times", "e", 10**18, 10**18 + 123_456_700)):
                yield [*make(kind, "e", 0o600, OWNER), ("chmod", "e", mode), ("note", "e"),
                       by(user, *step), ("moved", "e")]  # fmt: skip
        for moment in (0, 1_000, 10**18, 2**31 * 10**9, 2**32 * 10**9 + 123_456_700):
            yield [*make(kind, "e"), ("set-times", "e", moment, moment)]


def links() -> Iterator[Program]:
    """link(2) fails for everything on an SMB share, for other reasons first where there are."""
    yield [("link", "missing", "x"), *make("file", "f"), ("link", "f", "f"), ("mkdir", "d", 0o755),
           ("link", "d", "x"), ("link", "f", "missing/x"), ("link", "f", "f/x")]  # fmt: skip


#: Of the larger groups only one program in so many is run each time.
STRIDES = {renaming: 5, modes: 31, content: 5, searching: 5, removing: 3, making: 2}
PROGRAMS = (making, names, removing, renaming, modes, content, searching, times, links)


def compare(programs: Iterable[Program], here: Path, tmp_path: Path) -> None:
    for number, program in enumerate(programs):
        mount = Place(here / str(number)).run(program)
        disk = Place(tmp_path / str(number)).run(program)
        with named(program, mount, disk):
            assert mount == disk


@pytest.mark.parametrize("group", PROGRAMS, ids=lambda group: group.__name__)
def test_programs_answer_as_on_a_local_disk(here, tmp_path, group):
    """Every so many of them: all take minutes."""
    compare(itertools.islice(group(), 0, None, STRIDES.get(group, 1)), here, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", ["", "writeback", "actimeo=0", "posix=acl"])
@pytest.mark.parametrize("group", PROGRAMS, ids=lambda group: group.__name__)
def test_all_programs(tmp_path, mount, group, options):
    let_others_in(tmp_path)
    with mount(f"allow_other,umask=000,{options}", limit=600) as m:
        (m.path / "here").mkdir(mode=0o777)
        (tmp_path / "there").mkdir()
        compare(group(), m.path / "here", tmp_path / "there")
