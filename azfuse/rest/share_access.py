"""What decides over access to a share: stored access policies, and security descriptors by key."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from xml.etree import ElementTree as ET

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.exchange import Call
from azfuse.rest.headers import (
    BINARY_PERMISSION_SINCE,
    lease_header,
    need,
    parse_last_modified,
    parse_written,
    require,
)
from azfuse.rest.models import Written
from azfuse.rest.share_leases import ShareLeases
from azfuse.rest.wire import format_time, parse_time
from azfuse.rest.xml import add_text, parse_xml, serialize

_ACL_SINCE: Final = "2015-02-21"
_PERMISSION_SINCE: Final = "2019-02-02"
_ROOT: Final = "SignedIdentifiers"
MAX_POLICIES: Final = 5
MAX_POLICY_ID: Final = 64
PermissionFormat = Literal["sddl", "binary"]


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """A stored access policy, which a SAS may name instead of saying the same itself.

    Times are Unix nanoseconds; what is None the SAS must say.
    """

    policy_id: str
    start: int | None = None
    expiry: int | None = None
    permissions: str | None = None


@dataclass(frozen=True, slots=True)
class ShareAcl:
    """Answer of Get Share ACL; ETag and Last-Modified are those of the share."""

    policies: Sequence[AccessPolicy]
    etag: str
    last_modified: int


def format_policies(policies: Sequence[AccessPolicy]) -> bytes:
    """Write the XML of Set Share ACL. Raises ValueError for what the service refuses."""
    if len(policies) > MAX_POLICIES:
        raise ValueError(f"a share has at most {MAX_POLICIES} access policies")
    if len({policy.policy_id for policy in policies}) < len(policies):
        raise ValueError("two access policies of a share have the same id")
    root = ET.Element(_ROOT)
    for policy in policies:
        if not 1 <= len(policy.policy_id) <= MAX_POLICY_ID:
            raise ValueError(f"the id of an access policy has 1 to {MAX_POLICY_ID} characters")
        item = ET.SubElement(root, "SignedIdentifier")
        add_text(item, "Id", policy.policy_id)
        parts = ET.SubElement(item, "AccessPolicy")
        for tag, time in (("Start", policy.start), ("Expiry", policy.expiry)):
            if time is not None:
                add_text(parts, tag, format_time(time))
        if policy.permissions is not None:
            add_text(parts, "Permission", policy.permissions)
    return serialize(root)


def parse_policies(body: bytes) -> list[AccessPolicy]:
    """Read the XML of Get Share ACL. Raises InvalidResponse."""
    what = "GetShareAcl"
    root = parse_xml(body, what)
    if root.tag != _ROOT:
        raise InvalidResponse(f"{what}: not policies but <{root.tag}>")

    def time(item: ET.Element, tag: str) -> int | None:
        text = item.findtext(f"AccessPolicy/{tag}")
        return parse_time(text) if text else None

    try:
        return [
            AccessPolicy(
                policy_id=item.findtext("Id") or "",
                start=time(item, "Start"),
                expiry=time(item, "Expiry"),
                permissions=item.findtext("AccessPolicy/Permission"),
            )
            for item in root.iterfind("SignedIdentifier")
        ]
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None


def parse_permission(body: bytes) -> str:
    """Read the JSON of Get Permission. Raises InvalidResponse."""
    try:
        permission = json.loads(body)["permission"]
    except (ValueError, KeyError, TypeError):
        permission = None
    if not isinstance(permission, str):
        raise InvalidResponse("GetPermission: the answer holds no permission")
    return permission


class ShareAccess(ShareLeases):
    """Get and Set Share ACL, Create and Get Permission."""

    async def get_share_acl(self, *, lease_id: str | None = None) -> ShareAcl:
        """Get Share ACL: the stored access policies."""

        def build(version: str) -> Call:
            require(version, _ACL_SINCE, "an access policy")
            return self._share_call(
                "GetShareAcl", "GET", ("comp", "acl"), headers=lease_header(lease_id)
            )

        exchange, body = await self.transport.request(build)
        return ShareAcl(parse_policies(body), need(exchange, "etag"), parse_last_modified(exchange))

    async def set_share_acl(
        self, policies: Sequence[AccessPolicy], *, lease_id: str | None = None
    ) -> Written:
        """Set Share ACL: *policies*, at most five, replace all there are.

        It takes up to 30 seconds until they hold. Raises ValueError for too many
        policies, and for an id that is empty, longer than 64 characters or twice there.
        """
        body = format_policies(policies)

        def build(version: str) -> Call:
            require(version, _ACL_SINCE, "an access policy")
            headers = {"content-type": "application/xml", **lease_header(lease_id)}
            call = self._share_call("SetShareAcl", "PUT", ("comp", "acl"), headers=headers)
            call.body, call.body_length = body, len(body)
            return call

        exchange, _ = await self.transport.request(build)
        return parse_written(exchange)

    async def create_permission(
        self, permission: str, *, permission_format: PermissionFormat = "sddl"
    ) -> str:
        """Create Permission; return the key under which the share knows the descriptor.

        *permission* is SDDL or base64 binary. The same descriptor gets the same key.
        """
        document = {"permission": permission}
        if permission_format != "sddl":
            document["format"] = permission_format
        body = json.dumps(document).encode()

        def build(version: str) -> Call:
            _require_permission(version, permission_format)
            call = self._share_call(
                "CreatePermission",
                "PUT",
                ("comp", "filepermission"),
                headers={"content-type": "application/json"},
            )
            call.body, call.body_length = body, len(body)
            return call

        exchange, _ = await self.transport.request(build)
        return need(exchange, "x-ms-file-permission-key")

    async def get_permission(
        self, key: str, *, permission_format: PermissionFormat = "sddl"
    ) -> str:
        """Get Permission: the descriptor of *key*, in SDDL or base64 binary."""
        headers = {"x-ms-file-permission-key": key}
        if permission_format != "sddl":
            headers["x-ms-file-permission-format"] = permission_format

        def build(version: str) -> Call:
            _require_permission(version, permission_format)
            return self._share_call(
                "GetPermission", "GET", ("comp", "filepermission"), headers=headers
            )

        _, body = await self.transport.request(build)
        return parse_permission(body)


def _require_permission(version: str, permission_format: PermissionFormat) -> None:
    require(version, _PERMISSION_SINCE, "a permission")
    if permission_format != "sddl":
        require(version, BINARY_PERMISSION_SINCE, "a binary permission")
