r"""`-o name=value,...`: every option of a mount, as mount(8) and fstab(5) write them.

Dashes and underscores are alike (`cache-size`, `cache_size`); the last of two
words for one thing wins; a comma inside a value is quoted (`"a,b"`) or escaped
(`a\,b`).
"""

import difflib
import grp
import importlib
import ipaddress
import os
import pwd
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast

from azfuse.cache.metadata import Belief
from azfuse.fuse.settings import FileSystemSettings
from azfuse.mount.errors import UsageError
from azfuse.mount.source import Source
from azfuse.rest.wire import parse_time

Posix = Literal["metadata", "acl", "off"]
LeaseUse = Literal["off", "auto", "always"]
Exclusive = Literal["local", "atomic"]
LogLevel = Literal["debug", "info", "warning", "error"]
#: `bare` may stand with or without a value, `secret` nowhere.
OptionKind = Literal["flag", "bare", "path", "mode", "value", "secret"]

#: Two blocks being filled and two being sent: less than that cannot work.
MIN_CACHE_SIZE: Final = 16 * 1024 * 1024
#: A few large files' worth of blocks: below that it would do more work than good.
MIN_DISK_CACHE_SIZE: Final = 64 * 1024 * 1024
_SIZE_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Where metrics are served: a loopback address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """The options of one mount. Sizes are bytes, times are seconds."""

    read_only: bool = False
    allow_other: bool = False
    allow_root: bool = False
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    fmask: int | None = None
    dmask: int | None = None
    file_mode: int | None = None
    dir_mode: int | None = None
    posix: Posix = "metadata"
    actimeo: float = 5.0
    acregmin: float | None = None
    acregmax: float | None = None
    acdirmin: float | None = None
    acdirmax: float | None = None
    cache_size: int = 512 * 1024 * 1024
    cache_dir: Path | None = None
    disk_cache_size: int = 10 * 1024**3
    readahead: int = 32 * 1024 * 1024
    max_transfers: int = 16
    dirty_expire: float = 5.0
    writeback: float | None = None
    retry_timeout: float = 120.0
    lease: LeaseUse = "auto"
    lease_wait: float = 0.0
    exclusive: Exclusive = "local"
    snapshot: str | None = None
    credentials: Path | None = None
    state_dir: Path | None = None
    log_level: LogLevel = "info"
    log_file: Path | None = None
    foreground: bool = False
    metrics: MetricsAddress | None = None
    #: Words that the kernel's side of FUSE takes as they are (`noatime`, `nodev`, ...).
    fuse_words: frozenset[str] = frozenset()
    #: Words that are not for us: accepted, as mount(8) expects of its helpers.
    ignored: tuple[str, ...] = ()

    def settings(self, source: Source, state_dir: Path) -> FileSystemSettings:
        """Say to the file system what was chosen; what was not belongs to the caller."""
        file_mask = _first(self.fmask, self.umask, 0o022)
        dir_mask = _first(self.dmask, self.umask, 0o022)
        return FileSystemSettings(
            directory=source.directory,
            snapshot=self.snapshot,
            read_only=self.read_only or self.snapshot is not None,
            uid=_first(self.uid, os.getuid()),
            gid=_first(self.gid, os.getgid()),
            file_mode=_first(self.file_mode, 0o666 & ~file_mask),
            dir_mode=_first(self.dir_mode, 0o777 & ~dir_mask),
            posix=self.posix,
            files=self._belief(self.acregmin, self.acregmax),
            directories=self._belief(self.acdirmin, self.acdirmax),
            cache_size=self.cache_size,
            cache_dir=self.cache_dir,
            disk_cache_size=self.disk_cache_size,
            readahead=self.readahead,
            max_transfers=self.max_transfers,
            dirty_expire=self.dirty_expire,
            writeback=self.writeback,
            lease=self.lease,
            lease_wait=self.lease_wait,
            exclusive=self.exclusive,
            state_dir=state_dir,
        )

    def _belief(self, least: float | None, most: float | None) -> Belief:
        """Fill in with `actimeo` what was not given, moved as far as what was given demands."""
        if least is None:
            least = self.actimeo if most is None else min(self.actimeo, most)
        return Belief(least, max(self.actimeo, least) if most is None else most)

    def fuse_options(self, source: Source) -> set[str]:
        """Make the option set of pyfuse3.init (design notes, section 1.2)."""
        # libfuse joins these with commas and takes a backslash as an escape.
        shown = re.sub(r"([\\,])", r"\\\1", source.text)
        options = {"default_permissions", "subtype=azfuse", f"fsname={shown}", *self.fuse_words}
        if self.read_only or self.snapshot is not None:
            options.add("ro")
        if self.allow_other:
            options.add("allow_other")
        elif self.allow_root:
            options.add("allow_root")
        return options


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _number(name: str, text: str, *, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]+", text) or not least <= int(text) <= most:
        raise UsageError(f"option {name}={text}: a whole number from {least} to {most} is needed")
    return int(text)


def _seconds(name: str, text: str) -> float:
    # A day is for ever as far as caches and retries are concerned.
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or float(text) > 86400:
        raise UsageError(f"option {name}={text}: seconds are needed, 0 to 86400")
    return float(text)


def _size(name: str, text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([KMGT]?)(i?B)?", text, re.IGNORECASE)
    if match is None:
        raise UsageError(f"option {name}={text}: a size such as 512M or 1G is needed")
    return int(match[1]) << _SIZE_UNITS[match[2].upper()]


def _cache_size(name: str, text: str) -> int:
    size = _size(name, text)
    if size < MIN_CACHE_SIZE:
        raise UsageError(f"option {name}={text}: the cache needs at least 16M")
    return size


def _disk_cache_size(name: str, text: str) -> int:
    size = _size(name, text)
    if size < MIN_DISK_CACHE_SIZE:
        raise UsageError(f"option {name}={text}: the cache on disk needs at least 64M")
    return size


def _mode(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-7]{1,5}", text) or int(text, 8) > 0o7777:
        raise UsageError(f"option {name}={text}: octal permission bits such as 0755 are needed")
    return int(text, 8)


def _user(name: str, text: str) -> int:
    try:
        return int(text) if text.isdecimal() else pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError(f"option {name}={text}: there is no such user") from None


def _group(name: str, text: str) -> int:
    try:
        return int(text) if text.isdecimal() else grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError(f"option {name}={text}: there is no such group") from None


def _path(name: str, text: str) -> Path:
    if not text:
        raise UsageError(f"option {name}: a path is needed")
    # Absolute now: a daemon changes its directory.
    return Path(text).expanduser().absolute()


def _metrics(name: str, text: str) -> MetricsAddress:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"option {name}={text}: a port, alone or behind a loopback address (127.0.0.1:9100, "
            "[::1]:9100), is needed; a proxy can show it to others"
        )
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"option {name}={text}: a port from 1 to 65535 is needed")
    try:
        importlib.import_module("prometheus_client")
    except ImportError:
        raise UsageError(
            f"option {name} needs the package prometheus-client: pip install 'azfuse[metrics]'"
        ) from None
    return MetricsAddress(host, int(port))


def _snapshot(name: str, text: str) -> str:
    try:
        parse_time(text)
    except ValueError:
        raise UsageError(
            f"option {name}={text}: the time of a snapshot such as "
            "2026-01-31T12:00:00.0000000Z is needed"
        ) from None
    return text


def _word(*choices: str) -> Callable[[str, str], str]:
    def convert(name: str, text: str) -> str:
        if text not in choices:
            raise UsageError(f"option {name}={text}: one of {', '.join(choices)} is needed")
        return text

    return convert


#: Options with a value: name (with dashes) -> converter. The field has the name with underscores.
_VALUES: Final[dict[str, Callable[[str, str], object]]] = {
    "uid": _user,
    "gid": _group,
    "umask": _mode,
    "fmask": _mode,
    "dmask": _mode,
    "file-mode": _mode,
    "dir-mode": _mode,
    "posix": _word("metadata", "acl", "off"),
    "actimeo": _seconds,
    "acregmin": _seconds,
    "acregmax": _seconds,
    "acdirmin": _seconds,
    "acdirmax": _seconds,
    "cache-size": _cache_size,
    "cache-dir": _path,
    "disk-cache-size": _disk_cache_size,
    "readahead": _size,
    "max-transfers": lambda name, text: _number(name, text, least=1, most=256),
    "dirty-expire": _seconds,
    "writeback": _seconds,
    "retry-timeout": _seconds,
    "lease": _word("off", "auto", "always"),
    "lease-wait": _seconds,
    "exclusive": _word("local", "atomic"),
    "snapshot": _snapshot,
    "credentials": _path,
    "state-dir": _path,
    "log-level": _word("debug", "info", "warning", "error"),
    "log-file": _path,
    "metrics": _metrics,
}
#: What options with a value mean without one.
_BARE: Final = {"writeback": "0.2"}
#: Options without a value: name -> field and what to put there.
_FLAGS: Final[dict[str, tuple[str, object]]] = {
    "ro": ("read_only", True),
    "rw": ("read_only", False),
    "noac": ("actimeo", 0.0),
    "allow-other": ("allow_other", True),
    "allow-root": ("allow_root", True),
    "foreground": ("foreground", True),
}
#: Options passed on to FUSE: name -> the thing they decide; the last word on each wins.
_FUSE_WORDS: Final = {
    "dev": "dev", "nodev": "dev", "suid": "suid", "nosuid": "suid", "exec": "exec",
    "noexec": "exec", "atime": "atime", "noatime": "atime", "sync": "sync", "async": "sync",
    "dirsync": "dirsync", "auto-unmount": "auto-unmount",
}  # fmt: skip
#: These say what is so anyway; libfuse does not know all of them.
_FUSE_DEFAULTS: Final = frozenset({"atime", "async"})
#: For mount(8), systemd and the kernel's generic layer; and what `mount -t cifs` lines carry
#: that azfuse does in any case, so that changing the type of such a line is enough.
_IGNORED: Final = frozenset({
    "-netdev", "-rnetdev", "nofail", "auto", "noauto", "user", "nouser", "users", "nousers",
    "owner", "noowner", "group", "nogroup", "defaults", "relatime", "norelatime", "strictatime",
    "nostrictatime", "lazytime", "nolazytime", "diratime", "nodiratime", "iversion", "noiversion",
    "mand", "nomand", "silent", "loud", "comment", "default-permissions", "helper", "uhelper",
    "serverino", "nosharesock", "mfsymlinks", "nobrl", "seal", "vers", "sec", "cache",
})  # fmt: skip
#: What a secret would be called, here and by mount.cifs.
_SECRETS: Final = frozenset({
    "sas", "sas-token", "key", "account-key", "access-key", "password", "password2", "pass",
    "secret", "token", "connection-string", "sig",
})  # fmt: skip
_PREFIXES_IGNORED: Final = ("x-", "X-")


def split_options(text: str) -> Iterator[tuple[str, str | None]]:
    r"""Split `a,b=c,d="e,f",g=h\,i` into names and values; None is an absent value."""
    for item in re.findall(r'(?:[^,"\\]|\\.|"[^"]*"?|\\$)+', text):
        if item.count('"') % 2:
            raise UsageError(f"the options hold a quote that is not closed: {_name_of(item)}")
        plain = re.sub(r'"|\\([,\\"])', r"\1", item).strip()
        name, equals, value = plain.partition("=")
        if name:
            yield name, value if equals else None


def _name_of(item: str) -> str:
    """Return the name only: what follows might be a secret."""
    return item.partition("=")[0]


def parse_options(texts: Iterable[str], *, sloppy: bool = False) -> MountOptions:
    """Read every `-o` of a command line. Raises UsageError.

    `sloppy` ignores unknown options, as `mount -s` asks for.
    """
    fields: dict[str, object] = {}
    fuse_words: dict[str, str] = {}
    ignored: list[str] = []
    for text in texts:
        for written, value in split_options(text):
            name = written.replace("_", "-")
            if name in _SECRETS:
                raise UsageError(
                    f"option {written}: credentials do not belong on the command line; "
                    "use -o credentials=FILE or the environment"
                )
            if name in _VALUES:
                value = _BARE.get(name) if value is None else value
                if value is None:
                    raise UsageError(f"option {written} needs a value: {written}=...")
                fields[name.replace("-", "_")] = _VALUES[name](written, value)
            elif name in _IGNORED or name.startswith(_PREFIXES_IGNORED):
                ignored.append(written)
            elif name in _FLAGS or name in _FUSE_WORDS:
                if value is not None:
                    raise UsageError(f"option {written} takes no value")
                if name in _FLAGS:
                    field, flag = _FLAGS[name]
                    fields[field] = flag
                else:
                    fuse_words[_FUSE_WORDS[name]] = name
            elif sloppy:
                ignored.append(written)
            else:
                raise UsageError(_unknown(written, name))
    if "disk_cache_size" in fields and "cache_dir" not in fields:
        raise UsageError("option disk-cache-size says nothing without cache-dir=DIR")
    chosen = frozenset(
        word.replace("-", "_") for word in fuse_words.values() if word not in _FUSE_DEFAULTS
    )
    # The tables above pair each field with a converter of its type.
    options = cast("Callable[..., MountOptions]", replace)(MountOptions(), **fields)
    _check_bounds("acreg", options.acregmin, options.acregmax)
    _check_bounds("acdir", options.acdirmin, options.acdirmax)
    return replace(options, fuse_words=chosen, ignored=tuple(ignored))


def _check_bounds(name: str, least: float | None, most: float | None) -> None:
    if least is not None and most is not None and least > most:
        raise UsageError(
            f"options {name}min={least:g} and {name}max={most:g}: the least is more than the most"
        )


def _unknown(written: str, name: str) -> str:
    if name == "remount":
        return "option remount: azfuse cannot change a mount; unmount it and mount it again"
    return f"unknown option {written}{did_you_mean(name) or '; see azfuse mount --help'}"


def did_you_mean(name: str) -> str:
    """Return `; did you mean X?` for the option nearest to *name*, empty where none is near."""
    near = difflib.get_close_matches(name, sorted({*_VALUES, *_FLAGS, *_FUSE_WORDS}), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def kind_of(name: str) -> OptionKind | None:
    """Say what the option *name* (with dashes) takes; None for one that does not exist."""
    if name in _SECRETS:
        return "secret"
    if name in _FLAGS or name in _FUSE_WORDS:
        return "flag"
    if name in _BARE:
        return "bare"
    converter = _VALUES.get(name)
    if converter is None:
        return None
    return "path" if converter is _path else "mode" if converter is _mode else "value"


def option_names() -> list[str]:
    """Return the names of all options that decide something, with dashes."""
    return [*_VALUES, *_FLAGS, *_FUSE_WORDS]


def field_of(name: str) -> str:
    """Return what the option *name* decides: two with the same answer override each other."""
    if name in _FLAGS:
        return _FLAGS[name][0]
    return _FUSE_WORDS.get(name, name).replace("-", "_")
