"""Logs: lines for people, JSON for programs, fields for systemd's journal."""

import functools
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azfuse.mount import journald, logs
from azfuse.mount.errors import MountError

log = logging.getLogger("azfuse.tests")
configure = functools.partial(logs.configure, mount_point="/mnt/x", source="account/share")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("azfuse")
    before = root.handlers[:], root.level, ours.level
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], root.level, ours.level = before


@pytest.fixture
def journal(tmp_path, monkeypatch) -> Iterator[socket.socket]:
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(20)
        monkeypatch.setattr(journald, "SOCKET", path)
        yield receiver


def test_json_lines(tmp_path):
    path = tmp_path / "log"
    configure(str(path), "info", "json")
    log.info("one\ttwo %s", "?sig=SECRET&x")
    log.debug("not said")
    try:
        Path("/dev/null/three").stat()
    except OSError:
        log.exception("trouble")
    first, second = map(json.loads, path.read_text().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info", "message": "one\ttwo ?sig=***&x", "logger": "azfuse.tests",
        "pid": os.getpid(), "mountPoint": "/mnt/x", "source": "account/share",
    }  # fmt: skip
    assert second["message"] == "trouble"
    assert second["details"].startswith("Traceback")
    assert second["details"].endswith("'/dev/null/three'")


def fields_of(datagram: bytes) -> dict[str, str]:
    """Read the native protocol of the journal, for values of one line."""
    return dict(line.split("=", 1) for line in datagram.decode().splitlines())


def test_fields_of_the_journal(journal):
    configure("journal", "debug")
    log.warning("it is %d?sig=SECRET", 5)
    fields = fields_of(journal.recv(1 << 16))
    assert fields["MESSAGE"] == "it is 5?sig=***"
    assert fields["PRIORITY"] == "4"
    assert fields["SYSLOG_IDENTIFIER"] == "azfuse"
    assert fields["AZFUSE_MOUNT_POINT"] == "/mnt/x"
    assert fields["AZFUSE_SOURCE"] == "account/share"
    assert fields["CODE_FUNC"] == "test_fields_of_the_journal"
    for level, priority in (("debug", 7), ("info", 6), ("error", 3), ("critical", 2)):
        getattr(log, level)("x")
        assert fields_of(journal.recv(1 << 16))["PRIORITY"] == str(priority)


def test_messages_of_many_lines_and_bytes(journal):
    configure("journal", "info")
    log.info("a\nb \udcff")
    assert b"MESSAGE\n\x0a\0\0\0\0\0\0\0a\nb \\udcff\n" in journal.recv(1 << 16)
    log.info("x" * 10_000_000)
    received = journal.recv(1 << 20)
    assert b"xxx ... (cut)\n" in received
    assert len(received) < 40_000


def test_where_a_log_goes(tmp_path, monkeypatch, journal):
    fallback = tmp_path / "fallback"
    choose = logs.log_destination
    assert choose(Path("/x"), fallback, foreground=False) == "/x"
    assert choose(None, fallback, foreground=False) == "journal"
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        assert choose(None, fallback, foreground=True) == "stderr"
        status = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert choose(None, fallback, foreground=True) == "journal"
    monkeypatch.setattr(journald, "SOCKET", tmp_path / "none")
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", tmp_path / "neither")
    assert choose(None, fallback, foreground=False) == str(fallback)


def test_a_log_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(journald, "SOCKET", tmp_path / "none")
    for destination in ("journal", str(tmp_path / "no" / "directory")):
        with pytest.raises(MountError, match="cannot be written: No such file"):
            configure(destination, "info")
