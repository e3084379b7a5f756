"""XML as the service writes it: one line, a byte order mark, names encoded only where they must."""

import re
from typing import Final
from urllib.parse import quote

from azfuse.rest.wire import UTF8_BOM

_PROLOGUE: Final = UTF8_BOM + b'<?xml version="1.0" encoding="utf-8"?>'
#: Everything outside the character range of XML 1.0.
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: From this version on, names that XML cannot hold are listed percent-encoded.
ENCODED_NAMES_SINCE: Final = "2021-12-02"


def document(content: str) -> bytes:
    """Return *content* as a whole document in the service's form."""
    return _PROLOGUE + content.encode()


def escape(text: str) -> str:
    """Escape the three characters that the service escapes."""
    if "&" in text or "<" in text or ">" in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text


def attribute(text: str) -> str:
    """Escape text for use between double quotes."""
    return escape(text).replace('"', "&quot;")


def element(tag: str, text: str) -> str:
    """Return one element; an empty one is written `<tag />`."""
    return f"<{tag}>{escape(text)}</{tag}>" if text else f"<{tag} />"


def is_legal(text: str) -> bool:
    """Say whether XML 1.0 can hold *text*."""
    return _ILLEGAL.search(text) is None


def encoded_element(tag: str, text: str) -> str:
    """Return an element whose text is percent-encoded, and says so, if XML cannot hold it."""
    if is_legal(text):
        return element(tag, text)
    return f'<{tag} Encoded="true">{quote(text, safe="")}</{tag}>'
