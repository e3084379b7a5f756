"""Security descriptors of one share: asked for once a key, created once a combination.

A share keeps each descriptor once and names it by a key; listings tell the key of
every entry. So one Get Permission explains all files that have the same mode and
owner, and one Create Permission is enough for all that are to have them.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

import trio

from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.posix import Posix
from azfuse.fuse.sddl import ROOT, Descriptor
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.share_access import ShareAccess

log = logging.getLogger(__name__)

#: Descriptors that are asked for side by side.
_AT_ONCE: Final = 16
_UNKNOWN_KEY: Final = NOT_FOUND | {ErrorCode.FILE_INVALID_PERMISSION_KEY}


class Permissions:
    """What the keys of a share stand for, and which key stands for what."""

    def __init__(self, share: ShareAccess) -> None:
        self._share = share
        # Never given up: a share has few, a thousand take about a megabyte.
        self._known: dict[str, Descriptor] = {}
        self._keys: dict[str, str] = {}
        self._asking: dict[str, trio.Event] = {}
        self._creating = trio.Lock()

    @property
    def known(self) -> Mapping[str, Descriptor]:
        """The descriptors that were asked for or created so far, by key."""
        return self._known

    async def learn(self, keys: Iterable[str]) -> None:
        """Ask for the descriptors of *keys* that are not known yet, side by side.

        Raises the first error of Get Permission; a key that the share does not know,
        or a descriptor that cannot be read, is taken for one that says nothing of ours.
        """
        unknown = set(keys) - self._known.keys()
        if len(unknown) <= 1:
            for key in unknown:
                await self._learn(key)
            return
        limiter, failed = trio.CapacityLimiter(_AT_ONCE), list[Exception]()

        async def attempt(key: str) -> None:
            async with limiter:
                try:
                    if not failed:
                        await self._learn(key)
                except Exception as error:  # raised below, out of its group
                    failed.append(error)

        async with trio.open_nursery() as nursery:
            for key in unknown:
                nursery.start_soon(attempt, key)
        if failed:
            raise failed[0]

    async def _learn(self, key: str) -> None:
        while key not in self._known:
            if (event := self._asking.get(key)) is not None:
                await event.wait()  # and see whether that went well
                continue
            event = self._asking[key] = trio.Event()
            try:
                self._known[key] = _read(key, await self._share.get_permission(key))
            except ServiceError as error:
                if error.code not in _UNKNOWN_KEY:
                    raise
                log.warning("the share does not know its permission key %s", key)
                self._known[key] = ROOT
            finally:
                del self._asking[key]
                event.set()

    async def for_change(self, key: str | None, posix: Posix | None) -> str | None:
        """Return the key that an entry with *key* needs to have *posix*, None where it stays."""
        if posix is None:
            return None
        before = await self._descriptor(key)
        wanted = posix.permissions, posix.uid, posix.gid
        if before.says(*wanted):
            return None
        return await self._key(before.saying(*wanted))

    async def for_new(self, parent_key: str | None, posix: Posix, *, directory: bool) -> str:
        """Return the key for a new entry with *posix*.

        What else there is in the descriptor comes from the directory's, that of *parent_key*.
        """
        parent = await self._descriptor(parent_key)
        plain = parent.inherited(posix.uid, posix.gid, directory=directory)
        return await self._key(plain.saying(posix.permissions, posix.uid, posix.gid))

    async def _descriptor(self, key: str | None) -> Descriptor:
        if key is None:  # the service tells none of a share's root
            return ROOT
        await self.learn([key])
        return self._known[key]

    async def _key(self, wanted: Descriptor) -> str:
        text = str(wanted)
        if text not in self._keys:
            # One after the other, for many files at once want the same one; there are few.
            async with self._creating:
                if text not in self._keys:
                    key = await self._share.create_permission(text)
                    self._keys[text], self._known[key] = key, wanted
        return self._keys[text]


def _read(key: str, text: str) -> Descriptor:
    try:
        return Descriptor.parse(text)
    except ValueError as error:
        log.warning("the descriptor of permission key %s says nothing of modes: %s", key, error)
        return ROOT
