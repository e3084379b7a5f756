"""Where the bench works: a temporary directory, the emulator on it, and what is prepared once."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from azfuse.mount.mountpoint import kernel_mounts
from tests.bench.interrupts import held
from tests.bench.store import DirectoryStore, ShareStore, Store
from tests.bench.workload import Workload
from tests.mount.harness import Emulator

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class Service(Emulator):
    """The emulator, with its counts in full. It answers Put Range without hashing the body."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "--no-md5")

    def set_line(self, latency_ms: float, bandwidth_mib: float | None) -> None:
        """Put latency and bandwidth in force for every request from now on."""
        self.faults(latency_ms=latency_ms, bandwidth_mib=bandwidth_mib)

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        """Return requests and bytes by operation since the start."""
        return self._admin("GET", "requests")["operations"]  # type: ignore[no-any-return]


class Place:
    """Directories and stores of one bench. A context manager that leaves nothing behind."""

    def __init__(self, parent: Path | None, *, drop_caches: bool) -> None:
        self._parent = parent
        self._drop_caches = drop_caches
        self._prepared: dict[tuple[str, bool], Store] = {}
        self._inputs: dict[str, Path] = {}
        self._number = 0
        self._closing = ExitStack()
        self.root = Path()
        self.service: Service

    def __enter__(self) -> Self:
        with ExitStack() as stack, held():
            self.root = Path(tempfile.mkdtemp(prefix="azfuse-bench-", dir=self._parent))
            stack.callback(self._remove)
            (self.root / "emulator").mkdir()
            self.service = Service(self.root / "emulator")
            stack.callback(self.service.stop)
            try:
                self.service.start()
            except AssertionError as error:
                raise OSError(str(error)) from None
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with held():
            self._closing.close()

    def _remove(self) -> None:
        # A mount that could not be taken away must not have its files removed through it.
        if any(Path(mount.mount_point).is_relative_to(self.root) for mount in kernel_mounts()):
            raise OSError(f"something is still mounted below {self.root}, which is left there")
        shutil.rmtree(self.root)

    @contextmanager
    def run_directory(self) -> Iterator[Path]:
        """Yield a new directory for one mount, with the caches of its driver."""
        self._number += 1
        path = self.root / f"run{self._number}"
        path.mkdir()
        try:
            yield path
        finally:
            with held():
                if (path / "mnt").is_symlink():
                    (path / "mnt").unlink()
                if not any(mount.mount_point == str(path / "mnt") for mount in kernel_mounts()):
                    shutil.rmtree(path)

    def source(self, store: Store) -> str:
        """Return how *store* is named to whoever mounts it."""
        if isinstance(store, ShareStore):
            return f"{self.service.endpoint}/{store.name}"
        assert isinstance(store, DirectoryStore)
        return str(store.root)

    @contextmanager
    def store_for(self, workload: Workload, *, remote: bool) -> Iterator[Store]:
        """Yield a store with what *workload* needs: of its own, or one that it only reads."""
        if workload.shared is None:
            with ExitStack() as stack:
                with held():
                    store = self.new_store(remote=remote)
                    stack.callback(store.remove)
                workload.prepare(store)
                yield store
                with held():
                    stack.close()
            return
        key = (f"{workload.shared}-{workload.scale:g}", remote)
        if key not in self._prepared:
            store = self.new_store(remote=remote)
            workload.prepare(store)
            self._prepared[key] = store
        yield self._prepared[key]

    def new_store(self, *, remote: bool) -> Store:
        """Make an empty share, or an empty directory."""
        self._number += 1
        name = f"bench{self._number}"
        if not remote:
            return DirectoryStore(self.root / "local" / name)
        store = ShareStore(self.service.port, name)
        store.make()
        return store

    def inputs(self, workload: Workload) -> Path:
        """Return the directory with what the program of *workload* needs, made if it is not."""
        key = f"{workload.name}-{workload.scale:g}"
        if key not in self._inputs:
            path = self.root / "inputs" / key
            path.mkdir(parents=True)
            workload.make_inputs(path)
            self._inputs[key] = path
        return self._inputs[key]

    def cool(self, store: Store) -> None:
        """Have the kernel forget what it cached, where permitted; then make the service warm.

        The disk below the emulator is no part of what is measured: a share in a data
        centre does not wait for this machine's. The same goes for a plain directory.
        """
        if not self._drop_caches:
            return
        with contextlib.suppress(OSError):
            _DROP_CACHES.write_text("3\n")
        where = store.root if isinstance(store, DirectoryStore) else self.service.directory
        for path in where.rglob("*"):
            # The service may just be deleting it.
            with contextlib.suppress(FileNotFoundError):
                _read_through(path)


def _read_through(path: Path) -> None:
    if path.is_file():
        with path.open("rb", buffering=0) as file:
            while file.read(1024 * 1024):
                pass
