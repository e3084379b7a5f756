"""One run from start to end: prepare, mount cold, time, wait until durable, check, unmount."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.driver import Driver, DriverError
from tests.bench.interrupts import held
from tests.bench.peers import Peer
from tests.bench.place import Place
from tests.bench.results import FAILS, OK, TIMED_OUT, WRONG, Run
from tests.bench.store import Store, Wrong
from tests.bench.workload import Workload, last_words

#: Seconds between two looks at the service's log.
_TICK = 0.05
#: Seconds without a request after which a driver is at rest.
_REST = 0.3
#: Seconds that one who sends later gets once nothing seems to come any more.
_LATENESS = 15
_READS = ("Get", "List")


@dataclass(frozen=True, slots=True)
class Line:
    """How long every request takes, and how much all of them can carry."""

    latency_ms: float
    bandwidth_mib: float | None = None


class Failure(Exception):  # noqa: N818 (it says how a run came out)
    """A run came out otherwise than OK."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(slots=True)
class Tally:
    """Requests and bytes at the service at one moment, with those that change anything."""

    requests: dict[str, int]
    bytes_in: int
    bytes_out: int
    bytes_listed: int

    @classmethod
    def of(cls, operations: Mapping[str, Mapping[str, Any]]) -> "Tally":
        """Take over what the service's log says."""
        return cls(
            {name: entry["requests"] for name, entry in operations.items()},
            sum(entry["bytes_in"] for entry in operations.values()),
            sum(entry["bytes_out"] for entry in operations.values()),
            sum(
                entry["bytes_out"] for name, entry in operations.items() if name.startswith("List")
            ),
        )

    @property
    def changes(self) -> int:
        """Requests that may have changed the share."""
        return sum(n for name, n in self.requests.items() if not name.startswith(_READS))

    def since(self, before: "Tally") -> "Tally":
        """Return what came after *before*."""
        requests = {n: c - before.requests.get(n, 0) for n, c in self.requests.items()}
        return Tally(
            {name: count for name, count in requests.items() if count},
            self.bytes_in - before.bytes_in,
            self.bytes_out - before.bytes_out,
            self.bytes_listed - before.bytes_listed,
        )


@contextmanager
def mounted(
    place: Place,
    peer: Peer,
    store: Store,
    state: Path,
    *,
    limit: float,
    believed: float | None = None,
) -> Iterator[tuple[Driver | None, Path]]:
    """Mount *store* with empty caches; yield the driver and its directory. Raises DriverError."""
    with ExitStack() as stack:
        directory = stack.enter_context(place.run_directory())
        with held():
            driver = peer.start(place.source(store), directory, state, believed)
            if driver is not None:
                stack.callback(driver.destroy)
        if driver is None:
            yield None, directory
            return
        driver.wait_until_ready()
        yield driver, directory
        driver.unmount(limit)


class Measurement:
    """One run of *workload* by *peer*; `run` says how it came out."""

    def __init__(
        self, place: Place, workload: Workload, peer: Peer, line: Line, number: int, limit: float
    ) -> None:
        self._place = place
        self._workload = workload
        self._peer = peer
        self._line = line
        self._limit = limit
        budget = workload.budget() if peer.name == "azfuse" else None
        self._run = Run(
            workload.name, workload.title, peer.name, line.latency_ms, number,
            budget=asdict(budget) if budget else None,
        )  # fmt: skip

    def run(self) -> Run:
        """Do everything; what goes wrong with the driver or the program is part of the result."""
        place, workload = self._place, self._workload
        try:
            with (
                place.store_for(workload, remote=self._peer.remote) as store,
                place.run_directory() as state,
            ):
                inputs = place.inputs(workload)
                if workload.sets_up:
                    with self._mounted(store, state) as (_, directory):
                        self._work("set-up", directory, inputs)
                        self._until_settled(directory)
                place.cool(store)
                with self._mounted(store, state) as (driver, directory):
                    if workload.warms_up:
                        self._work("warm-up", directory, inputs)
                    self._await_rest()
                    self._timed(driver, directory, store, inputs)
        except Failure as error:
            self._run.outcome, self._run.reason = error.outcome, str(error)
        except DriverError as error:
            self._run.outcome, self._run.reason = FAILS, f"{self._peer.name} {error}"
        return self._run

    def _mounted(
        self, store: Store, state: Path
    ) -> AbstractContextManager[tuple[Driver | None, Path]]:
        believed = self._workload.believed
        return mounted(self._place, self._peer, store, state, limit=self._limit, believed=believed)

    def _timed(self, driver: Driver | None, directory: Path, store: Store, inputs: Path) -> None:
        run, service = self._run, self._place.service
        before = Tally.of(service.operations())
        cpu = driver.spent().cpu_seconds if driver else 0.0
        service.set_line(self._line.latency_ms, self._line.bandwidth_mib)
        try:
            with self._sampling(driver):
                answer = self._work("run", directory, inputs)
            changed = self._until_settled(directory)
        finally:
            service.set_line(0, None)
        self._count(before)
        run.seconds = answer["ended"] - answer["began"]
        run.durable = max(answer["synced"], changed) - answer["began"]
        if driver is not None:
            if not driver.running:
                raise Failure(FAILS, f"{self._peer.name} ended: {driver.last_words()}")
            spent = driver.spent()
            run.peak_bytes, run.cpu_seconds = spent.peak_bytes, spent.cpu_seconds - cpu
        self._verify(directory, store, inputs, answer["began"], before)

    def _work(self, phase: str, directory: Path, inputs: Path) -> dict[str, Any]:
        """Run a phase in a process of its own; return what it answered. Raises Failure."""
        words = [sys.executable, "-m", "tests.bench.worker", phase, self._workload.name,
                 repr(self._workload.scale), str(directory / "mnt"), str(inputs)]  # fmt: skip
        with ExitStack() as stack:
            with held():
                process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                    start_new_session=True,
                )  # fmt: skip
                stack.callback(_kill, process)
            try:
                said, _ = process.communicate(timeout=self._limit)
            except subprocess.TimeoutExpired:
                raise Failure(TIMED_OUT, f"{phase} takes more than {self._limit:g} s") from None
        if process.returncode:
            raise Failure(FAILS, f"the worker ended with {process.returncode}")
        answer: dict[str, Any] = json.loads(said)
        if answer["outcome"] != OK:
            raise Failure(answer["outcome"], answer["reason"])
        return answer

    def _await_rest(self) -> None:
        """Wait until what a mount asks for at its start, or ahead, has been answered."""
        self._watch(_REST)

    def _until_settled(self, directory: Path) -> float:
        """Wait until nothing more comes; return when the share was last changed."""
        rest = max(_REST, 4 * self._line.latency_ms / 1000)
        if self._peer.quiet is not None:
            rest = max(rest, self._peer.quiet + 2 * self._line.latency_ms / 1000)
            return self._watch(rest, lambda: self._peer.pending(directory))
        # Programs were told that everything is there; it is taken at its word, and checked.
        self._watch(rest)
        return 0.0

    def _watch(self, rest: float, pending: Callable[[], bool] = lambda: False) -> float:
        """Return when the last change came, once nothing has come for *rest* seconds."""
        deadline = time.monotonic() + self._limit
        seen = Tally.of(self._place.service.operations())
        moved, changed = time.monotonic(), 0.0
        while (now := time.monotonic()) < deadline:
            time.sleep(_TICK)
            tally = Tally.of(self._place.service.operations())
            if tally.changes != seen.changes:
                changed = now
            if tally != seen:
                seen, moved = tally, now
            elif now - moved >= rest and not pending():
                return changed
        raise Failure(TIMED_OUT, f"is not done sending within {self._limit:g} s")

    def _count(self, before: Tally, *, changes_only: bool = False) -> None:
        """Note what the service was asked since *before*."""
        run, used = self._run, Tally.of(self._place.service.operations()).since(before)
        run.bytes_in = used.bytes_in
        if not changes_only:
            run.requests = used.requests
            run.bytes_out, run.bytes_listed = used.bytes_out, used.bytes_listed
            return
        for name, count in used.requests.items():
            if not name.startswith(_READS):
                run.requests[name] = count

    def _verify(
        self, directory: Path, store: Store, inputs: Path, began: float, before: Tally
    ) -> None:
        """See that the share has what it should; one that sends later gets time for it."""
        deadline = time.monotonic() + _LATENESS
        while True:
            try:
                self._workload.verify(store, inputs)
            except (Wrong, subprocess.CalledProcessError) as error:
                if self._peer.quiet is None or time.monotonic() > deadline:
                    reason = str(error) if isinstance(error, Wrong) else last_words(error)
                    raise Failure(WRONG, reason) from None
                changed = self._until_settled(directory)
                self._run.durable = max(self._run.durable, changed - began)
                # What was read since was read to look at the result.
                self._count(before, changes_only=True)
                continue
            return

    @contextmanager
    def _sampling(self, driver: Driver | None) -> Iterator[None]:
        """Note the driver's memory at regular intervals, if the workload wants that."""
        every = self._workload.sample_every
        if driver is None or every is None:
            yield
            return
        over = threading.Event()

        def sample() -> None:
            while not over.wait(every):
                self._run.rss_samples.append(driver.spent().rss_bytes)

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a worker and what it started. One that hangs in a mount ends with the driver."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    if process.stdout is not None:
        process.stdout.close()
