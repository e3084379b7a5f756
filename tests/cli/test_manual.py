"""The manual pages and shell completion: whole, and well-formed."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from azfuse.cli.main import cli
from azfuse.cli.manual import every_command, main, pages
from azfuse.cli.manual_keys import keys_of, takes
from azfuse.mount.credentials import SECRET_VARIABLES, read_credentials_file
from azfuse.mount.option_texts import GROUPS
from azfuse.mount.options import option_names, parse_options


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


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("lease", '"off", "auto" or "always".'),
        ("posix", '"metadata", "acl" or "off".'),
        ("exclusive", '"local" or "atomic".'),
        ("log-level", '"debug", "info", "warning" or "error".'),
        ("log-format", '"text" or "json".'),
        ("username", "The name of an account in quotes."),
        ("cache-size", 'A size in quotes, such as "512M" or "10G", or a number of bytes.'),
        ("retry-timeout", "A number of seconds."),
        ("writeback", "True, false, or a number of seconds."),
        ("ro", "True or false."),
        ("noac", "actimeo: a number of seconds. noac: true or false."),
        ("default-permissions", "True or false."),
        ("credentials", "A path in quotes."),
    ],
)
def test_every_key_says_what_it_takes(name, taken):
    page = plain(pages()["azfuse.toml.5"])
    behind = page.partition(f".B {name}\n")[2].splitlines()
    # Several keys for one thing stand above one text.
    assert next(line for line in behind if not line.startswith(".")) == taken


def test_keys_are_explained_once_with_words_that_are_taken():
    for key in option_names():
        for word in re.findall('"([a-z]+)"', takes([key])):
            parse_options([f"{key}={word}"])
        explained = [key in keys_of(option) for group in GROUPS for option in group.options]
        assert explained.count(True) == 1, key


def test_the_page_of_the_file_explains_its_keys():
    page = plain(pages()["azfuse.toml.5"])
    assert "Show and check" not in page
    for word in ("AZFUSE_CONFIG", "--config", "[defaults]", "source", "mountpoint", "azfuse(1)"):
        assert word in page
    for option in (option for group in GROUPS for option in group.options):
        assert plain(option.text) in page or not keys_of(option)


@pytest.mark.parametrize("name", ["azfuse.1", "mount.azfuse.8"])
def test_environment_and_credentials_are_told(name):
    page = plain(pages()[name])
    for variable in (
        *SECRET_VARIABLES, "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_AUTH_MODE=login",
        "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZFUSE_CONFIG",
        "AZFUSE_<OPTION>", "AZFUSE_CACHE_SIZE",
    ):  # fmt: skip
        assert variable in page.partition(".SH ENVIRONMENT")[2].partition(".SH ")[0]
    told = page.partition(".SH CREDENTIALS\n")[2].partition(".SH ")[0]
    assert "LoadCredential=azfuse:/" in told
    assert "0600" in told


@pytest.mark.parametrize("index", [0, 1])
def test_the_example_of_a_credentials_file_can_be_read(tmp_path, index):
    shown = plain(pages()["azfuse.1"]).partition(".SH CREDENTIALS\n")[2]
    example = shown.split(".nf\n")[1 + index].partition(".fi\n")[0]
    file = tmp_path / "share.cred"
    file.write_text(inspect.cleandoc(example))
    file.chmod(0o600)
    assert read_credentials_file(file) == {
        "AZURE_STORAGE_ACCOUNT": "myaccount",
        "AZURE_STORAGE_KEY": "bXkga2V5...",
    }


def test_the_main_command_and_its_statuses_are_told():
    page = plain(pages()["azfuse.1"])
    options = page.partition(".SH OPTIONS\n")[2].partition(".SH ")[0]
    for option in ("--debug", "--version", "-h, --help"):
        assert f".B {option}\n" in options
    assert "-h, --help" in plain(pages()["azfuse-emulator.1"])
    assert "3 for a mount that the service refuses" in page.partition(".SH EXIT STATUS\n")[2]


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
