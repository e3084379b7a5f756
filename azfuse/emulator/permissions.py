"""Security descriptors: kept once a share, named by keys.

The emulator checks that SDDL has an owner, a group and a discretionary list, and keeps it as text,
also what came in binary form if SDDL can say it (sddl.py). It enforces nothing, as the service
enforces nothing over REST. Inherited descriptors are the two that the service gives below the root
of a share.
"""

import base64
import binascii
import hashlib
import re
from functools import lru_cache
from typing import Final

from azfuse.emulator import sddl
from azfuse.emulator.errors import Refusal, bad_header
from azfuse.emulator.request import Request
from azfuse.emulator.rows import Kind, Share
from azfuse.emulator.store import Store
from azfuse.rest.errors import ErrorCode

#: Longest descriptor in a header, in bytes; longer ones go through Create Permission.
MAX_HEADER: Final = 8 * 1024
#: From this version on descriptors may be binary.
FORMATS_SINCE: Final = "2024-11-04"
#: In front of descriptors that are kept in binary form, in base64.
BINARY: Final = "binary:"
_KEY: Final = re.compile(r"\d{1,20}\*\d{1,20}", re.ASCII)
_TOP: Final = "O:SYG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)"
_INHERITED: Final = {
    Kind.DIRECTORY: _TOP + "(A;OICI;0x1301bf;;;AU)(A;;FA;;;SY)(A;OICIIO;GA;;;CO)",
    Kind.FILE: "O:SYG:SYD:(A;ID;FA;;;BA)(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)(A;ID;0x1301bf;;;AU)",
}


def check_sddl(text: str) -> None:
    """Refuse what is not SDDL with owner, group and discretionary list that `sddl` knows."""
    try:
        sddl.parse(text)
    except ValueError:
        raise Refusal(ErrorCode.FILE_INVALID_PERMISSION) from None


def store_permission(store: Store, share: Share, text: str) -> str:
    """Keep a descriptor and return its key; the same text has the same key."""
    key = _key(share.account, text)
    store.db.execute("INSERT OR IGNORE INTO permissions VALUES (?, ?, ?)", (share.id, key, text))
    return key


def _key(account: str, descriptor: str) -> str:
    halves = (hashlib.sha256(text.encode()).digest()[:8] for text in (descriptor, account))
    return "*".join(str(int.from_bytes(half, "big")) for half in halves)


def permission_of_key(store: Store, share: Share, key: str) -> str:
    """Return the descriptor of a key; refuses keys of another form and unknown ones."""
    if _KEY.fullmatch(key) is None:
        raise bad_header("x-ms-file-permission-key", key)
    row = store.db.execute(
        "SELECT sddl FROM permissions WHERE share = ? AND key = ?", (share.id, key)
    ).fetchone()
    if row is None:
        raise Refusal(ErrorCode.FILE_INVALID_PERMISSION_KEY)
    return str(row[0])


@lru_cache(maxsize=256)
def _inherited_key(account: str, kind: Kind) -> str:
    return _key(account, _INHERITED[kind])


def inherited_key(share: Share, kind: Kind) -> str:
    """Return the key of the descriptor that an entry gets when it is given none."""
    return _inherited_key(share.account, kind)


def store_inherited(store: Store, share: Share) -> None:
    """Keep the descriptors behind `inherited_key`; once, when a share is made."""
    for text in _INHERITED.values():
        store_permission(store, share, text)


def key_of_request(store: Store, request: Request, share: Share) -> str | None:
    """Return the key that the headers ask for; None for `inherit`, `preserve` and nothing."""
    text = request.headers.get("x-ms-file-permission")
    key = request.headers.get("x-ms-file-permission-key")
    if text is not None and key is not None:
        raise bad_header("x-ms-file-permission-key", key)
    if key is not None:
        if key.lower() == "preserve":
            return None
        permission_of_key(store, share, key)
        return key
    if text is None or text.lower() in ("inherit", "preserve", ""):
        return None
    if len(text) > MAX_HEADER:
        raise bad_header("x-ms-file-permission", text)
    if wanted_format(request) == "binary":
        return store_permission(store, share, from_binary(text))
    check_sddl(text)
    return store_permission(store, share, text)


def wanted_format(request: Request) -> str:
    """Return the form of descriptors a request speaks of; refuses unknown ones."""
    name = "x-ms-file-permission-format"
    form = request.headers.get(name, "sddl").lower()
    if request.version < FORMATS_SINCE:
        return "sddl"
    if form not in ("sddl", "binary"):
        raise bad_header(name, request.headers[name])
    return form


def from_binary(text: str) -> str:
    """Return what is kept of a binary descriptor: SDDL, or `binary:` and it where SDDL fails.

    Refuses what is not the base64 of a self-relative security descriptor.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) < 20 or raw[0] != 1:
        raise Refusal(ErrorCode.FILE_INVALID_PERMISSION)
    try:
        return sddl.write(sddl.unpack(raw))
    except ValueError:
        return BINARY + text


def to_binary(kept: str) -> str:
    """Return the base64 of the binary form of a descriptor as it is kept."""
    if kept.startswith(BINARY):
        return kept.removeprefix(BINARY)
    return base64.b64encode(sddl.pack(sddl.parse(kept))).decode()
