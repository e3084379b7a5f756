"""From what went wrong to the errno that the manual pages name for it."""

import errno
import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import pyfuse3

from azfuse.cache.counters import CallCounters
from azfuse.rest.errors import (
    AzureFilesError,
    ConnectionFailed,
    ErrorCode,
    ServiceError,
    UnsupportedByVersion,
)

log = logging.getLogger(__name__)

NOT_FOUND: Final = frozenset(
    {ErrorCode.RESOURCE_NOT_FOUND, ErrorCode.PARENT_NOT_FOUND, ErrorCode.SHARE_NOT_FOUND}
)

_ERRNO_BY_CODE: Final[dict[str, int]] = {
    ErrorCode.RESOURCE_NOT_FOUND: errno.ENOENT,
    ErrorCode.PARENT_NOT_FOUND: errno.ENOENT,
    ErrorCode.SHARE_NOT_FOUND: errno.ENOENT,
    ErrorCode.SHARE_BEING_DELETED: errno.ENOENT,
    ErrorCode.SHARE_SNAPSHOT_NOT_FOUND: errno.ENOENT,
    ErrorCode.RESOURCE_ALREADY_EXISTS: errno.EEXIST,
    ErrorCode.DIRECTORY_NOT_EMPTY: errno.ENOTEMPTY,
    ErrorCode.RESOURCE_TYPE_MISMATCH: errno.EISDIR,
    ErrorCode.LEASE_ID_MISSING: errno.EBUSY,
    ErrorCode.LEASE_ALREADY_PRESENT: errno.EBUSY,
    ErrorCode.LEASE_ID_MISMATCH_WITH_FILE_OPERATION: errno.EBUSY,
    ErrorCode.SHARING_VIOLATION: errno.EBUSY,
    ErrorCode.FILE_LOCK_CONFLICT: errno.EBUSY,
    ErrorCode.DELETE_PENDING: errno.EBUSY,
    ErrorCode.CANNOT_DELETE_FILE_OR_DIRECTORY: errno.EBUSY,
    ErrorCode.LEASE_LOST: errno.EIO,
    ErrorCode.LEASE_NOT_PRESENT_WITH_FILE_OPERATION: errno.EIO,
    ErrorCode.READ_ONLY_ATTRIBUTE: errno.EACCES,
    ErrorCode.SHARE_SIZE_LIMIT_REACHED: errno.ENOSPC,
    ErrorCode.INVALID_RESOURCE_NAME: errno.EINVAL,
    ErrorCode.INVALID_FILE_OR_DIRECTORY_PATH_NAME: errno.ENAMETOOLONG,
    ErrorCode.OUT_OF_RANGE_INPUT: errno.EINVAL,
    ErrorCode.METADATA_TOO_LARGE: errno.ENOSPC,
    ErrorCode.INSUFFICIENT_ACCOUNT_PERMISSIONS: errno.EROFS,
}


def errno_of(error: AzureFilesError) -> int:
    """Return the errno for a failed request (architecture, section 4)."""
    if isinstance(error, ConnectionFailed):
        return errno.ETIMEDOUT
    if isinstance(error, UnsupportedByVersion):
        return errno.EOPNOTSUPP
    if isinstance(error, ServiceError):
        known = _ERRNO_BY_CODE.get(error.code)
        if known is not None:
            return known
        if error.status in {401, 403}:
            return errno.EACCES
        if error.status == 404:
            return errno.ENOENT
        if error.status == 413:
            return errno.EFBIG
    return errno.EIO


#: Answers that are part of a program's ordinary life and not worth a line in the log.
_ORDINARY: Final = frozenset({errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR})


class Counted(Protocol):
    """What has handlers also counts their calls, by name."""

    calls: defaultdict[str, CallCounters]


OpsT = TypeVar("OpsT", bound=Counted)
Params = ParamSpec("Params")
ResultT = TypeVar("ResultT")
Handler = Callable[Concatenate[OpsT, Params], Coroutine[Any, Any, ResultT]]


def handler(function: Handler[OpsT, Params, ResultT]) -> Handler[OpsT, Params, ResultT]:
    """Wrap a request handler: count it, make one errno and one log line of what it raises.

    Anything but a FUSEError that left a handler would end the mount.
    """
    name = function.__name__

    @functools.wraps(function)
    async def wrapped(self: OpsT, *args: Params.args, **kwargs: Params.kwargs) -> ResultT:
        calls = self.calls[name]
        calls.requests += 1
        began = perf_counter()
        try:
            result = await function(self, *args, **kwargs)
        except pyfuse3.FUSEError:
            calls.errors += 1
            raise
        except OSError as error:
            calls.errors += 1
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from error
        except AzureFilesError as error:
            calls.errors += 1
            number = errno_of(error)
            level = logging.DEBUG if number in _ORDINARY else logging.WARNING
            log.log(level, "%s: %s: %s", name, errno.errorcode.get(number, number), error)
            raise pyfuse3.FUSEError(number) from error
        except Exception as error:
            calls.errors += 1
            log.exception("%s: unexpected error", name)
            raise pyfuse3.FUSEError(errno.EIO) from error
        else:
            return result
        finally:
            calls.seconds += perf_counter() - began

    return wrapped  # type: ignore[return-value]  # mypy wants `self` to be positional-only
