"""Settings of a share that only some kinds of account have: provisioning, bursting, switches.

The emulator keeps them and gives them back; it provisions nothing.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from azfuse.emulator.errors import bad_header
from azfuse.emulator.request import Request
from azfuse.emulator.rows import Share


@dataclass(frozen=True, slots=True)
class _Feature:
    """A setting: its header, its element in List Shares, its key in the table, first version."""

    header: str
    tag: str
    key: str
    since: str
    is_switch: bool = False

    def read(self, request: Request) -> bool | int | None:
        """Return what the request sets, None for nothing."""
        text = request.headers.get(self.header)
        if text is None or request.version < self.since:
            # A version that lacks the header ignores it, as any header it does not know.
            return None
        if self.is_switch:
            if not text:
                raise bad_header(self.header, text)
            return request.flag(self.header)
        number = request.integer(self.header)
        if number is not None and number < 1:
            raise bad_header(self.header, text)
        return number


#: In the order of the elements of List Shares. The two provisioned ones stand as recorded (after
#: the tier), the others, never recorded in a list, follow as the models of the SDK name them.
_FEATURES: Final = (
    _Feature("x-ms-share-provisioned-iops", "ProvisionedIops", "provisioned_iops", "2025-01-05"),
    _Feature(
        "x-ms-share-provisioned-bandwidth-mibps", "ProvisionedBandwidthMiBps",
        "provisioned_bandwidth", "2025-01-05",
    ),
    _Feature(
        "x-ms-enable-snapshot-virtual-directory-access", "EnableSnapshotVirtualDirectoryAccess",
        "snapshot_directory", "2024-08-04", is_switch=True,
    ),
    _Feature(
        "x-ms-share-paid-bursting-enabled", "PaidBurstingEnabled", "paid_bursting", "2024-11-04",
        is_switch=True,
    ),
    _Feature(
        "x-ms-share-paid-bursting-max-iops", "PaidBurstingMaxIops", "bursting_iops", "2024-11-04"
    ),
    _Feature(
        "x-ms-share-paid-bursting-max-bandwidth-mibps", "PaidBurstingMaxBandwidthMibps",
        "bursting_bandwidth", "2024-11-04",
    ),
    _Feature(
        "x-ms-enable-smb-directory-lease", "EnableSmbDirectoryLease", "smb_directory_lease",
        "2026-02-06", is_switch=True,
    ),
)  # fmt: skip


def read_features(request: Request) -> dict[str, Any]:
    """Return the settings a request names and its version has; refuses values of no sense."""
    read = {feature.key: feature.read(request) for feature in _FEATURES}
    return {key: value for key, value in read.items() if value is not None}


def feature_headers(share: Share, version: str) -> list[tuple[str, str]]:
    """Return the headers of what was ever set, as far as the version has them."""
    return [(feature.header, text) for feature, text in _shown(share, version)]


def feature_elements(share: Share, version: str) -> list[tuple[str, str]]:
    """Return the same as names and texts of elements, in the order of List Shares."""
    return [(feature.tag, text) for feature, text in _shown(share, version)]


def _shown(share: Share, version: str) -> list[tuple[_Feature, str]]:
    settings = json.loads(share.settings)
    return [
        (feature, str(settings[feature.key]).lower())
        for feature in _FEATURES
        if feature.key in settings and version >= feature.since
    ]
