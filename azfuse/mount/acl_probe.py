"""`-o posix=acl` tried at the mount: does the share keep modes and owners in descriptors?"""

from typing import Final

from azfuse.fuse.sddl import ROOT, Descriptor
from azfuse.mount.errors import UsageError
from azfuse.rest.errors import ServiceError
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport

#: A mode with setgid, and an id that 31 bits do not hold.
_TRIED: Final = (0o2750, 4_000_000_000, 1000)
_OTHERWISE: Final = "posix=metadata works on every SMB share"


async def try_acl(transport: Transport, name: str, *, read_only: bool) -> None:
    """See that descriptors of share *name* keep the special SIDs; nothing is changed by that.

    Creates one descriptor and reads it again; for a read-only mount only the kind of
    the share is asked. Raises UsageError, or what the requests raise but refusals.
    """
    share = Share(transport, name)
    if await _is_nfs(share):
        raise UsageError(f"posix=acl: {name!r} is an NFS share, which has no security descriptors")
    if read_only:
        return
    try:
        wanted = ROOT.inherited(*_TRIED[1:], directory=False).saying(*_TRIED)
        key = await share.create_permission(str(wanted))
        found = Descriptor.parse(await share.get_permission(key))
    except ServiceError as error:
        raise UsageError(
            f"posix=acl: share {name!r} takes no security descriptors from us "
            f"({error.code or error.status}); {_OTHERWISE}"
        ) from error
    except ValueError:
        found = ROOT
    if not found.says(*_TRIED):
        raise UsageError(
            f"posix=acl: share {name!r} does not keep modes and owners in security "
            f"descriptors; {_OTHERWISE}"
        )


async def _is_nfs(share: Share) -> bool:
    try:
        return "NFS" in (await share.get_share_properties()).enabled_protocols
    except ServiceError:
        return False  # not every SAS may ask; descriptors will tell
