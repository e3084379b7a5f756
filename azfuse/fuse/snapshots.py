"""`.snapshots` under the root: every snapshot of the share as a tree of its own, read-only.

The directory is nowhere on the share and in no listing. It holds one directory a
snapshot, named by the service's own text for the instant, as `-o snapshot=` takes it.
A snapshot never changes, so what was once asked of it is believed for good; that it is
still there is believed as long as any directory.
"""

import errno
import logging
import math
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyfuse3

from azfuse.fuse.attributes import entry_attributes
from azfuse.fuse.errors import NOT_FOUND
from azfuse.fuse.inodes import Inode
from azfuse.fuse.view import View
from azfuse.rest.account import Account
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.wire import parse_time

log = logging.getLogger(__name__)

#: Where snapshots are, below the root of the mount. A real entry of that name comes first.
NAME: Final = b".snapshots"

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")
_GONE: Final = NOT_FOUND | {ErrorCode.SHARE_SNAPSHOT_NOT_FOUND}


class Snapshots:
    """Lists the snapshots of a share and finds the view that an inode belongs to."""

    def __init__(
        self, account: Account, share: str, live: View, make: Callable[[str], View]
    ) -> None:
        """*make* makes the view of a snapshot, given its time; *live* is that of the share."""
        self._account = account
        self._share = share
        self._live = live
        self._make = make
        self._views: dict[str, View] = {}
        self._by_root = {live.tree.root: live}
        self._listed: Sequence[str] = ()
        self._listed_at = -math.inf
        self._refusal_told = False
        root = live.tree.root
        posix = live.tree.posix.default(stat.S_IFDIR)
        read_only = posix.with_permissions(posix.permissions & 0o555)
        number = live.tree.table.new_local_number()
        #: The directory itself. Its parent does not list it.
        self.directory = Inode(number, root, NAME.decode(), read_only, None)
        self.directory.mtime = self.directory.ctime = self.directory.atime = root.mtime

    # -- which is which -----------------------------------------------------------------

    def view_of(self, inode: Inode) -> View:
        """Return the view that *inode* is in; `.snapshots` itself is in that of the share."""
        if not self._views:
            return self._live
        root = inode
        while root.parent is not None:
            root = root.parent
        return self._by_root[root]

    def forget_inode(self, inode: Inode) -> None:
        """Let go of an inode that nobody holds; of what is known of a snapshot with its last."""
        view = self.view_of(inode)
        view.tree.forget(inode)
        root = view.tree.root
        if view is not self._live and not root.lookups and not root.children:
            view.tree.drop_listings()

    def views(self) -> Iterator[View]:
        """Yield the view of the share and those of snapshots that were looked into."""
        yield self._live
        yield from self._views.values()

    def check_changeable(self, inode: Inode) -> None:
        """Raise OSError(EROFS) where *inode* is in a snapshot, or the directory of them."""
        if inode is self.directory or self.view_of(inode) is not self._live:
            raise OSError(errno.EROFS, "snapshots do not change")

    async def shown_as(self, parent: Inode, name: bytes) -> bool:
        """Say whether *name* in *parent* is the directory of snapshots. May list the root."""
        live = self._live.tree
        return (
            name == NAME
            and parent is live.root
            and live.settings.snapshot is None
            and await live.lookup(parent, NAME.decode()) is None
        )

    # -- what there is ------------------------------------------------------------------

    async def find(self, name: bytes) -> Inode:
        """Return the root of the snapshot called *name*, with its attributes known.

        That takes no permission to list shares. Raises FileNotFoundError where there
        is no such snapshot, and what Get Directory Properties raises.
        """
        taken = name.decode(errors="replace")
        if not _is_time(taken):
            raise FileNotFoundError(errno.ENOENT, "no time of a snapshot")
        view = self._views.get(taken) or self._make(taken)
        root = view.tree.root
        if root.facts is None or self.seconds_left(taken, root) <= 0:
            try:
                await view.tree.open_root()
            except ServiceError as error:
                if error.code not in _GONE:
                    raise
                self._went(taken)
                raise FileNotFoundError(errno.ENOENT, "no such snapshot") from error
        if self._enter(taken, view) is not root:
            return await self.find(name)  # it was listed meanwhile, and is another one now
        return root

    def root_of(self, taken: str) -> Inode:
        """Return the root of the snapshot *taken* then, which was listed or found.

        Nothing may be known of it yet.
        """
        view = self._views.get(taken)
        if view is None:
            view = self._make(taken)
            root = view.tree.root
            root.mtime = root.ctime = root.atime = parse_time(taken)
            return self._enter(taken, view)
        return view.tree.root

    def _enter(self, taken: str, view: View) -> Inode:
        """Keep *view*, unless there is one by now; return the root of the one that is kept."""
        root = self._views.setdefault(taken, view).tree.root
        self._by_root[root] = self._views[taken]
        return root

    def seconds_left(self, taken: str, root: Inode) -> float:
        """Return for how many more seconds the snapshot may be taken to be there still."""
        asked = root.facts.asked if root.facts is not None and not root.doubted else -math.inf
        if taken in self._listed:
            asked = max(asked, self._listed_at)
        tree = self._live.tree
        return max(0.0, asked + tree.settings.directories.least - tree.clock())

    def entry_of(self, taken: str) -> pyfuse3.EntryAttributes:
        """Return the attributes of the root of the snapshot *taken* then."""
        root = self.root_of(taken)
        entry = entry_attributes(root, self._views[taken].tree.trust)
        entry.entry_timeout = self.seconds_left(taken, root)
        if root.facts is None:
            # Listed, and not looked into: whoever wants to know more is to ask.
            entry.entry_timeout = entry.attr_timeout = 0
        return entry

    async def names(self) -> Sequence[str]:
        """Return the times of all snapshots (List Shares), from memory while that holds.

        Raises PermissionError where the credentials do not reach so far.
        """
        tree = self._live.tree
        asked = tree.clock()
        if asked - self._listed_at < tree.settings.directories.least:
            return self._listed
        try:
            self._listed = await self._list()
        except ServiceError as error:
            if error.status not in {401, 403}:
                raise
            self._tell_refusal(error)
            raise PermissionError(errno.EACCES, "may not list snapshots") from error
        self._listed_at = asked
        for taken in self._views.keys() - set(self._listed):
            self._went(taken)
        return self._listed

    async def _list(self) -> list[str]:
        found: list[str] = []
        marker: str | None = None
        while True:
            page = await self._account.list_shares(
                prefix=self._share, marker=marker, include=["snapshots"]
            )
            found += [
                item.snapshot
                for item in page.shares
                if item.name == self._share and item.snapshot and _is_time(item.snapshot)
            ]
            marker = page.next_marker
            if marker is None:
                return found

    def doubt_list(self) -> None:
        """Ask anew which snapshots there are when somebody next wants to know."""
        self._listed_at = -math.inf

    def _went(self, taken: str) -> None:
        """Note that a snapshot is not there (any more)."""
        self._listed = [name for name in self._listed if name != taken]
        view = self._views.get(taken)
        if view is not None:
            view.tree.root.doubted_at = view.tree.clock()
            view.tree.kernel.forget_attributes(view.tree.root)

    def _tell_refusal(self, error: ServiceError) -> None:
        if not self._refusal_told:
            self._refusal_told = True
            log.warning(
                "snapshots cannot be listed, only be entered by their times: that needs the "
                "account's key, a SAS of the account, or a role that may list shares (%s)",
                error.code or error.status,
            )


def _is_time(text: str) -> bool:
    try:
        return bool(_TIME.fullmatch(text)) and parse_time(text) > 0
    except ValueError:
        return False
