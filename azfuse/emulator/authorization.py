"""Who may do it: account key or shared access signature. Nobody else, and nobody anonymously."""

from azfuse.emulator import sas, sharedkey
from azfuse.emulator.errors import Refusal, bad_header, missing_header
from azfuse.emulator.operations import Operation
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
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme = authorization.partition(" ")[0].lower()
        if scheme in ("sharedkey", "sharedkeylite"):
            sharedkey.verify(request, service.keys, now)
            return Access()
        raise Refusal(
            ErrorCode.INVALID_AUTHENTICATION_INFO, status=400, front=True,
            message="Authentication information is not given in the correct format. Check the "
            "value of Authorization header.",
        )  # fmt: skip
    if "sig" in request.query:
        return sas.verify(request, operation, service.keys, service.store, now)
    # The service hides what exists from those who show no credentials (recorded 41 times).
    raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
