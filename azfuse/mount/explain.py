"""One clear sentence for whatever keeps a share from being mounted."""

import os
import socket
import ssl
import time
from typing import TypeVar

from azfuse.mount.credentials import Login
from azfuse.mount.errors import MountError, RefusedError
from azfuse.mount.plan import Plan
from azfuse.rest.auth import Sas, TokenUnavailable
from azfuse.rest.errors import AzureFilesError, ConnectionFailed, ErrorCode, ServiceError

#: How rest.transport begins what it says of a clock.
_CLOCK_IS_WRONG = "This machine's clock"
_REFUSALS = frozenset({401, 403})
E = TypeVar("E", bound=BaseException)


def failure(error: AzureFilesError, plan: Plan) -> MountError:
    """Return what *error*, met while the share was looked at, makes of the mount."""
    refused = (
        isinstance(error, ServiceError)
        and error.status in _REFUSALS
        # A machine without a battery learns the time after its boot.
        and not error.message.startswith(_CLOCK_IS_WRONG)
    )
    return (RefusedError if refused else MountError)(explain(error, plan))


def explain(error: AzureFilesError, plan: Plan) -> str:
    """Say what *error*, met while the share was looked at, means for the person."""
    if isinstance(error, ServiceError):
        return _explain_refusal(error, plan)
    return explain_connection(error, plan.login, plan.source.account)


def explain_connection(error: AzureFilesError, login: Login, account: str) -> str:
    """Say why the service of *account* gave no answer that makes sense."""
    host = login.endpoint.origin.partition("://")[2]
    if token := _cause(error, TokenUnavailable):
        return f"no access token for account {account}: {_plain(token)}"
    if certificate := _cause(error, ssl.SSLCertVerificationError):
        reason = certificate.verify_message
        return f"the TLS certificate of {host} cannot be trusted: {reason}"
    if tls := _cause(error, ssl.SSLError):
        return f"no TLS connection to {host}: {tls.reason or tls}; is https:// right for it?"
    if _cause(error, socket.gaierror):
        return f"unknown host {host}: is the account {account} spelled right?"
    if _cause(error, ConnectionRefusedError):
        return f"connection refused by {host}: nothing listens there"
    if isinstance(error, ConnectionFailed):
        return f"no connection to {host}: {_plain(error)}"
    return f"{host} does not answer as a File service: {_plain(error)}"


def explain_fuse(said: str) -> str:
    """Say what the last words of libfuse or fusermount3 mean for the person."""
    if "could not determine username" in said:
        return f"user {os.getuid()} has no name, and fusermount3 wants one: add it to /etc/passwd"
    if "Operation not permitted" in said:
        return (
            f"{said} (a container needs --device /dev/fuse --cap-add SYS_ADMIN, and "
            "--security-opt apparmor=unconfined where AppArmor is in force)"
        )
    return said


def expired(plan: Plan) -> str:
    """Say that the credentials are known to be over, without asking anyone; else be empty."""
    return _complaint(plan.login)


def _complaint(login: Login) -> str:
    complaint = login.credentials.complaint(time.time())
    return _uncapitalized(complaint.rstrip(".")) if complaint else ""


def _explain_refusal(error: ServiceError, plan: Plan) -> str:
    source = plan.source
    match error.code:
        case ErrorCode.SHARE_NOT_FOUND if plan.settings.snapshot:
            wanted = f"share {source.share!r} with a snapshot of {plan.settings.snapshot}"
            return f"account {source.account} has no {wanted}"
        case ErrorCode.SHARE_NOT_FOUND:
            return f"share {source.share!r} does not exist in account {source.account}"
        case ErrorCode.SHARE_SNAPSHOT_NOT_FOUND:
            return f"share {source.share!r} has no snapshot of {plan.settings.snapshot}"
        case ErrorCode.SHARE_BEING_DELETED:
            return f"share {source.share!r} is being deleted"
        case ErrorCode.RESOURCE_NOT_FOUND | ErrorCode.PARENT_NOT_FOUND if source.directory:
            return f"directory {source.directory!r} does not exist in share {source.share!r}"
        case ErrorCode.RESOURCE_TYPE_MISMATCH:
            return f"{source.directory!r} in share {source.share!r} is not a directory"
        case ErrorCode.AUTHENTICATION_FAILED | ErrorCode.NO_AUTHENTICATION_INFORMATION:
            return explain_authentication(error, plan.login, source.account)
    if error.code and error.status in (401, 403):
        return (
            f"the credentials in {plan.login.found_in} do not permit listing share "
            f"{source.share!r} ({error.code or error.status})"
        )
    if not error.code:
        host = plan.login.endpoint.origin.partition("://")[2]
        return f"{host} does not answer as a File service, but with status {error.status}"
    return f"share {source.share!r} cannot be mounted: {error}"


def explain_authentication(error: ServiceError, login: Login, account: str) -> str:
    """Say why the service takes the credentials of *login* for nobody's."""
    if text := _complaint(login):
        return text
    detail = error.details.get("AuthenticationErrorDetail", "")
    if error.message.startswith(_CLOCK_IS_WRONG):
        clock = error.message.partition(". ")[0]
        return f"{_uncapitalized(clock)}, so the service refuses its requests: set the clock right"
    if "claimed account" in detail:
        return f"the service knows no account {account}"
    if isinstance(login.credentials, Sas):
        reason = detail.partition("\n")[0].rstrip(".") or "its signature does not match"
        return (
            f"the shared access signature in {login.found_in} is not accepted for account "
            f"{account}: {reason}"
        )
    return f"the key in {login.found_in} is not the key of account {account}"


def _cause(error: BaseException, kind: type[E]) -> E | None:
    """Find the cause of *kind* behind *error*, also among several tried at once."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kind):
            return cause
        if isinstance(cause, BaseExceptionGroup):
            for member in cause.exceptions:
                if found := _cause(member, kind):
                    return found
        cause = cause.__cause__ or cause.__context__
    return None


def _plain(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _uncapitalized(text: str) -> str:
    return text[:1].lower() + text[1:]
