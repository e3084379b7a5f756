"""`azfuse refresh`: what others did on the share is seen, however long things are believed."""

import errno
import os
import threading

import pytest

from tests.mount.harness import errno_of
from tests.mount.test_stats import command

#: Nothing would be asked for again within the test.
LONG = "actimeo=600,dirty-expire=600"


def refresh(mounted, path=""):
    return command(mounted, "refresh", str(mounted.path / path)).stdout


def test_a_file_and_a_directory(share, mount):
    share.sdk.create_directory("d")
    share.write("d/f", b"old")
    with mount(LONG) as m:
        assert (m.path / "d/f").read_bytes() == b"old"
        assert os.listdir(m.path / "d") == ["f"]
        assert errno_of(os.stat, m.path / "d/new") == errno.ENOENT
        assert errno_of(os.stat, m.path / "top") == errno.ENOENT
        share.write("d/f", b"longer now")
        share.write("d/new", b"x")
        share.write("top", b"x")
        # The kernel answers from what it knows, and so do we.
        assert (m.path / "d/f").stat().st_size == 3
        assert errno_of(os.stat, m.path / "d/new") == errno.ENOENT
        assert errno_of(os.stat, m.path / "top") == errno.ENOENT
        assert "forgot 3 entries and 3 B of content" in refresh(m)
        assert (m.path / "d/f").stat().st_size == 10
        assert (m.path / "d/f").read_bytes() == b"longer now"
        assert (m.path / "d/new").read_bytes() == b"x"
        assert (m.path / "top").read_bytes() == b"x"
        assert sorted(os.listdir(m.path / "d")) == ["f", "new"]


@pytest.mark.parametrize("path", ["d/f", "d", "", "D/F"])
def test_what_was_replaced_or_removed(share, mount, path):
    """The kernel knows other inodes by these names, and is not told to forget the names."""
    share.sdk.create_directory("d")
    share.write("d/f", b"old")
    share.write("d/gone", b"old")
    with mount(LONG) as m:
        assert (m.path / "d/f").read_bytes() == b"old"
        (m.path / "d/gone").stat()
        for name in ("d/f", "d/gone"):
            share.sdk.get_file_client(name).delete_file()
        share.write("d/f", b"another")
        assert (m.path / "d/f").stat().st_size == 3
        refresh(m, path)
        assert (m.path / "d/f").stat().st_size == 7
        assert (m.path / "d/f").read_bytes() == b"another"
        if not path.lower().endswith("f"):
            assert errno_of(os.stat, m.path / "d/gone") == errno.ENOENT
            assert os.listdir(m.path / "d") == ["f"]


def test_a_directory_that_was_replaced(share, mount):
    share.sdk.create_directory("d")
    share.write("d/f", b"old")
    with mount(LONG) as m:
        here = os.open(m.path / "d", os.O_RDONLY)
        try:
            assert (m.path / "d/f").read_bytes() == b"old"
            share.sdk.get_file_client("d/f").delete_file()
            share.sdk.delete_directory("d")
            share.sdk.create_directory("d")
            share.write("d/g", b"another")
            refresh(m, "d")
            assert (m.path / "d/g").read_bytes() == b"another"
            assert errno_of((m.path / "d/f").open) == errno.ENOENT
            assert os.listdir(m.path / "d") == ["g"]
            assert errno_of(os.fstat, here) in (0, errno.ESTALE)
        finally:
            os.close(here)


@pytest.mark.parametrize("disk", [False, True])
def test_an_open_file_shows_the_new_content(share, mount, tmp_path, disk):
    share.write("f", b"a" * 5000)
    options = f"{LONG},cache-dir={tmp_path / 'blocks'}" if disk else LONG
    with mount(options) as m, (m.path / "f").open("rb", buffering=0) as file:
        assert file.read() == b"a" * 5000
        share.sdk.get_file_client("f").upload_range(b"b" * 100, 0, 100)
        assert os.pread(file.fileno(), 1, 0) == b"a"
        m.ask("refresh", path="f")
        assert os.pread(file.fileno(), 6000, 0) == b"b" * 100 + b"a" * 4900


def test_dirty_data_stays(share, mount):
    share.write("f", b"a" * 9000)
    with mount(LONG) as m:
        with (m.path / "f").open("r+b", buffering=0) as file:
            assert os.pread(file.fileno(), 10, 0) == b"a" * 10
            os.pwrite(file.fileno(), b"x" * 5, 2)
            with (m.path / "local").open("wb", buffering=0) as local:
                local.write(b"only here")
                m.ask("refresh", path="")
                assert (m.path / "local").stat().st_size == 9
                assert m.ask("stats")["writes"]["dirtyBytes"] == 14
            assert os.pread(file.fileno(), 10, 0) == b"aaxxxxxaaa"
        assert share.read("f") == b"aaxxxxx" + b"a" * 8993
        assert share.read("local") == b"only here"


def test_a_program_keeps_its_working_directory(share, mount):
    share.sdk.create_directory("d")
    share.write("d/f", b"x")
    with mount(LONG) as m:
        os.chdir(m.path / "d")
        try:
            refresh(m, "d")
            assert os.getcwd() == str(m.path / "d")
            assert os.listdir() == ["f"]
            # By a relative path, from inside.
            assert "forgot" in command(m, "refresh", "f").stdout
        finally:
            os.chdir("/")


def test_while_it_is_read(emulator, share, mount):
    """The kernel waits for pages that are being read, which must not keep us from answering."""
    content = os.urandom(24 * 1024 * 1024)
    share.write("f", content)
    with mount(LONG) as m:
        emulator.faults(rules=[{"action": "delay", "operation": "GetFile", "seconds": 0.2}])
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.append((m.path / "f").read_bytes()))
        reader.start()
        while reader.is_alive():
            refresh(m)
        reader.join()
        assert read == [content]


def test_what_is_nowhere(mount, tmp_path):
    with mount(LONG) as m:
        assert "forgot 1 entry and 0 B" in refresh(m, "no/such/path")
        done = command(m, "refresh", str(tmp_path / "elsewhere"), check=False)
        assert done.returncode == 2
        assert "is not in anything that azfuse has mounted" in done.stderr


@pytest.mark.parametrize("how", ["refresh", "listing"])
def test_a_directory_made_here_is_not_cut_off(emulator, mount, how):
    """The kernel was told once that there was no such name, and has it by now."""
    with mount("actimeo=0.2,dirty-expire=600") as m:
        assert not (m.path / "d").exists()
        (m.path / "d").mkdir()
        os.chdir(m.path / "d")
        try:
            if how == "refresh":
                m.ask("refresh", path="")
            else:
                before = emulator.totals()[0]["ListDirectoriesAndFiles"]
                while emulator.totals()[0]["ListDirectoriesAndFiles"] == before:
                    os.listdir(m.path)
                m.ask("stats")
            assert os.getcwd() == str(m.path / "d")
        finally:
            os.chdir("/")
