"""What the caches need of a file on the share. The tree (`fuse/tree.py`) provides it."""

from typing import Protocol

from azfuse.cache.metadata import Facts
from azfuse.rest.models import Body


class RemoteFile(Protocol):
    """One file on the share, wherever a rename may have moved it.

    Every call is one request, goes to where the file is at that moment, and
    raises what `rest` raises. Calls that change the file return its ETag.
    """

    @property
    def exists(self) -> bool:
        """False for a new file that was not created on the share yet."""

    @property
    def file_id(self) -> int:
        """What the share tells the file by, 0 while it does not exist there."""

    async def read_into(self, buffer: memoryview, offset: int) -> tuple[Facts, int]:
        """Get File: fill *buffer* from *offset*; return the file's facts and the bytes got."""

    async def create(self, size: int, body: Body | None, body_length: int) -> str:
        """Create File, *size* bytes long, its beginning *body* where the service takes one."""

    async def resize(self, size: int) -> str:
        """Set File Properties: the file's length, and the times that programs have set."""

    async def put_range(self, offset: int, length: int, body: Body) -> str:
        """Put Range (update)."""

    async def clear_range(self, offset: int, length: int) -> str:
        """Put Range (clear): make *length* bytes zero, however many."""

    async def settle(self) -> None:
        """Send what programs set of mode, owner and times while content was still dirty."""

    async def lease(self, requests: int, *, growing: bool) -> str | None:
        """Take the file's lease if the mount's rule wants one for an upload.

        *requests* is how many ranges the upload will put, *growing* that the file
        is still being written. Returns the file's ETag if we hold the lease now.
        """

    @property
    def takes_body(self) -> bool:
        """True if `create` can carry content (service version 2026-06-06)."""

    def note(self) -> str | None:
        """Return what the next mount needs to find or make the file again, for the journal.

        None for a file that nobody will look for: it was unlinked.
        """
