"""What the File service takes and gives, as typed values.

Sizes are bytes, instants are Unix nanoseconds, file ids are unsigned 64-bit
integers, ETags keep their quotes, names are plain Unicode (never percent-encoded).
"""

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from azfuse.rest.wire import FileAttributes

#: A time to set: an instant, or the service's own words.
TimeSetting = int | Literal["now", "preserve", "source"]

#: A request body: bytes, or a function that makes the body afresh for each try,
#: so that a retry can send it again without anyone having to hold a copy.
Body = bytes | Callable[[], AsyncIterable[bytes | memoryview]]

EMPTY_METADATA: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class SmbSettings:
    """SMB properties to set; None leaves a header out and so takes the operation's default.

    `permission` is SDDL, base64 binary (with `permission_format`), `inherit` or
    `preserve`; it excludes `permission_key`.
    """

    attributes: FileAttributes | Literal["preserve", "source"] | None = None
    creation_time: TimeSetting | None = None
    last_write_time: TimeSetting | None = None
    change_time: TimeSetting | None = None
    permission: str | None = None
    permission_key: str | None = None
    permission_format: Literal["sddl", "binary"] | None = None


@dataclass(frozen=True, slots=True)
class NfsSettings:
    """NFS properties to set. `mode` is permission bits with setuid, setgid and sticky."""

    mode: int | None = None
    owner: int | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """The stored content headers of a file. Setting any one clears those left None."""

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    content_md5: bytes | None = None


@dataclass(frozen=True, slots=True)
class SmbProperties:
    """SMB properties as answered. Everything is None where the response did not say."""

    attributes: FileAttributes | None = None
    creation_time: int | None = None
    last_write_time: int | None = None
    change_time: int | None = None
    permission_key: str | None = None
    file_id: int | None = None
    parent_id: int | None = None


@dataclass(frozen=True, slots=True)
class NfsProperties:
    """NFS properties as answered; all None on an SMB share."""

    mode: int | None = None
    owner: int | None = None
    group: int | None = None
    file_type: str | None = None
    link_count: int | None = None


@dataclass(frozen=True, slots=True)
class LeaseProperties:
    """Lease headers of GET and HEAD: state, status and, while leased, duration."""

    state: str | None = None
    status: str | None = None
    duration: str | None = None


@dataclass(frozen=True, slots=True)
class CopyProperties:
    """Copy headers of GET and HEAD of a file that was the target of Copy File."""

    copy_id: str | None = None
    source: str | None = None
    status: str | None = None
    progress: str | None = None
    completion_time: int | None = None
    status_description: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What every operation that creates or changes a file or directory answers."""

    etag: str
    last_modified: int
    smb: SmbProperties = field(default_factory=SmbProperties)
    nfs: NfsProperties = field(default_factory=NfsProperties)
    request_server_encrypted: bool | None = None
    content_md5: bytes | None = None
    #: Put Range From URL answers this instead of an MD5: 8 bytes.
    content_crc64: bytes | None = None


@dataclass(frozen=True, slots=True)
class SourceChecks:
    """What Put Range From URL demands of the bytes it reads: their CRC-64, 8 bytes.

    `crc64` guards the way (400 where it differs), the other two are conditions
    (412 Crc64ConditionNotMet).
    """

    crc64: bytes | None = None
    if_match: bytes | None = None
    if_none_match: bytes | None = None


@dataclass(frozen=True, slots=True)
class CopyStarted:
    """Answer of Copy File. `status` is `success` or `pending`."""

    etag: str
    last_modified: int
    copy_id: str
    status: str


@dataclass(frozen=True, slots=True)
class FileProperties:
    """Get File Properties, and the headers of Get File. `size` is that of the whole file."""

    etag: str
    last_modified: int
    size: int
    smb: SmbProperties
    nfs: NfsProperties
    metadata: Mapping[str, str]
    content: ContentSettings
    lease: LeaseProperties
    copy: CopyProperties
    server_encrypted: bool | None = None
    #: Hash of the range that a ranged GET answered, where it was asked for.
    range_md5: bytes | None = None


@dataclass(frozen=True, slots=True)
class DirectoryProperties:
    """Get Directory Properties."""

    etag: str
    last_modified: int
    smb: SmbProperties
    nfs: NfsProperties
    metadata: Mapping[str, str]
    server_encrypted: bool | None = None


class DirectoryEntry(NamedTuple):
    """One entry of List Directories and Files. `size` is 0 for directories.

    Fields that an `include` word asks for are None where it was not sent. A
    tuple, for a page has thousands and a frozen dataclass takes five times as long.
    """

    name: str
    is_directory: bool
    file_id: int | None
    size: int
    etag: str | None = None
    creation_time: int | None = None
    last_access_time: int | None = None
    last_write_time: int | None = None
    change_time: int | None = None
    last_modified: int | None = None
    attributes: FileAttributes | None = None
    permission_key: str | None = None


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """One page of a listing. `next_marker` is None on the last page."""

    entries: Sequence[DirectoryEntry]
    next_marker: str | None
    directory_id: int | None


@dataclass(frozen=True, slots=True)
class FileRange:
    """An inclusive range of bytes, `first` to `last`; `cleared` only in differences."""

    first: int
    last: int
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class RangeList:
    """List Ranges: the valid ranges of a file, in order, and the file's size."""

    ranges: Sequence[FileRange]
    size: int
    etag: str
    last_modified: int
    next_marker: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Answer of a lease action. `lease_id` is None after release and break."""

    etag: str
    last_modified: int
    lease_id: str | None = None
    #: Seconds until a broken lease ends; None unless the action was a break.
    break_time: int | None = None


@dataclass(frozen=True, slots=True)
class ShareFeatures:
    """Provisioning and switches of a share; None is what the service did not say.

    In a request None leaves a thing as it is, or to the service. Bandwidths are MiB/s.
    """

    provisioned_iops: int | None = None
    provisioned_bandwidth_mibps: int | None = None
    paid_bursting: bool | None = None
    paid_bursting_max_iops: int | None = None
    paid_bursting_max_bandwidth_mibps: int | None = None
    #: NFS: `.snapshot` directories show the snapshots.
    snapshot_directory: bool | None = None
    #: SMB clients may cache directories under a lease.
    smb_directory_lease: bool | None = None


@dataclass(frozen=True, slots=True)
class ShareLimits:
    """What the service grants a share, and from when on less may be asked (Unix nanoseconds)."""

    included_burst_iops: int | None = None
    max_burst_credits_for_iops: int | None = None
    provisioned_ingress_mbps: int | None = None
    provisioned_egress_mbps: int | None = None
    next_quota_downgrade: int | None = None
    next_iops_downgrade: int | None = None
    next_bandwidth_downgrade: int | None = None
    access_tier_change_time: int | None = None
    #: Such as `pending-from-hot`, while a share moves to another tier.
    access_tier_transition: str | None = None


@dataclass(frozen=True, slots=True)
class ShareProperties:
    """Get Share Properties. `quota` is GiB; `raw` holds every other `x-ms-` header."""

    etag: str
    last_modified: int
    quota: int
    metadata: Mapping[str, str]
    enabled_protocols: frozenset[str]
    access_tier: str | None
    lease: LeaseProperties
    root_squash: str | None
    features: ShareFeatures
    limits: ShareLimits
    raw: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ShareItem:
    """One share of List Shares. `quota` is GiB."""

    name: str
    etag: str
    last_modified: int
    quota: int | None
    snapshot: str | None
    deleted: bool
    version: str | None
    metadata: Mapping[str, str]
    #: Text of every other child of Properties, by element name.
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SharePage:
    """One page of List Shares. `next_marker` is None on the last page."""

    shares: Sequence[ShareItem]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class UserDelegationKey:
    """Answer of Get User Delegation Key: a key that signs in the name of who asked for it.

    All but `value`, the secret, are texts that go into the signature as they came.
    """

    signed_oid: str
    signed_tid: str
    signed_start: str
    signed_expiry: str
    signed_service: str
    signed_version: str
    value: str = field(repr=False)
    signed_delegated_user_tid: str | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """Answer of Preflight File Request: what a page may do. `max_age` is seconds."""

    allowed_origin: str
    allowed_methods: Sequence[str]
    allowed_headers: Sequence[str]
    max_age: int
    allow_credentials: bool
