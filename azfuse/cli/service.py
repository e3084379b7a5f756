"""`azfuse service`: what holds for the File service of a whole account."""

from dataclasses import replace
from typing import Final

import click

from azfuse.cli.group import Group
from azfuse.cli.output import show_object
from azfuse.cli.remote import run
from azfuse.cli.target import Words, json_option, target_options
from azfuse.rest.account import Account
from azfuse.rest.service_properties import CorsRule, Metrics, ServiceProperties
from azfuse.rest.transport import Transport

_DAYS: Final = click.IntRange(1, 365)


@click.group(cls=Group)
def service() -> None:
    """Show and set what holds for the File service of a whole account.

    \b
    Examples:
      azfuse service show account
      azfuse service set account --smb-encryption-in-transit
      azfuse service set account --cors-origins '*' --cors-methods GET,PUT
    """  # noqa: D301 # \b is click's mark


@service.command()
@click.argument("account", required=False)
@json_option
@target_options
def show(account: str | None, as_json: bool, *, words: Words) -> None:
    """Show metrics, CORS rules and protocol settings of ACCOUNT.

    Example: azfuse service show account --json
    """
    target = words.to_account(account)

    async def work(transport: Transport) -> ServiceProperties:
        return await Account(transport).get_file_service_properties()

    found = run(target, work)
    show_object(
        {
            "account": target.account,
            "hourMetrics": _metrics(found.hour_metrics),
            "minuteMetrics": _metrics(found.minute_metrics),
            "cors": [_rule(rule) for rule in found.cors or ()],
            "smbMultichannel": found.smb_multichannel,
            "smbEncryptionInTransit": found.smb_encryption_in_transit,
            "nfsEncryptionInTransit": found.nfs_encryption_in_transit,
        },
        as_json=as_json,
    )


def _metrics(metrics: Metrics | None) -> dict[str, object] | None:
    if metrics is None:
        return None
    return {
        "enabled": metrics.enabled,
        "includeApis": metrics.include_apis,
        "retentionDays": metrics.retention_days,
    }


def _rule(rule: CorsRule) -> dict[str, object]:
    return {
        "allowedOrigins": list(rule.allowed_origins),
        "allowedMethods": list(rule.allowed_methods),
        "allowedHeaders": list(rule.allowed_headers),
        "exposedHeaders": list(rule.exposed_headers),
        "maxAgeInSeconds": rule.max_age,
    }


@service.command("set")
@click.argument("account", required=False)
@click.option("--hour-metrics/--no-hour-metrics", default=None, help="Count requests by the hour.")
@click.option("--minute-metrics/--no-minute-metrics", default=None, help="Or by the minute.")
@click.option("--include-apis", is_flag=True, help="Count each operation for itself.")
@click.option("--retention-days", type=_DAYS, metavar="DAYS", help="Keep counts so long.")
@click.option("--smb-multichannel/--no-smb-multichannel", default=None)
@click.option("--smb-encryption-in-transit/--no-smb-encryption-in-transit", default=None)
@click.option("--nfs-encryption-in-transit/--no-nfs-encryption-in-transit", default=None)
@click.option("--clear-cors", is_flag=True, help="Remove all CORS rules (before one is added).")
@click.option("--cors-origins", metavar="A,B", help="Add a CORS rule for these origins.")
@click.option("--cors-methods", default="", metavar="A,B", help="Methods of that rule.")
@click.option("--cors-headers", default="", metavar="A,B", help="Its request headers.")
@click.option("--cors-exposed", default="", metavar="A,B", help="Its exposed headers.")
@click.option("--cors-max-age", type=click.IntRange(min=0), default=0, metavar="SECONDS")
@target_options
def set_(
    account: str | None,
    hour_metrics: bool | None,
    minute_metrics: bool | None,
    include_apis: bool,
    retention_days: int | None,
    smb_multichannel: bool | None,
    smb_encryption_in_transit: bool | None,
    nfs_encryption_in_transit: bool | None,
    clear_cors: bool,
    cors_origins: str | None,
    cors_methods: str,
    cors_headers: str,
    cors_exposed: str,
    cors_max_age: int,
    *,
    words: Words,
) -> None:
    """Set what is named, for ACCOUNT; all else stays.

    Example: azfuse service set account --hour-metrics --retention-days 7
    """
    rule = _read_rule_options(cors_origins, cors_methods, cors_headers, cors_exposed, cors_max_age)
    if (include_apis or retention_days) and not (hour_metrics or minute_metrics):
        raise click.UsageError(
            "--include-apis and --retention-days belong to --hour-metrics or --minute-metrics"
        )

    def metrics(enabled: bool | None) -> Metrics | None:
        if enabled is None:
            return None
        return Metrics(True, include_apis, retention_days) if enabled else Metrics(False)

    wanted = ServiceProperties(
        hour_metrics=metrics(hour_metrics),
        minute_metrics=metrics(minute_metrics),
        cors=[] if clear_cors else None,
        smb_multichannel=smb_multichannel,
        smb_encryption_in_transit=smb_encryption_in_transit,
        nfs_encryption_in_transit=nfs_encryption_in_transit,
    )
    if rule is None and wanted == ServiceProperties():
        raise click.UsageError("nothing is to be set: see azfuse service set --help")
    target = words.to_account(account)

    async def work(transport: Transport) -> None:
        await _set(Account(transport), wanted, rule)

    run(target, work)


def _read_rule_options(
    origins: str | None, methods: str, headers: str, exposed: str, max_age: int
) -> CorsRule | None:
    if origins is None and not (methods or headers or exposed or max_age):
        return None
    rule = CorsRule(
        _words(origins or ""), _words(methods), _words(headers), _words(exposed), max_age
    )
    if not rule.allowed_origins or not rule.allowed_methods:
        raise click.UsageError("a CORS rule needs --cors-origins and --cors-methods")
    return rule


async def _set(account: Account, wanted: ServiceProperties, rule: CorsRule | None) -> None:
    """Set *wanted*, with *rule* behind the rules that are there, unless those are cleared."""
    if rule is not None:
        rules = wanted.cors
        if rules is None:
            rules = (await account.get_file_service_properties()).cors
        wanted = replace(wanted, cors=[*(rules or ()), rule])
    await account.set_file_service_properties(wanted)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
