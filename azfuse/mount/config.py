"""The config file: defaults of every mount, and mounts with a name.

    [defaults]
    cache-size = "1G"

    [mounts.team]
    source = "account/share"
    mountpoint = "/srv/team"
    credentials = "team.credentials"    # relative to the directory of this file

The names are those of `-o` (azfuse.mount.options knows them). Without `--config`
the file of the machine is read and then the one of the user, whose words win.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from azfuse.mount.errors import UsageError
from azfuse.mount.options import did_you_mean, field_of, kind_of, parse_options
from azfuse.mount.source import parse_source

SYSTEM_FILE: Final = Path("/etc/azfuse/config.toml")
_TABLES: Final = ("defaults", "mounts")
#: Keys of a named mount that are no options.
_PLACE: Final = ("source", "mountpoint")

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One word on an option: what `-o` would say, and where it was said.

    An empty `word` takes back what was said before.
    """

    name: str
    word: str
    origin: str


@dataclass(frozen=True, slots=True)
class NamedMount:
    """A table `[mounts.NAME]`. Source and mount point may be missing."""

    name: str
    origin: str
    source: str | None
    mount_point: str | None
    settings: tuple[Setting, ...]
    #: Where `source` and `mountpoint` are said, those of them that are.
    places: Mapping[str, str]


class NoConfigFileError(UsageError):
    """A config file that is not there, or that cannot be read."""


@dataclass
class ConfigFile:
    """One file, read and checked as far as its words go. `problems` are sentences."""

    path: Path
    text: str
    defaults: list[Setting] = field(default_factory=list)
    mounts: dict[str, NamedMount] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @cached_property
    def _lines(self) -> dict[Key, int]:
        """Find the line of every key.

        tomllib does not tell, but it can be asked: a key begins on the line after the
        longest beginning of the file that can be read and does not have it yet.
        """
        found: dict[Key, int] = {}
        lines = self.text.splitlines(keepends=True)
        good = 0
        for count in range(1, len(lines) + 1):
            try:
                content = tomllib.loads("".join(lines[:count]))
            except tomllib.TOMLDecodeError:
                continue  # within a value of several lines
            for key in _keys(content):
                found.setdefault(key, good + 1)
            good = count
        return found

    def where(self, key: Key) -> str:
        """Return `FILE:LINE` of *key*."""
        return f"{self.path}:{self._lines.get(key, 1)}"

    def complain(self, key: Key, text: str) -> None:
        """Note that *key* cannot be what was meant."""
        self.problems.append(f"{self.where(key)}: {'.'.join(key)}: {text}")


def _keys(content: Mapping[str, object], above: Key = ()) -> Iterator[Key]:
    for name, value in content.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _keys(value, (*above, name))


def read_config_file(path: Path) -> ConfigFile:
    """Read *path*; what is wrong in it is in `problems`.

    Raises NoConfigFileError, or another UsageError if it is no TOML.
    """
    try:
        file = ConfigFile(path, path.read_text(encoding="utf-8"))
        content = tomllib.loads(file.text)
    except OSError as error:
        raise NoConfigFileError(f"config file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"config file {path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"config file {path} is not TOML: {error}") from None
    for name, value in content.items():
        if name not in _TABLES:
            file.complain((name,), f"unknown table{_near(name, _TABLES)}")
        elif not isinstance(value, dict):
            file.complain((name,), f"a table is needed: [{name}]")
        elif name == "defaults":
            file.defaults += _settings(file, (name,), value)
        else:
            _read_mounts(file, value)
    return file


def _read_mounts(file: ConfigFile, content: Mapping[str, object]) -> None:
    for name, table in content.items():
        key = ("mounts", name)
        if not isinstance(table, dict):
            file.complain(key, f"a table is needed: [mounts.{name}]")
            continue
        if not name or "/" in name or ":" in name or "\\" in name:
            file.complain(key, "a name without slashes and colons is needed")
        place = {word: table.get(word) for word in _PLACE}
        for word, value in place.items():
            if value is not None and (not isinstance(value, str) or not value):
                file.complain((*key, word), "a string is needed")
                place[word] = None
        source, mount_point = (
            value if isinstance(value, str) else None for value in place.values()
        )
        if source is not None:
            try:
                parse_source(source)
            except UsageError as error:
                file.complain((*key, "source"), str(error))
        elif "source" not in table:
            file.complain(key, 'a source is needed: source = "account/share"')
        options = {word: value for word, value in table.items() if word not in _PLACE}
        settings = tuple(_settings(file, key, options, _PLACE))
        if mount_point is not None:
            mount_point = str(file.path.parent.absolute() / Path(mount_point).expanduser())
        places = {word: file.where((*key, word)) for word in _PLACE if word in table}
        file.mounts[name] = NamedMount(name, file.where(key), source, mount_point, settings, places)


def _settings(
    file: ConfigFile, above: Key, table: Mapping[str, object], others: Sequence[str] = ()
) -> Iterator[Setting]:
    """Yield what *table* says about options; complain about what cannot be."""
    for written, value in table.items():
        key, name = (*above, written), written.replace("_", "-")
        kind = kind_of(name)
        if kind is None:
            file.complain(key, f"unknown option{_near(name, others) or did_you_mean(name)}")
        elif kind == "secret":
            file.complain(key, 'secrets do not belong here; use credentials = "FILE"')
        elif isinstance(value, bool):
            if value and kind not in ("flag", "bare"):
                file.complain(key, "a value is needed, not true")
            else:
                yield Setting(name, name if value else "", file.where(key))
        elif kind == "flag":
            file.complain(key, "true or false is needed")
        elif kind == "mode" and not isinstance(value, str):
            file.complain(key, 'octal permission bits are written as a string, such as "0755"')
        elif not isinstance(value, str | int | float):
            file.complain(key, "a string or a number is needed")
        else:
            text = str(value).strip()
            if kind == "path" and text:
                text = str(file.path.parent.absolute() / Path(text).expanduser())
            word = f"{name}={_quote(text)}"
            if complaint := _complaint(word, f"option {name}={text}: "):
                file.complain(key, complaint)
            else:
                yield Setting(name, word, file.where(key))


def _quote(text: str) -> str:
    return "".join(f"\\{char}" if char in ',\\"' else char for char in text)


def _complaint(word: str, prefix: str) -> str:
    """Say what is wrong with one *word* by itself; empty if nothing is."""
    # That the cache on disk needs a directory is a matter of all words together.
    beside = ["cache-dir=/"] if word.startswith("disk-cache-size=") else []
    try:
        parse_options([word, *beside])
    except UsageError as error:
        return str(error).removeprefix(prefix)
    return ""


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def config_paths(environ: Mapping[str, str], chosen: Path | None = None) -> list[Path]:
    """Return the files to read, the weaker first.

    *chosen* or what AZFUSE_CONFIG names, alone; else those of machine and user that exist.
    """
    if chosen is None and environ.get("AZFUSE_CONFIG"):
        chosen = Path(environ["AZFUSE_CONFIG"])
    if chosen is not None:
        return [chosen]
    base = environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    paths = [SYSTEM_FILE, Path(base) / "azfuse/config.toml"]
    return [path for path in paths if os.path.lexists(path)]


@dataclass(frozen=True, slots=True)
class Config:
    """What all config files say together, the stronger last."""

    files: tuple[ConfigFile, ...] = ()

    @property
    def defaults(self) -> list[Setting]:
        """Return the words on every mount, the stronger last."""
        return [setting for file in self.files for setting in file.defaults]

    @property
    def mounts(self) -> dict[str, NamedMount]:
        """Return the named mounts; of two with one name that of the stronger file."""
        return {name: mount for file in self.files for name, mount in file.mounts.items()}


def read_config(paths: Sequence[Path]) -> Config:
    """Read all *paths*. Raises UsageError with the first thing that is wrong."""
    files = tuple(read_config_file(path) for path in paths)
    for file in files:
        if file.problems:
            raise UsageError(file.problems[0])
    return Config(files)


def override(settings: Sequence[Setting]) -> dict[str, Setting]:
    """Return the last word on each thing that options decide (see options.field_of)."""
    last: dict[str, Setting] = {}
    for setting in settings:
        thing = field_of(setting.name)
        last.pop(thing, None)
        if setting.word:
            last[thing] = setting
    return last
