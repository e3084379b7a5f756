r"""`-o name=value,...`: every option of a mount, as mount(8) and fstab(5) write them.

Dashes and underscores are alike (`cache-size`, `cache_size`); the last of two
words for one thing wins; a comma inside a value is quoted (`"a,b"`) or escaped
(`a\,b`).
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal, cast

from azfuse.cache.metadata import Belief
from azfuse.fuse.settings import FileSystemSettings
from azfuse.mount import cifs, values
from azfuse.mount.errors import UsageError
from azfuse.mount.logs import LogFormat
from azfuse.mount.source import Source

Posix = Literal["metadata", "acl", "off"]
LeaseUse = Literal["off", "auto", "always"]
Exclusive = Literal["local", "atomic"]
LogLevel = Literal["debug", "info", "warning", "error"]
#: `bare` may stand with or without a value, `secret` nowhere.
OptionKind = Literal["flag", "bare", "path", "mode", "value", "secret"]


#: What a person at a terminal will wait to hear that nobody answers, in seconds.
FIRST_CONTACT_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """The options of one mount. Sizes are bytes, times are seconds."""

    read_only: bool = False
    #: Change the mount that is there instead of making one.
    remount: bool = False
    allow_other: bool = False
    allow_root: bool = False
    uid: int | None = None
    gid: int | None = None
    #: Owners noted on the share are not looked at: everything belongs to uid, to gid.
    force_uid: bool = False
    force_gid: bool = False
    #: The kernel checks permission bits.
    check_permissions: bool = True
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
    mount_timeout: float | None = None
    lease: LeaseUse = "auto"
    lease_wait: float = 0.0
    exclusive: Exclusive = "local"
    snapshot: str | None = None
    #: The account, which the source names anyway.
    username: str | None = None
    credentials: Path | None = None
    state_dir: Path | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    log_file: Path | None = None
    foreground: bool = False
    metrics: values.MetricsAddress | None = None
    #: Words that the kernel's side of FUSE takes as they are (`noatime`, `nodev`, ...).
    fuse_words: frozenset[str] = frozenset()
    #: Words that are not for us: accepted, as mount(8) expects of its helpers.
    ignored: tuple[str, ...] = ()
    #: The fields above that somebody chose, and what `fuse_words` decide.
    given: frozenset[str] = frozenset()

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
            force_uid=self.force_uid,
            force_gid=self.force_gid,
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

    @property
    def first_contact_timeout(self) -> float:
        """Seconds for which a mount is tried; once it works, `retry_timeout` holds."""
        if self.mount_timeout is not None:
            return self.mount_timeout
        return min(self.retry_timeout, FIRST_CONTACT_TIMEOUT)

    def texts(self) -> dict[str, str]:
        """Return what each field is, for people and for comparisons with another process."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}

    def _belief(self, least: float | None, most: float | None) -> Belief:
        """Fill in with `actimeo` what was not given, moved as far as what was given demands."""
        if least is None:
            least = self.actimeo if most is None else min(self.actimeo, most)
        return Belief(least, max(self.actimeo, least) if most is None else most)

    def fuse_options(self, source: Source) -> set[str]:
        """Make the option set of pyfuse3.init (design notes, section 1.2)."""
        # libfuse joins these with commas and takes a backslash as an escape.
        shown = re.sub(r"([\\,])", r"\\\1", source.text)
        options = {"subtype=azfuse", f"fsname={shown}", *self.fuse_words}
        if self.check_permissions:
            options.add("default_permissions")
        if self.read_only or self.snapshot is not None:
            options.add("ro")
        if self.allow_other:
            options.add("allow_other")
        elif self.allow_root:
            options.add("allow_root")
        return options


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


#: Options with a value: name (with dashes) -> converter. The field has the name with underscores.
_VALUES: Final[dict[str, Callable[[str, str], object]]] = {
    "uid": values.user,
    "gid": values.group,
    "umask": values.mode,
    "fmask": values.mode,
    "dmask": values.mode,
    "file-mode": values.mode,
    "dir-mode": values.mode,
    "posix": values.word("metadata", "acl", "off"),
    "actimeo": values.seconds,
    "acregmin": values.seconds,
    "acregmax": values.seconds,
    "acdirmin": values.seconds,
    "acdirmax": values.seconds,
    "cache-size": values.cache_size,
    "cache-dir": values.path,
    "disk-cache-size": values.disk_cache_size,
    "readahead": values.size,
    "max-transfers": lambda name, text: values.number(name, text, least=1, most=256),
    "dirty-expire": values.seconds,
    "writeback": values.seconds,
    "retry-timeout": values.seconds,
    "mount-timeout": values.seconds,
    "lease": values.word("off", "auto", "always"),
    "lease-wait": values.seconds,
    "exclusive": values.word("local", "atomic"),
    "snapshot": values.snapshot,
    "username": values.account,
    "credentials": values.path,
    "state-dir": values.path,
    "log-level": values.word("debug", "info", "warning", "error"),
    "log-format": values.word("text", "json"),
    "log-file": values.path,
    "metrics": values.metrics,
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
    "forceuid": ("force_uid", True),
    "noforceuid": ("force_uid", False),
    "forcegid": ("force_gid", True),
    "noforcegid": ("force_gid", False),
    "noperm": ("check_permissions", False),
    "perm": ("check_permissions", True),
    "default-permissions": ("check_permissions", True),
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
#: For mount(8), systemd and the kernel's generic layer; and words of mount.cifs.
_IGNORED: Final = frozenset({
    "-netdev", "-rnetdev", "nofail", "auto", "noauto", "user", "nouser", "users", "nousers",
    "owner", "noowner", "group", "nogroup", "defaults", "relatime", "norelatime", "strictatime",
    "nostrictatime", "lazytime", "nolazytime", "diratime", "nodiratime", "iversion", "noiversion",
    "mand", "nomand", "silent", "loud", "comment", "helper", "uhelper", "remount",
    *cifs.IGNORED,
})  # fmt: skip
#: What a secret would be called, here and by mount.cifs.
_SECRETS: Final = frozenset({
    "sas", "sas-token", "key", "account-key", "access-key", "password", "password2", "pass",
    "secret", "token", "connection-string", "sig",
})  # fmt: skip
_PREFIXES_IGNORED: Final = ("x-", "X-")
#: What mount(8) repeats to us from /proc/self/mountinfo when it remounts.
_SHOWN_BY_KERNEL: Final = frozenset({"user-id", "group-id", "max-read", "blksize"})


def split_options(text: str) -> Iterator[tuple[str, str | None]]:
    r"""Split `a,b=c,d="e,f",g=h\,i` into names and values; None is an absent value."""
    for item in re.findall(r'(?:[^,"\\]|\\.|"[^"]*"?|\\$)+', text):
        if item.count('"') % 2:
            raise UsageError(f"the options hold a quote that is not closed: {_name_of(item)}")
        plain = re.sub(r'"|\\([,\\"])', r"\1", item).strip()
        name, equals, value = plain.partition("=")
        if not name:
            if equals:
                raise UsageError("the options hold a value without a name")
            continue
        yield name, value if equals else None


def is_remount(texts: Iterable[str]) -> bool:
    """Say whether the words ask for a change of the mount that is there. Raises UsageError."""
    return any(name == "remount" for text in texts for name, _ in split_options(text))


def _name_of(item: str) -> str:
    """Return the name only: what follows might be a secret."""
    return item.partition("=")[0]


def parse_options(texts: Iterable[str], *, sloppy: bool = False) -> MountOptions:
    """Read every `-o` of a command line. Raises UsageError.

    `sloppy` ignores unknown options, as `mount -s` asks for.
    """
    chosen: dict[str, object] = {}
    fuse_words: dict[str, str] = {}
    ignored: list[str] = []
    texts = list(texts)
    remount = is_remount(texts)
    for text in texts:
        for written, value in split_options(text):
            name = written.replace("_", "-")
            name = cifs.ALIASES.get(name, name)
            if name == "user" and value is not None:
                name = "username"  # of mount.cifs; alone it is a word of mount(8)
            if reason := cifs.refusal(name, value):
                raise UsageError(f"option {written} cannot be had: {reason}")
            if name in _SECRETS:
                raise UsageError(
                    f"option {written}: credentials do not belong on the command line; "
                    "use -o credentials=FILE or the environment"
                )
            if name in _VALUES:
                value = _BARE.get(name) if value is None else value
                if value is None:
                    raise UsageError(f"option {written} needs a value: {written}=...")
                chosen[name.replace("-", "_")] = _VALUES[name](written, value)
            elif (
                name in _IGNORED
                or name.startswith(_PREFIXES_IGNORED)
                or (remount and name in _SHOWN_BY_KERNEL)
            ):
                ignored.append(written)
            elif name in _FLAGS or name in _FUSE_WORDS:
                if value is not None:
                    raise UsageError(f"option {written} takes no value")
                if name in _FLAGS:
                    field, flag = _FLAGS[name]
                    chosen[field] = flag
                else:
                    fuse_words[_FUSE_WORDS[name]] = name
            elif sloppy:
                ignored.append(written)
            else:
                raise UsageError(_unknown(written, name))
    if "disk_cache_size" in chosen and "cache_dir" not in chosen:
        raise UsageError("option disk-cache-size says nothing without cache-dir=DIR")
    for_fuse = frozenset(
        word.replace("-", "_") for word in fuse_words.values() if word not in _FUSE_DEFAULTS
    )
    # The tables above pair each field with a converter of its type.
    options = cast("Callable[..., MountOptions]", replace)(MountOptions(remount=remount), **chosen)
    _check_bounds("acreg", options.acregmin, options.acregmax)
    _check_bounds("acdir", options.acdirmin, options.acdirmax)
    given = frozenset({*chosen, *fuse_words})
    return replace(options, fuse_words=for_fuse, ignored=tuple(ignored), given=given)


def _check_bounds(name: str, least: float | None, most: float | None) -> None:
    if least is not None and most is not None and least > most:
        raise UsageError(
            f"options {name}min={least:g} and {name}max={most:g}: the least is more than the most"
        )


def _unknown(written: str, name: str) -> str:
    return f"unknown option {written}{did_you_mean(name) or '; azfuse mount -o help lists all'}"


def did_you_mean(name: str) -> str:
    """Return `; did you mean X?` for the option nearest to *name*, empty where none is near."""
    near = difflib.get_close_matches(name, sorted({*_VALUES, *_FLAGS, *_FUSE_WORDS}), 1, 0.75)
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
    return "path" if converter is values.path else "mode" if converter is values.mode else "value"


def option_names() -> list[str]:
    """Return the names of all options that decide something, with dashes."""
    return [*_VALUES, *_FLAGS, *_FUSE_WORDS]


def field_of(name: str) -> str:
    """Return what the option *name* decides: two with the same answer override each other."""
    if name in _FLAGS:
        return _FLAGS[name][0]
    return _FUSE_WORDS.get(name, name).replace("-", "_")
