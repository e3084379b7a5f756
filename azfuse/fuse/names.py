"""Names as Linux programs give them, names as an SMB share holds them.

Characters that a share refuses travel as private-use characters, in the table
that Services for Macintosh began and the Linux SMB client uses (`mapposix`, its
default), so that both show the same names. The mapping is a bijection: what is
left over on one side (a private-use character in a Linux name) has no
counterpart and is refused, and a trailing U+F028 and a trailing space change
places. Trailing dots are not mapped, they travel with `x-ms-allow-trailing-dot`.
"""

import errno
import os
import re
from typing import Final

from azfuse.rest.wire import MAX_COMPONENT

_SFM: Final = {
    **{chr(control): chr(0xF000 + control) for control in range(0x01, 0x20)},
    '"': "\uf020",
    "*": "\uf021",
    ":": "\uf022",
    "<": "\uf023",
    ">": "\uf024",
    "?": "\uf025",
    "\\": "\uf026",
    "|": "\uf027",
}
#: Both ways at once: a name holds characters of one side only, or it is refused.
_TO_SHARE: Final = str.maketrans(_SFM)
_TO_LINUX: Final = str.maketrans({there: here for here, there in _SFM.items()})
_SPACE: Final = "\uf028"

_UNMAPPABLE: Final = re.compile("[/\0\x7f\x81\uf001-\uf027]")
_RESERVED: Final = frozenset(
    {"", ".", "..", "PRN", "AUX", "NUL", "CON", "CLOCK$"}
    | {f"{port}{digit}" for port in ("LPT", "COM") for digit in range(1, 10)}
)


def to_share(name: bytes) -> str:
    """Return the name on the share of one path component as Linux gives it.

    Raises OSError: EILSEQ for what is not UTF-8, ENAMETOOLONG past 255 UTF-16
    units, EINVAL for what a share cannot hold (device names of DOS, DEL, private-use
    characters that stand for others).
    """
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _refusal(errno.EILSEQ, name) from None
    if _UNMAPPABLE.search(text) or text.upper() in _RESERVED:
        raise _refusal(errno.EINVAL, name)
    if len(text) > MAX_COMPONENT or len(text.encode("utf-16-le")) > 2 * MAX_COMPONENT:
        raise _refusal(errno.ENAMETOOLONG, name)
    return _swap_last(text.translate(_TO_SHARE))


def to_linux(name: str) -> bytes:
    """Return the path component that Linux sees of a name on the share."""
    return _swap_last(name.translate(_TO_LINUX)).encode()


def fold(name: str) -> str:
    """Return the key under which two names are one on an SMB share.

    As NTFS does it: every character of the Basic Multilingual Plane becomes its
    upper-case form where that is a single character. No normalisation, nothing
    that depends on language, no `SS` for sharp s.
    """
    upper = name.upper()
    if name.isascii() or (len(upper) == len(name) and max(name) <= "\uffff"):
        return upper
    return "".join(
        folded if len(folded := character.upper()) == 1 and character <= "\uffff" else character
        for character in name
    )


def _swap_last(text: str) -> str:
    """Exchange a trailing space and its stand-in: the share trims the one, not the other."""
    if text.endswith(" "):
        return text[:-1] + _SPACE
    if text.endswith(_SPACE):
        return text[:-1] + " "
    return text


def _refusal(code: int, name: bytes) -> OSError:
    return OSError(code, os.strerror(code), name)
