"""What a recorded answer takes for granted and the recording does not show, made beforehand.

Shares of another run, parents and files whose making was thinned out, properties of the account,
leases and snapshots that kept a share from being deleted.
"""

import base64
from typing import Any
from urllib.parse import quote

from azfuse.emulator import entries
from azfuse.emulator.errors import Refusal
from azfuse.emulator.names import clean_path
from tests.emulator.infer import code_of, headers_of, parts_of

ACCOUNT, KEY = "account", base64.b64encode(b"a key for replays").decode()
#: Operations on an existing file, on an existing directory, and those that need the parent only.
ON_FILE = {
    "GetFile", "GetFileProperties", "GetFileMetadata", "SetFileProperties", "SetFileMetadata",
    "DeleteFile", "LeaseFile", "PutRange", "PutRange(clear)", "PutRangeFromURL", "ListRanges",
    "AbortCopyFile",
}  # fmt: skip
ON_DIRECTORY = {
    "GetDirectoryProperties", "GetDirectoryMetadata", "SetDirectoryProperties",
    "SetDirectoryMetadata", "DeleteDirectory", "ListDirectoriesAndFiles",
}  # fmt: skip
BELOW = {"CreateFile", "CreateDirectory", "CopyFile", "RenameFile", "RenameDirectory",
         "CreateHardLink", "CreateSymbolicLink"}  # fmt: skip


class Preparation:
    """The part of a replay that comes before a request. `request` is that of the replay."""

    app: Any
    run: list[Any]
    known: dict[str, str]
    request: Any

    def find(self, exchange):
        """Return share, parent and node that a request is about; None for what is not there."""
        store, request = self.app.service.store, exchange["request"]
        parts = parts_of(exchange)
        share = store.share(ACCOUNT, parts[0]) if parts else None
        if share is None:
            return None, None, None
        dots = request["headers"].get("x-ms-allow-trailing-dot", "").lower() == "true"
        try:
            path = clean_path(parts[1:], keep_dots=dots, nfs=share.is_nfs)
            place = entries.find(store, share, path)
        except Refusal:
            return share, None, None
        return share, place, place.node

    async def prepare(self, exchange):
        """Make what the recorded answer takes for granted."""
        status, operation = exchange["response"]["status"], exchange["operation"]
        code = code_of(exchange)
        parts = parts_of(exchange)
        if operation == "RestoreShare":
            await self.prepare_restore(exchange, parts)
        if operation == "SnapshotShare" and status == 201:
            await self.prepare_snapshotted(exchange)
        if operation.endswith("ServiceProperties") and not self.set_before(exchange):
            await self.prepare_properties(exchange)
        if not parts or operation in ("RestoreShare", "ListShares"):
            return
        share, place, node = self.find(exchange)
        if operation == "CreateShare":
            if share is not None and status == 201:
                await self.make(exchange, "DELETE", parts[:1], "restype=share",
                                {"x-ms-delete-snapshots": "include-leased"})  # fmt: skip
            elif share is None and code == "ShareAlreadyExists":
                await self.make(exchange, "PUT", parts[:1], "restype=share")
            return
        if share is not None and "sharesnapshot" not in exchange["request"]["query"]:
            await self.prepare_removal(exchange, parts, code)
        if operation == "CopyFile":
            pending = headers_of(exchange).get("x-ms-copy-status") == "pending"
            rules = [{"action": "pending", "operation": "CopyFile"}] if pending else []
            self.app.faults.replace({"rules": rules})
        if code == "ShareNotFound" or (status == 404 and len(parts) == 1):
            return
        if share is None and status != 400:
            nfs = "x-ms-mode" in headers_of(exchange)
            more = {"x-ms-enabled-protocols": "NFS"} if nfs else {}
            await self.make(exchange, "PUT", parts[:1], "restype=share", more)
            await self.prepare_refusal(exchange, parts[:1], code)
        if code == "ParentNotFound" or status == 400:
            return
        if place is None:
            for depth in range(2, len(parts)):
                await self.make(exchange, "PUT", parts[:depth], "restype=directory")
        await self.prepare_entry(exchange, node, parts)
        await self.prepare_snapshot(exchange, parts)

    async def prepare_removal(self, exchange, parts, code):
        """Remove what the recorded service no longer had: another run removed it."""
        if code == "ShareNotFound":
            more = {"x-ms-delete-snapshots": "include-leased"}
            await self.make(exchange, "DELETE", parts[:1], "restype=share", more)

    def set_before(self, exchange):
        """Say whether this run has set what *exchange* reads."""
        earlier = [e for e in self.run if e["seq"] < exchange["seq"]]
        return any(e["operation"] == "SetServiceProperties" for e in earlier)

    async def prepare_properties(self, exchange):
        """Give the account the properties that the recorded one had."""
        later = [e for e in self.run if e["seq"] >= exchange["seq"]]
        answers = [e["response"] for e in later if e["operation"] == "GetServiceProperties"]
        body = answers[0]["body"] if answers else None
        if isinstance(body, str) and answers[0]["status"] == 200:
            await self.request(
                "PUT", "/", "restype=service&comp=properties", [], body.encode("utf-8")
            )

    async def prepare_restore(self, exchange, parts):
        """Have a deleted share, and know the version it was deleted under."""
        store = self.app.service.store
        if exchange["response"]["status"] != 201:
            return
        if not store.deleted_shares(ACCOUNT, parts[0]):
            await self.make(exchange, "PUT", parts, "restype=share")
            await self.make(exchange, "DELETE", parts, "restype=share")
        version = store.deleted_shares(ACCOUNT, parts[0])[0].version
        self.known[exchange["request"]["headers"]["x-ms-deleted-share-version"]] = version

    async def prepare_refusal(self, exchange, share, code):
        """Bring a share of another run into the state in which it could not be deleted."""
        if exchange["operation"] != "DeleteShare":
            return
        acquire = {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1"}
        if code == "LeaseIdMissing":
            await self.make(exchange, "PUT", share, "restype=share&comp=lease", acquire)
        elif code in ("ShareHasSnapshots", "DeleteShareWhenSnapshotLeased"):
            answer = await self.make(exchange, "PUT", share, "restype=share&comp=snapshot")
            taken = quote(answer.headers["x-ms-snapshot"])
            if code == "DeleteShareWhenSnapshotLeased":
                query = f"restype=share&comp=lease&sharesnapshot={taken}"
                await self.make(exchange, "PUT", share, query, acquire)

    async def prepare_entry(self, exchange, node, parts):
        status, operation = exchange["response"]["status"], exchange["operation"]
        code = code_of(exchange)
        if len(parts) < 2:
            return
        if node is not None:
            if operation == "CreateDirectory" and status == 201:
                await self.make(exchange, "DELETE", parts, "restype=directory")
                await self.make(exchange, "DELETE", parts, "")
            return
        if operation in ON_FILE and status != 404:
            size = {"x-ms-type": "file", "x-ms-content-length": str(self.size(exchange))}
            await self.make(exchange, "PUT", parts, "", size)
        elif (operation in ON_DIRECTORY and status != 404) or code == "ResourceAlreadyExists":
            await self.make(exchange, "PUT", parts, "restype=directory")

    async def prepare_snapshotted(self, exchange):
        """Make the files that are read from a snapshot before it is taken."""
        taken = headers_of(exchange).get("x-ms-snapshot")
        for later in self.run[self.run.index(exchange) + 1 :]:
            query = later["request"]["query"] or {}
            if taken and query.get("sharesnapshot") == taken and later["operation"] in ON_FILE:
                request = {**later["request"], "query": {}}
                request["headers"] = request["headers"] or {}
                await self.prepare({**later, "request": request})

    async def prepare_snapshot(self, exchange, parts):
        taken = exchange["request"]["query"].get("sharesnapshot")
        if not taken or taken in self.known or exchange["response"]["status"] >= 300:
            return
        answer = await self.make(exchange, "PUT", parts[:1], "restype=share&comp=snapshot")
        self.known[taken] = answer.headers["x-ms-snapshot"]

    def size(self, exchange):
        """Return the size that a file has according to one answer about it."""
        answer = headers_of(exchange)
        whole = answer.get("content-range", "").partition("/")[2]
        if exchange["operation"] in ("GetFile", "GetFileProperties"):
            whole = whole or answer.get("content-length", "")
        given = exchange["request"]["headers"].get("x-ms-range", "").rpartition("-")[2]
        return int(whole or answer.get("x-ms-content-length") or int(given or 1023) + 1)

    async def make(self, exchange, method, parts, query, headers=None):
        headers = dict(headers or {})
        for name in ("x-ms-allow-trailing-dot",):
            if name in exchange["request"]["headers"]:
                headers[name] = exchange["request"]["headers"][name]
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        return await self.request(method, path, query, list(headers.items()), b"")
