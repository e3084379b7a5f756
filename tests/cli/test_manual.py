"""The manual pages and shell completion: whole, and well-formed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from azfuse.cli.main import cli
from azfuse.cli.manual import every_command, main, pages
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


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("unm", ["plain,unmount"]),
        ("mount -o wri", ["plain,writeback"]),
        ("mount -o ro,cache-d", ["plain,ro,cache-dir="]),
        ("mount te", ["plain,team"]),
        ("config show te", ["plain,team"]),
        ("doctor x", []),
        ("mount team /mn", ["dir,/mn"]),
        ("unmount /tmp/there-is-no-such-mou", []),
    ],
)
def test_words_are_completed(tmp_path, words, offered):
    config = tmp_path / "config.toml"
    config.write_text('[mounts.team]\nsource = "account/share"\n')
    assert complete(words, AZFUSE_CONFIG=str(config)) == offered


def test_what_is_broken_is_not_completed(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("no TOML")
    assert complete("mount te", AZFUSE_CONFIG=str(config)) == []


def complete(words: str, **variables: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "azfuse"],
        env={**os.environ, "_AZFUSE_COMPLETE": "bash_complete", "COMP_WORDS": f"azfuse {words}",
             "COMP_CWORD": str(len(words.split())), **variables},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_help_fits_a_screen():
    root = click.Context(cli, info_name="azfuse")
    for context, command in every_command(root):
        context.terminal_width = 80
        lines = command.get_help(context).splitlines()
        assert len(lines) <= 42, context.command_path
        assert max(map(len, lines)) <= 80, context.command_path
    # Where there is more to say than a name, there is an example.
    for context, command in every_command(root):
        if len(context.command_path.split()) == 2 and command.name not in (
            "list",
            "config",
            "demo",
        ):
            assert "Example" in (command.help or ""), context.command_path
