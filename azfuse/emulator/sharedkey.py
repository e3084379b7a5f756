"""SharedKey and SharedKeyLite: the string to sign, and whether the signature fits.

Over the raw path: what was sent is what was signed. With path style addresses the account
stands twice at the beginning of the resource. Two orders of the `x-ms-` headers are in use among
clients, plain and one that makes light of hyphens (reference, 2.1); either is accepted.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence

from azfuse.emulator.errors import Refusal
from azfuse.emulator.request import Request
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

_BLANKS = re.compile(r"\s+")


def verify(request: Request, keys: dict[str, bytes], now: int) -> None:
    """Check the Authorization header of a SharedKey or SharedKeyLite request.

    Refuses with AuthenticationFailed, and says which string it signed itself.
    """
    scheme, _, credentials = request.headers["authorization"].partition(" ")
    account, _, signature = credentials.partition(":")
    key = keys.get(account)
    if key is None or account != request.account:
        raise failed(
            "Cannot find the claimed account when trying to GetProperties for the account "
            f"{account}."
        )
    _check_date(request, now)
    strings = list(_strings(request, lite=scheme.lower() == "sharedkeylite"))
    if any(hmac.compare_digest(sign(key, text), signature) for text in strings):
        return
    raise failed(
        f"The MAC signature found in the HTTP request '{signature}' is not the same as any "
        f"computed signature. Server used following string to sign: '{strings[0]}'."
    )


def failed(detail: str, *, front: bool = True) -> Refusal:
    """Return the refusal of a request that could not be authenticated."""
    return Refusal(
        ErrorCode.AUTHENTICATION_FAILED, ("AuthenticationErrorDetail", detail), front=front
    )


def sign(key: bytes, text: str) -> str:
    """Return the signature of a string."""
    return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()


def _check_date(request: Request, now: int) -> None:
    text = request.headers.get("x-ms-date") or request.headers.get("date", "")
    try:
        date = wire.parse_http_date(text)
    except (ValueError, TypeError):
        raise failed(f"Request date header is not valid: '{text}'.") from None
    if abs(now - date) > wire.MAX_CLOCK_SKEW:
        raise failed(f"Request date header too old: '{text}'")


def _strings(request: Request, *, lite: bool) -> Iterator[str]:
    headers = request.headers
    names = sorted(name for name in headers if name.startswith("x-ms-"))
    light = sorted(names, key=_light_order)
    date = "" if "x-ms-date" in headers else headers.get("date", "")
    if lite:
        # SharedKeyLite keeps the Date line even beside x-ms-date in some clients; the rule is none.
        head = [
            request.method,
            *(headers.get(n, "") for n in ("content-md5", "content-type")),
            date,
        ]
    else:
        length = headers.get("content-length", "")
        if length == "0" and request.version >= "2015-02-21":
            length = ""
        head = [
            request.method,
            *(headers.get(n, "") for n in ("content-encoding", "content-language")),
            length,
            *(headers.get(n, "") for n in ("content-md5", "content-type")),
            date,
            *(
                headers.get(n, "")
                for n in (
                    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since",
                    "range",
                )
            ),
        ]  # fmt: skip
    resource = _resource(request, lite=lite)
    orders: list[Sequence[str]] = [names] if names == light else [names, light]
    for order in orders:
        yield "\n".join([*head, *(f"{n}:{headers[n].strip()}" for n in order), resource])
        if not all(headers[n].isascii() for n in order):
            # Text beyond ASCII goes as UTF-8 with some clients, as Latin-1 with others.
            yield "\n".join([*head, *(f"{n}:{_utf8(headers[n])}" for n in order), resource])
    if any(_BLANKS.search(headers[n]) for n in names):
        for order in orders:
            folded = (f"{n}:{_BLANKS.sub(' ', headers[n].strip())}" for n in order)
            yield "\n".join([*head, *folded, resource])


def _utf8(value: str) -> str:
    return value.strip().encode("latin-1").decode(errors="replace")


def _light_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort as the official SDKs do: hyphens last of all considerations, `_` < digits < letters."""
    ranks = {"_": 0}
    return (
        [(ranks.get(c, 1 if c.isdigit() else 2), c) for c in name if c != "-"],
        name,
    )


def _resource(request: Request, *, lite: bool) -> str:
    resource = f"/{request.account}{request.raw_path}"
    if lite:
        comp = request.query.get("comp")
        return resource if comp is None else f"{resource}?comp={comp}"
    return resource + "".join(f"\n{name}:{value}" for name, value in sorted(request.query.items()))
