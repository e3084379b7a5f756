"""Tables: every peer at every latency, ratios, and the summary for the README."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.budget import verdicts
from tests.bench.content import MIB
from tests.bench.results import OK, Results, Run, Spread, quarters

#: Whom all others are compared with.
BASELINE = "rclone-tuned"
_SUBJECT = "azfuse"


@dataclass(frozen=True, slots=True)
class Cell:
    """All runs of one workload by one peer at one latency."""

    runs: Sequence[Run]

    @property
    def good(self) -> list[Run]:
        """The runs that count."""
        return [run for run in self.runs if run.outcome == OK]

    @property
    def trouble(self) -> str:
        """Why runs do not count, the first reason; empty if all do."""
        bad = [run for run in self.runs if run.outcome != OK]
        if not bad:
            return ""
        often = f" ({len(bad)} of {len(self.runs)} runs)" if len(bad) < len(self.runs) else ""
        return f"{bad[0].outcome}: {bad[0].reason}{often}"

    def seconds(self) -> Spread:
        """Time until the program ended."""
        return Spread.of(run.seconds for run in self.good)

    def durable(self) -> Spread:
        """Time until everything was on the share."""
        return Spread.of(run.durable for run in self.good)

    def requests(self) -> Spread:
        """Requests at the service."""
        return Spread.of(run.total_requests for run in self.good)


def cell(runs: Sequence[Run], workload: str, peer: str, latency_ms: float) -> Cell:
    """Return the runs of one cell, perhaps none."""
    return Cell(
        [
            run
            for run in runs
            if (run.workload, run.peer, run.latency_ms) == (workload, peer, latency_ms)
        ]
    )


def tables(results: Results) -> Iterator[str]:
    """Yield the lines of one table a latency, then budgets and memory."""
    runs = results.runs
    for latency in dict.fromkeys(run.latency_ms for run in runs):
        yield ""
        yield f"{latency:g} ms added to every request"
        yield ""
        yield from _table(runs, latency)
    yield from budget_lines(runs)
    yield from memory_lines(runs)


_HEAD = ("workload", "peer", "program s", "durable s", "requests", "MB up", "MB down",
         "peak MiB", "CPU s", f"/ {BASELINE}")  # fmt: skip


def _table(runs: Sequence[Run], latency: float) -> Iterator[str]:
    rows: list[Sequence[str]] = [_HEAD]
    notes = []
    for workload, title in _titles(runs):
        shown = title
        for peer in dict.fromkeys(run.peer for run in runs):
            this = cell(runs, workload, peer, latency)
            if not this.runs:
                continue
            if this.good:
                base = cell(runs, workload, BASELINE, latency)
                rows.append((shown, peer, *_numbers(this), _against(this, base)))
            else:
                rows.append((shown, peer, this.runs[0].outcome))
            if this.trouble:
                notes.append(f"  {title}, {peer}: {this.trouble}")
            shown = ""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(_HEAD))]
    for row in rows:
        cells = [c.ljust(w) if i < 2 else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths, strict=False))]  # fmt: skip
        yield "  ".join(cells).rstrip()
    yield from notes


def _numbers(this: Cell) -> tuple[str, ...]:
    up = Spread.of(run.bytes_in for run in this.good).median
    down = Spread.of(run.bytes_out for run in this.good).median
    peak = max(run.peak_bytes for run in this.good)
    cpu = Spread.of(run.cpu_seconds for run in this.good).median
    return (
        _spread(this.seconds()),
        _spread(this.durable()),
        f"{this.requests().median:.0f}",
        f"{up / 1e6:.1f}",
        f"{down / 1e6:.1f}",
        f"{peak / MIB:.0f}",
        f"{cpu:.2f}",
    )


def _spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"{spread.median:.3f}"
    return f"{spread.median:.3f} ({spread.least:.3f}..{spread.most:.3f})"


def _against(this: Cell, base: Cell) -> str:
    """Return how many times faster to durable than the baseline."""
    factor = ratio(this, base)
    return "" if factor is None else f"x {factor:.2f}"


def ratio(this: Cell, base: Cell) -> float | None:
    """Return the baseline's time to durable over this one's; None where there is none."""
    if not this.good or not base.good:
        return None
    return base.durable().median / max(this.durable().median, 1e-6)


def _titles(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    yield from {run.workload: run.title for run in runs}.items()


def budget_lines(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the budget table, one line a workload."""
    found = verdicts(runs)
    if not found:
        return
    yield ""
    yield "budgets (architecture, section 3), the most expensive run of each"
    yield ""
    width = max(len(verdict.title) for verdict in found)
    for verdict in found:
        word = "ok  " if verdict.holds else "OVER"
        yield f"{word}  {verdict.title.ljust(width)}  {verdict.text}  [{verdict.line}]"


def memory_lines(runs: Sequence[Run]) -> Iterator[str]:
    """Yield what became of memory in the runs that were sampled."""
    for run in runs:
        if run.rss_samples:
            first, last = quarters(run.rss_samples)
            yield ""
            yield (
                f"{run.title}, {run.peer}: peak {run.peak_bytes / MIB:.0f} MiB; resident "
                f"{first / MIB:.0f} MiB in the first quarter, {last / MIB:.0f} in the last "
                f"({len(run.rss_samples)} samples)"
            )


def markdown(results: Results) -> Iterator[str]:
    """Yield the table of ratios for the README, with its date and machine."""
    runs, about = results.runs, results.about
    latencies = list(dict.fromkeys(run.latency_ms for run in runs))
    machine, versions = about["machine"], about["versions"]
    yield (
        f"{about['date'][:10]}, azfuse {versions['azfuse']}, {versions['rclone']}, "
        f"{machine['processors']} x {machine['processor']}, {machine['system']}; "
        f"medians of {max((run.number for run in runs), default=0)} runs."
    )
    yield ""
    heads = [f"{latency:g} ms" for latency in latencies]
    yield f"| workload | {' | '.join(heads)} | requests: azfuse, {BASELINE} |"
    yield "|---" * (len(heads) + 2) + "|"
    for workload, title in _titles(runs):
        cells = [_ratio_cell(runs, workload, latency) for latency in latencies]
        requests = [
            _requests_cell(cell(runs, workload, peer, latencies[-1]))
            for peer in (_SUBJECT, BASELINE)
        ]
        yield f"| {title} | {' | '.join(cells)} | {', '.join(requests)} |"


def _ratio_cell(runs: Sequence[Run], workload: str, latency: float) -> str:
    this = cell(runs, workload, _SUBJECT, latency)
    base = cell(runs, workload, BASELINE, latency)
    factor = ratio(this, base)
    if factor is not None:
        return f"{factor:.1f} x"
    if base.runs and not base.good and this.good:
        return f"{BASELINE} {base.runs[0].outcome}"
    return this.runs[0].outcome if this.runs and not this.good else ""


def _requests_cell(this: Cell) -> str:
    return f"{this.requests().median:.0f}" if this.good else "-"
