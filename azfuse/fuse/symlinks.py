"""Symbolic links on SMB shares: small files in the form of Minshall and French.

The Linux SMB client writes and reads the same form (`mfsymlinks`, fs/smb/client/link.c):
a magic word, the target's length, its MD5, the target, and blanks up to a fixed size.
"""

import errno
import hashlib
import os
import re
from typing import Final

_HEADER: Final = re.compile(rb"XSym\n([0-9]{4})\n([0-9a-f]{32})\n")
_HEADER_SIZE: Final = len("XSym\n0000\n") + 32 + len("\n")
#: Room for a target, in bytes: the Linux client writes links up to this length.
_ROOM: Final = 1024
#: Longest target of a link that is made here, in bytes: one that ends with its line feed.
MAX_TARGET: Final = _ROOM - 1
#: Size of every such file, in bytes: only files of exactly this size can be links.
SIZE: Final = _HEADER_SIZE + _ROOM


def encode(target: bytes) -> bytes:
    """Return the content of the file that stands for a link to *target*.

    Raises OSError: ENOENT for an empty target, ENAMETOOLONG past `MAX_TARGET` bytes.
    """
    if not target or len(target) > MAX_TARGET:
        code = errno.ENAMETOOLONG if target else errno.ENOENT
        raise OSError(code, os.strerror(code), target)
    header = b"XSym\n%04u\n%s\n" % (len(target), _digest(target))
    return (header + target + b"\n").ljust(SIZE)


def decode(content: bytes) -> bytes | None:
    """Return the target that *content* stands for, None if it is no link.

    What follows the target is not looked at, as in the Linux client.
    """
    header = _HEADER.match(content)
    if header is None or len(content) != SIZE:
        return None
    length = int(header[1])
    target = content[_HEADER_SIZE : _HEADER_SIZE + length]
    # The kernel takes a target for a C string; an empty one, or a cut one, is none.
    if not 0 < length <= _ROOM or b"\0" in target or _digest(target) != header[2]:
        return None
    return target


def _digest(target: bytes) -> bytes:
    return hashlib.md5(target, usedforsecurity=False).hexdigest().encode()
