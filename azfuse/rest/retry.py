"""When a request is tried again, and how it ends when that does not help."""

import logging
import random
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import trio

from azfuse.rest.endpoint import redact
from azfuse.rest.errors import (
    ConnectionFailed,
    ErrorCode,
    ServiceError,
    ServiceUnavailable,
)

log = logging.getLogger(__name__)

#: Statuses below 500 that pass by themselves.
_PASSING: Final = frozenset({408, 429})
#: Statuses from 500 on that never change: not implemented, HTTP version.
_LASTING: Final = frozenset({501, 505})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often a request is tried. All times are seconds.

    `timeout` bounds all tries of one request with the waits between them; only
    the time that `slowest_rate` allows a body is granted to the last try on top.
    """

    timeout: float = 120.0
    #: Wait before the second try; it doubles with each further one up to `longest_delay`.
    first_delay: float = 0.25
    longest_delay: float = 15.0
    #: Bound of one try, besides the time for its bodies. The service cuts off at 30.
    try_timeout: float = 45.0
    connect_timeout: float = 10.0
    #: Longest silence within a response.
    read_timeout: float = 40.0
    #: Longest time for one piece (at most 1 MiB) of a request body to leave.
    write_timeout: float = 60.0
    #: Bytes per second below which a transfer counts as stalled.
    slowest_rate: int = 32 * 1024

    def transfer_time(self, length: int) -> float:
        """Return the seconds that a body of *length* bytes may take."""
        return length / self.slowest_rate

    def delay(self, tries: int) -> float:
        """Return the wait after *tries* tries, with jitter down to half."""
        full: float = min(self.longest_delay, self.first_delay * 2.0 ** min(tries - 1, 30))
        return full * random.uniform(0.5, 1.0)  # noqa: S311 # spreads load, keeps no secret


class TryFailed(Exception):  # noqa: N818 # a signal within rest, never seen outside
    """One try of a request failed in a way that another may mend."""

    def __init__(
        self,
        reason: str,
        *,
        connected: bool,
        uncertain: bool,
        retry_after: float | None = None,
        lasting: bool = False,
        answered: bool = False,
    ) -> None:
        #: A connection was made.
        self.connected = connected
        #: The request may have taken effect although no answer says so.
        self.uncertain = uncertain
        #: Seconds the service asked to wait.
        self.retry_after = retry_after
        #: An answer came, and is counted.
        self.answered = answered
        #: Trying again is of no use, a wrong certificate say.
        self.lasting = lasting
        super().__init__(reason)

    @classmethod
    def of_exception(cls, error: httpx.TransportError | trio.TooSlowError) -> "TryFailed":
        """Translate what the HTTP client raised."""
        reason = redact(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            lasting = _has_cause(error, ssl.SSLCertVerificationError)
            return cls(reason, connected=False, uncertain=False, lasting=lasting)
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return cls(reason, connected=False, uncertain=False, lasting=True)
        return cls(reason, connected=True, uncertain=True)

    @classmethod
    def of_refusal(cls, error: ServiceError, headers: dict[str, str]) -> "TryFailed | None":
        """Translate an answer that may be different next time; None for one that will not."""
        if error.status not in _PASSING and (error.status < 500 or error.status in _LASTING):
            return None
        # A throttled request was not begun. Of any other such answer nobody knows.
        throttled = error.status == 429 or error.code == ErrorCode.SERVER_BUSY
        return cls(
            redact(str(error)),
            connected=True,
            uncertain=not throttled,
            retry_after=_parse_retry_after(headers),
            answered=True,
        )


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kind):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _parse_retry_after(headers: dict[str, str]) -> float | None:
    """Return the seconds of Retry-After, which may be a number or a date."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers["date"])
    except (ValueError, KeyError):
        return None
    return max(0.0, (until - now).total_seconds())


class Effort:
    """All tries of one request: counts, remembers, waits, and names the end."""

    __slots__ = (
        "_connected",
        "_deadline",
        "_policy",
        "authorization",
        "operation",
        "path",
        "reauthorized",
        "tries",
        "uncertain",
    )

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._deadline = trio.current_time() + policy.timeout
        self._connected = False
        self.tries = 0
        self.operation = ""
        self.path = ""
        #: The header that authorized the last try.
        self.authorization = ""
        #: An earlier try may have taken effect.
        self.uncertain = False
        #: New credentials were asked for once because the service refused the old ones.
        self.reauthorized = False

    def try_time(self, body_bytes: int) -> float:
        """Return the seconds that the next try may take to move *body_bytes* of bodies."""
        transfer = self._policy.transfer_time(body_bytes)
        left = self._deadline - trio.current_time()
        return min(self._policy.try_timeout + transfer, max(left, transfer, 1.0))

    async def pause(self, failure: TryFailed) -> None:
        """Wait until the next try is due.

        Raises ConnectionFailed or ServiceUnavailable when there is to be none.
        """
        what = f"{self.operation} {self.path}"
        self._connected |= failure.connected
        self.uncertain |= failure.uncertain
        left = self._deadline - trio.current_time()
        delay = failure.retry_after
        if delay is None:
            # The last try comes right before the end, rather than not at all.
            delay = min(self._policy.delay(self.tries), left)
        if failure.lasting or left <= 0 or delay > left:
            log.warning("%s: giving up after %d tries: %s", what, self.tries, failure)
            kind = ServiceUnavailable if self._connected else ConnectionFailed
            raise kind(f"{what}: {failure} ({self.tries} tries)") from failure
        level = logging.WARNING if self.tries == 1 else logging.DEBUG
        log.log(level, "%s: try %d failed, next in %.2f s: %s", what, self.tries, delay, failure)
        await trio.sleep(delay)
