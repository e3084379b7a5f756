"""Bearer tokens in development mode: anything that looks like a token is one.

The emulator has no directory to ask. What it insists on is what clients get wrong: the scheme, the
lifetime a JWT claims for itself, the `x-ms-file-request-intent` header, and which operations take
tokens in which version. Real storage takes tokens over HTTPS only; here HTTP will do.
"""

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

from azfuse.emulator.errors import Refusal, bad_header, missing_header
from azfuse.emulator.operations import Operation
from azfuse.emulator.request import Request
from azfuse.emulator.sharedkey import failed
from azfuse.rest.errors import ErrorCode

#: From this version on files and directories take tokens (recorded), and permissions with them.
PATHS_SINCE: Final = "2021-12-02"
#: From this version on shares and the service take them too.
SHARES_SINCE: Final = "2024-11-04"
INTENT: Final = "x-ms-file-request-intent"
DELEGATION: Final = "GetUserDelegationKey"
_WITH_PATHS: Final = frozenset({"CreatePermission", "GetPermission"})
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_SECOND: Final = 1_000_000_000
_CHALLENGE: Final = (
    "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize "
    "resource_id=https://storage.azure.com"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for: object id and tenant id."""

    oid: str
    tid: str


def challenge() -> Refusal:
    """Return the 401 that asks for a (better) token and says where to get one."""
    return Refusal(
        ErrorCode.INVALID_AUTHENTICATION_INFO,
        headers=[("WWW-Authenticate", _CHALLENGE)],
        front=True,
    )


def identify_bearer(request: Request, now: int) -> Identity:
    """Return whom the bearer token of a request speaks for; refuses with the challenge."""
    token = request.headers["authorization"].partition(" ")[2].strip()
    if _TOKEN.fullmatch(token) is None:
        raise challenge()
    claims = _claims(token)
    # What a token does not claim is made up, but always the same for the same token.
    made_up = str(uuid.uuid5(uuid.NAMESPACE_OID, token))
    begin, end = claims.get("nbf"), claims.get("exp")
    if isinstance(begin, int | float) and now < begin * _SECOND:
        raise challenge()
    if isinstance(end, int | float) and now >= end * _SECOND:
        raise challenge()
    return Identity(str(claims.get("oid") or made_up), str(claims.get("tid") or made_up))


def _claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, none of a token that is something else."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def check_bearer(request: Request, operation: Operation) -> None:
    """Refuse an operation that takes no token in its version, and a request without the intent."""
    version = request.version
    if operation.name == DELEGATION:
        return  # asks for a key, does not touch data: no intent (official SDK)
    if operation.level != "path" and operation.name not in _WITH_PATHS and version < SHARES_SINCE:
        raise Refusal(ErrorCode.FILE_OAUTH_RESTRICTED_TO_SRP, front=True)
    if version < PATHS_SINCE:
        raise failed("Authentication scheme Bearer is not supported in this version.")
    intent = request.headers.get(INTENT)
    if intent is None:
        raise missing_header(INTENT)
    if intent.lower() != "backup":
        raise bad_header(INTENT, intent)
