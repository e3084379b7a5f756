"""`azfuse share lease`: leases that keep a share from being deleted."""

import uuid
from collections.abc import Awaitable, Callable

import click

from azfuse.cli.group import Group
from azfuse.cli.output import show_object
from azfuse.cli.remote import run
from azfuse.cli.target import Words, json_option, target_options
from azfuse.mount.errors import UsageError
from azfuse.rest.models import Lease
from azfuse.rest.share import Share
from azfuse.rest.transport import Transport

#: The service's word for a lease without end.
_FOR_EVER = -1


@click.group(cls=Group)
def lease() -> None:
    """Lease a share: nobody can delete it without the lease's id.

    Files in the share are not concerned. What prints, prints the lease's id.

    \b
    Example:
      azfuse share lease acquire account/team
      azfuse share lease break account/team --break-period 0
    """  # noqa: D301 # \b is click's mark


def _check_id(option: str, text: str | None) -> None:
    try:
        if text is not None:
            uuid.UUID(text)
    except ValueError:
        raise UsageError(f"{option} {text!r}: the id of a lease is a GUID") from None


def _act(words: Words, name: str, action: Callable[[Share], Awaitable[Lease]]) -> Lease:
    target = words.to_share(name)

    async def work(transport: Transport) -> Lease:
        return await action(Share(transport, target.share))

    return run(target, work)


def _show(name: str, result: Lease, *, as_json: bool) -> None:
    if as_json:
        show_object({"share": name, "leaseId": result.lease_id}, as_json=True)
    else:
        click.echo(result.lease_id)


_id_option = click.option("--lease-id", required=True, metavar="ID", help="The present lease.")


@lease.command()
@click.argument("name", metavar="SHARE")
@click.option(
    "--lease-duration",
    type=int,
    default=_FOR_EVER,
    metavar="SECONDS",
    help="15 to 60; without it the lease has no end.",
)
@click.option("--proposed-lease-id", metavar="ID", help="A GUID of your own.")
@json_option
@target_options
def acquire(
    name: str, lease_duration: int, proposed_lease_id: str | None, as_json: bool, *, words: Words
) -> None:
    """Lease SHARE, and print the lease's id."""
    _check_id("--proposed-lease-id", proposed_lease_id)
    result = _act(
        words,
        name,
        lambda share: share.acquire_share_lease(
            duration=lease_duration, proposed_id=proposed_lease_id
        ),
    )
    _show(name, result, as_json=as_json)


@lease.command()
@click.argument("name", metavar="SHARE")
@_id_option
@json_option
@target_options
def renew(name: str, lease_id: str, as_json: bool, *, words: Words) -> None:
    """Renew the lease for the time it was acquired for."""
    _check_id("--lease-id", lease_id)
    result = _act(words, name, lambda share: share.renew_share_lease(lease_id))
    _show(name, result, as_json=as_json)


@lease.command()
@click.argument("name", metavar="SHARE")
@_id_option
@click.option("--proposed-lease-id", required=True, metavar="ID", help="The new id, a GUID.")
@json_option
@target_options
def change(
    name: str, lease_id: str, proposed_lease_id: str, as_json: bool, *, words: Words
) -> None:
    """Give the lease another id."""
    _check_id("--lease-id", lease_id)
    _check_id("--proposed-lease-id", proposed_lease_id)
    result = _act(words, name, lambda share: share.change_share_lease(lease_id, proposed_lease_id))
    _show(name, result, as_json=as_json)


@lease.command()
@click.argument("name", metavar="SHARE")
@_id_option
@target_options
def release(name: str, lease_id: str, *, words: Words) -> None:
    """Give the lease up."""
    _check_id("--lease-id", lease_id)
    _act(words, name, lambda share: share.release_share_lease(lease_id))


@lease.command("break")
@click.argument("name", metavar="SHARE")
@click.option(
    "--break-period",
    type=click.IntRange(0, 60),
    metavar="SECONDS",
    help="How long it still holds; at most the time that it has left.",
)
@json_option
@target_options
def break_(name: str, break_period: int | None, as_json: bool, *, words: Words) -> None:
    """Break the lease of SHARE without its id; print the seconds until it ends."""
    result = _act(words, name, lambda share: share.break_share_lease(period=break_period))
    if as_json:
        show_object({"share": name, "leaseTime": result.break_time}, as_json=True)
    else:
        click.echo(result.break_time or 0)
