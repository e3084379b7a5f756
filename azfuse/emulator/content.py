"""Blobs: the bytes behind files, as sparse files of a directory or in memory.

A blob is made by the first write to it and is as long as the last byte written. Reading past its
end or in a hole gives zeros. Nothing here is atomic or ordered: the tables say which bytes count.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

#: Bytes of one page of a blob in memory.
_PAGE: Final = 256 * 1024
#: Blobs in one folder on disk.
_PER_FOLDER: Final = 4096
_FALLOC_FL_KEEP_SIZE: Final = 1
_FALLOC_FL_PUNCH_HOLE: Final = 2


class Blobs(Protocol):
    """Where bytes are kept. Every method may be called from any thread."""

    def read(self, blob: int, offset: int, length: int) -> bytes:
        """Return exactly *length* bytes; what was never written is zeros."""

    def write(self, blob: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of *data*."""

    def punch(self, blob: int, offset: int, length: int) -> None:
        """Give the space of a range back, where that can be done."""

    def cut(self, blob: int, size: int) -> None:
        """Give the space past *size* back."""

    def remove(self, blob: int) -> None:
        """Forget a blob; one that was never written is no error."""

    def __iter__(self) -> Iterator[int]:
        """Yield the blobs there are."""


class MemoryBlobs:
    """Blobs in memory, page by page, gone with the process."""

    def __init__(self) -> None:
        self._pages: dict[int, dict[int, bytearray]] = {}
        self._lock = threading.Lock()

    def read(self, blob: int, offset: int, length: int) -> bytes:
        """Return exactly *length* bytes; what was never written is zeros."""
        pages = self._pages.get(blob, {})
        pieces = []
        for number, begin, end in _pieces(offset, length):
            page = pages.get(number)
            pieces.append(bytes(end - begin) if page is None else page[begin:end])
        return b"".join(pieces)

    def write(self, blob: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of *data*."""
        with self._lock:
            pages = self._pages.setdefault(blob, {})
            for number, _, _ in _pieces(offset, len(data)):
                if number not in pages:
                    pages[number] = bytearray(_PAGE)
        view, done = memoryview(data), 0
        for number, begin, end in _pieces(offset, len(data)):
            # A memoryview on the left saves the temporary copy of a slice assignment.
            memoryview(pages[number])[begin:end] = view[done : done + end - begin]
            done += end - begin

    def punch(self, blob: int, offset: int, length: int) -> None:
        """Drop the pages that lie wholly within a range."""
        pages = self._pages.get(blob, {})
        for number, begin, end in _pieces(offset, length):
            if end - begin == _PAGE:
                pages.pop(number, None)

    def cut(self, blob: int, size: int) -> None:
        """Drop the pages past *size*."""
        pages = self._pages.get(blob, {})
        for number in [number for number in pages if number * _PAGE >= size]:
            pages.pop(number, None)

    def remove(self, blob: int) -> None:
        """Forget a blob; one that was never written is no error."""
        self._pages.pop(blob, None)

    def __iter__(self) -> Iterator[int]:
        """Yield the blobs there are."""
        return iter(list(self._pages))


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    end = offset + length
    while offset < end:
        number, begin = divmod(offset, _PAGE)
        stop = min(_PAGE, begin + end - offset)
        yield number, begin, stop
        offset += stop - begin


class DiskBlobs:
    """Blobs as sparse files below a directory, `blobs/<folder>/<number>` in hexadecimal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._folders: set[int] = set()
        self._fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
        if self._fallocate is not None:
            self._fallocate.argtypes = [
                ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64,
            ]  # fmt: skip

    def _path(self, blob: int) -> str:
        return f"{self._directory}/{blob // _PER_FOLDER:x}/{blob:x}"

    def read(self, blob: int, offset: int, length: int) -> bytes:
        """Return exactly *length* bytes; what was never written is zeros."""
        try:
            fd = os.open(self._path(blob), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return bytes(length)
        try:
            data = os.pread(fd, length, offset)
            while len(data) < length:
                more = os.pread(fd, length - len(data), offset + len(data))
                if not more:
                    return data + bytes(length - len(data))
                data += more
            return data
        finally:
            os.close(fd)

    def write(self, blob: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of *data*."""
        folder = blob // _PER_FOLDER
        if folder not in self._folders:
            (self._directory / f"{folder:x}").mkdir(exist_ok=True)
            self._folders.add(folder)
        fd = os.open(self._path(blob), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(fd, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(fd)

    def punch(self, blob: int, offset: int, length: int) -> None:
        """Punch a hole; where the file system has no holes the bytes stay, unreferenced."""
        if self._fallocate is None:
            return
        try:
            fd = os.open(self._path(blob), os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
            if self._fallocate(fd, mode, offset, length) != 0:
                error = ctypes.get_errno()
                if error not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                    raise OSError(error, os.strerror(error))
        finally:
            os.close(fd)

    def cut(self, blob: int, size: int) -> None:
        """Shorten the file to *size* if it is longer."""
        path = self._path(blob)
        try:
            if os.stat(path).st_size > size:  # noqa: PTH116 (a str path saves a Path a request)
                os.truncate(path, size)
        except FileNotFoundError:
            return

    def remove(self, blob: int) -> None:
        """Forget a blob; one that was never written is no error."""
        try:
            os.unlink(self._path(blob))  # noqa: PTH108 (a str path saves a Path a request)
        except FileNotFoundError:
            return

    def __iter__(self) -> Iterator[int]:
        """Yield the blobs there are."""
        for folder in self._directory.iterdir():
            for path in folder.iterdir():
                yield int(path.name, 16)
