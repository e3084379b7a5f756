"""How `azfuse stats` looks: lines of at most 80 columns from the mount's own figures."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from azfuse.mount.figures import read_from_memory
from azfuse.mount.units import (
    count_text,
    duration_text,
    plain_text,
    plural,
    share_text,
    size_text,
)

WIDTH: Final = 80
#: Sections that have lines of their own; of any other all figures are shown.
_KNOWN: Final = frozenset(
    {"mount", "share", "requests", "reads", "metadata", "cache", "writes", "leases", "open",
     "kernel", "cost"}
)  # fmt: skip
#: Failing uploads and leases that are named one by one.
_MOST_NAMED: Final = 8
_LABEL: Final = 12
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def lines_of(stats: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[str]:
    """Return the lines that show *stats*, with rates since *before* if that is given."""
    lines = [
        *_head(stats),
        "",
        *_requests(stats["requests"], Rates(stats, before)),
        "",
        *_memory(stats),
        *_pending(stats),
        *_others(stats),
    ]
    if kernel := stats.get("kernel", {}).get("byOperation"):
        lines += ["", *_kernel(kernel)]
    if "cost" in stats:
        lines += ["", *cost_lines(stats["cost"])]
    return [plain_text(line)[:WIDTH] for line in lines]


class Rates:
    """What was added each second between two samples of one mount; nothing without the first."""

    def __init__(self, now: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        self._now = now["requests"]
        self._before = before["requests"] if before is not None else None
        self._seconds = 0.0
        if before is not None:
            self._seconds = now["mount"]["uptimeSeconds"] - before["mount"]["uptimeSeconds"]

    def total(self, key: str) -> float | None:
        """Return the rate of a total of all requests."""
        if self._before is None:
            return None
        return self._rate(self._now["total"][key] - self._before["total"][key])

    def requests_of(self, operation: str) -> float | None:
        """Return the requests of *operation* each second."""
        if self._before is None:
            return None
        earlier = self._before["byOperation"].get(operation, {"requests": 0})["requests"]
        return self._rate(self._now["byOperation"][operation]["requests"] - earlier)

    def _rate(self, added: float) -> float:
        # Another mount may have taken the place of the first.
        return max(0.0, added / self._seconds) if self._seconds > 0 else 0.0


def short_line(stats: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """Return one line with the totals and what is dirty, for who watches without a terminal."""
    rates, total, writes = Rates(stats, before), stats["requests"]["total"], stats.get("writes", {})
    dirty, files = writes.get("dirtyBytes", 0), writes.get("dirtyFiles", 0)
    parts = [
        f"{count_text(total['requests'])} requests{_rate(rates.total('requests'), count=True)}",
        f"up {size_text(total['bytesSent'])}{_rate(rates.total('bytesSent'))}",
        f"down {size_text(total['bytesReceived'])}{_rate(rates.total('bytesReceived'))}",
        f"dirty {size_text(dirty)} in {plural(files, 'file', 'files')}",
        plural(total["retries"], "retry", "retries"),
    ]
    return plain_text(", ".join(parts))


def cost_lines(cost: Mapping[str, Any]) -> list[str]:
    """Return the lines that show what requests cost, by class and in sum."""
    currency = cost["currency"]
    rows = [("CLASS", "REQUESTS", "PER 10,000", currency)]
    rows += [
        (kind, count_text(entry["requests"]), f"{entry['price']:g}", _money(entry["cost"]))
        for kind, entry in cost["byClass"].items()
    ]
    egress = cost["egress"]
    rows.append(
        ("egress", size_text(egress["bytes"]), f"{egress['price']:g}/GiB",
         _money(egress["cost"]))
    )  # fmt: skip
    rows.append(("total", "", "", _money(cost["total"])))
    per_hour = _money(cost["perHour"])
    operations = sorted(cost["byOperation"].items(), key=lambda item: -item[1]["cost"])
    table = [("OPERATION", "CLASS", "REQUESTS", currency)]
    table += [
        (name, entry["class"], count_text(entry["requests"]), _money(entry["cost"]))
        for name, entry in operations
    ]
    return [
        *_table(rows),
        f"{per_hour} {currency} an hour since it was mounted, on the tier {cost['tier']}",
        f"prices: {cost['prices']}",
        "",
        *_table(table, left=2),
    ]


# -- parts -------------------------------------------------------------------------------------


def _head(stats: Mapping[str, Any]) -> Iterator[str]:
    mount = stats["mount"]
    yield f"{mount['mountPoint']} ({mount['state']}): {mount['source']}"
    uptime = duration_text(mount["uptimeSeconds"])
    share = stats.get("share", {})
    size = ""
    if share.get("quotaBytes"):
        size = f", {size_text(share['usedBytes'])} of {size_text(share['quotaBytes'])} used"
    yield f"pid {mount['pid']}, mounted for {uptime}{size}"


#: Columns of the table of requests, without rates and with them: head, key of the counts.
_COLUMNS: Final = {
    "REQUESTS": "requests", "RETRIES": "retries", "ERRORS": "errors", "BUSY": "throttles",
    "SENT": "bytesSent", "RECEIVED": "bytesReceived",
}  # fmt: skip
_COLUMNS_RATED: Final = ("REQUESTS", "ERRORS", "SENT", "RECEIVED")


def _requests(requests: Mapping[str, Any], rates: Rates) -> list[str]:
    total = rates.total("requests")
    rated = total is not None
    columns = _COLUMNS_RATED if rated else tuple(_COLUMNS)

    def row(name: str, counts: Mapping[str, int], rate: float | None) -> list[str]:
        cells = [_value_text(_COLUMNS[column], counts[_COLUMNS[column]]) for column in columns]
        return [name, *cells, *([f"{rate or 0:.1f}"] if rated else [])]

    by_operation = sorted(requests["byOperation"].items(), key=lambda item: -item[1]["requests"])
    rows = [["OPERATION", *columns, *(["REQUESTS/S"] if rated else [])]]
    rows += [row(name, counts, rates.requests_of(name)) for name, counts in by_operation]
    rows.append(row("total", requests["total"], total))
    lines = _table(rows)
    if rated:
        up, down = rates.total("bytesSent"), rates.total("bytesReceived")
        again = requests["total"]
        lines.append(
            f"{size_text(up or 0)}/s up, {size_text(down or 0)}/s down; "
            f"{plural(again['retries'], 'retry', 'retries')}, "
            f"{count_text(again['throttles'])} throttled"
        )
    return lines


def _memory(stats: Mapping[str, Any]) -> Iterator[str]:
    """Show what memory answered."""
    if reads := stats.get("reads"):
        yield _labelled(
            "reads",
            f"{count_text(reads['reads'])}, {share_text(reads['readsFromMemory'], reads['reads'])} "
            f"from memory; {size_text(reads['bytesRead'])}, "
            f"{read_from_memory(reads)} from memory",
        )
        yield _labelled(
            "read ahead",
            f"{size_text(reads['bytesAhead'])} of {size_text(reads['bytesFetched'])} fetched; "
            f"{size_text(reads['bytesAheadUsed'])} used, "
            f"{size_text(reads['bytesAheadWasted'])} wasted",
        )
    if metadata := stats.get("metadata"):
        for name in ("lookups", "attributes", "listings"):
            hits, misses = metadata[name]["hits"], metadata[name]["misses"]
            text = f"{count_text(hits + misses)}, {share_text(hits, hits + misses)} from memory"
            if name == "lookups":
                text += f", {count_text(metadata['negative'])} of them for missing names"
            yield _labelled(name, text)
    if cache := stats.get("cache"):
        yield _labelled(
            "cached",
            f"{size_text(cache['cachedBytes'])} of {size_text(cache['capacityBytes'])} in "
            f"{count_text(cache['blocks'])} blocks; {size_text(cache['evictedBytes'])} evicted",
        )


def _pending(stats: Mapping[str, Any]) -> Iterator[str]:
    """Show what the share does not have yet, and what is held for it."""
    if writes := stats.get("writes"):
        files = plural(writes["dirtyFiles"], "file", "files")
        yield _labelled(
            "dirty",
            f"{size_text(writes['dirtyBytes'])} in {files}; "
            f"{plural(writes['uploadsInFlight'], 'upload', 'uploads')} in flight, "
            f"{count_text(writes['failedUploads'])} of "
            f"{count_text(writes['uploads'] + writes['failedUploads'])} failed",
        )
        failing = writes["failing"]
        for file in failing[:_MOST_NAMED]:
            yield _labelled("  failing", f"{file['path']}: {file['error']}")
        yield from _rest(failing)
    if leases := stats.get("leases"):
        yield _labelled("leases", f"{leases['held']} held")
        for path in leases["paths"][:_MOST_NAMED]:
            yield _labelled("  leased", path)
        yield from _rest(leases["paths"])
    if opened := stats.get("open"):
        yield _labelled(
            "open",
            f"{plural(opened['files'], 'file', 'files')}, "
            f"{plural(opened['directories'], 'directory', 'directories')}; "
            f"{plural(opened['inodes'], 'inode', 'inodes')} known",
        )


def _rest(named: Sequence[object]) -> Iterator[str]:
    if len(named) > _MOST_NAMED:
        yield _labelled("", f"and {len(named) - _MOST_NAMED} more (--json has them all)")


def _others(stats: Mapping[str, Any]) -> Iterator[str]:
    """Show the figures of sections that have no lines of their own, as many as fit on each."""
    for name, section in stats.items():
        if name in _KNOWN or not isinstance(section, Mapping):
            continue
        line = ""
        label = _words(name)
        for key, value in section.items():
            if isinstance(value, Mapping | list):
                continue
            text = f"{_words(key)} {_value_text(key, value)}"
            if line and len(line) + len(text) + 2 > WIDTH - _LABEL:
                yield _labelled(label, line + ",")
                line, label = "", ""
            line += f", {text}" if line else text
        if line:
            yield _labelled(label, line)


def _kernel(calls: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [("KERNEL REQUEST", "REQUESTS", "ERRORS", "SECONDS", "MS EACH")]
    rows += [
        (name, count_text(counts["requests"]), count_text(counts["errors"]),
         f"{counts['seconds']:.2f}", f"{1000 * counts['seconds'] / counts['requests']:.2f}")
        for name, counts in sorted(calls.items(), key=lambda item: -item[1]["requests"])
        if counts["requests"]
    ]  # fmt: skip
    return _table(rows)


# -- text --------------------------------------------------------------------------------------


def _table(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Align *rows*: the first *left* columns to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"


def _words(key: str) -> str:
    return " ".join(word.lower() for word in _HUMP.split(key))


def _value_text(key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    if "bytes" in _words(key).split():
        return size_text(value)
    return count_text(value) if isinstance(value, int) else f"{value:.3g}"


def _money(amount: float) -> str:
    # A request costs a millionth or so.
    return f"{amount:,.6f}"


def _rate(value: float | None, *, count: bool = False) -> str:
    if value is None:
        return ""
    return f" ({value:.1f}/s)" if count else f" ({size_text(value)}/s)"
