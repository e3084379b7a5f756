"""What every handler works with: the store, the accounts, the settings of the emulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from azfuse.emulator import clock, entries
from azfuse.emulator.errors import FEATURE_VERSION_MISMATCH, Refusal, bad_query
from azfuse.emulator.names import check_share_name
from azfuse.emulator.request import Request
from azfuse.emulator.rows import Kind, Node, Place, Share, Snapshot
from azfuse.emulator.store import Store
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

if TYPE_CHECKING:
    from azfuse.emulator.cors import Rule


#: From these versions on snapshots can be read, and what is on an NFS share.
_SNAPSHOTS_SINCE: Final = "2016-10-16"
_NFS_SINCE: Final = "2025-05-05"


@dataclass(slots=True)
class Settings:
    """How the emulated service behaves where real accounts differ."""

    #: GiB of a share that asks for none, and the most it may ask for.
    default_quota: int = 102400
    max_quota: int = 102400
    #: Seconds for which the name of a deleted share cannot be used again (the service: 30).
    share_delete_seconds: float = 0.0
    #: Days for which a deleted share can be restored; 0 switches soft delete off.
    soft_delete_days: int = 0
    #: Seconds that a copy from another account stays pending.
    copy_seconds: float = 0.0
    #: Seconds that a share takes to move to another tier.
    tier_seconds: float = 60.0
    #: Answer Put Range with the MD5 of its bytes though the client sent none, as the service does.
    #: It costs more than all the rest of a large write.
    answer_md5: bool = True
    #: Development mode: accept any well-formed bearer token.
    accept_tokens: bool = False
    #: Bytes that each share may hold, by name; finer than a quota in GiB, for tests.
    quota_bytes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what `change` takes."""
        return {name: getattr(self, name) for name in _CHANGEABLE}

    def change(self, settings: Mapping[str, Any]) -> None:
        """Change the settings named. Raises ValueError, and changes nothing, if one is not good."""
        changed = {}
        for name, value in settings.items():
            kind = _CHANGEABLE.get(name)
            if kind is None:
                raise ValueError(f"unknown setting {name!r}; known are {sorted(_CHANGEABLE)}")
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if kind is bool and not isinstance(value, bool):
                raise ValueError(f"{name} is true or false")
            if kind is not bool and (not numeric or value < 0 or kind(value) != value):
                raise ValueError(f"{name} is a number from 0 on")
            changed[name] = kind(value)
        for name, value in changed.items():
            setattr(self, name, value)


#: Settings that may change while the emulator runs, and their types.
_CHANGEABLE: Final[dict[str, type]] = {
    "default_quota": int, "max_quota": int, "share_delete_seconds": float,
    "soft_delete_days": int, "copy_seconds": float, "tier_seconds": float, "answer_md5": bool,
    "accept_tokens": bool,
}  # fmt: skip


@dataclass(slots=True)
class Service:
    """The emulated service. `keys` are the account keys, decoded, by account."""

    store: Store
    keys: dict[str, bytes]
    settings: Settings = field(default_factory=Settings)
    #: CORS rules by account, as far as they have been read; cors.py says what they are.
    cors: dict[str, "tuple[Rule, ...]"] = field(default_factory=dict)

    def share(self, request: Request) -> Share:
        """Return the share of a request; refuses with ShareNotFound, and names no share has."""
        check_share_name(request.share)
        share = self.store.share(request.account, request.share)
        if share is None:
            raise Refusal(ErrorCode.SHARE_NOT_FOUND)
        self.apply_quota(share)
        return share

    def apply_quota(self, share: Share) -> None:
        """Give a share the finer quota that a test has set for it."""
        share.quota_bytes = self.settings.quota_bytes.get(
            share.name, self.settings.quota_bytes.get("*")
        )

    def snapshot(
        self, request: Request, share: Share, parameter: str = "sharesnapshot"
    ) -> Snapshot | None:
        """Return the snapshot a request reads, None for the living share."""
        text = request.query.get(parameter)
        if text is None:
            return None
        if request.version < _SNAPSHOTS_SINCE:
            raise Refusal(FEATURE_VERSION_MISMATCH)
        try:
            taken = wire.parse_time(text)
        except ValueError:
            raise bad_query(
                parameter, text, "Must be in the specific snapshot date time format."
            ) from None
        snapshot = self.store.snapshot(share.id, taken)
        if snapshot is None:
            raise Refusal(ErrorCode.SHARE_NOT_FOUND)
        return snapshot

    def place(self, request: Request) -> Place:
        """Follow the path of a request in the living share or in the snapshot asked for."""
        share = self.share(request)
        if share.is_nfs and request.version < _NFS_SINCE:
            # Only the management of NFS shares is older; which code says so was not recorded.
            raise Refusal(FEATURE_VERSION_MISMATCH)
        path = request.path(nfs=share.is_nfs)
        return entries.find(self.store, share, path, self.snapshot(request, share))

    def entry(self, request: Request, kind: Kind) -> tuple[Place, Node]:
        """Return where a request leads and what is there.

        Refuses with ResourceNotFound where there is nothing, or something of another kind.
        """
        place = self.place(request)
        if place.node is None or place.node.kind != kind:
            raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
        return place, place.node

    def file(self, request: Request) -> tuple[Place, Node]:
        """Return the file a request names."""
        return self.entry(request, Kind.FILE)

    def file_or_link(self, request: Request) -> tuple[Place, Node]:
        """Return the file, or the symbolic link of an NFS share, that a request names."""
        place = self.place(request)
        if place.node is None or place.node.kind == Kind.DIRECTORY:
            raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
        return place, place.node

    def directory(self, request: Request) -> tuple[Place, Node]:
        """Return the directory a request names."""
        return self.entry(request, Kind.DIRECTORY)

    def reload(self, node: Node) -> Node:
        """Return a node as it is after an await; refuses with ResourceNotFound if it is gone."""
        fresh = self.store.node(node.id)
        if fresh is None:
            raise Refusal(ErrorCode.RESOURCE_NOT_FOUND)
        return fresh

    def reload_share(self, share: Share) -> Share:
        """Return a share as it is after an await; refuses with ShareNotFound if it is gone."""
        fresh = self.store.share_by_id(share.id)
        if fresh.deleted is not None:
            raise Refusal(ErrorCode.SHARE_NOT_FOUND)
        self.apply_quota(fresh)
        return fresh

    def now(self) -> int:
        """Return the present in Unix nanoseconds."""
        return clock.now()
