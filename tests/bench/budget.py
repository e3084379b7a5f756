"""The lines of the architecture's budget table that the workloads touch: kept or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.results import OK, Run


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one workload cost at most, and whether that is allowed."""

    workload: str
    title: str
    line: str
    holds: bool
    #: One line: what was counted and what is allowed.
    text: str


def verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """Judge every workload that has a budget by its most expensive run."""
    found = []
    for name in dict.fromkeys(run.workload for run in runs):
        mine = [r for r in runs if r.workload == name and r.budget and r.outcome == OK]
        if mine:
            found.append(_verdict(mine))
    return found


def _verdict(runs: Sequence[Run]) -> Verdict:
    worst = max(runs, key=lambda run: run.total_requests)
    budget = worst.budget or {}
    excesses = [text for run in runs for text in _excesses(run)]
    allowed = f"{budget['requests']}" + (f"+{budget['spare']}" if budget["spare"] else "")
    text = f"{worst.total_requests} requests of {allowed}"
    for key, word in (("bytes_in", "up"), ("bytes_out", "down")):
        if budget[key] is not None:
            most = max(_moved(run, key) for run in runs)
            text += f", {most} bytes {word} of {budget[key]}"
    if excesses:
        operations = ", ".join(f"{n} {name}" for name, n in sorted(worst.requests.items()))
        text += f" ({operations})"
    return Verdict(worst.workload, worst.title, budget["line"], not excesses, text)


def _excesses(run: Run) -> Iterator[str]:
    budget = run.budget or {}
    if run.total_requests > budget["requests"] + budget["spare"]:
        yield "requests"
    for key in ("bytes_in", "bytes_out"):
        if budget[key] is not None and _moved(run, key) > budget[key]:
            yield key


def _moved(run: Run, key: str) -> int:
    """Return the bytes of content; no line of the table counts those of listings."""
    return run.bytes_in if key == "bytes_in" else run.bytes_out - run.bytes_listed
