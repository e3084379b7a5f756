"""What was measured, as it is kept in JSON."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.bench.peers import rclone_version

#: Outcomes of a run; only the first has times that count.
OK, FAILS, WRONG, TIMED_OUT = "ok", "fails", "wrong", "timed out"

_PACKAGES = ("azfuse", "pyfuse3", "trio", "httpx", "h11", "cachetools")


@dataclass(slots=True)
class Run:
    """One run of one workload by one peer."""

    workload: str
    title: str
    peer: str
    latency_ms: float
    number: int
    outcome: str = OK
    #: One line, where the outcome is not OK.
    reason: str = ""
    #: Until the program ended.
    seconds: float = 0.0
    #: Until everything was on the share.
    durable: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    #: Those of `bytes_out` that were listings.
    bytes_listed: int = 0
    #: Of the driver: peak of its resident memory since it was started, and CPU for this work.
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    #: Resident memory at regular intervals, for workloads that ask for it.
    rss_samples: list[int] = field(default_factory=list)
    #: What the architecture allows: line, requests, bytes_in, bytes_out (see workload.Budget).
    budget: dict[str, Any] | None = None

    @property
    def total_requests(self) -> int:
        """All requests."""
        return sum(self.requests.values())


@dataclass(slots=True)
class Results:
    """Every run of a bench, and what it ran on."""

    about: dict[str, Any]
    runs: list[Run] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write everything; an interrupted write leaves what was there."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        runs = [asdict(run) for run in self.runs]
        temporary.write_text(json.dumps({"about": self.about, "runs": runs}, indent=1) + "\n")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what `save` wrote. Raises ValueError with one sentence, and OSError."""
        try:
            found = json.loads(path.read_text())
            return cls(dict(found["about"]), [Run(**run) for run in found["runs"]])
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is no result of this bench: {error}") from error


def about(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Describe machine, versions, date and settings."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processors": os.cpu_count(),
            "processor": _first("/proc/cpuinfo", "model name"),
            "memory": _first("/proc/meminfo", "MemTotal"),
        },
        "versions": {
            "python": platform.python_version(),
            "rclone": rclone_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "settings": dict(settings),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes of a few numbers."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> "Spread":
        """Raises ValueError for none at all."""
        every = sorted(numbers)
        if not every:
            raise ValueError("no numbers")
        return cls(statistics.median(every), every[0], every[-1])


def quarters(samples: Sequence[int]) -> tuple[float, float]:
    """Return the medians of the first and of the last quarter. Raises ValueError for none."""
    if not samples:
        raise ValueError("no samples")
    length = max(1, len(samples) // 4)
    return statistics.median(samples[:length]), statistics.median(samples[-length:])
