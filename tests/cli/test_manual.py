"""The manual pages and shell completion: whole, and well-formed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from azfuse.cli.main import cli
from azfuse.cli.manual import main, pages
from azfuse.mount.options import option_names


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["manual", str(tmp_path)])
    main()
    return tmp_path


def plain(text: str) -> str:
    return text.replace("\\-", "-").replace("\\(ti", "~").replace("\\(dq", '"').replace("\\e", "\\")


def test_every_command_has_its_place():
    page = plain(pages()["azfuse.1"])
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"azfuse {name}" in page
    assert "azfuse share create" in page
    assert "--json" in page


def test_every_option_is_a_key_of_the_file():
    page = plain(pages()["azfuse.toml.5"])
    for name in option_names():
        assert f".B {name}\n" in page


def test_options_of_mount_are_told():
    page = plain(pages()["mount.azfuse.8"])
    for name in ("writeback", "posix", "lease", "exclusive", "cache-size", "credentials"):
        assert name in page


@pytest.mark.parametrize("name", pages())
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not on this machine")
def test_groff_has_nothing_to_say(written, name):
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", written / name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(shell):
    done = subprocess.run(
        [sys.executable, "-m", "azfuse"],
        env={**os.environ, "_AZFUSE_COMPLETE": f"{shell}_source"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "_AZFUSE_COMPLETE" in done.stdout, done.stderr


def test_words_are_completed():
    done = subprocess.run(
        [sys.executable, "-m", "azfuse"],
        env={**os.environ, "_AZFUSE_COMPLETE": "bash_complete",
             "COMP_WORDS": "azfuse unm", "COMP_CWORD": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,unmount"]
