"""Which service version to speak: the newest that the service takes.

While nothing is known one request at a time tries the newest version left, and
the others wait for what it learns. Once a version was accepted nobody waits.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.wire import NEWEST_VERSION, VERSIONS


def is_version_refusal(error: ServiceError) -> bool:
    """Say whether *error* means that the service does not know the version that was sent."""
    return (
        error.status == 400
        and error.code == ErrorCode.INVALID_HEADER_VALUE
        and error.details.get("HeaderName", "").lower() == "x-ms-version"
    )


class _Probe:
    """One try of a version that nobody has had an answer for."""

    def __init__(self) -> None:
        self.over = trio.Event()
        #: The answer told something of the version.
        self.learned = False


class VersionChoice:
    """The version in use. A given *version* is pinned: never changed, however it is answered."""

    def __init__(self, version: str | None) -> None:
        self.version = version or NEWEST_VERSION
        self.settled = version is not None
        self._probe: _Probe | None = None

    @asynccontextmanager
    async def trial(self) -> AsyncIterator[str]:
        """Hold the version for one try; where none is settled, wait for who is finding it.

        A prober that fails lets all who waited go at once, so that a dead network
        does not make them queue for one time-out after the other.
        """
        abandoned = False
        while not self.settled and not abandoned and self._probe is not None:
            probe = self._probe
            await probe.over.wait()
            abandoned = not probe.learned
        if self.settled or abandoned:
            yield self.version
            return
        probe = self._probe = _Probe()
        try:
            yield self.version
        finally:
            self._probe = None
            probe.over.set()

    def accept(self) -> None:
        """Keep the present version: the service knows it."""
        self.settled = True

    def step_down(self, refused: str) -> bool:
        """Go one version down because *refused* was refused; False where there is none left.

        Does nothing but say True where another request has already gone down.
        """
        if self.settled or refused not in VERSIONS:
            return False
        if self._probe is not None:
            self._probe.learned = True
        if refused != self.version:
            return True
        index = VERSIONS.index(refused)
        if index == 0:
            return False
        self.version = VERSIONS[index - 1]
        return True
