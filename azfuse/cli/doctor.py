"""`azfuse doctor`."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from azfuse.cli import complete
from azfuse.cli.target import config_option, json_option, mount_options_option
from azfuse.mount.choice import choose
from azfuse.mount.credentials import find_login, public_endpoint
from azfuse.mount.doctor import Finding, examine_machine
from azfuse.mount.doctor_share import examine_network, examine_share
from azfuse.mount.errors import UsageError
from azfuse.mount.plan import Plan, default_state_dir
from azfuse.mount.source import parse_source
from azfuse.mount.units import plain_text


@click.command()
@click.argument("source", required=False, shell_complete=complete.sources)
@mount_options_option
@config_option
@click.option("--write", is_flag=True, help="Try to write, too: a file that is removed again.")
@json_option
def doctor(
    source: str | None,
    options: tuple[str, ...],
    config_file: Path | None,
    *,
    write: bool,
    as_json: bool,
) -> int:
    """Look at whatever a mount needs: this machine, and the way to SOURCE if it is given.

    SOURCE is written as for azfuse mount, or is a name of the config file. Each line
    is ok, warn or fail, with what to do; exit status 1 if anything failed.

    \b
    Examples:
      azfuse doctor
      azfuse doctor account/share -o credentials=share.cred
      azfuse doctor team --write --json
    """  # noqa: D301 # \b is click's mark
    failed = False
    shown = []
    for finding in _findings(source, options, config_file, write=write):
        failed = failed or finding.verdict == "fail"
        shown.append(asdict(finding))
        if not as_json:
            click.echo(plain_text(f"{finding.verdict:<5} {finding.name + ':':<12} {finding.text}"))
            if finding.advice:
                click.echo(plain_text(f"{'':<19}{finding.advice}"))
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    return 1 if failed else 0


def _findings(
    text: str | None, texts: tuple[str, ...], config_file: Path | None, *, write: bool
) -> Iterator[Finding]:
    # Wrong words are said before anything is shown: any share will do where none is named.
    choice = choose(text or "any/any", None, texts, os.environ, config_file=config_file)
    source, options = parse_source(choice.source), choice.options
    state_dir = options.state_dir or default_state_dir()
    yield from examine_machine(state_dir)
    if text is None:
        return
    try:
        login = find_login(source, options.credentials, os.environ)
    except UsageError as error:
        yield Finding("credentials", "fail", str(error))
        yield from examine_network(public_endpoint(source), source.account)
        return
    yield Finding("credentials", "ok", f"found in {login.found_in}")
    for finding in examine_network(login.endpoint, source.account):
        yield finding
        if finding.verdict == "fail" and finding.name in ("name", "connection"):
            return
    plan = Plan(source, Path("/"), options, login, options.settings(source, state_dir))
    yield from examine_share(plan, write=write)
