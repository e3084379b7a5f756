"""SharedKey signatures for tests, written from the reference and independent of azfuse.rest."""

import base64
import hashlib
import hmac
from email.utils import formatdate
from urllib.parse import quote, unquote

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2026-10-06"


def signed(method, path, query="", headers=None, body=b"", version=VERSION, account=ACCOUNT,
           key=KEY, light=False):  # fmt: skip
    """Return the headers of a signed request. *path* is raw, as sent; so is *query*."""
    sent = [("x-ms-date", formatdate(usegmt=True)), ("x-ms-version", version)]
    names = {name.lower() for name, _ in (headers or [])}
    sent = [pair for pair in sent if pair[0] not in names] + list(headers or [])
    lower = {name.lower(): value for name, value in sent}
    length = str(len(body)) if body or method in ("PUT", "POST") else ""
    if length:
        sent.append(("Content-Length", length))
    # Before 2015-02-21 a length of 0 was signed as it is.
    signed_length = "" if length == "0" and lower["x-ms-version"] >= "2015-02-21" else length
    order = sorted(n for n in lower if n.startswith("x-ms-"))
    if light:
        order.sort(key=lambda name: name.replace("-", ""))
    lines = [method, lower.get("content-encoding", ""), lower.get("content-language", ""),
             signed_length, lower.get("content-md5", ""), lower.get("content-type", ""),
             "" if "x-ms-date" in lower else lower.get("date", ""),
             *(lower.get(n, "") for n in ("if-modified-since", "if-match", "if-none-match",
                                          "if-unmodified-since", "range"))]  # fmt: skip
    lines += [f"{name}:{lower[name].strip()}" for name in order]
    resource = f"/{account}{path}"
    parameters: dict[str, list[str]] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        parameters.setdefault(unquote(name).lower(), []).append(unquote(value))
    resource += "".join(f"\n{n}:{','.join(sorted(v))}" for n, v in sorted(parameters.items()))
    text = "\n".join([*lines, resource])
    signature = base64.b64encode(
        hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    ).decode()
    sent.append(("Authorization", f"SharedKey {account}:{signature}"))
    return sent


def file_sas(share, path, permission="r", expiry="2099-01-01T00:00:00Z", account=ACCOUNT, key=KEY,
             rsct=""):  # fmt: skip
    """Return the query of a service SAS on one file; *path* is decoded and begins with a slash."""
    version = "2020-02-10"
    lines = [permission, "", expiry, f"/file/{account}/{share}{path}", "", "", "", version]
    text = "\n".join([*lines, "", "", "", "", rsct])
    signature = base64.b64encode(
        hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    ).decode()
    fields = {"sv": version, "sr": "f", "sp": permission, "se": expiry, "sig": signature}
    fields |= {"rsct": rsct} if rsct else {}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())


def _query(fields, text, key):
    signature = base64.b64encode(
        hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    ).decode()
    return "&".join(f"{n}={quote(v, safe='')}" for n, v in {**fields, "sig": signature}.items())


def service_sas(fields, resource, account=ACCOUNT, key=KEY):
    """Return the query of a service SAS on `/share` or `/share/path` with the *fields* given."""
    names = ["sp", "st", "se", None, "si", "sip", "spr", "sv", "rscc", "rscd", "rsce", "rscl",
             "rsct"]  # fmt: skip
    if fields["sv"] < "2015-04-05":
        names = [name for name in names if name not in ("sip", "spr")]
    lines = [f"/file/{account}{resource}" if n is None else fields.get(n, "") for n in names]
    return _query(fields, "\n".join(lines), key)


def account_sas(fields, account=ACCOUNT, key=KEY):
    """Return the query of an account SAS with the *fields* given."""
    lines = [account, *(fields.get(n, "") for n in ("sp", "ss", "srt", "st", "se", "sip", "spr"))]
    lines += [fields["sv"], ""] + ([""] if fields["sv"] >= "2020-12-06" else [])
    return _query(fields, "\n".join(lines), key)
