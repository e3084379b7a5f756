"""Counts of what went over the wire, by operation."""

import re
from dataclasses import dataclass, fields


@dataclass(slots=True)
class OperationCounters:
    """Counts of one operation. Only the transport writes them."""

    #: Tries sent, first and later ones.
    requests: int = 0
    #: Tries after the first of a request.
    retries: int = 0
    #: Tries without an answer, or with one of 400 and above.
    errors: int = 0
    #: Tries answered 503.
    throttles: int = 0
    #: Bytes of request bodies, as far as they were handed to the network.
    bytes_sent: int = 0
    #: Bytes of response bodies.
    bytes_received: int = 0


_NAMES = tuple(field.name for field in fields(OperationCounters))
#: The same in camel case.
_SHOWN = {name: re.sub("_(.)", lambda match: match[1].upper(), name) for name in _NAMES}


class Counters:
    """Counters of every operation that was used."""

    def __init__(self) -> None:
        self._operations: dict[str, OperationCounters] = {}

    def of(self, operation: str) -> OperationCounters:
        """Return the live counters of *operation*, made at its first use."""
        counters = self._operations.get(operation)
        if counters is None:
            counters = self._operations[operation] = OperationCounters()
        return counters

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Return the counts by operation as plain dicts, apart from the live ones."""
        return {
            operation: {name: getattr(counters, name) for name in _NAMES}
            for operation, counters in sorted(self._operations.items())
        }

    def stats(self) -> dict[str, object]:
        """Return totals and counts by operation under the names that `azfuse stats` shows."""
        by_operation = {
            operation: {shown: counts[name] for name, shown in _SHOWN.items()}
            for operation, counts in self.snapshot().items()
        }
        totals = self.totals()
        return {
            "total": {shown: totals[name] for name, shown in _SHOWN.items()},
            "byOperation": by_operation,
        }

    def totals(self) -> dict[str, int]:
        """Return the sums over all operations."""
        return {
            name: sum(getattr(counters, name) for counters in self._operations.values())
            for name in _NAMES
        }
