"""What a mount is told once, at its start."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from azfuse.cache.metadata import Belief

#: Longer than any mount lives, in seconds: what is in a snapshot never changes.
_FOR_GOOD: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystemSettings:
    """The choices of one mount. Sizes are bytes, times are seconds.

    `directory` is the share-relative path that becomes the root of the mount
    (empty for the share's own root).
    """

    directory: str = ""
    snapshot: str | None = None
    read_only: bool = False
    uid: int = 0
    gid: int = 0
    #: Everything belongs to `uid`, to `gid`, whatever is noted on the share.
    force_uid: bool = False
    force_gid: bool = False
    #: Permission bits of entries that carry none of their own.
    file_mode: int = 0o644
    dir_mode: int = 0o755
    #: `metadata`: modes and owners are kept as metadata. `acl`: in security descriptors.
    #: `off`: they are fixed.
    posix: Literal["metadata", "acl", "off"] = "metadata"
    #: How long attributes of files are believed.
    files: Belief = field(default_factory=Belief)
    #: How long attributes of directories, their listings and missing names are believed.
    directories: Belief = field(default_factory=Belief)
    #: Bound on cached file content.
    cache_size: int = 512 * 1024 * 1024
    #: How far sequential readers are read ahead of.
    readahead: int = 32 * 1024 * 1024
    #: Range requests in flight at once; four times as many small ones (cache/transfers.py).
    max_transfers: int = 16
    #: Dirty data older than this is uploaded even while its file stays open.
    dirty_expire: float = 5.0
    #: None: a close waits for the share. Else it waits for the journal, and the upload
    #: begins after so many seconds.
    writeback: float | None = None
    lease: Literal["off", "auto", "always"] = "auto"
    #: How long fsync, close and their like wait for the lease of somebody else.
    lease_wait: float = 0.0
    #: `atomic`: of several mounts that make one name exclusively, one succeeds.
    exclusive: Literal["local", "atomic"] = "local"
    #: Where lease ids and the numbers of new inodes are kept across mounts.
    state_dir: Path
    #: Where blocks are kept on disk as well, if anywhere, and how many bytes of them.
    cache_dir: Path | None = None
    disk_cache_size: int = 10 * 1024**3

    def of_snapshot(self, taken: str) -> "FileSystemSettings":
        """Return the settings for the snapshot of that time (the service's own text)."""
        belief = Belief(_FOR_GOOD, _FOR_GOOD)
        return replace(self, snapshot=taken, read_only=True, files=belief, directories=belief)
