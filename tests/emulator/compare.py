"""How an answer of the emulator is compared with the recorded one, and where it may differ.

Compared are status and error code, which headers there are, the form of their values (and the
values where they do not depend on time or chance), and the shape of XML and JSON bodies: names and
order of elements, attributes, the form of texts.
"""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: The transport's own, and what recorders leave out, add or replace. Not compared.
TRANSPORT = {
    "connection", "keep-alive", "date", "server", "x-ms-request-id", "x-ms-client-request-id",
    "strict-transport-security", "x-content-type-options", "via", "content-length",
    "transfer-encoding",
    # Of the account's CORS rules, which were not recorded; test_cors.py compares them.
    "vary", "access-control-allow-origin", "access-control-expose-headers",
    "access-control-allow-credentials",
}  # fmt: skip
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z"
_DATE = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
_GUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_KEY = r"\d{1,20}\*\d{1,20}"
#: The form of values that differ from run to run, by header or by element.
FORMS = {
    name: re.compile(form)
    for form, names in {
        r'"0x[0-9A-F]{15}"': "etag Etag",
        _DATE: "last-modified x-ms-access-tier-change-time x-ms-copy-completion-time "
        "Last-Modified AccessTierChangeTime DeletedTime",
        _TIME: "x-ms-file-change-time x-ms-file-creation-time x-ms-file-last-write-time "
        "x-ms-snapshot CreationTime LastAccessTime LastWriteTime ChangeTime Start Expiry Snapshot",
        _GUID: "x-ms-copy-id x-ms-lease-id",
        r"\d{1,20}": "x-ms-file-id x-ms-file-parent-id FileId DirectoryId x-ms-share-quota Quota "
        "ShareUsageBytes ShareUsage RemainingRetentionDays",
        _KEY: "x-ms-file-permission-key PermissionKey",
        r"[A-Za-z0-9+/]{22}==": "content-md5 x-ms-content-md5",
        r"[A-Za-z0-9+/]{11}=": "x-ms-content-crc64",
        r"\d+/\d+": "x-ms-copy-progress",
        r"[0-9A-F]{16}": "Version",
        r"(1!\d+!.*|/.*)?": "NextMarker Marker",
        r"https?://.*": "ServiceEndpoint x-ms-copy-source",
        rf"(?s).*\nRequestId:{_GUID}\nTime:{_TIME}": "Message",
    }.items()
    for name in names.split()
}
#: Texts that say something of the account or of the run.
_FREE_TEXT = {
    "Name", "Path", "AuthenticationErrorDetail", "ShareName", "DirectoryPath", "Prefix",
    "MaxResults", "HeaderValue", "QueryParameterValue", "ServerCalculatedMd5", "UserSpecifiedCrc",
    "ServerCalculatedCrc", "Content-Length", "AccessTier", "Id", "permission", "ShareSnapshot",
}  # fmt: skip
#: Elements whose children repeat; the run decides how often.
_LISTS = {"Entries", "Shares", "Ranges", "SignedIdentifiers", "Metadata", "Cors", "AccessRightList"}


def differences(exchange: dict[str, Any], answer: Any) -> list[str]:
    """Return in words what differs between the recorded answer and ours."""
    response = exchange["response"]
    theirs = {k.lower(): v for k, v in (response["headers"] or {}).items()}
    ours = {k.lower(): v for k, v in answer.headers.items()}
    if response["status"] != answer.status_code:
        return [f"status {response['status']}, ours {answer.status_code}: {answer.text[-300:]}"]
    if "x-ms-error-code" in theirs and theirs["x-ms-error-code"] != ours.get("x-ms-error-code"):
        return [f"code {theirs['x-ms-error-code']}, ours {ours.get('x-ms-error-code')}"]
    found = [f"header {name} is missing" for name in sorted(set(theirs) - set(ours) - TRANSPORT)]
    found += [f"header {name} is extra" for name in sorted(set(ours) - set(theirs) - TRANSPORT)]
    for name in sorted((set(theirs) & set(ours)) - TRANSPORT):
        found += _value(f"header {name}", name, theirs[name] or "", ours[name])
    return found + _bodies(response, answer)


def _value(where: str, name: str, theirs: str, ours: str) -> list[str]:
    form = FORMS.get(name)
    if form is None:
        same = theirs == ours or name in _FREE_TEXT
        return [] if same else [f"{where} is {theirs!r}, ours {ours!r}"]
    if form.fullmatch(theirs) and not form.fullmatch(ours):
        return [f"{where} has the form of {theirs!r}, ours is {ours!r}"]
    return []


def _bodies(response: dict[str, Any], answer: Any) -> list[str]:
    text = response["body"]
    if not isinstance(text, str) or response.get("body_truncated"):
        return []
    if text.lstrip("\ufeff").startswith("<?xml"):
        if text.startswith("\ufeff") and not answer.content.startswith(b"\xef\xbb\xbf<?xml"):
            return ["no byte order mark"]
        try:
            theirs = ET.fromstring(text.lstrip("\ufeff"))
        except ET.ParseError:
            return []
        return _elements(theirs.tag, theirs, ET.fromstring(answer.content))
    if text.startswith('{"') and answer.headers.get("content-type") is None:
        theirs, ours = json.loads(text), answer.json()
        if list(theirs) != list(ours):
            return [f"JSON has {list(theirs)}, ours {list(ours)}"]
    return []


def _elements(where: str, theirs: ET.Element, ours: ET.Element) -> list[str]:
    if theirs.tag != ours.tag:
        return [f"element {where} is {theirs.tag}, ours {ours.tag}"]
    found = []
    if list(theirs.attrib) != list(ours.attrib):
        found.append(f"attributes of {where}: {list(theirs.attrib)}, ours {list(ours.attrib)}")
    for name in set(theirs.attrib) & set(ours.attrib):
        found += _value(f"attribute {where}/{name}", name, theirs.attrib[name], ours.attrib[name])
    if theirs.tag in _LISTS:
        return found + _lists(where, theirs, ours)
    names, own = [e.tag for e in theirs], [e.tag for e in ours]
    if names != own:
        return [*found, f"children of {where}: {names}, ours {own}"]
    for one, other in zip(theirs, ours, strict=True):
        found += _elements(f"{where}/{one.tag}", one, other)
    if not names:
        found += _value(f"text of {where}", theirs.tag, theirs.text or "", ours.text or "")
    return found


def _lists(where: str, theirs: ET.Element, ours: ET.Element) -> list[str]:
    """Compare each of their entries with ours of the same name, else with any of the same tag."""
    if theirs.tag == "Metadata":
        return []
    if len(ours) == 0 or len(theirs) == 0:
        return [] if len(ours) == len(theirs) else [f"{where}: {len(theirs)}, ours {len(ours)}"]
    if theirs.tag in ("Ranges", "Cors", "SignedIdentifiers"):
        if len(ours) != len(theirs):
            return [f"{where}: {len(theirs)}, ours {len(ours)}"]
        order = (lambda e: e.findtext("Id") or "") if theirs.tag == "SignedIdentifiers" else None
        pairs = zip(sorted(theirs, key=order) if order else theirs,
                    sorted(ours, key=order) if order else ours, strict=True)  # fmt: skip
        return [d for a, b in pairs for d in _elements(f"{where}/{a.tag}", a, b)]
    found: list[str] = []
    for entry in theirs:
        same = [e for e in ours if e.tag == entry.tag]
        named = [e for e in same if e.findtext("Name") == entry.findtext("Name")
                 and all((e.find(tag) is None) == (entry.find(tag) is None)
                         for tag in ("Snapshot", "Deleted"))]  # fmt: skip
        if not same:
            found.append(f"no {entry.tag} in our {where}")
        elif named or where != "EnumerationResults/Shares":
            found += _elements(f"{where}/{entry.tag}", entry, (named or same)[0])
    return found


@dataclass(frozen=True)
class Meant:
    """A difference that is meant. `applies` is given recording, exchange and difference."""

    reason: str
    applies: Callable[[str, dict[str, Any], str], bool]


def _is(*words: str, source: str = "", operations: str = "") -> Callable[..., bool]:
    def applies(name: str, exchange: dict[str, Any], difference: str) -> bool:
        return (
            name.startswith(source)
            and (not operations or exchange["operation"] in operations.split())
            and any(re.search(word, difference) for word in words)
        )

    return applies


def _after_guess(*words: str) -> Callable[..., bool]:
    """Apply to runs in which a request had to be inferred: what it stored is not known for sure."""

    def applies(name: str, exchange: dict[str, Any], difference: str) -> bool:
        unsure = "guessed" in exchange or exchange.get("after_guess")
        return bool(unsure) and any(re.search(word, difference) for word in words)

    return applies


def _test(*names: str) -> Callable[..., bool]:
    """Apply to tests by a part of their name."""
    return lambda name, exchange, difference: any(n in exchange["test"] for n in names)


_STORED = "header (content|cache-control|x-ms-content|x-ms-meta-|x-ms-copy-|x-ms-file-attributes)"
#: Every difference that is meant, or none of the emulator's. The first reason that fits counts.
MEANT: list[Meant] = [
    Meant(
        "what the run stored was not recorded, only inferred",
        _after_guess(_STORED, "^header x-ms-(share-quota|access-tier|root-squash)"),
    ),
    Meant(
        "what the run listed was made by others, or by requests that were not recorded",
        _after_guess(
            "Entries",
            "Ranges",
            "EnumerationResults/Shares: ",
            "^SignedIdentifiers: ",
            "^no (File|Directory) in our",
            "text of Ranges",
            "Cors: ",
            "Cors/CorsRule",
            "StorageServiceProperties/(Hour|Minute)Metrics",
        ),
    ),
    Meant(
        "the lease action was not recorded",
        _after_guess(
            "^header x-ms-lease-(state|status|duration|id|time)",
            "LeaseState",
            "LeaseStatus",
            "LeaseDuration",
            "^status 202, ours 4(09|12).*[Ll]ease",
            "^status 200, ours 400(.|\n)*x-ms-lease-id",
        ),
    ),
    Meant(
        "what was copied or removed meanwhile was not recorded",
        _after_guess("^status 202, ours 404", "^status 404, ours 200"),
    ),
    Meant(
        "the leases and shares of the account's other users were not recorded",
        _is("text of .*LeaseState", r"Shares: \d+, ours 0", operations="ListShares"),
    ),
    Meant(
        "the account was not large: it took smaller quotas only",
        _is("status 400, ours 201", operations="CreateShare"),
    ),
    Meant("the account had no SMB settings yet", _is(r"'Cors'\], ours .*'ProtocolSettings'")),
    Meant(
        "a signature or a header of the browser was not recorded",
        _test(
            "source_and_destination_with_different_sas",
            "shared_delete_access",
            "sas_generation_nodejs_only",
            "private_file",
        ),
    ),
    Meant(
        "leases are older in the emulator than they were in the service of that day",
        lambda name, exchange, difference: bool(
            re.search("^header x-ms-lease-(state|status) is extra", difference)
            or re.search(r"ours \[.*'LeaseStatus', 'LeaseState'", difference)
        ),
    ),
    Meant(
        "the account was a premium one: its shares are provisioned and have no tier",
        _is(
            "x-ms-share-(provisioned|included|max-burst|next-allowed|paid)",
            "'Provisioned",
            "x-ms-(enabled-protocols|root-squash|file-share).* is missing",
            "header x-ms-access-tier(-change-time)? is extra",
            "'AccessTierChangeTime'",
        ),
    ),
    Meant(
        "the account was not encrypted in 2017, nor were its snapshots later",
        _is("header x-ms-(request-)?server-encrypted is 'false'"),
    ),
    Meant(
        "there are no SMB clients to hold handles",
        _is(
            "EnumerationResults/Entries",
            "x-ms-number-of-handles-closed",
            "status 200, ours 404",
            operations="ListHandles ForceCloseHandles",
        ),
    ),
    Meant("names were replaced in the recordings", _is("", source="azure-cli")),
    Meant(
        "the request was Put Range From URL, and its headers were not recorded",
        _is("header (x-ms-content-crc64|content-md5) is", source="js-sdk", operations="PutRange"),
    ),
    Meant(
        "the bytes of the source were not recorded, so their checksum is another",
        _is("status 412, ours 201", operations="PutRangeFromURL"),
    ),
]
