"""How the emulator says no: refusals with the service's own status, code and words."""

from collections.abc import Sequence
from typing import Final

from azfuse.rest.errors import ErrorCode

# Codes that only the emulator names; azfuse itself never meets them.
CANNOT_CONVERT_TO_SDDL: Final = "CannotConvertToSddlDueToCustomAce"
CORS_PREFLIGHT_FAILURE: Final = "CorsPreflightFailure"
FEATURE_VERSION_MISMATCH: Final = "FeatureVersionMismatch"
PENDING_COPY_OPERATION: Final = "PendingCopyOperation"
CRC64_CONDITION_NOT_MET: Final = "Crc64ConditionNotMet"
DELETE_SHARE_WHEN_SNAPSHOT_LEASED: Final = "DeleteShareWhenSnapshotLeased"
SHARE_SNAPSHOT_COUNT_EXCEEDED: Final = "ShareSnapshotCountExceeded"
FILE_GENERATION_MISMATCH: Final = "FileGenerationMismatch"

#: One child element of an error body: its name and its text.
Detail = tuple[str, str]

_SERVER_SIDE: Final = "The server encountered an internal error. Please retry the request."
_NOT_AUTHORIZED: Final = "This request is not authorized to perform this operation"

#: Status and first line of the message, by code (reference, 1.8; observed behaviour, 7).
_TEXTS: Final[dict[str, tuple[int, str]]] = {
    ErrorCode.AUTHENTICATION_FAILED: (
        403,
        ("Server failed to authenticate the request. Make sure the value of Authorization header "
        "is formed correctly including the signature."),
    ),
    ErrorCode.AUTHORIZATION_FAILURE: (403, f"{_NOT_AUTHORIZED}."),
    ErrorCode.AUTHORIZATION_PERMISSION_MISMATCH: (
        403, f"{_NOT_AUTHORIZED} using this permission."),
    ErrorCode.AUTHORIZATION_PROTOCOL_MISMATCH: (403, f"{_NOT_AUTHORIZED} using this protocol."),
    ErrorCode.AUTHORIZATION_RESOURCE_TYPE_MISMATCH: (
        403, f"{_NOT_AUTHORIZED} using this resource type."),
    ErrorCode.AUTHORIZATION_SERVICE_MISMATCH: (403, f"{_NOT_AUTHORIZED} using this service."),
    ErrorCode.AUTHORIZATION_SOURCE_IP_MISMATCH: (403, f"{_NOT_AUTHORIZED} using this source IP."),
    ErrorCode.CANNOT_VERIFY_COPY_SOURCE: (404, "The specified resource does not exist."),
    ErrorCode.DIRECTORY_NOT_EMPTY: (409, "The specified directory is not empty."),
    ErrorCode.EMPTY_METADATA_KEY: (
        400, "The key for one of the metadata key-value pairs is empty."),
    ErrorCode.FILE_INVALID_PERMISSION: (400, "The specified file permission is not valid."),
    ErrorCode.FILE_INVALID_PERMISSION_KEY: (
        400, "The specified file permission key does not exist."),
    ErrorCode.FILE_OAUTH_RESTRICTED_TO_SRP: (
        409,
        ("This API does not support bearer tokens. For OAuth, use the Storage Resource Provider "
        "APIs instead. Learn more: https://aka.ms/azurefiles/restapi."),
    ),
    ErrorCode.INTERNAL_ERROR: (500, _SERVER_SIDE),
    ErrorCode.INVALID_AUTHENTICATION_INFO: (
        401, ("Server failed to authenticate the request. Please refer to the information in the "
        "www-authenticate header.")),
    ErrorCode.INVALID_CONTINUATION_TOKEN: (400, "The specified marker is not valid."),
    ErrorCode.INVALID_FILE_OR_DIRECTORY_PATH_NAME: (
        400, "The specified path name is too long or has too many subdirectories."),
    ErrorCode.INVALID_HEADER_VALUE: (
        400, "The value for one of the HTTP headers is not in the correct format."),
    ErrorCode.INVALID_INPUT: (400, "One of the request inputs is not valid."),
    ErrorCode.INVALID_MD5: (400, ("The MD5 value specified in the request is invalid. MD5 value "
                            "must be 128 bits and base64-encoded.")),
    ErrorCode.INVALID_METADATA: (
        400, "The metadata specified is invalid. It has characters that are not permitted."),
    ErrorCode.INVALID_QUERY_PARAMETER_VALUE: (
        400, "Value for one of the query parameters specified in the request URI is invalid."),
    ErrorCode.INVALID_RANGE: (
        416, "The range specified is invalid for the current size of the resource."),
    ErrorCode.INVALID_RESOURCE_NAME: (
        400, "The specifed resource name contains invalid characters."),
    ErrorCode.INVALID_URI: (400, ("The requested URI does not represent any resource on the "
                            "server.")),
    ErrorCode.INVALID_XML_DOCUMENT: (400, "XML specified is not syntactically valid."),
    ErrorCode.INVALID_XML_NODE_VALUE: (
        400, "The value for one of the XML nodes is not in the correct format."),
    ErrorCode.LEASE_ALREADY_PRESENT: (409, "There is already a lease present."),
    ErrorCode.LEASE_IS_BREAKING_AND_CANNOT_BE_ACQUIRED: (
        409, ("The lease ID matched, but the lease is currently in breaking state and cannot be "
        "acquired until it is broken.")),
    ErrorCode.LEASE_IS_BROKEN_AND_CANNOT_BE_RENEWED: (
        409, ("The lease ID matched, but the lease has been broken explicitly and cannot be "
        "renewed.")),
    ErrorCode.LEASE_ID_MISSING: (
        412, ("There is currently a lease on the {what} and no lease ID was specified in the "
        "request.")),
    ErrorCode.LEASE_ID_MISMATCH_WITH_FILE_OPERATION: (
        412, "The lease ID specified did not match the lease ID for the {what}."),
    ErrorCode.LEASE_ID_MISMATCH_WITH_CONTAINER_OPERATION: (
        412, "The lease ID specified did not match the lease ID for the {what}."),
    ErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION: (
        409, "The lease ID specified did not match the lease ID for the {what}."),
    ErrorCode.LEASE_LOST: (
        412, "A lease ID was specified, but the lease for the {what} has expired."),
    ErrorCode.LEASE_NOT_PRESENT_WITH_FILE_OPERATION: (
        412, "There is currently no lease on the {what}."),
    ErrorCode.LEASE_NOT_PRESENT_WITH_CONTAINER_OPERATION: (
        412, "There is currently no lease on the {what}."),
    ErrorCode.LEASE_NOT_PRESENT_WITH_LEASE_OPERATION: (
        409, "There is currently no lease on the {what}."),
    ErrorCode.MD5_MISMATCH: (400, ("The MD5 value specified in the request did not match with the "
                             "MD5 value calculated by the server.")),
    ErrorCode.METADATA_TOO_LARGE: (
        400, "The metadata specified exceeds the maximum allowed limit (8KB)."),
    ErrorCode.MISSING_CONTENT_LENGTH_HEADER: (411, "Content-Length HTTP header is missing."),
    ErrorCode.MISSING_REQUIRED_HEADER: (
        400, "An HTTP header that's mandatory for this request is not specified."),
    ErrorCode.MISSING_REQUIRED_QUERY_PARAMETER: (
        400, "A query parameter that's mandatory for this request is not specified."),
    ErrorCode.NO_PENDING_COPY_OPERATION: (409, "There is currently no pending copy operation."),
    ErrorCode.OPERATION_TIMED_OUT: (
        500, "Operation could not be completed within the specified time."),
    ErrorCode.OUT_OF_RANGE_INPUT: (400, "One of the request inputs is out of range."),
    ErrorCode.OUT_OF_RANGE_QUERY_PARAMETER_VALUE: (
        400, ("One of the query parameters specified in the request URI is outside the permissible "
        "range.")),
    ErrorCode.PARENT_NOT_FOUND: (404, "The specified parent path does not exist."),
    ErrorCode.READ_ONLY_ATTRIBUTE: (
        409, "The specified resource is read-only and cannot be modified at this time."),
    ErrorCode.REQUEST_BODY_TOO_LARGE: (
        413, "The request body is too large and exceeds the maximum permissible limit."),
    ErrorCode.RESOURCE_ALREADY_EXISTS: (409, "The specified resource already exists."),
    ErrorCode.RESOURCE_NOT_FOUND: (404, "The specified resource does not exist."),
    ErrorCode.RESOURCE_TYPE_MISMATCH: (
        409, "The specified resource type does not match the type of the existing resource."),
    ErrorCode.SERVER_BUSY: (503, "The server is busy."),
    ErrorCode.SHARE_ALREADY_EXISTS: (409, "The specified share already exists."),
    ErrorCode.SHARE_BEING_DELETED: (
        409, "The specified share is being deleted. Try operation later."),
    ErrorCode.SHARE_HAS_SNAPSHOTS: (
        409, "The share has snapshots and the operation requires no snapshots."),
    ErrorCode.SHARE_NOT_FOUND: (404, "The specified share does not exist."),
    ErrorCode.SHARE_SIZE_LIMIT_REACHED: (
        409, ("The share size limit has been reached. The request would exceed the quota of the "
        "share.")),
    ErrorCode.SHARE_SNAPSHOT_NOT_FOUND: (404, "The specified share snapshot was not found."),
    ErrorCode.UNSUPPORTED_HEADER: (
        400, "One of the HTTP headers specified in the request is not supported."),
    ErrorCode.UNSUPPORTED_HTTP_VERB: (
        405, "The resource doesn't support specified Http Verb."),
    ErrorCode.UNSUPPORTED_QUERY_PARAMETER: (
        400, "One of the query parameters specified in the request URI is not supported."),
    CANNOT_CONVERT_TO_SDDL: (
        400, "The permission holds entries that SDDL cannot express; ask for the binary format."),
    CORS_PREFLIGHT_FAILURE: (
        403, "CORS not enabled or no matching rule found for this request."),
    FEATURE_VERSION_MISMATCH: (
        400, "The operation needs a newer version of the service than the request names."),
    PENDING_COPY_OPERATION: (409, "There is currently a pending copy operation."),
    CRC64_CONDITION_NOT_MET: (412, "The Crc64 condition specified was not met."),
    DELETE_SHARE_WHEN_SNAPSHOT_LEASED: (
        409,
        ("Unable to delete share because one or more share snapshots have active leases. Release "
        "the share snapshot leases or delete the share with the include-leased parameter for "
        "x-ms-delete-snapshots."),
    ),
    FILE_GENERATION_MISMATCH: (
        409, "The file was created anew or renamed since the previous snapshot."),
    SHARE_SNAPSHOT_COUNT_EXCEEDED: (
        409, "The snapshot count against this share has been exceeded."),
}  # fmt: skip


class Refusal(Exception):  # noqa: N818 (an answer, not an accident)
    """A request is answered with an error.

    `front` marks refusals made before the file front end (version, unknown comp or
    restype, signature): the service then names no version and a shorter Server.
    """

    def __init__(
        self,
        code: str,
        *details: Detail,
        status: int | None = None,
        message: str | None = None,
        what: str = "file",
        headers: Sequence[tuple[str, str]] = (),
        front: bool = False,
    ) -> None:
        usual_status, usual_message = _TEXTS.get(code, (400, "The request is not valid."))
        self.code = str(code)
        self.status = status or usual_status
        self.message = message or usual_message.replace("{what}", what)
        self.details = details
        self.headers = list(headers)
        self.front = front
        super().__init__(self.code, self.message, details)


def bad_header(name: str, value: str) -> Refusal:
    """Refuse a header value: 400 InvalidHeaderValue that names both."""
    return Refusal(ErrorCode.INVALID_HEADER_VALUE, ("HeaderName", name), ("HeaderValue", value))


def missing_header(name: str) -> Refusal:
    """Refuse for want of a header: 400 MissingRequiredHeader."""
    return Refusal(ErrorCode.MISSING_REQUIRED_HEADER, ("HeaderName", name))


def bad_query(name: str, value: str, reason: str = "", *, front: bool = False) -> Refusal:
    """Refuse a query parameter: 400 InvalidQueryParameterValue, with the reason if there is one."""
    details = [("QueryParameterName", name), ("QueryParameterValue", value)]
    if reason:
        details.append(("Reason", reason))
    return Refusal(ErrorCode.INVALID_QUERY_PARAMETER_VALUE, *details, front=front)
