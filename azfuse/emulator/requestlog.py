"""The request log: how many requests of which operation came, and how many bytes went."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """What was counted for one operation. Bytes are those of bodies."""

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    by_status: Counter[str] = field(default_factory=Counter)


class RequestLog:
    """Counts by operation since the start or the last reset."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def count(self, operation: str, status: int, bytes_in: int, bytes_out: int) -> None:
        """Count one request; status 0 is a connection that was reset."""
        tally = self._tallies.get(operation)
        if tally is None:
            tally = self._tallies[operation] = Tally()
        tally.requests += 1
        tally.bytes_in += bytes_in
        tally.bytes_out += bytes_out
        tally.by_status[str(status)] += 1

    def reset(self) -> None:
        """Start counting afresh."""
        self._tallies.clear()

    def to_json(self) -> dict[str, Any]:
        """Return totals and the counts by operation name."""
        tallies = self._tallies
        return {
            "requests": sum(t.requests for t in tallies.values()),
            "bytes_in": sum(t.bytes_in for t in tallies.values()),
            "bytes_out": sum(t.bytes_out for t in tallies.values()),
            "operations": {
                name: {
                    "requests": t.requests,
                    "bytes_in": t.bytes_in,
                    "bytes_out": t.bytes_out,
                    "by_status": dict(t.by_status),
                }
                for name, t in sorted(tallies.items())
            },
        }
