"""Commands run in this process against an emulator in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from azfuse.cli.main import main
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def table(self) -> list[list[str]]:
        """Return the cells of a printed table, without its head."""
        return [line.split() for line in self.out.splitlines()[1:]]


Command = Callable[..., Done]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """An emulator with the share `team`."""
    words = ["--in-memory", "--port", "0", "--create-share", "team"]
    process = subprocess.Popen(
        [sys.executable, "-m", "azfuse", "emulator", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield f"{line.rpartition(' ')[2].strip()}/{DEVELOPMENT_ACCOUNT}"
        finally:
            process.terminate()


@pytest.fixture
def azfuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with *words* and environment variables."""
    for name in list(os.environ):
        if name.startswith("AZURE_"):
            monkeypatch.delenv(name)

    def run(*words: str, **variables: str) -> Done:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        for name in variables:
            monkeypatch.delenv(name, raising=False)
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        for text in (captured.out, captured.err):
            assert DEVELOPMENT_KEY not in text
            assert "Traceback" not in text
        return Done(ended.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def good(azfuse: Command) -> Command:
    """Run a command that must do well."""

    def run(*words: str, **variables: str) -> Done:
        done = azfuse(*words, **variables)
        assert (done.status, done.err) == (0, ""), done
        return done

    return run


@pytest.fixture
def refused(azfuse: Command) -> Callable[..., str]:
    """Run a command that must fail with *status* and one sentence, which is returned."""

    def run(status: int, *words: str, **variables: str) -> str:
        done = azfuse(*words, **variables)
        assert (done.status, done.out) == (status, ""), done
        assert done.err.startswith("azfuse: "), done
        assert done.err.count("\n") == 1, done
        return done.err.removeprefix("azfuse: ").strip()

    return run
