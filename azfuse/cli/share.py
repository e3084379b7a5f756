"""`azfuse share`: create, list, change and delete shares."""

from collections.abc import Sequence
from typing import Final, Literal

import click

from azfuse.cli.failure import CommandError
from azfuse.cli.group import Group
from azfuse.cli.output import show_object, show_rows, time_text
from azfuse.cli.remote import run
from azfuse.cli.share_lease import lease
from azfuse.cli.share_policy import policy
from azfuse.cli.share_update import ROOT_SQUASH, update
from azfuse.cli.target import Target, Words, json_option, target_options
from azfuse.cli.values import read_metadata
from azfuse.rest.account import Account
from azfuse.rest.models import ShareFeatures, ShareItem, ShareProperties
from azfuse.rest.share import Protocol, RootSquash, Share
from azfuse.rest.transport import Transport

_GIB: Final = 1024**3
Include = Literal["metadata", "snapshots", "deleted"]


@click.group(cls=Group)
def share() -> None:
    """Create, list, change and delete shares.

    \b
    A SHARE is written as for azfuse mount (account/share, or a URL), or by its
    name alone if --account-name, AZURE_STORAGE_ACCOUNT or
    AZURE_STORAGE_CONNECTION_STRING names the account. Credentials come from the
    environment or --credentials FILE.

    \b
    Examples:
      azfuse share create account/team --quota 100
      azfuse share list account
      azfuse share snapshot account/team
    """  # noqa: D301 # \b is click's mark


share.add_command(policy)
share.add_command(lease)
share.add_command(update)


@share.command()
@click.argument("name", metavar="SHARE")
@click.option("--quota", type=click.IntRange(min=1), metavar="GIB", help="Largest size.")
@click.option("--metadata", multiple=True, metavar="K=V", help="May be given several times.")
@click.option("--protocol", type=click.Choice(("SMB", "NFS")), help="Cannot be changed later.")
@click.option("--root-squash", type=click.Choice(ROOT_SQUASH), help="NFS only.")
@click.option("--access-tier", metavar="TIER", help="TransactionOptimized, Hot, Cool or Premium.")
@click.option("--provisioned-iops", type=click.IntRange(min=1), metavar="N")
@click.option("--provisioned-bandwidth", type=click.IntRange(min=1), metavar="MIBPS")
@target_options
def create(
    name: str,
    quota: int | None,
    metadata: Sequence[str],
    protocol: Protocol | None,
    root_squash: RootSquash | None,
    access_tier: str | None,
    provisioned_iops: int | None,
    provisioned_bandwidth: int | None,
    *,
    words: Words,
) -> None:
    """Create SHARE.

    Example: azfuse share create account/team --quota 100 --metadata owner=ada
    """
    values = read_metadata(metadata)
    target = words.to_share(name)

    async def work(transport: Transport) -> None:
        await Share(transport, target.share).create_share(
            quota=quota,
            metadata=values,
            enabled_protocols=protocol,
            access_tier=access_tier,
            root_squash=root_squash,
            features=ShareFeatures(
                provisioned_iops=provisioned_iops,
                provisioned_bandwidth_mibps=provisioned_bandwidth,
            ),
        )

    run(target, work)


@share.command("list")
@click.argument("account", required=False)
@click.option("--prefix", metavar="TEXT", help="Only names that begin so.")
@click.option("--include-snapshots", is_flag=True, help="Snapshots as well.")
@click.option("--include-deleted", is_flag=True, help="Deleted shares that can be restored, too.")
@click.option("--include-metadata", is_flag=True, help="Metadata as well (with --json).")
@json_option
@target_options
def list_(
    account: str | None,
    prefix: str | None,
    include_snapshots: bool,
    include_deleted: bool,
    include_metadata: bool,
    as_json: bool,
    *,
    words: Words,
) -> None:
    """List the shares of ACCOUNT.

    Example: azfuse share list account --prefix team --json
    """
    target = words.to_account(account)
    asked: list[tuple[bool, Include]] = [
        (include_metadata, "metadata"),
        (include_snapshots, "snapshots"),
        (include_deleted, "deleted"),
    ]
    include = [word for wanted, word in asked if wanted]

    async def work(transport: Transport) -> list[ShareItem]:
        return await all_shares(transport, include, prefix)

    columns = ["name", "quota", "accessTier", "protocols", "lease", "lastModified"]
    if include_snapshots:
        columns.append("snapshot")
    if include_deleted:
        columns += ["deleted", "version"]
    show_rows([_item(item) for item in run(target, work)], columns, as_json=as_json)


async def all_shares(
    transport: Transport, include: Sequence[Include], prefix: str | None
) -> list[ShareItem]:
    """List Shares, all pages."""
    shares: list[ShareItem] = []
    marker: str | None = None
    while True:
        page = await Account(transport).list_shares(prefix=prefix, marker=marker, include=include)
        shares += page.shares
        marker = page.next_marker
        if marker is None:
            return shares


def _item(item: ShareItem) -> dict[str, object]:
    properties = item.properties
    protocols = properties.get("EnabledProtocols", "SMB")
    return {
        "name": item.name,
        "snapshot": item.snapshot,
        "quota": item.quota,
        "accessTier": properties.get("AccessTier"),
        "protocols": protocols.split(";"),
        "rootSquash": properties.get("RootSquash"),
        "lease": properties.get("LeaseState"),
        "lastModified": time_text(item.last_modified),
        "etag": item.etag,
        "deleted": item.deleted,
        "version": item.version,
        "remainingRetentionDays": _number(properties.get("RemainingRetentionDays")),
        "metadata": dict(item.metadata),
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


@share.command()
@click.argument("name", metavar="SHARE")
@click.option("--snapshot", metavar="TIME", help="Of this snapshot.")
@json_option
@target_options
def show(name: str, snapshot: str | None, as_json: bool, *, words: Words) -> None:
    """Show the properties of SHARE.

    Example: azfuse share show account/team --json
    """
    target = words.to_share(name)

    async def work(transport: Transport) -> ShareProperties:
        return await Share(transport, target.share).get_share_properties(snapshot=snapshot)

    found = run(target, work)
    features = found.features
    show_object(
        {
            "name": target.share,
            "snapshot": snapshot,
            "quota": found.quota,
            "accessTier": found.access_tier,
            "protocols": sorted(found.enabled_protocols) or ["SMB"],
            "rootSquash": found.root_squash,
            "lease": found.lease.state,
            "leaseDuration": found.lease.duration,
            "provisionedIops": features.provisioned_iops,
            "provisionedBandwidthMibps": features.provisioned_bandwidth_mibps,
            "paidBursting": features.paid_bursting,
            "smbDirectoryLease": features.smb_directory_lease,
            "lastModified": time_text(found.last_modified),
            "etag": found.etag,
            "metadata": dict(found.metadata),
        },
        as_json=as_json,
    )


@share.command()
@click.argument("name", metavar="SHARE")
@click.option("--snapshot", metavar="TIME", help="Delete only this snapshot.")
@click.option(
    "--delete-snapshots",
    type=click.Choice(("include", "include-leased")),
    help="Delete the share's snapshots with it, or also those that are leased.",
)
@click.option("--lease-id", metavar="ID", help="The lease that the share is under.")
@target_options
def delete(
    name: str,
    snapshot: str | None,
    delete_snapshots: Literal["include", "include-leased"] | None,
    lease_id: str | None,
    *,
    words: Words,
) -> None:
    """Delete SHARE, or one snapshot of it. It asks nothing.

    Example: azfuse share delete account/team --delete-snapshots include
    """
    target = words.to_share(name)

    async def work(transport: Transport) -> None:
        await Share(transport, target.share).delete_share(
            snapshot=snapshot, delete_snapshots=delete_snapshots, lease_id=lease_id
        )

    run(target, work)


@share.command()
@click.argument("name", metavar="SHARE")
@click.option("--deleted-version", metavar="VERSION", help="Which one; the last if not given.")
@target_options
def restore(name: str, deleted_version: str | None, *, words: Words) -> None:
    """Bring the deleted SHARE back.

    Works while the account keeps deleted shares (soft delete). Versions are shown
    by azfuse share list --include-deleted.

    Example: azfuse share restore account/team
    """
    target = words.to_share(name)

    async def work(transport: Transport) -> None:
        version = deleted_version or await _last_deleted(transport, target)
        await Share(transport, target.share).restore_share(version)

    run(target, work)


async def _last_deleted(transport: Transport, target: Target) -> str:
    shares = await all_shares(transport, ["deleted"], target.share)
    deleted = [item for item in shares if item.name == target.share and item.deleted]
    # Versions are the instants of deletion in hexadecimal.
    versions = sorted(item.version for item in deleted if item.version)
    if not versions:
        raise CommandError(
            f"account {target.account} keeps no deleted share {target.share!r}: "
            "it was never there, is gone for good, or has not been deleted"
        )
    return versions[-1]


@share.command()
@click.argument("name", metavar="SHARE")
@click.option("--metadata", multiple=True, metavar="K=V", help="Of the snapshot, not the share's.")
@json_option
@target_options
def snapshot(name: str, metadata: Sequence[str], as_json: bool, *, words: Words) -> None:
    """Take a snapshot of SHARE, and print its time, which is its name.

    Example: azfuse share snapshot account/team
    """
    values = read_metadata(metadata)
    target = words.to_share(name)

    async def work(transport: Transport) -> str:
        return await Share(transport, target.share).snapshot_share(metadata=values)

    taken = run(target, work)
    if as_json:
        show_object({"name": target.share, "snapshot": taken}, as_json=True)
    else:
        click.echo(taken)


@share.command()
@click.argument("name", metavar="SHARE")
@click.argument("gib", type=click.IntRange(min=1), required=False)
@json_option
@target_options
def quota(name: str, gib: int | None, as_json: bool, *, words: Words) -> None:
    """Show the quota of SHARE in GiB, or set it to GIB.

    Example: azfuse share quota account/team 200
    """
    target = words.to_share(name)

    async def work(transport: Transport) -> int:
        share = Share(transport, target.share)
        if gib is not None:
            await share.set_share_properties(quota=gib)
        return (await share.get_share_properties()).quota

    now = run(target, work)
    if as_json:
        show_object({"name": target.share, "quota": now}, as_json=True)
    else:
        click.echo(now)


@share.command()
@click.argument("name", metavar="SHARE")
@json_option
@target_options
def stats(name: str, as_json: bool, *, words: Words) -> None:
    """Show how full SHARE is. The service counts with delay.

    Example: azfuse share stats account/team
    """
    target = words.to_share(name)

    async def work(transport: Transport) -> tuple[int, int]:
        share = Share(transport, target.share)
        return await share.get_share_stats(), (await share.get_share_properties()).quota

    used, limit = run(target, work)
    show_object(
        {
            "name": target.share,
            "usedBytes": used,
            "quota": limit,
            "usedPercent": round(100 * used / (limit * _GIB), 1),
        },
        as_json=as_json,
    )
