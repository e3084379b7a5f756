"""What a workload is: prepared on the share, run by a program, checked on the share."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.content import MIB
from tests.bench.store import Store

#: Bytes of one range request at most.
RANGE = 4 * MIB
#: Entries of one page of a listing at most.
PAGE = 5000


@dataclass(frozen=True, slots=True)
class Budget:
    """What the architecture (section 3) allows a workload to cost, counted at the service."""

    #: The line of its table.
    line: str
    requests: int
    #: Requests beyond the line's that this workload needs, listings on the way above all.
    spare: int = 0
    #: Most bytes to and from the service, where the line says something about them.
    bytes_in: int | None = None
    bytes_out: int | None = None


class Workload:
    """One piece of work, of a size that *scale* makes smaller.

    `prepare` and `verify` see the share past the driver. `set_up`, `warm_up`, `load`,
    `run` and `check` happen in the worker's process and see the mounted directory
    *mount* and the directory *inputs* of this machine.
    """

    name = ""
    title = ""
    #: Key of files that this workload only reads: prepared once, for all runs and workloads.
    shared: str | None = None
    #: It needs something prepared through a mount of the same driver, which is then unmounted.
    sets_up = False
    #: It runs twice in one mount, and the second time counts.
    warms_up = False
    #: Seconds between the two.
    pause = 0.0
    #: Seconds up to which attributes are believed, the same for everybody; None: own defaults.
    believed: float | None = None
    #: Seconds that a run may take whatever limit is asked for.
    least_limit = 0.0
    #: Seconds between samples of the driver's memory; None for none.
    sample_every: float | None = None

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def scaled(self, count: int, least: int) -> int:
        """Return *count* scaled down, but never below *least* nor above itself."""
        return min(count, max(least, round(count * self.scale)))

    def make_inputs(self, inputs: Path) -> None:
        """Make what the program needs in *inputs*, an empty directory; done once for all runs."""

    def prepare(self, store: Store) -> None:
        """Make what must be on the share."""

    def set_up(self, mount: Path, inputs: Path) -> None:
        """Make what must be there and depends on the driver; only if `sets_up`."""

    def warm_up(self, mount: Path, inputs: Path) -> None:
        """Do what makes caches warm; only if `warms_up`."""

    def load(self, inputs: Path) -> None:
        """Get everything into memory that must not cost time while it runs."""

    def run(self, mount: Path, inputs: Path) -> Any:
        """Do the work, which is timed. What is returned goes to `check`."""
        raise NotImplementedError

    def check(self, outcome: Any) -> None:
        """Look at what `run` returned. Raises Wrong."""

    def verify(self, store: Store, inputs: Path) -> None:
        """See that the share has what it should. Raises Wrong."""

    def budget(self) -> Budget | None:
        """Return what it may cost; None where the table has no line for it."""
        return None


def program(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program as a person would, with nobody's settings; return what it said.

    Raises CalledProcessError.
    """
    return subprocess.run(
        words, cwd=cwd, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=True,
    )  # fmt: skip


def last_words(error: subprocess.CalledProcessError) -> str:
    """Say in one line how a program failed."""
    said = f"{error.stdout or ''}\n{error.stderr or ''}".strip().splitlines() or ["no word"]
    return f"{' '.join(map(str, error.cmd[:2]))}: status {error.returncode}: {said[-1]}"


_ENVIRONMENT = {
    **os.environ,
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.invalid",
    "GIT_AUTHOR_DATE": "2026-11-26T12:00:00Z",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.invalid",
    "GIT_COMMITTER_DATE": "2026-11-26T12:00:00Z",
}


def pages(entries: int) -> int:
    """Return how many listings a directory of *entries* takes."""
    return max(1, -(-entries // PAGE))


def parts(total: int, pieces: int) -> Sequence[int]:
    """Divide *total* into equal *pieces*; the first take what is left over."""
    each, more = divmod(total, pieces)
    return [each + (number < more) for number in range(pieces)]
