"""Operations on the account."""

from collections.abc import Iterable
from typing import Literal

from azfuse.rest.exchange import Call
from azfuse.rest.models import SharePage
from azfuse.rest.transport import Transport
from azfuse.rest.wire import MAX_PAGE_ENTRIES
from azfuse.rest.xml import parse_share_page


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
