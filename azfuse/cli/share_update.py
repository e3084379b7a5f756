"""`azfuse share update`: change the settings and the metadata of a share."""

from collections.abc import Sequence
from typing import Final

import click

from azfuse.cli.remote import run
from azfuse.cli.target import Words, target_options
from azfuse.cli.values import read_metadata
from azfuse.rest.models import ShareFeatures
from azfuse.rest.share import RootSquash, Share
from azfuse.rest.transport import Transport

ROOT_SQUASH: Final = ("NoRootSquash", "RootSquash", "AllSquash")


@click.command()
@click.argument("name", metavar="SHARE")
@click.option("--quota", type=click.IntRange(min=1), metavar="GIB", help="Largest size.")
@click.option("--access-tier", metavar="TIER", help="TransactionOptimized, Hot, Cool or Premium.")
@click.option("--root-squash", type=click.Choice(ROOT_SQUASH), help="NFS only.")
@click.option("--provisioned-iops", type=click.IntRange(min=1), metavar="N")
@click.option("--provisioned-bandwidth", type=click.IntRange(min=1), metavar="MIBPS")
@click.option("--metadata", multiple=True, metavar="K=V", help="Replaces all; several times.")
@click.option("--clear-metadata", is_flag=True, help="Removes all metadata.")
@click.option("--lease-id", metavar="ID", help="The lease that the share is under.")
@target_options
def update(
    name: str,
    quota: int | None,
    access_tier: str | None,
    root_squash: RootSquash | None,
    provisioned_iops: int | None,
    provisioned_bandwidth: int | None,
    metadata: Sequence[str],
    clear_metadata: bool,
    lease_id: str | None,
    *,
    words: Words,
) -> None:
    """Change what is named of SHARE; all else stays.

    Example: azfuse share update account/team --access-tier Cool
    """
    if metadata and clear_metadata:
        raise click.UsageError("--metadata and --clear-metadata exclude each other")
    values = read_metadata(metadata)
    features = ShareFeatures(
        provisioned_iops=provisioned_iops, provisioned_bandwidth_mibps=provisioned_bandwidth
    )
    settings = any((quota, access_tier, root_squash, features != ShareFeatures()))
    if not (settings or values or clear_metadata):
        raise click.UsageError("nothing is to be changed: see azfuse share update --help")
    target = words.to_share(name)

    async def work(transport: Transport) -> None:
        share = Share(transport, target.share)
        if settings:
            await share.set_share_properties(
                quota=quota,
                access_tier=access_tier,
                root_squash=root_squash,
                features=features,
                lease_id=lease_id,
            )
        if values or clear_metadata:
            await share.set_share_metadata(values, lease_id=lease_id)

    run(target, work)
