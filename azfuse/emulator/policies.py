"""What hangs on a share besides its files: access policies and stored permissions."""

import json
from typing import Final
from xml.etree.ElementTree import Element, ParseError, fromstring

from azfuse.emulator import clock
from azfuse.emulator.errors import CANNOT_CONVERT_TO_SDDL, Refusal, missing_header
from azfuse.emulator.leases import check_share, lease_id
from azfuse.emulator.permissions import (
    BINARY,
    check_sddl,
    from_binary,
    permission_of_key,
    store_permission,
    to_binary,
    wanted_format,
)
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.sas import parse_sas_time
from azfuse.emulator.service import Service
from azfuse.emulator.share import identity
from azfuse.emulator.xml import document, element
from azfuse.rest import wire
from azfuse.rest.errors import ErrorCode

MAX_POLICIES: Final = 5
MAX_POLICY_ID: Final = 64
#: Largest XML or JSON body that is read.
MAX_BODY: Final = 256 * 1024
#: The permissions of a policy, in the order in which the service gives them back.
_LETTERS: Final = "rcwdl"
_NO_SACL: Final = "S:NO_ACCESS_CONTROL"


def bad_xml(reason: str = "") -> Refusal:
    """Refuse a document: 400 InvalidXmlDocument, with the detail elements the service writes."""
    return Refusal(
        ErrorCode.INVALID_XML_DOCUMENT,
        ("LineNumber", "0"),
        ("LinePosition", "0"),
        ("Reason", reason),
    )


def parse_document(body: bytes | bytearray, root: str) -> Element:
    """Parse an XML body whose root element is *root*; refuses anything else."""
    try:
        # expat refuses entity bombs since 2.4.1, and nothing here resolves external entities.
        parsed = fromstring(bytes(body))  # noqa: S314
    except ParseError:
        raise bad_xml() from None
    if parsed.tag != root:
        raise bad_xml()
    return parsed


async def get_share_acl(service: Service, request: Request) -> Response:
    """Get Share ACL: the stored access policies, each with the parts that were set."""
    given = lease_id(request.headers, "x-ms-lease-id")
    share = service.share(request)
    check_share(share, given, clock.now(), needed=False)
    policies: list[dict[str, str]] = json.loads(share.acl) if share.acl else []
    content = ""
    for policy in policies:
        parts = "".join(
            element(name, policy[name])
            for name in ("Start", "Expiry", "Permission")
            if name in policy
        )
        inner = element("Id", policy["Id"])
        inner += f"<AccessPolicy>{parts}</AccessPolicy>" if parts else ""
        content += f"<SignedIdentifier>{inner}</SignedIdentifier>"
    body = (
        f"<SignedIdentifiers>{content}</SignedIdentifiers>" if content else "<SignedIdentifiers />"
    )
    return xml_response(document(body), identity(share))


async def set_share_acl(service: Service, request: Request) -> Response:
    """Set Share ACL: replace all stored access policies."""
    given = lease_id(request.headers, "x-ms-lease-id")
    body = await request.body(MAX_BODY)
    policies = _policies(body) if body else []
    share = service.share(request)
    check_share(share, given, clock.now(), needed=False)
    moment = clock.now(share.modified)
    service.store.update_share(share.id, acl=json.dumps(policies), modified=moment)
    share.modified = moment
    return Response(200, identity(share))


def _policies(body: bytearray) -> list[dict[str, str]]:
    policies = []
    for item in parse_document(body, "SignedIdentifiers"):
        policy = {"Id": item.findtext("Id") or ""}
        if item.tag != "SignedIdentifier" or not 1 <= len(policy["Id"]) <= MAX_POLICY_ID:
            raise bad_xml()
        for name in ("Start", "Expiry"):
            text = item.findtext(f"AccessPolicy/{name}")
            if text:
                try:
                    policy[name] = wire.format_time(parse_sas_time(text))
                except Refusal:
                    raise bad_xml() from None
        letters = item.findtext("AccessPolicy/Permission")
        if letters:
            if not set(letters) <= set(_LETTERS):
                raise bad_xml()
            policy["Permission"] = "".join(letter for letter in _LETTERS if letter in letters)
        policies.append(policy)
    if len(policies) > MAX_POLICIES or len({p["Id"] for p in policies}) < len(policies):
        raise bad_xml()
    return policies


async def create_permission(service: Service, request: Request) -> Response:
    """Create Permission: keep a security descriptor and name it by a key."""
    body = await request.body(MAX_BODY)
    try:
        wanted = {name.lower(): value for name, value in json.loads(body).items()}
        text, form = wanted["permission"], str(wanted.get("format", "sddl")).lower()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refusal(ErrorCode.INVALID_INPUT) from None
    if not isinstance(text, str) or form not in ("sddl", "binary"):
        raise Refusal(ErrorCode.FILE_INVALID_PERMISSION)
    share = service.share(request)
    if form == "binary":
        text = from_binary(text)
    else:
        check_sddl(text)
        if "S:" not in text.rpartition(")")[2] and ")S:" not in text:
            text += _NO_SACL
    key = store_permission(service.store, share, text)
    return Response(201, [("x-ms-file-permission-key", key)], chunked=True)


async def get_permission(service: Service, request: Request) -> Response:
    """Get Permission: the descriptor of a key, in the format that is asked for."""
    key = request.headers.get("x-ms-file-permission-key")
    if key is None:
        raise missing_header("x-ms-file-permission-key")
    share = service.share(request)
    text = permission_of_key(service.store, share, key)
    if wanted_format(request) == "binary":
        answer = {"permission": to_binary(text), "format": "binary"}
    elif text.startswith(BINARY):
        raise Refusal(CANNOT_CONVERT_TO_SDDL)
    else:
        answer = {"permission": text}
    return Response(200, [], json.dumps(answer, separators=(",", ":")).encode())
