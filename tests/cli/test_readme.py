"""The README's examples work, and its tables tell the keys that are printed."""

import re
import shlex
from pathlib import Path

import pytest

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Command line\n")[2].partition("\n## ")[0]


def test_examples(good, endpoint):
    (block,) = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
    lines = [line for line in block.splitlines() if line.startswith("azfuse ")]
    assert len(lines) > 10
    connection = (
        f"AccountName={DEVELOPMENT_ACCOUNT};AccountKey={DEVELOPMENT_KEY};FileEndpoint={endpoint}"
    )
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        good(*words, AZURE_STORAGE_CONNECTION_STRING=connection)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("share list", ["share", "list", "{}"]),
        ("share show", ["share", "show", "{}/team"]),
        ("service show", ["service", "show", "{}"]),
        ("handles close", ["handles", "close", "{}/team", "--close-all"]),
        ("sas", ["sas", "share", "{}/team", "--permissions", "r", "--expiry", "1d"]),
    ],
)
def test_keys(good, endpoint, command, words):
    row = next(line for line in SECTION.splitlines() if line.startswith(f"| `{command}` | "))
    told = re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row.split("|")[2]))
    value = good(*(word.format(endpoint) for word in words), "--json").json
    assert list(value[0] if isinstance(value, list) else value) == told
