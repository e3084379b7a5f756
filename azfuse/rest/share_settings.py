"""The settings of a share, as headers of Create and Set Share Properties and of their answers."""

from dataclasses import dataclass
from typing import Final

from azfuse.rest.exchange import Exchange
from azfuse.rest.headers import (
    need,
    parse_int,
    parse_last_modified,
    parse_lease_properties,
    require,
)
from azfuse.rest.models import ShareFeatures, ShareLimits, ShareProperties
from azfuse.rest.wire import METADATA_PREFIX, parse_http_date

#: Fields of ShareFeatures: header, and first version where it is known.
_FEATURES: Final = {
    "provisioned_iops": ("x-ms-share-provisioned-iops", "2025-01-05"),
    "provisioned_bandwidth_mibps": ("x-ms-share-provisioned-bandwidth-mibps", "2025-01-05"),
    "paid_bursting": ("x-ms-share-paid-bursting-enabled", "2024-11-04"),
    "paid_bursting_max_iops": ("x-ms-share-paid-bursting-max-iops", "2024-11-04"),
    "paid_bursting_max_bandwidth_mibps": (
        "x-ms-share-paid-bursting-max-bandwidth-mibps",
        "2024-11-04",
    ),
    "snapshot_directory": ("x-ms-enable-snapshot-virtual-directory-access", ""),
    "smb_directory_lease": ("x-ms-enable-smb-directory-lease", "2026-02-06"),
}
#: Fields of ShareLimits that are numbers, and their headers.
_LIMITS: Final = {
    "included_burst_iops": "x-ms-share-included-burst-iops",
    "max_burst_credits_for_iops": "x-ms-share-max-burst-credits-for-iops",
    "provisioned_ingress_mbps": "x-ms-share-provisioned-ingress-mbps",
    "provisioned_egress_mbps": "x-ms-share-provisioned-egress-mbps",
}
#: Fields of ShareLimits that are instants, and their headers.
_INSTANTS: Final = {
    "next_quota_downgrade": "x-ms-share-next-allowed-quota-downgrade-time",
    "next_iops_downgrade": "x-ms-share-next-allowed-provisioned-iops-downgrade-time",
    "next_bandwidth_downgrade": "x-ms-share-next-allowed-provisioned-bandwidth-downgrade-time",
    "access_tier_change_time": "x-ms-access-tier-change-time",
}
_TRANSITION: Final = "x-ms-access-tier-transition-state"
#: Headers of Get Share Properties that have a field of their own, or say nothing of the share.
_NAMED: Final = frozenset(
    {
        "x-ms-access-tier",
        "x-ms-client-request-id",
        "x-ms-enabled-protocols",
        "x-ms-lease-duration",
        "x-ms-lease-state",
        "x-ms-lease-status",
        "x-ms-request-id",
        "x-ms-root-squash",
        "x-ms-share-quota",
        "x-ms-version",
        _TRANSITION,
        *(header for header, _ in _FEATURES.values()),
        *_LIMITS.values(),
        *_INSTANTS.values(),
    }
)


@dataclass(frozen=True, slots=True)
class ShareSettings:
    """What Create Share and Set Share Properties have in common; *quota* is GiB.

    Raises ValueError for a quota below 1.
    """

    quota: int | None
    access_tier: str | None
    root_squash: str | None
    features: ShareFeatures | None

    def __post_init__(self) -> None:
        if self.quota is not None and self.quota < 1:
            raise ValueError(f"a quota is at least 1 GiB, not {self.quota}")

    def headers(self, version: str) -> dict[str, str]:
        """Return the headers of what is not None. Raises UnsupportedByVersion."""
        headers: dict[str, str] = {}
        if self.quota is not None:
            headers["x-ms-share-quota"] = str(self.quota)
        if self.access_tier is not None:
            headers["x-ms-access-tier"] = self.access_tier
        if self.root_squash is not None:
            headers["x-ms-root-squash"] = self.root_squash
        for name, (header, since) in _FEATURES.items():
            value: bool | int | None = getattr(self.features, name, None)
            if value is not None:
                require(version, since, header)
                headers[header] = str(value).lower()
        return headers


def parse_share_properties(exchange: Exchange) -> ShareProperties:
    """Return what Get Share Properties says. Raises InvalidResponse."""
    headers = exchange.headers
    protocols = headers.get("x-ms-enabled-protocols", "")
    return ShareProperties(
        etag=need(exchange, "etag"),
        last_modified=parse_last_modified(exchange),
        # Before 2015-02-21 shares had no quota, and 5 TiB.
        quota=parse_int(exchange, "x-ms-share-quota") or 5120,
        metadata=exchange.metadata,
        enabled_protocols=frozenset(word.strip() for word in protocols.split(";") if word.strip()),
        access_tier=headers.get("x-ms-access-tier"),
        lease=parse_lease_properties(exchange),
        root_squash=headers.get("x-ms-root-squash"),
        features=_parse_features(exchange),
        limits=_parse_limits(exchange),
        raw={
            name: value
            for name, value in headers.items()
            if name.startswith("x-ms-")
            and name not in _NAMED
            and not name.startswith(METADATA_PREFIX)
        },
    )


def _parse_features(exchange: Exchange) -> ShareFeatures:
    def number(name: str) -> int | None:
        return parse_int(exchange, _FEATURES[name][0])

    def flag(name: str) -> bool | None:
        text = exchange.headers.get(_FEATURES[name][0])
        return None if text is None else text.lower() == "true"

    return ShareFeatures(
        provisioned_iops=number("provisioned_iops"),
        provisioned_bandwidth_mibps=number("provisioned_bandwidth_mibps"),
        paid_bursting=flag("paid_bursting"),
        paid_bursting_max_iops=number("paid_bursting_max_iops"),
        paid_bursting_max_bandwidth_mibps=number("paid_bursting_max_bandwidth_mibps"),
        snapshot_directory=flag("snapshot_directory"),
        smb_directory_lease=flag("smb_directory_lease"),
    )


def _parse_limits(exchange: Exchange) -> ShareLimits:
    def instant(header: str) -> int | None:
        try:
            return parse_http_date(exchange.headers[header])
        except (KeyError, ValueError):
            # 2019-12-12 wrote the tier's time as `6/26/2020 1:35:44 AM`: nobody needs it.
            return None

    return ShareLimits(
        **{name: parse_int(exchange, header) for name, header in _LIMITS.items()},
        **{name: instant(header) for name, header in _INSTANTS.items()},
        access_tier_transition=exchange.headers.get(_TRANSITION),
    )
