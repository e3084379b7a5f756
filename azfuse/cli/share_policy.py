"""`azfuse share policy`: stored access policies, which a SAS can name."""

import click

from azfuse.cli.failure import CommandError
from azfuse.cli.group import Group
from azfuse.cli.output import show_rows, time_text
from azfuse.cli.remote import run
from azfuse.cli.target import Words, json_option, target_options
from azfuse.cli.values import read_moment
from azfuse.rest.sas import SHARE_PERMISSIONS
from azfuse.rest.share import Share
from azfuse.rest.share_access import MAX_POLICIES, AccessPolicy
from azfuse.rest.transport import Transport


@click.group(cls=Group)
def policy() -> None:
    """Stored access policies of a share: what a SAS that names one may do.

    To change or delete a policy changes or ends every SAS that names it. It
    takes up to 30 seconds.

    \b
    Example:
      azfuse share policy set account/team readers --permissions rl --expiry 30d
      azfuse sas share account/team --policy-name readers
    """  # noqa: D301 # \b is click's mark


@policy.command("list")
@click.argument("name", metavar="SHARE")
@json_option
@target_options
def list_(name: str, as_json: bool, *, words: Words) -> None:
    """List the policies of SHARE."""
    target = words.to_share(name)

    async def work(transport: Transport) -> list[AccessPolicy]:
        return list((await Share(transport, target.share).get_share_acl()).policies)

    rows = [
        {
            "name": item.policy_id,
            "permissions": item.permissions,
            "start": time_text(item.start),
            "expiry": time_text(item.expiry),
        }
        for item in run(target, work)
    ]
    show_rows(rows, ["name", "permissions", "start", "expiry"], as_json=as_json)


@policy.command("set")
@click.argument("name", metavar="SHARE")
@click.argument("policy_name", metavar="POLICY")
@click.option("--permissions", metavar="LETTERS", help=f"Letters of {SHARE_PERMISSIONS}.")
@click.option("--start", metavar="TIME", help="UTC time, or a span such as 7d.")
@click.option("--expiry", metavar="TIME", help="UTC time, or a span such as 7d.")
@target_options
def set_(
    name: str,
    policy_name: str,
    permissions: str | None,
    start: str | None,
    expiry: str | None,
    *,
    words: Words,
) -> None:
    """Make POLICY of SHARE, or make it anew. What it does not say, a SAS must.

    Example: azfuse share policy set account/team readers --permissions rl --expiry 30d
    """
    if unknown := set(permissions or "") - set(SHARE_PERMISSIONS):
        raise click.UsageError(
            f"--permissions {permissions}: {''.join(sorted(unknown))!r} is none of the letters "
            f"{SHARE_PERMISSIONS}"
        )
    ordered = "".join(letter for letter in SHARE_PERMISSIONS if letter in (permissions or ""))
    wanted = AccessPolicy(
        policy_name, read_moment("--start", start), read_moment("--expiry", expiry), ordered or None
    )
    target = words.to_share(name)

    async def work(transport: Transport) -> None:
        share = Share(transport, target.share)
        policies = list((await share.get_share_acl()).policies)
        others = [item for item in policies if item.policy_id != policy_name]
        if len(others) == MAX_POLICIES:
            raise CommandError(
                f"share {target.share!r} has {MAX_POLICIES} policies, and can have no more"
            )
        await share.set_share_acl([*others, wanted])

    run(target, work)


@policy.command()
@click.argument("name", metavar="SHARE")
@click.argument("policy_name", metavar="POLICY")
@target_options
def delete(name: str, policy_name: str, *, words: Words) -> None:
    """Delete POLICY of SHARE: every SAS that names it ends."""
    target = words.to_share(name)

    async def work(transport: Transport) -> None:
        share = Share(transport, target.share)
        policies = list((await share.get_share_acl()).policies)
        others = [item for item in policies if item.policy_id != policy_name]
        if len(others) == len(policies):
            raise CommandError(f"share {target.share!r} has no policy {policy_name!r}")
        await share.set_share_acl(others)

    run(target, work)
