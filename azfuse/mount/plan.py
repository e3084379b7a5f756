"""Everything that a mount needs to know, read from words and checked, before any of it is done."""

import hashlib
import os
import pwd
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azfuse.cache.diskstore import prepare_directory
from azfuse.fuse.settings import FileSystemSettings
from azfuse.mount.choice import choose
from azfuse.mount.credentials import Login, find_login
from azfuse.mount.errors import MountError, UsageError
from azfuse.mount.mountpoint import check_machine, check_mount_point
from azfuse.mount.options import MountOptions
from azfuse.mount.source import Source, parse_source
from azfuse.mount.unmount import clear_dead_mount


@dataclass(frozen=True, slots=True)
class Plan:
    """One mount to be made."""

    source: Source
    mount_point: Path
    options: MountOptions
    login: Login
    settings: FileSystemSettings


def make_plan(
    source_text: str,
    mount_point_text: str | None,
    option_texts: Sequence[str],
    environ: MutableMapping[str, str],
    *,
    sloppy: bool = False,
    config_file: Path | None = None,
) -> Plan:
    """Read and check all words of a mount. Raises UsageError and MountError.

    *source_text* may be a name that the config file gives a mount (see choice.choose).
    Contacts nobody. Removes secrets from *environ*, and from the mount point what a killed
    process has left there.
    """
    choice = choose(
        source_text,
        mount_point_text or None,  # a systemd unit has an empty one
        option_texts,
        environ,
        config_file=config_file,
        sloppy=sloppy,
    )
    source, options = parse_source(choice.source), choice.options
    _check_username(options.username, source)
    if choice.mount_point is None:
        missing = "Missing argument 'MOUNTPOINT'."
        raise UsageError(missing if mount_point_text is None else "the mount point must be named")
    clear_dead_mount(choice.mount_point)
    mount_point = check_mount_point(choice.mount_point)
    login = find_login(source, options.credentials, environ)
    check_machine(allow_other=options.allow_other)
    state_dir = _state_dir(options.state_dir or default_state_dir(), login, source)
    if options.cache_dir is not None:
        _check_cache_dir(options.cache_dir, mount_point)
    return Plan(source, mount_point, options, login, options.settings(source, state_dir))


def _check_username(name: str | None, source: Source) -> None:
    """Compare the word of mount.cifs; `user=` may also be mount(8) telling whose mount it is."""
    if name not in {None, source.account, _login_name()}:
        raise UsageError(
            f"the source names account {source.account}, but option username account {name}"
        )


def _login_name() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may give its user no name
        return None


def default_state_dir() -> Path:
    """Return where state goes without `state-dir`: the machine's place, or the user's."""
    if os.geteuid() == 0:
        return Path("/var/lib/azfuse")
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base) / "azfuse" if base else Path.home() / ".local/state/azfuse"


def _state_dir(base: Path, login: Login, source: Source) -> Path:
    """Make the directory of this share: leases and inode numbers are kept across restarts."""
    identity = f"{login.endpoint}/{source.share}"
    digest = hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]
    path = base / f"{source.account}.{source.share}.{digest}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MountError(f"the state directory {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise MountError(f"the state directory {path} is not writable")
    return path


def _check_cache_dir(path: Path, mount_point: Path) -> None:
    """Make the directory of the cache on disk, or see that it may be used."""
    if path.resolve().is_relative_to(mount_point.resolve()):
        raise UsageError(f"option cache-dir={path}: it cannot be on the mount that it serves")
    try:
        prepare_directory(path)
    except OSError as error:
        raise UsageError(f"option cache-dir={path} cannot be used: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise UsageError(f"option cache-dir={path} cannot be used: it is not writable")
