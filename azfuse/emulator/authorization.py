"""Who may do it: account key, shared access signature, or a token in development mode.

Nobody anonymously, but for preflight requests, which never have credentials.
"""

from azfuse.emulator import sas, sharedkey, tokens
from azfuse.emulator.errors import Refusal, bad_header, missing_header
from azfuse.emulator.operations import PREFLIGHT, Operation
from azfuse.emulator.request import Access, Request
from azfuse.emulator.service import Service
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode


def version_of(request: Request) -> str:
    """Return the version a request is executed in: `api-version`, `x-ms-version`, else `sv`.

    Refuses one the service does not know with InvalidHeaderValue, one that is missing with
    MissingRequiredHeader.
    """
    query = request.query
    version = (
        (query.get("api-version") if "sig" in query else None)
        or request.headers.get("x-ms-version")
        or query.get("sv")
    )
    if version is None:
        if "authorization" in request.headers:
            raise missing_header("x-ms-version")
        return wire.NEWEST_VERSION
    if version not in wire.VERSIONS:
        refusal = bad_header("x-ms-version", version)
        refusal.front = True
        raise refusal
    return version


def authorize(service: Service, request: Request, operation: Operation, now: int) -> Access:
    """Return what the request may do; refuses what it may not."""
    if operation.name == PREFLIGHT:
        return Access()
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme = authorization.partition(" ")[0].lower()
        if scheme in ("sharedkey", "sharedkeylite"):
            if operation.name == tokens.DELEGATION:
                raise sharedkey.failed("Only authentication scheme Bearer is supported")
            sharedkey.verify(request, service.keys, now)
            return Access()
        if scheme == "bearer":
            return _by_token(service, request, operation, now)
        raise Refusal(
            ErrorCode.INVALID_AUTHENTICATION_INFO, status=400, front=True,
            message="Authentication information is not given in the correct format. Check the "
            "value of Authorization header.",
        )  # fmt: skip
    if "sig" in request.query:
        return sas.verify(request, operation, service.keys, service.store, now)
    # The service hides what exists from those who show no credentials (recorded 41 times).
    raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)


def _by_token(service: Service, request: Request, operation: Operation, now: int) -> Access:
    if not service.settings.accept_tokens:
        raise tokens.challenge()
    if request.account not in service.keys:
        raise sharedkey.failed(f"Cannot find the claimed account {request.account}.")
    identity = tokens.identify_bearer(request, now)
    if "sig" in request.query:
        # A SAS for one user: the signature gives the permission, the token says who asks.
        return sas.verify(request, operation, service.keys, service.store, now, identity)
    tokens.check_bearer(request, operation)
    return Access(oid=identity.oid, tid=identity.tid)
