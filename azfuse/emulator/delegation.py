"""User delegation keys: what they are made of, and what a SAS says about the key it was made with.

A key is derived from the account key and its own description, so none is stored: a SAS repeats the
description, and the same key comes out again. A new account key ends them all, as it should.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from azfuse.emulator.sharedkey import failed

#: From this version on there are user delegation keys for files.
SINCE: Final = "2026-02-06"
#: From this version on a key may be bound to the tenant of another user.
TENANTS_SINCE: Final = "2026-04-06"
#: The description of a key, by the query parameters of a SAS, in the order of the string to sign.
DESCRIPTION: Final = ("skoid", "sktid", "skt", "ske", "sks", "skv", "skdutid")
_MANDATORY: Final = DESCRIPTION[:-1]


def derive(account_key: bytes, description: Mapping[str, str]) -> bytes:
    """Return the key of that description."""
    text = "\n".join(["user delegation key", *(description.get(n, "") for n in DESCRIPTION)])
    return hmac.digest(account_key, text.encode(), hashlib.sha256)


def key_of_sas(account_key: bytes, query: Mapping[str, str]) -> bytes:
    """Return the key a SAS claims to be signed with; refuses one that cannot exist."""
    for name in _MANDATORY:
        if not query.get(name):
            raise failed(f"{name} is mandatory. Cannot be empty")
    if query.get("sv", "") < SINCE:
        raise failed(f"A user delegation SAS for files needs sv {SINCE} or later")
    if query.get("si"):
        raise failed("si must not be given with a user delegation key")
    if query["sks"] != "f" or query["skv"] < SINCE:
        raise failed("The user delegation key is not one of the file service")
    return derive(account_key, query)
