"""Directories and names through the kernel: what they may be, and where they move to."""

import ctypes
import errno
import os
import subprocess

import pytest

from tests.mount.harness import errno_of, python, run

RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)


def renameat2(old, new, flags):
    words = AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags
    if libc.renameat2(*words) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "with space",
        "trailing space ",
        " ",
        "trailing dot.",
        "...",
        "100% #1 + 2? & 3=4; a~b",
        "%41%2F",
        'colon:star*quote"pipe|back\\slash<>',
        "tab\tnewline\nbell\x07",
        "Grüße мир 日本語 🎉",
        "e\u0301 decomposed",
        "-rf",
        "$HOME `id` 'quoted'",
        "con.txt",
        "x" * 255,
        "é" * 255,
        "🎉" * 127,
        "&lt;xml&gt; ]]>",
    ],
)
def test_names_of_all_sorts(common, here, name):
    share = common[1]
    (here / name).write_bytes(b"content of " + name.encode())
    (here / "dir").mkdir()
    os.rename(here / name, here / "dir" / name)
    os.mkdir(here / "dir2")
    os.rename(here / "dir", here / f"{name[:100]}.d")
    assert os.listdir(here / f"{name[:100]}.d") == [name]
    # Another process, whose kernel caches are the same, and the share itself, whose are not.
    run(["cat", "--", here / f"{name[:100]}.d" / name])
    assert (
        run(["ls", "-AN", here / f"{name[:100]}.d"], env={"LC_ALL": "C.UTF-8"}).stdout
        == name + "\n"
    )
    assert len(share.names(f"{here.name}")) == 2
    os.unlink(here / f"{name[:100]}.d" / name)
    os.rmdir(here / f"{name[:100]}.d")


@pytest.mark.parametrize("name", ["con", "NUL", "lpt1", "\uf020", "del\x7f"])
def test_names_that_no_share_holds(here, name):
    assert errno_of(os.mkdir, here / name) == errno.EINVAL
    assert errno_of((here / name).write_bytes, b"x") == errno.EINVAL


def test_names_that_are_too_long_or_no_text(here):
    assert errno_of(os.mkdir, here / ("x" * 256)) == errno.ENAMETOOLONG
    assert errno_of(os.mkdir, here / ("🎉" * 128)) == errno.ENAMETOOLONG
    assert errno_of(os.mkdir, os.fsencode(here) + b"/\xff\xfe") == errno.EILSEQ


def test_paths_that_are_too_long_for_the_share(mount):
    with mount() as m:
        check_long_paths(m.path)


def check_long_paths(deep):
    part = "d" * 250
    for _ in range(8):
        deep = deep / part
        deep.mkdir()
    assert errno_of(os.mkdir, deep / part) == errno.ENAMETOOLONG
    assert errno_of((deep / part).write_bytes, b"x") == errno.ENAMETOOLONG
    assert os.listdir(deep) == []


def test_letter_case(here):
    (here / "ReadMe").write_bytes(b"one")
    assert (here / "README").read_bytes() == b"one"
    assert (here / "readme").stat().st_ino == (here / "ReadMe").stat().st_ino
    (here / "README").write_bytes(b"changed")
    assert (here / "ReadMe").read_bytes() == b"changed"
    assert os.listdir(here) == ["ReadMe"]
    assert errno_of(os.mkdir, here / "readME") == errno.EEXIST
    os.rename(here / "ReadMe", here / "README")
    assert os.listdir(here) == ["README"]
    assert (here / "readme").read_bytes() == b"changed"
    os.unlink(here / "rEADmE")
    assert errno_of(os.stat, here / "README") == errno.ENOENT


def test_letter_case_beyond_ascii_and_in_directories(here):
    (here / "ÄÖ").mkdir()
    (here / "äö" / "file").write_bytes(b"x")
    assert (here / "Äö" / "FILE").read_bytes() == b"x"
    os.rename(here / "äÖ", here / "äö")
    assert os.listdir(here) == ["äö"]
    assert (here / "ÄÖ" / "file").read_bytes() == b"x"


def test_two_names_of_one_file_have_one_content(here):
    with (here / "File").open("w+b", buffering=0) as upper:
        upper.write(b"first")
        with (here / "fILE").open("r+b", buffering=0) as lower:
            assert lower.read() == b"first"
            lower.write(b" second")
            assert os.pread(upper.fileno(), 100, 0) == b"first second"
            assert os.fstat(upper.fileno()).st_size == os.fstat(lower.fileno()).st_size == 12


def test_directories(here):
    os.mkdir(here / "dir")
    assert errno_of(os.mkdir, here / "dir") == errno.EEXIST
    (here / "dir/file").touch()
    assert errno_of(os.rmdir, here / "dir") == errno.ENOTEMPTY
    assert errno_of(os.unlink, here / "dir") in (errno.EISDIR, errno.EPERM)
    assert errno_of(os.rmdir, here / "dir/file") == errno.ENOTDIR
    assert errno_of(os.mkdir, here / "dir/file") == errno.EEXIST
    assert errno_of(os.mkdir, here / "dir/file/below") == errno.ENOTDIR
    os.unlink(here / "dir/file")
    os.rmdir(here / "dir")
    assert errno_of(os.stat, here / "dir") == errno.ENOENT


def test_rename(here):
    (here / "one").write_bytes(b"one")
    (here / "two").write_bytes(b"two")
    (here / "dir").mkdir()
    os.rename(here / "one", here / "dir/three")
    assert (here / "dir/three").read_bytes() == b"one"
    os.rename(here / "two", here / "dir/three")
    assert (here / "dir/three").read_bytes() == b"two"
    assert os.listdir(here) == ["dir"]
    os.rename(here / "dir/three", here / "dir/three")
    assert (here / "dir/three").read_bytes() == b"two"


def test_rename_of_files_and_directories_onto_each_other(here):
    (here / "file").write_bytes(b"x")
    for name in ("empty", "empty2", "full"):
        (here / name).mkdir()
    (here / "full/entry").touch()
    assert errno_of(os.rename, here / "file", here / "empty") == errno.EISDIR
    assert errno_of(os.rename, here / "empty", here / "file") == errno.ENOTDIR
    assert errno_of(os.rename, here / "empty", here / "full") == errno.ENOTEMPTY
    assert errno_of(os.rename, here / "full", here / "full/below") == errno.EINVAL
    os.rename(here / "full", here / "empty")
    assert sorted(os.listdir(here)) == ["empty", "empty2", "file"]
    assert os.listdir(here / "empty") == ["entry"]


def test_rename_flags(here):
    (here / "one").write_bytes(b"one")
    (here / "two").write_bytes(b"two")
    assert errno_of(renameat2, here / "one", here / "two", RENAME_NOREPLACE) == errno.EEXIST
    assert errno_of(renameat2, here / "one", here / "two", RENAME_EXCHANGE) == errno.EINVAL
    assert errno_of(renameat2, here / "one", here / "three", RENAME_WHITEOUT) == errno.EINVAL
    renameat2(here / "one", here / "three", RENAME_NOREPLACE)
    assert (here / "three").read_bytes() == b"one"
    assert sorted(os.listdir(here)) == ["three", "two"]


def test_a_new_file_is_renamed_before_it_reached_the_share(here):
    with (here / "temporary").open("wb", buffering=0) as file:
        file.write(b"content")
        os.rename(here / "temporary", here / "final")
    assert (here / "final").read_bytes() == b"content"
    assert os.listdir(here) == ["final"]


def test_symlinks(common, here):
    (here / "target").write_bytes(b"content")
    os.symlink("target", here / "link")
    os.symlink("nowhere/ü " + "x" * 900, here / "dangling")
    assert os.readlink(here / "link") == "target"
    assert (here / "link").read_bytes() == b"content"
    assert (here / "link").lstat().st_size == len("target")
    assert os.readlink(here / "dangling") == "nowhere/ü " + "x" * 900
    assert errno_of(os.stat, here / "dangling") == errno.ENOENT
    assert errno_of(os.symlink, "x", here / "link") == errno.EEXIST
    assert errno_of(os.symlink, "x" * 1024, here / "long") == errno.ENAMETOOLONG
    assert common[1].read(f"{here.name}/link").startswith(b"XSym\n0006\n")
    os.rename(here / "link", here / "moved")
    assert (here / "moved").is_symlink()
    (here / "dir").mkdir()
    os.symlink("dir", here / "todir")
    (here / "todir/file").write_bytes(b"through")
    assert (here / "dir/file").read_bytes() == b"through"
    os.unlink(here / "todir")
    assert sorted(os.listdir(here)) == ["dangling", "dir", "moved", "target"]


def test_a_symlink_replaces_and_is_replaced(here):
    (here / "file").write_bytes(b"file")
    os.symlink("file", here / "link")
    os.symlink("other", here / "new")
    os.replace(here / "new", here / "link")
    assert os.readlink(here / "link") == "other"
    (here / "plain").write_bytes(b"plain")
    os.replace(here / "plain", here / "link")
    assert not (here / "link").is_symlink()
    assert (here / "link").read_bytes() == b"plain"


def test_a_file_of_the_size_of_a_link_is_none(common, here):
    (here / "file").write_bytes(b"XSym\n" + b"x" * 1062)
    assert (here / "file").is_file()
    assert not (here / "file").is_symlink()
    assert (here / "file").stat().st_size == 1067


def test_many_entries(common, here):
    """More than one page; names made by the SDK side would take too long one by one."""
    code = (
        "import os, sys\n"
        "os.chdir(sys.argv[1])\n"
        "for n in range(int(sys.argv[2]), int(sys.argv[3])):\n"
        "    os.mknod(f'entry {n:05}')\n"
    )
    run(["sh", "-c", " & ".join(
        f'python3 -c "$0" "$1" {first} {first + 1000}' for first in range(0, 6000, 1000)
    ) + " & wait", code, here], timeout=90)  # fmt: skip
    names = [f"entry {number:05}" for number in range(6000)]
    assert sorted(os.listdir(here)) == names
    assert run(["sh", "-c", "ls | wc -l"], here).stdout.strip() == "6000"
    with os.scandir(here) as entries:
        assert sum(entry.stat(follow_symlinks=False).st_size == 0 for entry in entries) == 6000
    assert (here / "ENTRY 04999").exists()
    assert not (here / "entry 06000").exists()
    seek_about(here)
    run(["rm", "-r", here], timeout=90)


def seek_about(directory):
    """Read a directory in pieces, going back to remembered places (telldir, seekdir)."""
    libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    stream = ctypes.c_void_p(libc.opendir(os.fsencode(directory)))

    def following():
        entry = libc.readdir(stream)
        # d_ino, d_off, d_reclen, d_type, then the name (64-bit glibc).
        return ctypes.string_at(entry + 19) if entry else None

    try:
        places, names = [], []
        while True:
            places.append(libc.telldir(stream))
            names.append(following())
            if names[-1] is None:
                break
        assert len(names) - 1 == len(set(names) - {None})
        for position in (5000, 17, 3333, 0, len(names) - 1):
            libc.seekdir(stream, ctypes.c_long(places[position]))
            assert following() == names[position]
    finally:
        libc.closedir(stream)


def test_a_directory_read_while_it_changes(here):
    for number in range(500):
        (here / f"file{number}").touch()
    seen = []
    with os.scandir(here) as entries:
        for count, entry in enumerate(entries):
            seen.append(entry.name)
            os.unlink(entry.path)
            if count % 50 == 0:
                (here / f"new{count}").touch()
    old = [name for name in seen if name.startswith("file")]
    assert len(old) == len(set(old)) == 500
    assert not [name for name in os.listdir(here) if name.startswith("file")]


def test_removing_a_working_directory(here):
    (here / "dir").mkdir()
    code = (
        "import os, sys\n"
        "os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "print(os.listdir('.'))\n"
        "try: open('file', 'w')\n"
        "except OSError as error: print(error.errno)\n"
    )
    assert python(code, here / "dir").split() == ["[]", str(errno.ENOENT)]


def test_two_processes_make_the_same_directory(here):
    processes = [
        subprocess.Popen(["mkdir", "-p", here / "a/b/c/d"], stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    for process in processes:
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 0
    assert (here / "a/b/c/d").is_dir()
