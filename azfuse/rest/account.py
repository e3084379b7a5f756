"""Operations on the account."""

from collections.abc import Iterable
from typing import Final, Literal

from azfuse.rest.exchange import Call
from azfuse.rest.headers import check_value, need, require
from azfuse.rest.models import Preflight, SharePage, UserDelegationKey
from azfuse.rest.service_properties import ServiceProperties, parse_service_properties
from azfuse.rest.transport import Transport
from azfuse.rest.wire import MAX_PAGE_ENTRIES
from azfuse.rest.xml import format_key_info, parse_share_page, parse_user_delegation_key

_PROPERTIES_SINCE: Final = "2015-02-21"
_DELEGATION_SINCE: Final = "2026-02-06"
_DELEGATED_TENANT_SINCE: Final = "2026-04-06"
_SERVICE: Final = ("restype", "service")
_PROPERTIES: Final = ("comp", "properties")
_XML: Final = {"content-type": "application/xml"}


class Account:
    """The account that *transport* leads to."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def list_shares(
        self,
        *,
        prefix: str | None = None,
        marker: str | None = None,
        max_results: int | None = None,
        include: Iterable[Literal["metadata", "snapshots", "deleted"]] = (),
    ) -> SharePage:
        """List Shares: one page, at most 5,000, sorted by name, snapshots before their share.

        Raises ServiceError (403 for a SAS of a share), ConnectionFailed,
        ServiceUnavailable, InvalidResponse, and ValueError for *max_results*
        outside 1 to 5000.
        """
        if max_results is not None and not 1 <= max_results <= MAX_PAGE_ENTRIES:
            raise ValueError(f"a page has 1 to {MAX_PAGE_ENTRIES} shares, not {max_results}")
        query = [("comp", "list")]
        if prefix:
            query.append(("prefix", prefix))
        if marker is not None:
            query.append(("marker", marker))
        if max_results is not None:
            query.append(("maxresults", str(max_results)))
        if words := ",".join(include):
            query.append(("include", words))

        def build(version: str) -> Call:
            del version
            return Call("ListShares", "GET", self.transport.endpoint.path_of(), query)

        _, body = await self.transport.request(build)
        return parse_share_page(body)

    async def get_file_service_properties(self) -> ServiceProperties:
        """Get File Service Properties: metrics, CORS rules and protocol settings."""

        def build(version: str) -> Call:
            require(version, _PROPERTIES_SINCE, "a property of the service")
            path = self.transport.endpoint.path_of()
            return Call("GetServiceProperties", "GET", path, [_SERVICE, _PROPERTIES])

        _, body = await self.transport.request(build)
        return parse_service_properties(body)

    async def set_file_service_properties(self, properties: ServiceProperties) -> None:
        """Set File Service Properties. What is None in *properties* stays.

        It may take 30 seconds until it holds. Raises ValueError for rules and
        retention times that no service takes, and UnsupportedByVersion.
        """

        def build(version: str) -> Call:
            require(version, _PROPERTIES_SINCE, "a property of the service")
            body = properties.document(version)
            path = self.transport.endpoint.path_of()
            query = [_SERVICE, _PROPERTIES]
            return Call("SetServiceProperties", "PUT", path, query, dict(_XML), body, len(body))

        await self.transport.request(build)

    async def get_user_delegation_key(
        self, expiry: int, *, start: int | None = None, delegated_user_tid: str | None = None
    ) -> UserDelegationKey:
        """Get User Delegation Key, good from *start* (now) to *expiry*, at most 7 days.

        Times are Unix nanoseconds, cut to seconds. Answered to bearer tokens only.
        Needs 2026-02-06, *delegated_user_tid* 2026-04-06, else UnsupportedByVersion.
        """
        body = format_key_info(start, expiry, delegated_user_tid)

        def build(version: str) -> Call:
            require(version, _DELEGATION_SINCE, "a user delegation key")
            if delegated_user_tid is not None:
                require(version, _DELEGATED_TENANT_SINCE, "the tenant of a delegated user")
            path = self.transport.endpoint.path_of()
            query = [_SERVICE, ("comp", "userdelegationkey")]
            return Call("GetUserDelegationKey", "POST", path, query, dict(_XML), body, len(body))

        _, answer = await self.transport.request(build)
        return parse_user_delegation_key(answer)

    async def preflight_file_request(
        self,
        origin: str,
        method: str,
        *,
        headers: Iterable[str] = (),
        share: str = "",
        path: str = "",
    ) -> Preflight:
        """Preflight File Request: ask what a page of *origin* may do at *path* of *share*.

        No credentials go with it, for browsers send none either. Raises
        ServiceError (403) where no CORS rule allows *method* and *headers*.
        """
        asked = {
            "origin": check_value(origin, "origin"),
            "access-control-request-method": check_value(method, "method"),
        }
        if words := ",".join(headers):
            asked["access-control-request-headers"] = check_value(words, "header names")

        def build(version: str) -> Call:
            require(version, _PROPERTIES_SINCE, "a preflight request")
            where = self.transport.endpoint.path_of(share, path)
            return Call(
                "PreflightFileRequest", "OPTIONS", where, headers=dict(asked), authorized=False
            )

        exchange, _ = await self.transport.request(build)
        answer = exchange.headers
        prefix = "access-control-"
        age = answer.get(f"{prefix}max-age", "")
        return Preflight(
            allowed_origin=need(exchange, f"{prefix}allow-origin"),
            allowed_methods=_words(answer.get(f"{prefix}allow-methods", "")),
            allowed_headers=_words(answer.get(f"{prefix}allow-headers", "")),
            max_age=int(age) if age.isdecimal() else 0,
            allow_credentials=answer.get(f"{prefix}allow-credentials", "").lower() == "true",
        )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
