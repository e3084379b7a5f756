"""What commands print: JSON for programs, aligned tables for people."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

import click

from azfuse.mount.units import plain_text
from azfuse.rest.wire import format_seconds

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: How words of keys are written for people.
_WORDS: Final = {
    "etag": "ETag", "iops": "IOPS", "mibps": "MiB/s", "nfs": "NFS", "smb": "SMB", "id": "ID",
}  # fmt: skip
#: What is shown where there is nothing.
_NOTHING: Final = "-"


def show_rows(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool
) -> None:
    """Print *rows*: as JSON with all they hold, else a table of *columns* (keys)."""
    if as_json:
        _echo_json(list(rows))
        return
    table = [[_title(column).upper() for column in columns]]
    table += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        padded = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def show_object(fields: Mapping[str, object], *, as_json: bool) -> None:
    """Print *fields*: as a JSON object, else one line each."""
    if as_json:
        _echo_json(dict(fields))
        return
    titles = {key: f"{_title(key)}:" for key in fields}
    width = max(map(len, titles.values()), default=0)
    for key, value in fields.items():
        click.echo(f"{titles[key].ljust(width)}  {_cell(value)}")


def time_text(unix_ns: int | None) -> str | None:
    """Write an instant to the second, in UTC."""
    return None if unix_ns is None else format_seconds(unix_ns)


def _echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _title(key: str) -> str:
    words = [_WORDS.get(word.lower(), word.lower()) for word in _HUMP.split(key)]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _cell(value: object) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_cell(item) for item in value)
    return plain_text(str(value))
