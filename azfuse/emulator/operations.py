"""Which operation a request is, since which version, and which permission it needs."""

from dataclasses import dataclass
from typing import Final, Literal

from azfuse.emulator.errors import Refusal, bad_query
from azfuse.emulator.request import Request
from azfuse.rest.errors import ErrorCode

Level = Literal["service", "share", "path"]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the service.

    `letters` are the SAS permissions of which any one is enough; `writes` says that it is refused
    on a snapshot.
    """

    name: str
    level: Level
    letters: str
    since: str = "2014-02-14"
    writes: bool = False


def _table(*operations: Operation) -> dict[str, Operation]:
    return {operation.name: operation for operation in operations}


def _o(
    name: str, level: Level, letters: str, since: str = "2014-02-14", *, writes: bool = False
) -> Operation:
    return Operation(name, level, letters, since, writes)


#: Asked by browsers before a request from another origin; the one operation without credentials.
PREFLIGHT: Final = "PreflightFileRequest"

#: Every operation that is implemented, by the name the recordings use.
OPERATIONS: Final = _table(
    _o("ListShares", "service", "l"),
    _o("GetServiceProperties", "service", "r", "2015-02-21"),
    _o("SetServiceProperties", "service", "w", "2015-02-21"),
    _o("GetUserDelegationKey", "service", "", "2026-02-06"),
    _o(PREFLIGHT, "service", "", "2015-02-21"),
    _o("CreateShare", "share", "cw", writes=True),
    _o("GetShareProperties", "share", "r"),
    _o("GetShareMetadata", "share", "r"),
    _o("SetShareProperties", "share", "w", "2015-02-21", writes=True),
    _o("SetShareMetadata", "share", "w", writes=True),
    _o("DeleteShare", "share", "d"),
    _o("RestoreShare", "share", "cw", "2019-12-12", writes=True),
    _o("SnapshotShare", "share", "cw", "2016-10-16", writes=True),
    _o("LeaseShare", "share", "wd", "2020-02-10"),
    _o("GetShareAcl", "share", "r", "2015-02-21"),
    _o("SetShareAcl", "share", "w", "2015-02-21", writes=True),
    _o("GetShareStats", "share", "r", "2015-02-21"),
    _o("CreatePermission", "share", "cw", "2019-02-02", writes=True),
    _o("GetPermission", "share", "r", "2019-02-02"),
    _o("CreateDirectory", "path", "cw", writes=True),
    _o("GetDirectoryProperties", "path", "r"),
    _o("GetDirectoryMetadata", "path", "r", "2015-02-21"),
    _o("SetDirectoryProperties", "path", "w", "2019-02-02", writes=True),
    _o("SetDirectoryMetadata", "path", "w", "2015-02-21", writes=True),
    _o("DeleteDirectory", "path", "d", writes=True),
    _o("RenameDirectory", "path", "cw", "2021-04-10", writes=True),
    _o("ListDirectoriesAndFiles", "path", "l"),
    _o("CreateFile", "path", "cw", writes=True),
    _o("GetFile", "path", "r"),
    _o("GetFileProperties", "path", "r"),
    _o("GetFileMetadata", "path", "r"),
    _o("SetFileProperties", "path", "w", writes=True),
    _o("SetFileMetadata", "path", "w", writes=True),
    _o("DeleteFile", "path", "d", writes=True),
    _o("RenameFile", "path", "cw", "2021-04-10", writes=True),
    _o("PutRange", "path", "w", writes=True),
    _o("ClearRange", "path", "w", writes=True),
    _o("PutRangeFromURL", "path", "w", "2019-02-02", writes=True),
    _o("ListRanges", "path", "r"),
    _o("CopyFile", "path", "cw", "2015-02-21", writes=True),
    _o("AbortCopyFile", "path", "w", "2015-02-21", writes=True),
    _o("LeaseFile", "path", "wd", "2019-02-02", writes=True),
    _o("ListHandles", "path", "l", "2018-11-09"),
    _o("ForceCloseHandles", "path", "w", "2018-11-09", writes=True),
    _o("CreateHardLink", "path", "cw", "2025-05-05", writes=True),
    _o("CreateSymbolicLink", "path", "cw", "2025-07-05", writes=True),
    _o("GetSymbolicLink", "path", "r", "2025-07-05"),
)

_SERVICE: Final = {
    ("GET", "", "list"): "ListShares",
    ("GET", "service", "properties"): "GetServiceProperties",
    ("PUT", "service", "properties"): "SetServiceProperties",
    ("POST", "service", "userdelegationkey"): "GetUserDelegationKey",
}
_SHARE: Final = {
    ("PUT", ""): "CreateShare",
    ("GET", ""): "GetShareProperties",
    ("DELETE", ""): "DeleteShare",
    ("GET", "metadata"): "GetShareMetadata",
    ("PUT", "metadata"): "SetShareMetadata",
    ("PUT", "properties"): "SetShareProperties",
    ("PUT", "undelete"): "RestoreShare",
    ("PUT", "snapshot"): "SnapshotShare",
    ("PUT", "lease"): "LeaseShare",
    ("GET", "acl"): "GetShareAcl",
    ("PUT", "acl"): "SetShareAcl",
    ("GET", "stats"): "GetShareStats",
    ("PUT", "filepermission"): "CreatePermission",
    ("GET", "filepermission"): "GetPermission",
}
_DIRECTORY: Final = {
    ("PUT", ""): "CreateDirectory",
    ("GET", ""): "GetDirectoryProperties",
    ("DELETE", ""): "DeleteDirectory",
    ("GET", "metadata"): "GetDirectoryMetadata",
    ("PUT", "metadata"): "SetDirectoryMetadata",
    ("PUT", "properties"): "SetDirectoryProperties",
    ("PUT", "rename"): "RenameDirectory",
    ("GET", "list"): "ListDirectoriesAndFiles",
    ("GET", "listhandles"): "ListHandles",
    ("PUT", "forceclosehandles"): "ForceCloseHandles",
}
_FILE: Final = {
    ("PUT", ""): "CreateFile",
    ("GET", ""): "GetFile",
    ("DELETE", ""): "DeleteFile",
    ("GET", "metadata"): "GetFileMetadata",
    ("PUT", "metadata"): "SetFileMetadata",
    ("PUT", "properties"): "SetFileProperties",
    ("PUT", "rename"): "RenameFile",
    ("PUT", "range"): "PutRange",
    ("GET", "rangelist"): "ListRanges",
    ("PUT", "copy"): "AbortCopyFile",
    ("PUT", "lease"): "LeaseFile",
    ("GET", "listhandles"): "ListHandles",
    ("PUT", "forceclosehandles"): "ForceCloseHandles",
}
_LINKS: Final = {
    ("PUT", "symboliclink"): "CreateSymbolicLink",
    ("GET", "symboliclink"): "GetSymbolicLink",
    ("PUT", "hardlink"): "CreateHardLink",
}
_BY_RESTYPE: Final = {"share": _SHARE, "directory": _DIRECTORY, "": _FILE}
_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"})
#: Older versions of Set Share Properties and others know HEAD as the GET without a body.
_HEAD_NAMES: Final = {"GetFile": "GetFileProperties"}


def identify(request: Request) -> Operation:
    """Return the operation that method, `restype`, `comp` and a few headers ask for.

    Refuses with InvalidQueryParameterValue what the service has no operation for.
    """
    method, query = request.method, request.query
    if method not in _METHODS:
        raise Refusal(ErrorCode.UNSUPPORTED_HTTP_VERB, front=True)
    if method == "OPTIONS":
        return OPERATIONS[PREFLIGHT]
    restype, comp = query.get("restype", "").lower(), query.get("comp", "").lower()
    verb = "GET" if method == "HEAD" else method
    if not request.share:
        name = _SERVICE.get((verb, restype, comp))
    elif restype in ("symboliclink", "hardlink"):
        name = _LINKS.get((verb, restype))
    elif restype not in _BY_RESTYPE:
        raise bad_query("restype", restype, front=True)
    else:
        name = _BY_RESTYPE[restype].get((verb, comp))
    if name is None:
        if comp or not restype:
            raise bad_query("comp", comp, front=True)
        raise Refusal(ErrorCode.UNSUPPORTED_HTTP_VERB, front=True)
    if method == "HEAD":
        name = _HEAD_NAMES.get(name, name)
    operation = OPERATIONS[_by_headers(name, request)]
    if request.version < operation.since:
        parameter = ("comp", comp) if comp else ("restype", restype)
        raise bad_query(*parameter, front=True)
    if operation.writes and "sharesnapshot" in query:
        raise bad_query("sharesnapshot", query["sharesnapshot"])
    return operation


def _by_headers(name: str, request: Request) -> str:
    headers = request.headers
    if name == "CreateFile" and "x-ms-copy-source" in headers:
        return "CopyFile"
    if name == "PutRange":
        if "x-ms-copy-source" in headers:
            return "PutRangeFromURL"
        if headers.get("x-ms-write", "").lower() == "clear":
            return "ClearRange"
    return name
