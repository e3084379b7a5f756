"""What each mount option means, for people: behind `-o help` and in mount.azfuse(8)."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class OptionText:
    """One option, or several that belong together, as they are written; and what they mean."""

    words: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Options under a heading."""

    title: str
    options: tuple[OptionText, ...]


GROUPS: Final = (
    Group("Source and access", (
        OptionText("ro, rw", "Read-only; read-write (default)."),
        OptionText("remount", "With ro, rw, noatime, nosuid, nodev, noexec: change the mount that "
                   "is there. remount,ro returns when everything is on the share."),
        OptionText("snapshot=TIME", "Mount a snapshot of the share, read-only. TIME is what "
                   "azfuse share list prints."),
        OptionText("credentials=FILE", "TOML with key, sas or connection_string, or the username= "
                   "and password= lines of mount.cifs. Only its owner may be able to read it."),
        OptionText("username=ACCOUNT", "The storage account, checked against the source."),
        OptionText("allow_other", "Let all users in, as far as modes allow; unless root, needs "
                   "user_allow_other in /etc/fuse.conf. What mount(8) mounts for root has it."),
        OptionText("allow_root", "Let root in beside you."),
    )),
    Group("Owners and modes", (
        OptionText("uid=USER, gid=GROUP", "Owner of what has none of its own; number or name "
                   "(default: who mounts)."),
        OptionText("forceuid, forcegid, noforceuid, noforcegid", "That owner for everything, "
                   "whatever the share notes."),
        OptionText("file_mode=MODE, dir_mode=MODE", "Mode of what has none of its own (0644, "
                   "0755)."),
        OptionText("umask=, fmask=, dmask=MODE", "The same as masks (022)."),
        OptionText("posix=metadata|acl|off", "Keep modes and owners on the share: as metadata "
                   "(default) or in security descriptors; or fix them for the mount."),
        OptionText("noperm, perm", "Leave permission checks to the service; check them here "
                   "(default, also called default_permissions)."),
    )),
    Group("Caches", (
        OptionText("actimeo=SECONDS, noac", "How long attributes and listings are believed (5); "
                   "noac is 0: always ask."),
        OptionText("acregmin=, acregmax=, acdirmin=, acdirmax=SECONDS", "The same for files and "
                   "for directories: first the least, twice as long each time something is found "
                   "unchanged, at most the most (actimeo)."),
        OptionText("cache-size=SIZE", "Bound on file content in memory (512M)."),
        OptionText("readahead=SIZE", "How far sequential readers are read ahead of (32M)."),
        OptionText("cache-dir=DIR", "Keep content on this machine's disk as well, across mounts "
                   "(off)."),
        OptionText("disk-cache-size=SIZE", "Bound on what is in cache-dir (10G)."),
    )),
    Group("Writing", (
        OptionText("writeback[=SECONDS]", "close waits for a journal on local disk instead of the "
                   "share; uploads begin after so many seconds (off; 0.2). fsync means the share."),
        OptionText("dirty-expire=SECONDS", "When data of files still open is uploaded (5)."),
        OptionText("lease=off|auto|always", "Keep other clients from writing a file while it is "
                   "uploaded in more than one request (auto), or whenever it is written."),
        OptionText("lease-wait=SECONDS", "How long programs wait for a lease of somebody else "
                   "before they get EBUSY (0)."),
        OptionText("exclusive=local|atomic", "atomic: O_EXCL, mkdir, symlink and mknod are locks "
                   "between mounts, for two requests a file (local)."),
        OptionText("sync, async, dirsync", "As for any file system."),
    )),
    Group("Requests", (
        OptionText("max-transfers=N", "Range requests at once (16); four times as many small ones "
                   "beside them."),
        OptionText("retry-timeout=SECONDS", "How long a request is tried before programs get an "
                   "error (120)."),
        OptionText("mount-timeout=SECONDS", "How long a mount is tried while the service does not "
                   "answer (10; 80 while the machine boots)."),
    )),
    Group("Running", (
        OptionText("foreground", "As -f: do not become a daemon."),
        OptionText("log-level=LEVEL", "debug, info (default), warning or error."),
        OptionText("log-format=text|json", "Lines for people (default), or one JSON object each. "
                   "The journal of systemd gets fields in both."),
        OptionText("log-file=FILE", "Where the log goes (the journal or syslog; standard error in "
                   "the foreground)."),
        OptionText("metrics=PORT", "Figures for Prometheus at http://127.0.0.1:PORT/metrics."),
        OptionText("state-dir=DIR", "What outlives a mount: journal, leases, inode numbers "
                   "(/var/lib/azfuse, or ~/.local/state/azfuse)."),
        OptionText("atime, noatime, dev, nodev, suid, nosuid, exec, noexec, auto_unmount",
                   "As for any FUSE mount."),
    )),
)  # fmt: skip


def help_text() -> str:
    """Return all options as a text of lines that a terminal shows."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "Options of azfuse mount, mount -t azfuse and fstab(5). Defaults are in"
    yield "parentheses, dashes and underscores alike, sizes written 512M, 10G."
    for group in GROUPS:
        yield f"\n{group.title}:"
        for option in group.options:
            yield f"  {option.words}"
            yield textwrap.fill(
                option.text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
    yield "\nOptions of mount(8) and systemd (nofail, _netdev, x-...) and those of"
    yield "mount.cifs that change nothing here (serverino, nobrl, vers=, ...) are"
    yield "accepted and ignored."
