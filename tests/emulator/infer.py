"""What recorders left out of requests, inferred from the answers.

Java, C++, node and browser recordings hold few request headers or none. What a request must have
said can often be read off its answer, or off a later answer about the same path: a size from the
next HEAD, the source of a rename from the file id, a wrong header from the error that names it.
"""

import json
import uuid
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import quote

from azfuse.emulator.names import split_path

Exchange = dict[str, Any]
STRANGER = str(uuid.UUID(int=0x1234567890ABCDEF1234567890ABCDEF))
_METADATA = "x-ms-meta-"
_CONTENT = {
    "content-type": "x-ms-content-type", "content-encoding": "x-ms-content-encoding",
    "content-language": "x-ms-content-language", "cache-control": "x-ms-cache-control",
    "content-disposition": "x-ms-content-disposition", "content-md5": "x-ms-content-md5",
}  # fmt: skip
#: Refusals that need no inference: the state and the path say all.
_BY_STATE = {
    None, "ResourceNotFound", "ShareNotFound", "ParentNotFound", "ShareAlreadyExists",
    "ResourceAlreadyExists", "DirectoryNotEmpty", "ShareHasSnapshots", "LeaseIdMissing",
    "InvalidResourceName", "ReadOnlyAttribute", "InvalidRange", "DeleteShareWhenSnapshotLeased",
    "InvalidQueryParameterValue", "OutOfRangeQueryParameterValue", "NoPendingCopyOperation",
    "ShareSnapshotNotFound",
}  # fmt: skip
_POLICY = (
    "<SignedIdentifiers><SignedIdentifier><Id>{}</Id><AccessPolicy><Expiry>2099-01-01T00:00:00Z"
    "</Expiry><Permission>rcwdl</Permission></AccessPolicy></SignedIdentifier></SignedIdentifiers>"
)
_WITH_SMB = {"CreateFile", "CreateDirectory", "SetFileProperties", "SetDirectoryProperties"}
_PLAIN_SMB = {
    "x-ms-file-permission": "inherit", "x-ms-file-attributes": "None",
    "x-ms-file-creation-time": "now", "x-ms-file-last-write-time": "now",
}  # fmt: skip
_ANY_PERMISSION = '{"permission":"O:SYG:SYD:(A;OICI;FA;;;SY)S:NO_ACCESS_CONTROL"}'


class NotInferred(Exception):  # noqa: N818 (it says what happened)
    """A request cannot be completed; the message says for want of what."""


def headers_of(exchange: Exchange) -> dict[str, str]:
    return {k.lower(): v for k, v in (exchange["response"]["headers"] or {}).items() if v}


def body_of(exchange: Exchange) -> ET.Element | None:
    text = exchange["response"]["body"]
    try:
        return ET.fromstring(text.lstrip("\ufeff")) if isinstance(text, str) else None
    except ET.ParseError:
        return None


def code_of(exchange: Exchange) -> str | None:
    """Return the error code, which older versions show in the body only."""
    root = body_of(exchange)
    code = headers_of(exchange).get("x-ms-error-code")
    return code or (root.findtext("Code") if root is not None else None)


def key_of(exchange: Exchange) -> str:
    """Return the path in a form that two spellings of it share."""
    return "/".join(parts_of(exchange)).lower()


def path_of(exchange: Exchange) -> str:
    """Return the path as it was on the wire; some recordings keep letters that were encoded."""
    every = "".join(map(chr, range(33, 127)))
    return quote(exchange["request"]["path"], safe=every, errors="surrogateescape")


def parts_of(exchange: Exchange) -> list[str]:
    """Return the decoded components of the path."""
    return split_path(path_of(exchange))


def lease_key(exchange: Exchange) -> str:
    """Return what a lease is on: a path, or a snapshot of a share."""
    return (
        key_of(exchange) + "@" + ((exchange["request"]["query"] or {}).get("sharesnapshot") or "")
    )


def is_json(text: Any) -> bool:
    """Say whether *text* is JSON as a whole."""
    try:
        return isinstance(json.loads(text or ""), dict)
    except ValueError:
        return False


class Inference:
    """Completes the requests of one run, in order."""

    def __init__(self, run: list[Exchange]) -> None:
        self.run = run
        self.paths_by_id: dict[str, str] = {}
        self.leases: dict[str, str] = {}
        self.snapshots = 0
        self.last_key = ""
        self.last_file = ""

    def complete(self, index: int) -> None:
        """Add what is missing to request *index*; say so in `guessed`. Raises NotInferred."""
        exchange = self.run[index]
        request = exchange["request"]
        given = request["headers"] = {k.lower(): v for k, v in (request["headers"] or {}).items()}
        if not self.is_complete(exchange):
            status = exchange["response"]["status"]
            added = {} if status >= 400 else self.success(index)
            added |= self.refused(exchange) if status >= 400 else {}
            added |= self.lease(exchange) if "x-ms-lease-id" not in given else {}
            added = {k: v for k, v in added.items() if v is not None and k not in given}
            exchange["guessed"] = sorted(added)
            given |= added
        self.remember(exchange)

    def is_complete(self, exchange: Exchange) -> bool:
        """Say whether the recorder kept the request headers."""
        source, headers = exchange["source"], exchange["request"]["headers"]
        if "sdk-for-java" in source or "storage-node" in source or "xplat" in source:
            return False
        if "sdk-for-js" in source:
            return "x-ms-version" in headers and "accept" in headers and "origin" not in headers
        if "sdk-for-cpp" in source:
            return "accept" in headers or "authorization" in headers
        return True

    def later(self, index: int, *operations: str) -> dict[str, str]:
        """Return the headers of the next successful answer about the same path."""
        key = key_of(self.run[index])
        for exchange in self.run[index + 1 :]:
            if key_of(exchange) != key:
                continue
            if exchange["operation"] in operations and exchange["response"]["status"] < 300:
                return headers_of(exchange)
            if exchange["operation"] == self.run[index]["operation"]:
                break
        return {}

    def size(self, index: int) -> int:
        """Return the size that a file must have after request *index*."""
        key = key_of(self.run[index])
        least = 0
        for exchange in self.run[index + 1 :]:
            operation, headers = exchange["operation"], headers_of(exchange)
            empty = exchange["response"]["status"] == 416 and "content-range" in headers
            if key_of(exchange) != key or (exchange["response"]["status"] >= 400 and not empty):
                continue
            if operation == "PutRange":
                least = max(least, exchange["request"].get("body_length") or 0)
            elif operation == "GetFileProperties":
                return int(headers.get("content-length") or least)
            elif operation == "ListRanges":
                return int(headers.get("x-ms-content-length") or least)
            elif operation == "GetFile":
                whole = headers.get("content-range", "").partition("/")[2]
                return int(whole or headers.get("content-length") or least)
            elif operation in ("CreateFile", "SetFileProperties", "CopyFile"):
                break
        return max(least, 1024)

    def success(self, index: int) -> dict[str, Any]:
        """Return what a request that succeeded must have said."""
        exchange = self.run[index]
        operation, answer = exchange["operation"], headers_of(exchange)
        properties = {
            "CreateFile": ("GetFileProperties", "GetFile", "GetFileMetadata"),
            "SetFileProperties": ("GetFileProperties", "GetFile"),
            "SetFileMetadata": ("GetFileProperties", "GetFile", "GetFileMetadata"),
            "CreateDirectory": ("GetDirectoryProperties", "GetDirectoryMetadata"),
            "SetDirectoryMetadata": ("GetDirectoryProperties", "GetDirectoryMetadata"),
            "CreateShare": ("GetShareProperties", "GetShareMetadata"),
            "SetShareMetadata": ("GetShareProperties", "GetShareMetadata"),
            "SetShareProperties": ("GetShareProperties",),
            "CopyFile": ("GetFileProperties", "GetFile"),
        }.get(operation, ())
        after = self.later(index, *properties)
        added: dict[str, Any] = {}
        if not operation.endswith("Properties"):
            added |= {k: v for k, v in after.items() if k.startswith(_METADATA)}
        if operation in ("CreateFile", "SetFileProperties"):
            added |= {ours: after[name] for name, ours in _CONTENT.items() if name in after}
            if "content-type" not in after and after:
                # Any content header clears those that are not sent.
                added.setdefault("x-ms-content-language", "")
            if operation == "CreateFile" or "content-length" in after:
                added |= {"x-ms-content-length": str(self.size(index))}
        if "Share" in operation and operation.startswith(("Create", "Set")):
            for name in ("x-ms-share-quota", "x-ms-access-tier", "x-ms-enabled-protocols",
                         "x-ms-root-squash"):  # fmt: skip
                added[name] = after.get(name) if "Metadata" not in operation else None
        if operation in _WITH_SMB and answer.get("x-ms-file-attributes"):
            attributes = answer["x-ms-file-attributes"]
            if operation == "CreateFile":
                attributes = attributes.replace("Directory", "None")
            added |= {
                "x-ms-file-permission": "inherit", "x-ms-file-attributes": attributes,
                "x-ms-file-creation-time": answer.get("x-ms-file-creation-time"),
                "x-ms-file-last-write-time": answer.get("x-ms-file-last-write-time"),
            }  # fmt: skip
        return added | self.special(index)

    def special(self, index: int) -> dict[str, Any]:
        """Return what only one operation has to say."""
        exchange = self.run[index]
        operation, answer, request = (
            exchange["operation"],
            headers_of(exchange),
            exchange["request"],
        )
        if operation == "CreateFile":
            return {"x-ms-type": "file"}
        if operation.startswith("PutRange"):
            return self.put_range(exchange)
        if operation == "GetFile" and "content-range" in answer:
            return {"x-ms-range": "bytes=" + answer["content-range"][6:].partition("/")[0],
                    "x-ms-range-get-content-md5":
                    "true" if "content-md5" in answer else None}  # fmt: skip
        if operation.startswith("Rename"):
            source = self.paths_by_id.get(answer.get("x-ms-file-id", ""))
            if source is None or source == request["path"]:
                raise NotInferred("source of a rename")
            return {"x-ms-file-rename-source": f"https://account.file.core.windows.net{source}",
                    "x-ms-file-rename-replace-if-exists": "true",
                    "x-ms-file-rename-ignore-readonly": "true"}  # fmt: skip
        if operation == "CopyFile":
            source = self.later(index, "GetFileProperties", "GetFile").get("x-ms-copy-source")
            if source is None and not self.last_file:
                raise NotInferred("source of a copy")
            return {"x-ms-copy-source": source
                    or f"https://account.file.core.windows.net{self.last_file}"}  # fmt: skip
        if (
            operation == "DeleteShare"
            and self.snapshots
            and not request["query"].get("sharesnapshot")
        ):
            return {"x-ms-delete-snapshots": "include"}
        if operation == "ForceCloseHandles":
            return {"x-ms-handle-id": "*"}
        if operation == "GetPermission":
            if not self.last_key:
                raise NotInferred("key of a permission")
            return {"x-ms-file-permission-key": self.last_key}
        if operation == "RestoreShare":
            return self.restored(index)
        if operation == "AbortCopyFile":
            return {"x-ms-copy-action": "abort"}
        self.set_body(index)
        return {}

    def put_range(self, exchange: Exchange) -> dict[str, Any]:
        request = exchange["request"]
        if exchange["operation"] == "PutRangeFromURL" or "x-ms-content-crc64" in headers_of(
            exchange
        ):
            raise NotInferred("source of a range")
        clear = exchange["operation"].endswith("(clear)") or "content-md5" not in headers_of(
            exchange
        )
        length = 1 if clear else request.get("body_length") or 1
        return {"x-ms-write": "clear" if clear else "update", "x-ms-range": f"bytes=0-{length - 1}"}

    def restored(self, index: int) -> dict[str, Any]:
        share = self.run[index]["request"]["path"].strip("/")
        for exchange in self.run[:index]:
            root = body_of(exchange)
            for found in root.iter("Share") if root is not None else ():
                if found.findtext("Name") == share and found.findtext("Version"):
                    return {"x-ms-deleted-share-name": share,
                            "x-ms-deleted-share-version": found.findtext("Version")}  # fmt: skip
        raise NotInferred("version of a deleted share")

    def set_body(self, index: int) -> None:
        """Give a request the body that a later answer shows."""
        exchange = self.run[index]
        request, operation = exchange["request"], exchange["operation"]
        if request.get("body") == "*":  # written by nock, the recorder of the Node SDK
            request["body"] = request["body_length"] = None
        reader = {"SetShareAcl": "GetShareAcl", "SetServiceProperties": "GetServiceProperties"}
        if operation == "CreatePermission" and not is_json(request.get("body")):
            request["body"] = _ANY_PERMISSION
        if request.get("body"):
            return
        if operation in reader:
            for one in self.run[index + 1 :]:
                if one["operation"] == reader[operation] and isinstance(
                    one["response"]["body"], str
                ):
                    if one["response"].get("body_truncated"):
                        break
                    request["body"] = one["response"]["body"].lstrip("\ufeff")
                    return
                policy = one["request"]["query"] and one["request"]["query"].get("si")
                if operation == "SetShareAcl" and policy:
                    request["body"] = _POLICY.format(policy)
                    return
            if operation == "SetServiceProperties":
                raise NotInferred("body of a request")

    def lease(self, exchange: Exchange) -> dict[str, Any]:
        """Return the lease headers of a request: of a lease action, or of one under a lease."""
        status, code = exchange["response"]["status"], headers_of(exchange).get("x-ms-error-code")
        operation, held = exchange["operation"], self.leases.get(lease_key(exchange))
        if operation not in ("LeaseFile", "LeaseShare"):
            if status < 300 and held:
                writes = not operation.startswith(("Get", "List"))
                return {"x-ms-lease-id": held} if writes else {}
            return {}
        answered = headers_of(exchange).get("x-ms-lease-id")
        if status == 201 or code == "LeaseAlreadyPresent":
            return {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1",
                    "x-ms-proposed-lease-id": answered}  # fmt: skip
        if status == 202:
            left = headers_of(exchange).get("x-ms-lease-time", "0")
            return {"x-ms-lease-action": "break",
                    "x-ms-lease-break-period": left if left != "0" else None}  # fmt: skip
        if status == 200 and answered and answered != held:
            return {"x-ms-lease-action": "change", "x-ms-lease-id": held,
                    "x-ms-proposed-lease-id": answered}  # fmt: skip
        if status == 200:
            renewed = answered and operation == "LeaseShare"
            return {"x-ms-lease-action": "renew" if renewed else "release", "x-ms-lease-id": held}
        if status == 404 or code == "LeaseNotPresentWithLeaseOperation":
            return {"x-ms-lease-action": "release", "x-ms-lease-id": held or STRANGER}
        raise NotInferred("lease action")

    def refused(self, exchange: Exchange) -> dict[str, Any]:
        """Return what a refused request must have said."""
        answer, operation = headers_of(exchange), exchange["operation"]
        code, root = code_of(exchange), body_of(exchange)
        details = {e.tag: e.text or "" for e in root} if root is not None else {}
        added: dict[str, Any] = {
            "CreateFile": {"x-ms-type": "file", "x-ms-content-length": "1024"},
            "PutRange": {"x-ms-write": "update", "x-ms-range": "bytes=0-0"},
            "PutRange(clear)": {"x-ms-write": "clear", "x-ms-range": "bytes=0-0"},
            "ForceCloseHandles": {"x-ms-handle-id": "*"},
            "AbortCopyFile": {"x-ms-copy-action": "abort"},
        }.get(operation, {})
        if operation in _WITH_SMB:
            added |= _PLAIN_SMB
        if operation in ("CopyFile", "PutRangeFromURL", "RestoreShare") or (
            operation.startswith("Rename")
        ):
            raise NotInferred("source of a refused request")
        if code in ("InvalidHeaderValue", "UnsupportedHeader") and details.get("HeaderName"):
            return added | {details["HeaderName"].lower(): details.get("HeaderValue", "")}
        if code == "EmptyMetadataKey":
            return added | {_METADATA: details.get("MetadataValue", "value")}
        if code in ("LeaseIdMismatchWithFileOperation", "LeaseIdMismatchWithContainerOperation",
                    "LeaseNotPresentWithFileOperation",
                    "LeaseNotPresentWithContainerOperation"):  # fmt: skip
            return added | {"x-ms-lease-id": STRANGER}
        if code == "InvalidRange":
            size = answer.get("content-range", "").partition("/")[2]
            return added | {
                "x-ms-range": f"bytes={size}-" if size else "bytes=4398046511000-4398046511000"
            }
        if code == "FileInvalidPermission" and operation == "CreatePermission":
            exchange["request"]["body"] = '{"permission":"abcde"}'
            return added
        if code == "FileInvalidPermission":
            return added | {"x-ms-file-permission": "no descriptor"}
        if code not in _BY_STATE or (code is None and exchange["response"]["status"] == 400):
            raise NotInferred("what was wrong with a refused request")
        self.set_body(self.run.index(exchange))
        return added

    def remember(self, exchange: Exchange) -> None:
        """Keep what later requests may refer to."""
        answer, operation = headers_of(exchange), exchange["operation"]
        if exchange["response"]["status"] >= 300:
            return
        path = exchange["request"]["path"]
        if answer.get("x-ms-file-id") and not exchange["request"]["query"].get("sharesnapshot"):
            self.paths_by_id[answer["x-ms-file-id"]] = path
        if operation == "CreateFile":
            self.last_file = path
        if operation == "SnapshotShare":
            self.snapshots += 1
        self.last_key = answer.get("x-ms-file-permission-key", self.last_key)
        key = lease_key(exchange)
        if operation.startswith("Lease"):
            action = exchange["request"]["headers"].get("x-ms-lease-action")
            if action in ("acquire", "change", "renew") and "x-ms-lease-id" in answer:
                self.leases[key] = answer["x-ms-lease-id"]
            elif action in ("release", "break"):
                self.leases.pop(key, None)
        if operation in ("DeleteFile", "DeleteShare"):
            self.leases.pop(key, None)
