"""Figures as people read them."""

import copy
from typing import Any

import pytest

from azfuse.cli.cost import load_prices, reckon
from azfuse.cli.stats_view import WIDTH, cost_lines, lines_of, short_line
from azfuse.mount.figures import read_from_memory, saving_line, summary_line
from azfuse.mount.units import duration_text, plural, share_text, size_text

MIB = 1024 * 1024


def counts(requests: int, sent: int = 0, received: int = 0) -> dict[str, int]:
    return {
        "requests": requests, "retries": 1, "errors": 2, "throttles": 3,
        "bytesSent": sent, "bytesReceived": received,
    }  # fmt: skip


@pytest.fixture
def figures() -> dict[str, Any]:
    huge = 10**15
    return {
        "mount": {
            "mountPoint": "/mnt/share", "source": "account/share", "pid": 4711,
            "version": "1.0", "state": "mounted", "mountedAt": "2026-11-26T12:00:00Z",
            "uptimeSeconds": 7384.5,
        },
        "share": {"quotaBytes": 100 * 1024 * MIB, "usedBytes": 7 * MIB, "accessTier": "Hot"},
        "requests": {
            "total": counts(1_234_567, 5 * MIB, 7 * MIB),
            "byOperation": {
                "ListDirectoriesAndFiles": counts(1_000_000, received=huge),
                "PutRange": counts(234_567, sent=huge),
            },
        },
        "reads": {
            "reads": 1000, "readsFromMemory": 990, "bytesRead": 10 * MIB, "bytesMissed": MIB,
            "fetches": 12, "bytesFetched": 8 * MIB, "bytesAhead": 4 * MIB,
            "bytesAheadUsed": 3 * MIB, "bytesAheadWasted": MIB,
        },
        "metadata": {
            "lookups": {"hits": 99, "misses": 1}, "attributes": {"hits": 0, "misses": 0},
            "listings": {"hits": 5, "misses": 0}, "negative": 7,
        },
        "cache": {"cachedBytes": MIB, "capacityBytes": 512 * MIB, "blocks": 3, "evictedBytes": 0},
        "writes": {
            "dirtyBytes": 3 * MIB, "dirtyLimitBytes": 256 * MIB, "dirtyFiles": 2,
            "uploadsInFlight": 1, "uploads": 10, "failedUploads": 1,
            "failing": [
                {"path": "a/\x1b[31mred", "dirtyBytes": 5, "failures": 1, "error": "away" * 40}
            ],
        },
        "leases": {"held": 12, "paths": [f"dir/{number}" for number in range(12)]},
        "open": {"files": 1, "directories": 2, "inodes": 3000},
        "disk": {"usedBytes": 5 * MIB, "hits": 17, "enabled": True, "paths": ["x"]},
        "kernel": {
            "total": {"requests": 3, "errors": 1, "seconds": 0.3},
            "byOperation": {"read": {"requests": 3, "errors": 1, "seconds": 0.3}},
        },
    }  # fmt: skip


def later(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures ten seconds on: 20 requests and 10 MiB more."""
    after = copy.deepcopy(figures)
    after["mount"]["uptimeSeconds"] += 10
    after["requests"]["total"]["requests"] += 20
    after["requests"]["total"]["bytesSent"] += 10 * MIB
    after["requests"]["byOperation"]["PutRange"]["requests"] += 20
    after["requests"]["byOperation"]["GetFile"] = counts(5)
    return after


def test_all_of_it(figures):
    text = "\n".join(lines_of(figures))
    assert "pid 4711, mounted for 2 h 3 min, 7.0 MiB of 100 GiB used" in text
    assert "1,000,000" in text
    assert "reads       1,000, 99.0 % from memory; 10.0 MiB, 90.0 % from memory" in text
    assert "read ahead  4.0 MiB of 8.0 MiB fetched; 3.0 MiB used, 1.0 MiB wasted" in text
    assert "lookups     100, 99.0 % from memory, 7 of them for missing names" in text
    assert "attributes  0, - from memory" in text
    assert "dirty       3.0 MiB in 2 files; 1 upload in flight, 1 of 11 failed" in text
    assert "  failing   a/\\x1b[31mred: awayaway" in text
    assert "and 4 more" in text
    assert "open        1 file, 2 directories; 3,000 inodes known" in text
    # A section that nobody told the table of.
    assert "disk        used bytes 5.0 MiB, hits 17, enabled True" in text
    assert "read                   3       1     0.30   100.00" in text


@pytest.mark.parametrize("rated", [False, True])
def test_it_fits_the_screen(figures, rated):
    before = figures if rated else None
    figures = later(figures)
    figures["cost"] = reckon(figures["requests"], 7394.5, load_prices(None, {}), "hot")
    lines = lines_of(figures, before)
    assert max(map(len, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)
    # Nothing but a path or a message is cut off.
    assert [line for line in lines if len(line) == WIDTH and "failing" not in line] == []


def test_rates(figures):
    lines = lines_of(later(figures), figures)
    (put,) = [line for line in lines if line.startswith("PutRange")]
    assert put.split()[-1] == "2.0"
    assert "1.0 MiB/s up, 0 B/s down; 1 retry, 3 throttled" in lines
    assert "1,234,587 requests (2.0/s), up 15.0 MiB (1.0 MiB/s), down 7.0 MiB (0 B/s)" in (
        short_line(later(figures), figures)
    )
    assert "(" not in short_line(figures, None)
    # Another mount took the place of the first: nothing is counted backwards.
    assert "0.0" in short_line(figures, later(figures))


def test_cost(figures):
    cost = reckon(figures["requests"], 3600, load_prices(None, {}), "hot")
    lines = cost_lines(cost)
    assert lines[0].split() == ["CLASS", "REQUESTS", "PER", "10,000", "USD"]
    assert "write     234,567       0.065  1.524686" in lines
    assert "8.024686 USD an hour since it was mounted, on the tier hot" in lines


def test_lines_for_the_log_and_the_unmount(figures):
    assert summary_line(figures) == (
        "mounted for 2 h 3 min: 1,234,567 requests, 5.0 MiB up, 7.0 MiB down, "
        "90.0 % of 10.0 MiB read from memory, 99.0 % of 100 lookups from memory, "
        "1 retry, 3 throttled"
    )
    figures["mount"]["state"] = "saving"
    assert saving_line(figures, 2.5 * MIB) == (
        f"saving: 2 files and 3.0 MiB left, 2.5 MiB/s; a/\\x1b[31mred: {'away' * 40}"
    )
    figures["writes"]["failing"] = []
    assert saving_line(figures, None) == "saving: 2 files and 3.0 MiB left"
    figures["mount"]["state"] = "mounted"
    assert saving_line(figures, None) == ("unmounted, but programs use it still (1 open file)")


@pytest.mark.parametrize(
    ("read", "missed", "text"),
    [(0, 0, "-"), (100, 0, "100.0 %"), (100, 25, "75.0 %"), (100, 100, "0.0 %"),
     (100, 150, "0.0 %"), (0, 50, "-")],
)  # fmt: skip
def test_never_less_than_nothing_is_from_memory(figures, read, missed, text):
    reads = {"bytesRead": read, "bytesMissed": missed}
    assert read_from_memory(reads) == text
    figures["reads"] |= reads
    assert f"{text} of {size_text(read)} read from memory" in summary_line(figures)
    assert f"{size_text(read)}, {text} from memory" in "\n".join(lines_of(figures))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (99 * 1024, "99.0 KiB"),
     (1023.9 * 1024, "1.0 MiB"), (100 * MIB, "100 MiB"), (1 << 60, "1024 PiB")],
)  # fmt: skip
def test_sizes(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h"),
     (3605, "1 h"), (3660, "1 h 1 min"), (90_000, "1 d 1 h"), (86_400 + 59, "1 d")],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_parts_and_plurals():
    assert share_text(0, 0) == "-"
    assert share_text(99_999, 100_000) == "99.9 %"
    assert share_text(5, 5) == "100.0 %"
    assert (plural(1, "file", "files"), plural(1234, "file", "files")) == ("1 file", "1,234 files")
