"""Leases on files (infinite, section 4.5 of the reference) and on shares (timed too)."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from azfuse.emulator import clock
from azfuse.emulator.errors import PENDING_COPY_OPERATION, Refusal, bad_header
from azfuse.emulator.request import Request
from azfuse.emulator.rows import Lease, Node, Share, Snapshot
from azfuse.rest.errors import ErrorCode

_GUID: Final = re.compile(
    r"\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?", re.IGNORECASE
)
_SECOND: Final = 1_000_000_000
STATE_NAMES: Final = ("available", "leased", "breaking", "broken", "expired")


def lease_id(headers: Mapping[str, str], name: str) -> str | None:
    """Return a lease id of the request in its usual form, None when absent."""
    value = headers.get(name)
    if value is None:
        return None
    if _GUID.fullmatch(value) is None:
        raise bad_header(name, value)
    return str(uuid.UUID(value))


def check_file(node: Node | None, given: str | None, *, writing: bool) -> None:
    """Refuse an operation that the lease of a file, or an id without a lease, does not allow.

    And one that writes to the target of a pending copy.
    """
    leased = node is not None and node.lease_state == Lease.LEASED
    if given is not None:
        if node is None or not leased:
            raise Refusal(ErrorCode.LEASE_NOT_PRESENT_WITH_FILE_OPERATION)
        if given != node.lease_id:
            raise Refusal(ErrorCode.LEASE_ID_MISMATCH_WITH_FILE_OPERATION)
    elif leased and writing:
        raise Refusal(ErrorCode.LEASE_ID_MISSING)
    if writing and node is not None and node.copy and is_pending(node.copy, clock.now()):
        raise Refusal(PENDING_COPY_OPERATION)


def is_pending(copy: str, now: int) -> bool:
    """Say whether a copy, as a node remembers it, is still under way."""
    stored = json.loads(copy)
    if stored["status"] != "pending":
        return False
    until = stored.get("until")
    return until is None or now < until


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a lease action does: the answer, and the columns that change."""

    status: int
    columns: dict[str, Any]
    headers: list[tuple[str, str]]


def act_on_file(request: Request, node: Node) -> Outcome:
    """Carry out `x-ms-lease-action` on a file. There is no renew and no duration but -1."""
    action = request.required("x-ms-lease-action").lower()
    given = lease_id(request.headers, "x-ms-lease-id")
    proposed = lease_id(request.headers, "x-ms-proposed-lease-id")
    if action == "acquire":
        duration = request.headers.get("x-ms-lease-duration", "-1")
        if duration != "-1":
            raise bad_header("x-ms-lease-duration", duration)
        return _acquire_file(node, proposed)
    if action == "break":
        if node.lease_state == Lease.AVAILABLE:
            raise Refusal(ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION)
        return Outcome(202, {"lease_state": int(Lease.BROKEN)}, [("x-ms-lease-time", "0")])
    if action not in ("change", "release"):
        raise bad_header("x-ms-lease-action", action)
    if given is None:
        given = lease_id({"x-ms-lease-id": request.required("x-ms-lease-id")}, "x-ms-lease-id")
    if action == "release":
        return _release_file(node, given)
    if proposed is None:
        request.required("x-ms-proposed-lease-id")
    if node.lease_state != Lease.LEASED:
        raise Refusal(ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION)
    if node.lease_id not in (given, proposed):
        raise Refusal(ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION)
    return Outcome(200, {"lease_id": proposed}, [("x-ms-lease-id", proposed or "")])


def _acquire_file(node: Node, proposed: str | None) -> Outcome:
    if node.lease_state == Lease.LEASED and node.lease_id != proposed:
        raise Refusal(ErrorCode.LEASE_ALREADY_PRESENT)
    taken = proposed or str(uuid.uuid4())
    return Outcome(
        201,
        {"lease_id": taken, "lease_state": int(Lease.LEASED)},
        [("x-ms-lease-id", taken)],
    )


def _release_file(node: Node, given: str | None) -> Outcome:
    if node.lease_state == Lease.AVAILABLE:
        raise Refusal(ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION)
    if given != node.lease_id:
        raise Refusal(ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION)
    return Outcome(200, {"lease_id": None, "lease_state": int(Lease.AVAILABLE)}, [])


# Shares


def share_state(holder: Share | Snapshot, now: int) -> str:
    """Return the state of a share's lease: expiry and the end of a break come by themselves."""
    state, until = holder.lease_state, holder.lease_until
    if state == Lease.LEASED and until is not None and now >= until:
        return "expired"
    if state == Lease.BREAKING and until is not None and now >= until:
        return "broken"
    return STATE_NAMES[state]


def share_headers(holder: Share | Snapshot, now: int) -> list[tuple[str, str]]:
    """Return the lease headers of Get Share Properties."""
    state = share_state(holder, now)
    headers = [
        ("x-ms-lease-status", "locked" if state in ("leased", "breaking") else "unlocked"),
        ("x-ms-lease-state", state),
    ]
    if state == "leased":
        kind = "infinite" if holder.lease_duration < 0 else "fixed"
        headers.append(("x-ms-lease-duration", kind))
    return headers


def check_share(holder: Share | Snapshot, given: str | None, now: int, *, needed: bool) -> None:
    """Refuse a share operation that its lease, or an id without a lease, does not allow."""
    what = "file share"
    state = share_state(holder, now)
    active = state in ("leased", "breaking")
    if given is None:
        if active and needed:
            raise Refusal(ErrorCode.LEASE_ID_MISSING, what=what)
        return
    if active:
        if given != holder.lease_id:
            raise Refusal(ErrorCode.LEASE_ID_MISMATCH_WITH_CONTAINER_OPERATION, what=what)
    elif holder.lease_id == given:
        raise Refusal(ErrorCode.LEASE_LOST, what=what)
    else:
        raise Refusal(ErrorCode.LEASE_NOT_PRESENT_WITH_CONTAINER_OPERATION, what=what)


def act_on_share(request: Request, holder: Share | Snapshot, now: int) -> Outcome:
    """Carry out `x-ms-lease-action` on a share or a snapshot of one."""
    action = request.required("x-ms-lease-action").lower()
    if action == "acquire":
        return _acquire_share(request, holder, now)
    if action == "break":
        return _break_share(request, holder, now)
    if action not in ("change", "release", "renew"):
        raise bad_header("x-ms-lease-action", action)
    request.required("x-ms-lease-id")
    given = lease_id(request.headers, "x-ms-lease-id")
    state = share_state(holder, now)
    if state == "available" or holder.lease_id is None:
        raise _no_lease()
    proposed = lease_id(request.headers, "x-ms-proposed-lease-id")
    if holder.lease_id != given and not (action == "change" and proposed == holder.lease_id):
        raise Refusal(ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION, what="file share")
    if action == "release":
        return Outcome(200, _no_columns(), [("x-ms-lease-time", "0")])
    if action == "renew":
        if state in ("breaking", "broken"):
            raise Refusal(ErrorCode.LEASE_IS_BROKEN_AND_CANNOT_BE_RENEWED)
        columns = {"lease_until": _until(holder.lease_duration, now)}
        return Outcome(200, columns, [("x-ms-lease-id", given or "")])
    if proposed is None:
        request.required("x-ms-proposed-lease-id")
    if state != "leased":
        raise _no_lease()
    return Outcome(200, {"lease_id": proposed}, [("x-ms-lease-id", proposed or "")])


def _no_lease() -> Refusal:
    return Refusal(ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION, what="file share")


def _no_columns() -> dict[str, Any]:
    return {
        "lease_id": None, "lease_state": int(Lease.AVAILABLE), "lease_duration": -1,
        "lease_until": None,
    }  # fmt: skip


def _until(duration: int, now: int) -> int | None:
    return None if duration < 0 else now + duration * _SECOND


def _acquire_share(request: Request, holder: Share | Snapshot, now: int) -> Outcome:
    text = request.headers.get("x-ms-lease-duration", "-1")
    if text != "-1" and not (text.isascii() and text.isdigit() and 15 <= int(text) <= 60):
        raise bad_header("x-ms-lease-duration", text)
    duration = int(text)
    proposed = lease_id(request.headers, "x-ms-proposed-lease-id")
    state = share_state(holder, now)
    if state == "breaking" and proposed == holder.lease_id:
        raise Refusal(ErrorCode.LEASE_IS_BREAKING_AND_CANNOT_BE_ACQUIRED)
    if state in ("leased", "breaking") and proposed != holder.lease_id:
        raise Refusal(ErrorCode.LEASE_ALREADY_PRESENT)
    taken = proposed or str(uuid.uuid4())
    columns = {
        "lease_id": taken, "lease_state": int(Lease.LEASED), "lease_duration": duration,
        "lease_until": _until(duration, now),
    }  # fmt: skip
    return Outcome(201, columns, [("x-ms-lease-id", taken)])


def _break_share(request: Request, holder: Share | Snapshot, now: int) -> Outcome:
    state = share_state(holder, now)
    if state == "available":
        raise _no_lease()
    text = request.headers.get("x-ms-lease-break-period")
    if text is not None and not (text.isascii() and text.isdigit() and int(text) <= 60):
        raise bad_header("x-ms-lease-break-period", text)
    if state in ("broken", "expired"):
        return Outcome(202, {"lease_state": int(Lease.BROKEN)}, [("x-ms-lease-time", "0")])
    left = 0
    if holder.lease_until is not None:
        left = max(0, -(-(holder.lease_until - now) // _SECOND))
        period = left if text is None else min(left, int(text))
    else:
        period = 0 if text is None else int(text)
        if state == "breaking":
            period = min(period, left)
    if period == 0:
        columns: dict[str, Any] = {"lease_state": int(Lease.BROKEN), "lease_until": None}
    else:
        columns = {
            "lease_state": int(Lease.BREAKING), "lease_until": now + period * _SECOND,
        }  # fmt: skip
    return Outcome(202, columns, [("x-ms-lease-time", str(period))])
