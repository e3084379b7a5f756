"""Runs what a command asks of the service, and makes one sentence of whatever goes wrong."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from azfuse.cli.failure import CommandError
from azfuse.cli.target import Target
from azfuse.cli.waiting import sign_of_life
from azfuse.mount.errors import UsageError
from azfuse.mount.explain import explain_authentication, explain_connection
from azfuse.rest.errors import (
    AzureFilesError,
    ErrorCode,
    ServiceError,
    UnsupportedByVersion,
)
from azfuse.rest.resource import MISSING
from azfuse.rest.retry import RetryPolicy
from azfuse.rest.transport import Transport

T = TypeVar("T")

#: Someone waits at a terminal: requests are tried for this many seconds.
_RETRY_TIMEOUT: Final = 10.0
_REFUSALS: Final = {
    ErrorCode.SHARE_NOT_FOUND: "share {share!r} does not exist in account {account}",
    ErrorCode.SHARE_ALREADY_EXISTS: "share {share!r} exists already in account {account}",
    ErrorCode.SHARE_BEING_DELETED: "share {share!r} is being deleted: try again in a minute",
    ErrorCode.SHARE_HAS_SNAPSHOTS: (
        "share {share!r} has snapshots: --delete-snapshots include deletes them with it"
    ),
    "DeleteShareWhenSnapshotLeased": (
        "a snapshot of share {share!r} is leased: --delete-snapshots include-leased deletes it too"
    ),
    ErrorCode.SHARE_SNAPSHOT_NOT_FOUND: "share {share!r} has no such snapshot",
    ErrorCode.LEASE_ALREADY_PRESENT: "{what} is leased already",
    ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION: "{what} has no lease",
    ErrorCode.LEASE_ID_MISSING: "{what} is leased: name the lease with --lease-id",
    ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION: "that is not the lease of {what}",
    ErrorCode.LEASE_ID_MISMATCH_WITH_CONTAINER_OPERATION: "that is not the lease of {what}",
    ErrorCode.LEASE_NOT_PRESENT_WITH_CONTAINER_OPERATION: "{what} has no lease",
}
_UNPROVEN: Final = frozenset(
    {ErrorCode.AUTHENTICATION_FAILED, ErrorCode.NO_AUTHENTICATION_INFORMATION}
)


def run(target: Target, work: Callable[[Transport], Awaitable[T]]) -> T:
    """Run *work* over a connection to the account of *target*, and return what it returns.

    Raises UsageError for what cannot be sent, CommandError for what was refused
    or not answered.
    """

    async def connected() -> T:
        login, retry = target.login, RetryPolicy(_RETRY_TIMEOUT)
        async with (
            sign_of_life(f"waiting for account {target.account}"),
            Transport(login.endpoint, login.credentials, retry=retry) as transport,
        ):
            return await work(transport)

    try:
        return trio.run(connected)
    except (BaseExceptionGroup, AzureFilesError, ValueError) as error:
        first = _first(error)
        sentence = _sentence(first, target)
        if sentence is None:  # an interruption, say, that a nursery has wrapped
            raise first from None
        raise sentence from first


def _first(error: BaseException) -> BaseException:
    """Return the first of several errors at once: the others are its echo."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _sentence(error: BaseException, target: Target) -> CommandError | UsageError | None:
    """Return *error* in words; None for what is no fault of words, share or network."""
    if isinstance(error, ServiceError):
        return CommandError(explain_refusal(error, target))
    if isinstance(error, UnsupportedByVersion):
        return CommandError(str(error))
    if isinstance(error, AzureFilesError):
        return CommandError(explain_connection(error, target.login, target.account))
    return UsageError(str(error)) if isinstance(error, ValueError) else None


def explain_refusal(error: ServiceError, target: Target) -> str:
    """Say in one sentence what a refusal means for the person."""
    share, path, found_in = target.share, target.path, target.login.found_in
    what = repr(path) if path else f"share {share!r}" if share else f"account {target.account}"
    if sentence := _REFUSALS.get(error.code):
        return sentence.format(share=share, account=target.account, what=what)
    if error.code in MISSING and path:
        return f"{path!r} does not exist in share {share!r}"
    if error.code in _UNPROVEN:
        return explain_authentication(error, target.login, target.account)
    if error.status in (401, 403):
        reason = error.code or error.status
        return f"the credentials in {found_in} do not permit this on {what} ({reason})"
    first_line = error.message.partition("\n")[0].rstrip(".") or "no reason given"
    details = [error.details[name] for name in ("HeaderName", "Reason") if error.details.get(name)]
    return f"{what}: {first_line} ({', '.join([error.code or str(error.status), *details])})"
