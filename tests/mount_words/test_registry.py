"""Records of mounts: in a private directory, true about processes, last word to the newest."""

import errno
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from azfuse.mount.ask import ask
from azfuse.mount.errors import MountError
from azfuse.mount.registry import Record, Registry, runtime_dir, start_time


def record(pid: int, **changes: object) -> Record:
    values = {"mount_point": "/m n", "source": "acct/share", "pid": pid, **changes}
    return Record(started=start_time(pid), **values)  # type: ignore[arg-type]


def test_the_runtime_directory_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "azfuse").mkdir(mode=0o755)
    if tmp_path.stat().st_uid != 4242:
        with pytest.raises(MountError, match="belongs to somebody else"):
            runtime_dir()
    if os.getuid() == 0:
        os.chown(tmp_path / "azfuse", 4242, 4242)
        assert runtime_dir() == tmp_path / "azfuse"
        assert (tmp_path / "azfuse").stat().st_mode & 0o777 == 0o700


def test_a_symbolic_link_is_no_runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "azfuse").symlink_to("elsewhere")
    with pytest.raises(MountError, match="belongs to somebody else"):
        runtime_dir()


def test_records_are_kept_and_removed(tmp_path):
    registry = Registry(tmp_path)
    mine = record(os.getpid())
    registry.write(mine)
    assert registry.find("/m n") == mine
    assert registry.find("/other") is None
    saving = registry.update(mine, "saving")
    assert [one.state for one in registry.records()] == ["saving"]
    registry.remove(saving)
    assert list(registry.records()) == []


def test_a_newer_mount_keeps_its_record(tmp_path):
    registry = Registry(tmp_path)
    old, new = record(1), record(os.getpid())
    registry.write(new)
    registry.remove(old)
    assert registry.find("/m n") == new


def test_one_that_has_not_ended_makes_room_for_a_newer_mount(tmp_path, monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        registry, old, new = Registry(tmp_path), record(process.pid), record(os.getpid())
        registry.write(old)
        registry.write(new)
        saving = registry.update(old, "saving")
        assert registry.find("/m n") == new
        assert registry.replaced("/m n") == [saving]
        assert registry.latest(old) == saving
        monkeypatch.setattr("azfuse.mount.registry.runtime_dir", lambda: tmp_path)
        with pytest.raises(MountError, match="another mount has taken its place"):
            ask(old, "stats")
        registry.remove(old)
        assert (registry.find("/m n"), registry.replaced("/m n")) == (new, [])
        process.kill()


def test_what_a_killed_process_left_mounted_is_remembered(tmp_path, monkeypatch):
    registry = Registry(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        dead = record(process.pid)
    registry.write(dead)

    def lstat(path: str) -> os.stat_result:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", lstat)
        assert list(registry.records()) == [dead]
    assert list(registry.records()) == []  # nothing is there


def test_a_process_is_known_by_its_start_time(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        one = record(process.pid)
        assert one.alive
        assert not replace(one, started=1).alive
        process.kill()
    assert not one.alive


def test_broken_records_are_as_good_as_none(tmp_path):
    registry = Registry(tmp_path)
    for number, text in enumerate(["", "[]", '{"other": "version"}']):
        (tmp_path / f"{number}.json").write_text(text)
    assert list(registry.records()) == []
