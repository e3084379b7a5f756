"""`azfuse sas`: make a shared access signature."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from azfuse.cli.failure import CommandError
from azfuse.cli.group import Group
from azfuse.cli.output import show_object, time_text
from azfuse.cli.remote import run
from azfuse.cli.target import Target, Words, json_option, target_options
from azfuse.cli.values import read_moment
from azfuse.mount.errors import UsageError
from azfuse.rest.account import Account
from azfuse.rest.auth import Bearer, SharedKey
from azfuse.rest.models import UserDelegationKey
from azfuse.rest.sas import (
    RESOURCE_TYPES,
    ResponseHeaders,
    SasTerms,
    make_account_sas,
    make_service_sas,
    make_user_delegation_sas,
)
from azfuse.rest.transport import Transport
from azfuse.rest.wire import MAX_CLOCK_SKEW

F = TypeVar("F", bound=Callable[..., Any])

_LETTERS: Final = "r(ead), w(rite), d(elete), l(ist), c(reate)."


@click.group(cls=Group)
def sas() -> None:
    """Make a shared access signature, and print it. Whoever has it can use it.

    It is made from the account key, without asking the service; with
    AZURE_STORAGE_AUTH_MODE=login, from a user delegation key that the service
    gives. TIME is UTC (2026-12-31T12:00Z) or a span from now (30m, 8h, 7d).

    \b
    Examples:
      azfuse sas share account/team --permissions rl --expiry 7d
      azfuse sas file account/team/plan.ods --permissions r --expiry 8h --url
      azfuse sas account NAME --permissions rl --resource-types sco --expiry 1d
    """  # noqa: D301 # \b is click's mark


def _common_options(command: F) -> F:
    decorated: Any = command
    for option in (
        click.option("--url", "as_url", is_flag=True, help="Print the whole URL."),
        click.option("--https-only", is_flag=True, help="Not over plain HTTP."),
        click.option("--ip", metavar="ADDRESS[-ADDRESS]", help="Only from there (IPv4)."),
        click.option("--start", metavar="TIME", help="Not before this; else at once."),
        click.option("--expiry", metavar="TIME", help="When it ends."),
        click.option("--permissions", metavar="LETTERS", help=_LETTERS),
    ):  # fmt: skip
        decorated = option(decorated)
    result: F = decorated
    return result


_policy_option = click.option(
    "--policy-name", metavar="POLICY", help="Take what is not said here from this stored policy."
)


def _terms(
    permissions: str | None,
    expiry: str | None,
    start: str | None,
    ip: str | None,
    https_only: bool,
    *,
    policy_name: str | None = None,
    response_headers: ResponseHeaders | None = None,
) -> SasTerms:
    if not policy_name and not (permissions and expiry):
        raise click.UsageError("--permissions and --expiry are needed")
    ends = read_moment("--expiry", expiry)
    if ends is not None and ends <= time.time_ns():
        raise UsageError(f"--expiry {expiry}: that is past")
    return SasTerms(
        permissions=permissions or "",
        expiry=ends,
        start=read_moment("--start", start),
        ip=ip or "",
        protocols="https" if https_only else None,
        policy_id=policy_name or "",
        response_headers=response_headers or ResponseHeaders(),
    )


def _show(target: Target, token: str, terms: SasTerms, *, as_url: bool, as_json: bool) -> None:
    where = target.login.endpoint
    url = f"{where.origin}{where.path_of(target.share, target.path)}?{token}"
    if as_json:
        fields = {"sas": token, "url": url, "expiry": time_text(terms.expiry)}
        show_object(fields, as_json=True)
    else:
        click.echo(url if as_url else token)


def _make(target: Target, terms: SasTerms) -> str:
    """Make a SAS for the share or file of *target*, with the key or in an identity's name."""
    share, path = target.share, target.path
    if not isinstance(target.login.credentials, Bearer):
        shared_key = _key(target)
        return _checked(lambda: make_service_sas(shared_key, share, path, terms=terms))
    key = run(target, lambda transport: _delegation_key(transport, terms))
    return _checked(lambda: make_user_delegation_sas(target.account, key, share, path, terms=terms))


def _checked(make: Callable[[], str]) -> str:
    """Return what *make* returns; what it finds wrong is for the person to correct."""
    try:
        return make()
    except ValueError as error:
        raise UsageError(str(error)) from None


async def _delegation_key(transport: Transport, terms: SasTerms) -> UserDelegationKey:
    if terms.expiry is None:
        raise UsageError("a user delegation SAS has no stored policy: give --expiry")
    start = time.time_ns() if terms.start is None else terms.start
    # Clocks of clients differ.
    return await Account(transport).get_user_delegation_key(
        terms.expiry, start=min(start, time.time_ns()) - MAX_CLOCK_SKEW
    )


def _key(target: Target) -> SharedKey:
    credentials = target.login.credentials
    if not isinstance(credentials, SharedKey):
        raise CommandError(
            f"a SAS is made with the account key, and {target.login.found_in} holds none"
        )
    return credentials


@sas.command("share")
@click.argument("name", metavar="SHARE")
@_common_options
@_policy_option
@json_option
@target_options
def share_(
    name: str,
    permissions: str | None,
    expiry: str | None,
    start: str | None,
    ip: str | None,
    https_only: bool,
    policy_name: str | None,
    as_url: bool,
    as_json: bool,
    *,
    words: Words,
) -> None:
    """Make a SAS for all files and directories of SHARE, as a mount needs it.

    Example: azfuse sas share account/team --permissions rwdlc --expiry 30d
    """
    terms = _terms(permissions, expiry, start, ip, https_only, policy_name=policy_name)
    target = words.to_share(name)
    _show(target, _make(target, terms), terms, as_url=as_url, as_json=as_json)


@sas.command("file")
@click.argument("where", metavar="SHARE/PATH")
@_common_options
@_policy_option
@click.option("--cache-control", default="", metavar="TEXT", help="Answered on downloads.")
@click.option("--content-disposition", default="", metavar="TEXT", help="Likewise.")
@click.option("--content-encoding", default="", metavar="TEXT", help="Likewise.")
@click.option("--content-language", default="", metavar="TEXT", help="Likewise.")
@click.option("--content-type", default="", metavar="TEXT", help="Likewise.")
@json_option
@target_options
def file_(
    where: str,
    permissions: str | None,
    expiry: str | None,
    start: str | None,
    ip: str | None,
    https_only: bool,
    policy_name: str | None,
    as_url: bool,
    as_json: bool,
    *,
    words: Words,
    **headers: str,
) -> None:
    """Make a SAS for the file PATH in SHARE. It need not be there yet.

    Example: azfuse sas file account/team/plan.ods --permissions r --expiry 8h --url
    """
    terms = _terms(
        permissions,
        expiry,
        start,
        ip,
        https_only,
        policy_name=policy_name,
        response_headers=ResponseHeaders(**headers),
    )
    target = words.to_share(where, with_path=True)
    if not target.path:
        raise UsageError(f"{where!r} names no file: add /PATH to it, or use azfuse sas share")
    _show(target, _make(target, terms), terms, as_url=as_url, as_json=as_json)


@sas.command("account")
@click.argument("name", metavar="[ACCOUNT]", required=False)
@_common_options
@click.option(
    "--resource-types",
    default=RESOURCE_TYPES,
    show_default=True,
    metavar="LETTERS",
    help="s(ervice), c(ontainer: shares), o(bject: directories and files).",
)
@json_option
@target_options
def account_(
    name: str | None,
    permissions: str | None,
    expiry: str | None,
    start: str | None,
    ip: str | None,
    https_only: bool,
    resource_types: str,
    as_url: bool,
    as_json: bool,
    *,
    words: Words,
) -> None:
    """Make a SAS for the File service of ACCOUNT, of all its shares.

    Example: azfuse sas account account --permissions rl --expiry 1d
    """
    terms = _terms(permissions, expiry, start, ip, https_only)
    target = words.to_account(name)
    key = _key(target)
    token = _checked(lambda: make_account_sas(key, resource_types, terms=terms))
    _show(target, token, terms, as_url=as_url, as_json=as_json)
