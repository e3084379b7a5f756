"""What can go wrong between us and the service.

AzureFilesError
+-- ServiceError        the service answered, and said no (status, code, message)
+-- ConnectionFailed    no connection could be made: name, route, refused, TLS
+-- ServiceUnavailable  the connection was lost, or the service kept failing, until
|                       the retry time was over
+-- InvalidResponse     the answer makes no sense: broken XML, a missing header
+-- UnsupportedByVersion  the negotiated service version lacks what was asked for
"""

import enum
from collections.abc import Mapping


class ErrorCode(enum.StrEnum):
    """Error codes of the File service that azfuse or its emulator names (reference, 1.8)."""

    ACCOUNT_IS_DISABLED = "AccountIsDisabled"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    AUTHORIZATION_FAILURE = "AuthorizationFailure"
    AUTHORIZATION_PERMISSION_MISMATCH = "AuthorizationPermissionMismatch"
    AUTHORIZATION_PROTOCOL_MISMATCH = "AuthorizationProtocolMismatch"
    AUTHORIZATION_RESOURCE_TYPE_MISMATCH = "AuthorizationResourceTypeMismatch"
    AUTHORIZATION_SERVICE_MISMATCH = "AuthorizationServiceMismatch"
    AUTHORIZATION_SOURCE_IP_MISMATCH = "AuthorizationSourceIPMismatch"
    CANNOT_DELETE_FILE_OR_DIRECTORY = "CannotDeleteFileOrDirectory"
    CANNOT_VERIFY_COPY_SOURCE = "CannotVerifyCopySource"
    CLIENT_CACHE_FLUSH_DELAY = "ClientCacheFlushDelay"
    CONDITION_HEADERS_NOT_SUPPORTED = "ConditionHeadersNotSupported"
    DELETE_PENDING = "DeletePending"
    DIRECTORY_NOT_EMPTY = "DirectoryNotEmpty"
    EMPTY_METADATA_KEY = "EmptyMetadataKey"
    FILE_INVALID_PERMISSION = "FileInvalidPermission"
    FILE_INVALID_PERMISSION_KEY = "FileInvalidPermissionKey"
    FILE_LOCK_CONFLICT = "FileLockConflict"
    FILE_OAUTH_RESTRICTED_TO_SRP = "FileOAuthManagementApiRestrictedToSrp"
    INSUFFICIENT_ACCOUNT_PERMISSIONS = "InsufficientAccountPermissions"
    INTERNAL_ERROR = "InternalError"
    INVALID_AUTHENTICATION_INFO = "InvalidAuthenticationInfo"
    INVALID_CONTINUATION_TOKEN = "InvalidContinuationToken"  # noqa: S105 # an error code
    INVALID_FILE_OR_DIRECTORY_PATH_NAME = "InvalidFileOrDirectoryPathName"
    INVALID_HEADER_VALUE = "InvalidHeaderValue"
    INVALID_HTTP_VERB = "InvalidHttpVerb"
    INVALID_INPUT = "InvalidInput"
    INVALID_MD5 = "InvalidMd5"
    INVALID_METADATA = "InvalidMetadata"
    INVALID_QUERY_PARAMETER_VALUE = "InvalidQueryParameterValue"
    INVALID_RANGE = "InvalidRange"
    INVALID_RESOURCE_NAME = "InvalidResourceName"
    INVALID_URI = "InvalidUri"
    INVALID_XML_DOCUMENT = "InvalidXmlDocument"
    INVALID_XML_NODE_VALUE = "InvalidXmlNodeValue"
    LEASE_ALREADY_PRESENT = "LeaseAlreadyPresent"
    LEASE_ID_MISMATCH_WITH_CONTAINER_OPERATION = "LeaseIdMismatchWithContainerOperation"
    LEASE_ID_MISMATCH_WITH_FILE_OPERATION = "LeaseIdMismatchWithFileOperation"
    LEASE_ID_MISMATCH_WITH_LEASE_OPERATION = "LeaseIdMismatchWithLeaseOperation"
    LEASE_ID_MISSING = "LeaseIdMissing"
    LEASE_IS_BREAKING_AND_CANNOT_BE_ACQUIRED = "LeaseIsBreakingAndCannotBeAcquired"
    LEASE_IS_BROKEN_AND_CANNOT_BE_RENEWED = "LeaseIsBrokenAndCannotBeRenewed"
    LEASE_LOST = "LeaseLost"
    LEASE_NOT_PRESENT_WITH_CONTAINER_OPERATION = "LeaseNotPresentWithContainerOperation"
    LEASE_NOT_PRESENT_WITH_FILE_OPERATION = "LeaseNotPresentWithFileOperation"
    LEASE_NOT_PRESENT_WITH_LEASE_OPERATION = "LeaseNotPresentWithLeaseOperation"
    MD5_MISMATCH = "Md5Mismatch"
    METADATA_TOO_LARGE = "MetadataTooLarge"
    MISSING_CONTENT_LENGTH_HEADER = "MissingContentLengthHeader"
    MISSING_REQUIRED_HEADER = "MissingRequiredHeader"
    MISSING_REQUIRED_QUERY_PARAMETER = "MissingRequiredQueryParameter"
    NO_AUTHENTICATION_INFORMATION = "NoAuthenticationInformation"
    NO_PENDING_COPY_OPERATION = "NoPendingCopyOperation"
    OPERATION_TIMED_OUT = "OperationTimedOut"
    OUT_OF_RANGE_INPUT = "OutOfRangeInput"
    OUT_OF_RANGE_QUERY_PARAMETER_VALUE = "OutOfRangeQueryParameterValue"
    PARENT_NOT_FOUND = "ParentNotFound"
    READ_ONLY_ATTRIBUTE = "ReadOnlyAttribute"
    REQUEST_BODY_TOO_LARGE = "RequestBodyTooLarge"
    RESOURCE_ALREADY_EXISTS = "ResourceAlreadyExists"
    RESOURCE_NOT_FOUND = "ResourceNotFound"
    RESOURCE_TYPE_MISMATCH = "ResourceTypeMismatch"
    SERVER_BUSY = "ServerBusy"
    SHARE_ALREADY_EXISTS = "ShareAlreadyExists"
    SHARE_BEING_DELETED = "ShareBeingDeleted"
    SHARE_DISABLED = "ShareDisabled"
    SHARE_HAS_SNAPSHOTS = "ShareHasSnapshots"
    SHARE_NOT_FOUND = "ShareNotFound"
    SHARE_SIZE_LIMIT_REACHED = "ShareSizeLimitReached"
    SHARE_SNAPSHOT_NOT_FOUND = "ShareSnapshotNotFound"
    SHARING_VIOLATION = "SharingViolation"
    UNSUPPORTED_HEADER = "UnsupportedHeader"
    UNSUPPORTED_HTTP_VERB = "UnsupportedHttpVerb"
    UNSUPPORTED_QUERY_PARAMETER = "UnsupportedQueryParameter"


class AzureFilesError(Exception):
    """Anything that kept a request from being answered as asked."""


class ServiceError(AzureFilesError):
    """The service refused a request.

    `code` is the service's own word (usually an `ErrorCode`), empty where the
    answer had none (an error page of a proxy, say). `retried` says that an
    earlier try of the same request may have taken effect: its answer was lost.
    `details` holds the extra children of the error body, such as HeaderName.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        operation: str = "",
        request_id: str = "",
        retried: bool = False,
        details: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.operation = operation
        self.request_id = request_id
        self.retried = retried
        self.details = dict(details or {})
        super().__init__(status, code, message)

    def __str__(self) -> str:
        first_line = self.message.partition("\n")[0]
        where = f"{self.operation}: " if self.operation else ""
        request = f", request id {self.request_id}" if self.request_id else ""
        return f"{where}{first_line or 'no message'} ({self.status} {self.code or '-'}{request})"


class ConnectionFailed(AzureFilesError):  # noqa: N818 # says what happened
    """No connection to the service could be made within the retry time."""


class ServiceUnavailable(AzureFilesError):  # noqa: N818 # says what happened
    """Connections were lost or the service kept answering 5xx until the retry time was over."""


class InvalidResponse(AzureFilesError):  # noqa: N818 # says what happened
    """The service answered something that is not of the protocol."""


class UnsupportedByVersion(AzureFilesError):  # noqa: N818 # says what happened
    """The service version in use has no such operation or header."""
