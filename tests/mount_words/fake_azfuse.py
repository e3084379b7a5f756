"""`azfuse`, `mount.azfuse` and `umount.azfuse` over a file system that needs no share.

    python -m tests.mount_words.fake_azfuse mount SOURCE DIR ...
    FAKE_HELPER=mount python -m tests.mount_words.fake_azfuse SOURCE DIR ...
    FAKE_HELPER=umount python -m tests.mount_words.fake_azfuse DIR ...

FAKE_UNSAVED=1 makes it fail to save (`kept`: it keeps the data), FAKE_DRAIN=N take N
seconds, FAKE_BLOCKED=FILE wait until FILE is gone, FAKE_DIRTY=N claim N dirty bytes,
FAKE_BROKEN=1 raise while it serves, FAKE_EXIT=1 end the kernel session at once.
"""

import errno
import os
import stat
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyfuse3
import trio

from azfuse.cli import main as cli
from azfuse.fuse.filesystem import Unsaved
from azfuse.fuse.settings import FileSystemSettings
from azfuse.mount import helper, umount_helper
from azfuse.rest.counters import Counters
from azfuse.rest.transport import Transport


class FileSystem(pyfuse3.Operations):
    """A root directory with nothing in it."""

    def __init__(self, transport: Transport, share: str, settings: FileSystemSettings) -> None:
        super().__init__()
        del transport, share
        self._settings = settings
        self.unsaved: list[Unsaved] = []

    def stats(self) -> dict[str, object]:
        dirty = int(os.environ.get("FAKE_DIRTY", "0"))
        writes = {
            "dirtyBytes": dirty,
            "dirtyLimitBytes": 0,
            "dirtyFiles": int(dirty > 0),
            "uploadsInFlight": 0,
            "uploads": 0,
            "failedUploads": 0,
            "failing": [],
        }
        return {"requests": Counters().stats(), "writes": writes}

    async def refresh(self, path: str) -> dict[str, int]:
        return {"entries": 1, "contentBytes": len(path)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if os.environ.get("FAKE_EXIT"):
            trio.lowlevel.spawn_system_task(self._end_session)
        yield
        await trio.sleep(float(os.environ.get("FAKE_DRAIN", "0")))
        blocker = trio.Path(os.environ.get("FAKE_BLOCKED", ""))
        while await blocker.is_file():  # noqa: ASYNC110 # another process takes it away
            await trio.sleep(0.05)
        if os.environ.get("FAKE_UNSAVED"):
            error = OSError(errno.EIO, "the service is away")
            kept = os.environ["FAKE_UNSAVED"] == "kept"
            self.unsaved.append(Unsaved("a/b.txt", 4096, error, kept=kept))

    async def tell_kernel(self) -> None:
        await trio.sleep_forever()

    async def _end_session(self) -> None:
        pyfuse3.terminate()

    async def getattr(
        self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        del ctx
        attributes = pyfuse3.EntryAttributes()
        attributes.st_ino = inode
        attributes.st_mode = pyfuse3.ModeT(stat.S_IFDIR | self._settings.dir_mode)
        attributes.st_uid = self._settings.uid
        attributes.st_gid = self._settings.gid
        return attributes

    async def lookup(
        self, parent_inode: pyfuse3.InodeT, name: pyfuse3.FileNameT, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        del parent_inode, name, ctx
        if os.environ.get("FAKE_BROKEN"):
            raise RuntimeError("broken on purpose")
        raise pyfuse3.FUSEError(errno.ENOENT)


def main() -> None:
    """Run the command whose file system is the one above."""
    module = types.ModuleType("azfuse.fuse.filesystem")
    module.FileSystem = FileSystem  # type: ignore[attr-defined]
    sys.modules["azfuse.fuse.filesystem"] = module
    commands = {"mount": helper.main, "umount": umount_helper.main}
    commands.get(os.environ.get("FAKE_HELPER", ""), cli.main)()


if __name__ == "__main__":
    main()
