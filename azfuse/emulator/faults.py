"""Faults on purpose: latency, a narrow line, errors, lost connections, stalls, a full share.

All of it is plain data that can be read and replaced as JSON while the emulator runs (admin.py):

    {"latency_ms": 20, "bandwidth_mib": 100, "quota_bytes": {"share": 1048576, "*": 0},
     "rules": [{"action": "busy", "operation": "PutRange", "times": 3, "after": 10,
                "retry_after": 1}]}
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

import anyio

from azfuse.emulator.errors import Refusal
from azfuse.emulator.tokens import challenge
from azfuse.rest.errors import ErrorCode

#: What a rule can do to a request.
ACTIONS: Final = (
    "delay",  # wait `seconds`, then answer as usual
    "busy",  # 503 ServerBusy, with Retry-After if `retry_after` is set; no effect
    "error",  # 500 InternalError; no effect
    "timeout",  # 500 OperationTimedOut; no effect
    "error-after",  # 500 InternalError although the request took effect
    "expired",  # 401 InvalidAuthenticationInfo, as for an expired token; no effect
    "pending",  # a copy stays pending for `seconds`; until it is aborted if that is 0
    "full",  # 409 ShareSizeLimitReached; no effect
    "reset-before",  # the connection is reset; no effect
    "reset-after",  # the connection is reset although the request took effect
    "cut",  # the connection is reset after `bytes` bytes of the answer's body
    "stall",  # after `bytes` bytes of the answer's body nothing comes for `seconds`
)
_BEFORE: Final = frozenset({"busy", "error", "timeout", "expired", "full", "reset-before"})


class FaultError(ValueError):
    """Fault settings make no sense; the message says which and why."""


class ConnectionReset(Exception):  # noqa: N818 (it says what happens, not what went wrong)
    """The connection is to be reset now, without another byte."""


@dataclass(slots=True)
class Rule:
    """One fault: what happens to which requests.

    It skips the first `after` requests that match and then applies to `times` of them (None: to
    all). `operation` is a name or a pattern of the names in operations.py, `path` a pattern of the
    raw path.
    """

    action: str
    operation: str = "*"
    path: str = "*"
    times: int | None = None
    after: int = 0
    seconds: float = 0.0
    retry_after: int | None = None
    bytes: int = 0
    applied: int = 0

    def takes(self, operation: str, path: str) -> bool:
        """Say whether this request is one for the rule, and count it."""
        if not (
            fnmatch.fnmatchcase(operation, self.operation) and fnmatch.fnmatchcase(path, self.path)
        ):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None and self.times <= 0:
            return False
        if self.times is not None:
            self.times -= 1
        self.applied += 1
        return True


@dataclass(slots=True)
class Faults:
    """The faults in force. `operation_latency_ms` adds to `latency_ms` by operation name."""

    latency_ms: float = 0.0
    operation_latency_ms: dict[str, float] = field(default_factory=dict)
    bandwidth_mib: float | None = None
    quota_bytes: dict[str, int] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    _line_free_at: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the settings in the form `replace` takes."""
        settings = asdict(self)
        del settings["_line_free_at"]
        return settings

    def replace(self, settings: Mapping[str, Any]) -> None:
        """Take over the settings given; those not named are switched off. Raises FaultError."""
        known = {f.name for f in fields(self) if not f.name.startswith("_")}
        if unknown := set(settings) - known:
            raise FaultError(f"unknown setting {min(unknown)!r}; known are {sorted(known)}")
        try:
            rules = [Rule(**rule) for rule in settings.get("rules", [])]
            latency = float(settings.get("latency_ms") or 0)
            by_operation = {
                str(k): float(v) for k, v in settings.get("operation_latency_ms", {}).items()
            }
            bandwidth = settings.get("bandwidth_mib")
            bandwidth = None if bandwidth is None else float(bandwidth)
            quotas = {str(k): int(v) for k, v in settings.get("quota_bytes", {}).items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise FaultError(str(error)) from error
        for rule in rules:
            if rule.action not in ACTIONS:
                raise FaultError(f"unknown action {rule.action!r}; known are {list(ACTIONS)}")
        if bandwidth is not None and bandwidth <= 0:
            raise FaultError("bandwidth_mib must be more than 0, or null for no limit")
        self.latency_ms, self.operation_latency_ms = latency, by_operation
        self.bandwidth_mib, self.rules = bandwidth, rules
        # In place: the service's settings hold the same dictionary.
        self.quota_bytes.clear()
        self.quota_bytes.update(quotas)

    def rules_for(self, operation: str, path: str) -> list[Rule]:
        """Return the rules that apply to this request, and count it for them."""
        if not self.rules:
            return []
        return [rule for rule in self.rules if rule.takes(operation, path)]

    async def wait(self, operation: str) -> None:
        """Let the latency of an operation pass. Checkpoints only if there is one."""
        delay = self.latency_ms + self.operation_latency_ms.get(operation, 0.0)
        if delay > 0:
            await anyio.sleep(delay / 1000)

    async def carry(self, count: int) -> None:
        """Let *count* bytes pass the line that all requests share. Checkpoints if it is narrow."""
        if self.bandwidth_mib is None or count == 0:
            return
        now = anyio.current_time()
        self._line_free_at = max(self._line_free_at, now) + count / (self.bandwidth_mib * 1024**2)
        await anyio.sleep(self._line_free_at - now)


async def before(rules: list[Rule]) -> None:
    """Do what *rules* do before the effect of a request."""
    for rule in rules:
        if rule.action == "delay":
            await anyio.sleep(rule.seconds)
        elif rule.action in _BEFORE:
            raise refusal_of(rule)


def refusal_of(rule: Rule) -> Exception:
    """Return the exception by which a rule answers a request."""
    if rule.action.startswith("reset"):
        return ConnectionReset()
    if rule.action == "busy":
        after = [("Retry-After", str(rule.retry_after))] if rule.retry_after is not None else []
        return Refusal(ErrorCode.SERVER_BUSY, headers=after)
    if rule.action == "timeout":
        return Refusal(ErrorCode.OPERATION_TIMED_OUT)
    if rule.action == "full":
        return Refusal(ErrorCode.SHARE_SIZE_LIMIT_REACHED)
    if rule.action == "expired":
        return challenge()
    return Refusal(ErrorCode.INTERNAL_ERROR)
