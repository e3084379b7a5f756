"""What a session needs of the file system that it serves."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class UnsavedFile(Protocol):
    """A file that could not be uploaded."""

    @property
    def path(self) -> str:
        """Path on the share."""

    @property
    def size(self) -> int:
        """Bytes that the share does not have."""

    @property
    def error(self) -> BaseException:
        """Why."""

    @property
    def kept(self) -> bool:
        """True if the next mount will upload it, False if it is lost."""


class ServedFileSystem(Protocol):
    """What a session needs of a file system, beside being a pyfuse3.Operations."""

    @property
    def unsaved(self) -> Sequence[UnsavedFile]:
        """After `running` has ended: what could not be uploaded."""

    def running(self) -> AbstractAsyncContextManager[object]:
        """Run background tasks; at the end, upload what is dirty."""

    async def tell_kernel(self) -> None:
        """Run while the mount is served, until cancelled: tell the kernel what has changed."""

    def stats(self) -> dict[str, object]:
        """Return counters and what is pending, section by section, as JSON can say it."""

    async def refresh(self, path: str) -> dict[str, int]:
        """Doubt what is believed of *path* (relative to the mount) and below.

        Returns the number of `entries`, and the `contentBytes` that were forgotten.
        """

    async def allow_writing(self) -> None:
        """Begin what only a mount that writes needs; does nothing where that was done."""

    async def settle(self) -> Sequence[str]:
        """Upload everything; return a sentence for each thing that could not be."""
