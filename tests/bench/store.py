"""What a driver's mount stands on, as seen past it: prepared before a run, checked after it.

The share is spoken to over plain HTTP with a shared access signature that the
official SDK made: nothing of azfuse has a part in saying that azfuse was right.
"""

import http.client
import shutil
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from azure.storage.fileshare import AccountSasPermissions, ResourceTypes, generate_account_sas

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.bench.content import MIB, Content

T = TypeVar("T")

#: First version whose Create File takes content: one request a small file.
_VERSION = "2026-06-06"
_RANGE = 4 * MIB
_THREADS = 4
_TIMEOUT = 120
#: rclone's name for the root itself, which it makes as a directory of the root.
RCLONE_ROOT = "\N{FULLWIDTH FULL STOP}"


class Wrong(Exception):  # noqa: N818 (it says what is the matter)
    """The result of a workload is not what it should be; the message says what is."""


class Store(Protocol):
    """Files below one root, by relative path."""

    def put(self, directories: Iterable[str], files: Iterable[tuple[str, Content]]) -> None:
        """Make directories, each after its parent, then files."""

    def tree(self) -> dict[str, int | None]:
        """Return every path with its size, None for a directory."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return the bytes of one file. Raises Wrong where it is missing."""

    def remove(self) -> None:
        """Remove everything."""


def check_content(store: Store, expected: Iterable[tuple[str, Content]]) -> None:
    """Compare files, whole. Raises Wrong."""
    sizes = store.tree()

    def check(path: str, content: Content, offset: int) -> None:
        if store.read(path, offset, _RANGE) != content.read(offset, _RANGE):
            raise Wrong(f"{path} differs in the {_RANGE // MIB} MiB from byte {offset}")

    with ThreadPoolExecutor(_THREADS) as pool:
        checks = []
        for path, content in expected:
            if path not in sizes:
                raise Wrong(f"{path} is missing")
            if sizes[path] != content.size:
                raise Wrong(f"{path} has {sizes[path]} bytes, not {content.size}")
            offsets = range(0, content.size, _RANGE)
            checks += [pool.submit(check, path, content, offset) for offset in offsets]
        for one in checks:
            one.result()


class ShareStore:
    """A share of the emulator."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self._port = port
        self._local = threading.local()
        self._signature = generate_account_sas(
            DEVELOPMENT_ACCOUNT,
            DEVELOPMENT_KEY,
            ResourceTypes(service=True, container=True, object=True),
            AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
            datetime.now(UTC) + timedelta(days=7),
        )

    def make(self) -> None:
        """Make the share itself."""
        self._call("PUT", "", "restype=share", {"x-ms-share-quota": "102400"})

    def remove(self) -> None:
        """Delete the share."""
        self._call("DELETE", "", "restype=share", {"x-ms-delete-snapshots": "include"})

    def put(self, directories: Iterable[str], files: Iterable[tuple[str, Content]]) -> None:
        """Make directories, each after its parent, then files."""
        for path in directories:
            self._call("PUT", path, "restype=directory")
        with ThreadPoolExecutor(_THREADS) as pool:
            _all(pool, self._put_file, files)

    def _put_file(self, file: tuple[str, Content]) -> None:
        path, content = file
        headers = {"x-ms-type": "file", "x-ms-content-length": str(content.size)}
        self._call("PUT", path, "", headers, content.read(0, _RANGE))
        for offset in range(_RANGE, content.size, _RANGE):
            data = content.read(offset, _RANGE)
            headers = {"x-ms-write": "update", "x-ms-range": _range(offset, len(data))}
            self._call("PUT", path, "comp=range", headers, data)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return the bytes of one file. Raises Wrong where it is missing."""
        try:
            return self._call("GET", path, "", {"x-ms-range": _range(offset, length)})
        except FileNotFoundError:
            raise Wrong(f"{path} is missing") from None

    def tree(self) -> dict[str, int | None]:
        """Return every path with its size, None for a directory."""
        found: dict[str, int | None] = {}
        waiting = [""]
        while waiting:
            directory = waiting.pop()
            for name, size in self._list(directory):
                path = f"{directory}/{name}" if directory else name
                if path == RCLONE_ROOT:
                    continue
                found[path] = size
                if size is None:
                    waiting.append(path)
        return found

    def _list(self, directory: str) -> Iterable[tuple[str, int | None]]:
        marker = ""
        while True:
            query = f"restype=directory&comp=list&marker={quote(marker)}"
            page = ET.fromstring(self._call("GET", directory, query))
            for entry in page.find("Entries") or ():
                name = entry.findtext("Name") or ""
                size = entry.findtext("Properties/Content-Length")
                yield name, int(size or 0) if entry.tag == "File" else None
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return

    def _call(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> bytes:
        line: http.client.HTTPConnection | None = getattr(self._local, "line", None)
        if line is None:
            line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
            self._local.line = line
        url = f"/{DEVELOPMENT_ACCOUNT}/{self.name}/{quote(path)}".rstrip("/")
        url += f"?{query}&{self._signature}" if query else f"?{self._signature}"
        fixed = {"x-ms-version": _VERSION, "Content-Length": str(len(body))}
        line.request(method, url, body, fixed | (headers or {}))
        answer = line.getresponse()
        data = answer.read()
        if answer.status == http.client.NOT_FOUND:
            raise FileNotFoundError(path)
        if answer.status >= http.client.BAD_REQUEST:
            raise OSError(f"{method} {path} was answered {answer.status}: {data[:300]!r}")
        return data


def _range(offset: int, length: int) -> str:
    return f"bytes={offset}-{offset + length - 1}"


def _all(pool: ThreadPoolExecutor, work: Callable[[T], None], items: Iterable[T]) -> None:
    """Do *work* for all items; raise the first error."""
    for _ in pool.map(work, items):
        pass


class DirectoryStore:
    """A directory of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root)

    def put(self, directories: Iterable[str], files: Iterable[tuple[str, Content]]) -> None:
        """Make directories, each after its parent, then files."""
        for path in directories:
            (self.root / path).mkdir()
        for path, content in files:
            with (self.root / path).open("wb") as file:
                for offset in range(0, content.size, _RANGE):
                    file.write(content.read(offset, _RANGE))

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Return the bytes of one file. Raises Wrong where it is missing."""
        try:
            with (self.root / path).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            raise Wrong(f"{path} is missing") from None

    def tree(self) -> dict[str, int | None]:
        """Return every path with its size, None for a directory."""
        found: dict[str, int | None] = {}
        for path in self.root.rglob("*"):
            status = path.lstat()
            directory = path.is_dir() and not path.is_symlink()
            found[str(path.relative_to(self.root))] = None if directory else status.st_size
        return found
