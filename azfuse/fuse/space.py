"""How large the share is and how full (statvfs(3))."""

import logging
from collections.abc import Callable
from typing import Final

import pyfuse3

from azfuse.rest.errors import AzureFilesError
from azfuse.rest.share import Share
from azfuse.rest.wire import MAX_COMPONENT

log = logging.getLogger(__name__)

_FRAGMENT: Final = 4096
_GIB: Final = 1024**3
#: The service's own figures lag behind by minutes; asking more often tells nothing new.
_BELIEVED: Final = 30.0
#: Shown where the credentials may not ask (a file SAS, say): the largest share there is.
_LARGEST_SHARE: Final = 100 * 1024 * _GIB
#: The service has no limit on the number of files.
_MANY: Final = 1 << 32


class Space:
    """Asks for the quota and the use of the share, not more than twice a minute."""

    def __init__(self, share: Share, clock: Callable[[], float]) -> None:
        self._share = share
        self._clock = clock
        self._known: tuple[int, int] | None = None
        self._asked = 0.0

    async def statvfs(self) -> pyfuse3.StatvfsData:
        """Return size and free space of the share."""
        if self._known is None or self._clock() - self._asked > _BELIEVED:
            self._asked = self._clock()
            self._known = await self._ask()
        quota, used = self._known
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = _FRAGMENT
        data.f_blocks = quota // _FRAGMENT
        data.f_bfree = data.f_bavail = max(0, quota - used) // _FRAGMENT
        data.f_files = data.f_ffree = data.f_favail = _MANY
        data.f_namemax = MAX_COMPONENT
        return data

    async def _ask(self) -> tuple[int, int]:
        try:
            properties = await self._share.get_share_properties()
            return properties.quota * _GIB, await self._share.get_share_stats()
        except AzureFilesError as error:
            if self._known is None:
                log.info("the size of the share cannot be asked for: %s", error)
            return self._known or (_LARGEST_SHARE, 0)
