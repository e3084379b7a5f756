"""Extended attributes of the `user` namespace as metadata of a file or directory.

Metadata names are C# identifiers whose letter case does not count. An xattr name
that is a lower-case identifier is its own metadata name; in others each run of
bytes that cannot stay becomes `_x`, the bytes in hex, `_`. Names that begin with
`azfuse_` are the driver's own and are never shown. Metadata that other tools
wrote shows up too: whatever is not an escape we would have written stands for itself.

Values are header text. Plain ASCII is stored as it is, everything else as `0s`
and base64, the way getfattr(1) and setfattr(1) write it.
"""

import base64
import binascii
import errno
import os
import re
from collections.abc import Mapping
from typing import Final

#: Metadata names beginning with this keep what the driver itself must remember.
RESERVED_PREFIX: Final = "azfuse_"
#: Names and values of all metadata of one entry together, in bytes (service).
MAX_METADATA: Final = 8 * 1024
#: Longest xattr name with its namespace and longest value, in bytes (xattr(7)).
MAX_NAME: Final = 255
MAX_VALUE: Final = 64 * 1024

_NAMESPACE: Final = b"user."
_BASE64: Final = "0s"
_PLAIN_NAME: Final = re.compile(rb"(?!azfuse_)[a-z_][a-z0-9_]*")
_MUST_ESCAPE: Final = re.compile(rb"(?:\A[0-9]|\Aa(?=zfuse_)|_(?=x)|[^a-z0-9_])+")
_ESCAPED: Final = re.compile(rb"_x((?:[0-9a-f]{2})+)_")
#: No xattr name becomes a longer metadata name: at worst every other byte is escaped.
_LONGEST_KEY: Final = 3 * MAX_NAME
#: Blanks side by side are left out: signing and proxies may make one of them.
_PLAIN_VALUE: Final = re.compile(rb"(?!0s)[!-~]+(?: [!-~]+)*")


def names(metadata: Mapping[str, str]) -> list[bytes]:
    """Return the xattr names that *metadata* holds, with their namespace."""
    # Foreign names may be one to us (`get` takes the first), or too long to be asked for.
    found = dict.fromkeys(_NAMESPACE + _decode(key) for key in metadata if not _reserved(key))
    return [name for name in found if len(name) <= MAX_NAME]


def get(metadata: Mapping[str, str], name: bytes) -> bytes | None:
    """Return the value of xattr *name*, None if there is none.

    Like all functions with a *name*, raises OSError: ENOTSUP for other namespaces
    than `user`, EINVAL for an empty name, ERANGE for one that is too long.
    """
    key = _find(metadata, _checked(name))
    return None if key is None else _decode_value(metadata[key])


def with_value(metadata: Mapping[str, str], name: bytes, value: bytes) -> dict[str, str]:
    """Return *metadata* with xattr *name* set to *value*.

    Raises OSError: E2BIG for a value that no file system takes, ENOSPC where the
    metadata would become more than the service holds.
    """
    wanted = _checked(name)
    if len(value) > MAX_VALUE:
        raise _error(errno.E2BIG)
    key = _find(metadata, wanted)
    result = {**metadata, _encode(wanted) if key is None else key: _encode_value(value)}
    if sum(len(key) + len(text) for key, text in result.items()) > MAX_METADATA:
        raise _error(errno.ENOSPC)
    return result


def without(metadata: Mapping[str, str], name: bytes) -> dict[str, str]:
    """Return *metadata* without xattr *name*. Raises OSError: ENODATA if there is none."""
    wanted = _checked(name)
    if _find(metadata, wanted) is None:
        raise _error(errno.ENODATA)
    return {key: text for key, text in metadata.items() if _reserved(key) or _decode(key) != wanted}


def _checked(name: bytes) -> bytes:
    """Return *name* without its namespace."""
    if not name.startswith(_NAMESPACE):
        raise _error(errno.ENOTSUP)
    if len(name) > MAX_NAME:
        raise _error(errno.ERANGE)
    if name == _NAMESPACE:
        raise _error(errno.EINVAL)
    return name.removeprefix(_NAMESPACE)


def _find(metadata: Mapping[str, str], wanted: bytes) -> str | None:
    for key in metadata:
        if not _reserved(key) and _decode(key) == wanted:
            return key
    return None


def _reserved(key: str) -> bool:
    return key.lower().startswith(RESERVED_PREFIX)


def _encode(name: bytes) -> str:
    """Return the metadata name of an xattr that has none yet."""
    # A plain name that reads like an escape of another one must be escaped itself.
    if _PLAIN_NAME.fullmatch(name) and _decode(name.decode()) == name:
        return name.decode()
    return _MUST_ESCAPE.sub(lambda run: b"_x%s_" % run[0].hex().encode(), name).decode()


def _decode(key: str) -> bytes:
    """Return the xattr name, without namespace, that a metadata name stands for."""
    folded = key.lower().encode()
    if len(folded) > _LONGEST_KEY:
        return folded
    # Every escape makes the name shorter, so the two functions end in each other.
    name = _ESCAPED.sub(lambda escape: bytes.fromhex(escape[1].decode()), folded)
    if name != folded and _encode(name).encode() == folded:
        return name
    return folded


def _encode_value(value: bytes) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return value.decode()
    return _BASE64 + base64.b64encode(value).decode()


def _decode_value(text: str) -> bytes:
    if text.startswith(_BASE64):
        encoded = text.removeprefix(_BASE64)
        try:
            value = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return text.encode()
        if base64.b64encode(value).decode() == encoded:
            return value
    return text.encode()


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
