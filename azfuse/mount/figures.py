"""Sentences made of the figures of a mount."""

from collections.abc import Mapping
from typing import Any

from azfuse.mount.units import count_text, duration_text, plain_text, plural, share_text, size_text


def summary_line(stats: Mapping[str, Any]) -> str:
    """Return what a mount did, in one line for the log."""
    total = stats["requests"]["total"]
    parts = [
        plural(total["requests"], "request", "requests"),
        f"{size_text(total['bytesSent'])} up",
        f"{size_text(total['bytesReceived'])} down",
    ]
    if reads := stats.get("reads"):
        parts.append(
            f"{read_from_memory(reads)} of {size_text(reads['bytesRead'])} read from memory"
        )
    if metadata := stats.get("metadata"):
        hits, misses = metadata["lookups"]["hits"], metadata["lookups"]["misses"]
        known = share_text(hits, hits + misses)
        parts.append(f"{known} of {count_text(hits + misses)} lookups from memory")
    parts.append(plural(total["retries"], "retry", "retries"))
    parts.append(f"{count_text(total['throttles'])} throttled")
    return f"mounted for {duration_text(stats['mount']['uptimeSeconds'])}: {', '.join(parts)}"


def read_from_memory(reads: Mapping[str, int]) -> str:
    """Return how much of what programs read was in memory, in percent.

    A read that failed has waited for bytes that it did not give: they may be more than
    all that were read.
    """
    read, missed = reads.get("bytesRead", 0), reads.get("bytesMissed", 0)
    return share_text(max(0, read - missed), read)


def dirty_bytes(stats: Mapping[str, Any]) -> int:
    """Return how much is not on the share yet."""
    left: int = stats.get("writes", {}).get("dirtyBytes", 0)
    return left


def saving_line(stats: Mapping[str, Any], rate: float | None) -> str:
    """Return what an unmount waits for, at *rate* bytes a second."""
    writes = stats.get("writes", {})
    if stats["mount"]["state"] != "saving":
        opened = stats.get("open", {}).get("files", 0)
        if not opened:
            return "unmounted here, but something has it still: a container, or a directory in it"
        return f"unmounted, but programs use it still ({plural(opened, 'open file', 'open files')})"
    files = plural(writes.get("dirtyFiles", 0), "file", "files")
    line = f"saving: {files} and {size_text(writes.get('dirtyBytes', 0))} left"
    if rate is not None:
        line += f", {size_text(rate)}/s"
    if failing := writes.get("failing"):
        line += f"; {failing[-1]['path']}: {failing[-1]['error']}"
    return plain_text(line)
