"""How large the share is and how full (statvfs(3))."""

import logging
import math
from collections.abc import Callable
from typing import Final

import pyfuse3

from azfuse.rest.errors import AzureFilesError
from azfuse.rest.share import Share
from azfuse.rest.wire import MAX_COMPONENT

log = logging.getLogger(__name__)

_FRAGMENT: Final = 4096
_GIB: Final = 1024**3
#: The service's own figures lag behind by minutes; asking more often tells nothing new,
#: unless we have changed them ourselves by more than a trifle.
_BELIEVED: Final = 300.0
_TRIFLE: Final = 1024**2
#: Shown where the credentials may not ask (a file SAS, say): the largest share there is.
_LARGEST_SHARE: Final = 100 * 1024 * _GIB
#: The service has no limit on the number of files.
_MANY: Final = 1 << 32


class Space:
    """Asks for the quota and the use of the share, seldom: `find` and `rm` want to know too."""

    def __init__(self, share: Share, clock: Callable[[], float], moved: Callable[[], int]) -> None:
        """*moved* counts the bytes that we put on the share or freed there so far."""
        self._share = share
        self._clock = clock
        self._moved = moved
        #: The tier that operations are billed by, as the service writes it.
        self.access_tier: str | None = None
        self._known: tuple[int, int] | None = None
        self._asked = 0.0
        self._moved_then = 0

    async def prefetch(self) -> None:
        """Ask, so that the first program that wants to know need not wait."""
        self._asked, self._moved_then = self._clock(), self._moved()
        self._known = await self._ask()

    def forget(self) -> None:
        """Ask again when somebody next wants to know."""
        self._asked = -math.inf

    async def statvfs(self) -> pyfuse3.StatvfsData:
        """Return size and free space of the share."""
        stale = (
            self._clock() - self._asked > _BELIEVED or self._moved() - self._moved_then > _TRIFLE
        )
        if self._known is None or stale:
            await self.prefetch()
        quota, used = self._known or (_LARGEST_SHARE, 0)
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _FRAGMENT
        data.f_blocks = quota // _FRAGMENT
        data.f_bfree = data.f_bavail = max(0, quota - used) // _FRAGMENT
        data.f_files = data.f_ffree = data.f_favail = _MANY
        data.f_namemax = MAX_COMPONENT
        return data

    def stats(self) -> dict[str, object]:
        """Return what the share said of itself when it was last asked."""
        quota, used = self._known or (None, None)
        return {"quotaBytes": quota, "usedBytes": used, "accessTier": self.access_tier}

    async def _ask(self) -> tuple[int, int]:
        try:
            properties = await self._share.get_share_properties()
            self.access_tier = properties.access_tier
            return properties.quota * _GIB, await self._share.get_share_stats()
        except AzureFilesError as error:
            if self._known is None:
                log.info("the size of the share cannot be asked for: %s", error)
            return self._known or (_LARGEST_SHARE, 0)
