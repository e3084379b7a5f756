"""`azfuse emulator`: run an Azure Files service of one's own."""

import base64
import binascii
import logging
import sys
from pathlib import Path
from typing import NoReturn

import click

from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, DEVELOPMENT_PORT

#: Exit codes: a bad option or address, trouble while running.
_USAGE = 2
_TROUBLE = 1
_LEVELS = ("debug", "info", "warning", "error")


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"azfuse emulator: {message}", err=True)
    sys.exit(code)


def parse_accounts(text: str) -> dict[str, str]:
    """Read `name:key[,name:key...]`; keys are base64. Raises click.BadParameter."""
    accounts: dict[str, str] = {}
    for item in text.split(","):
        name, colon, key = item.strip().partition(":")
        if not (name.isascii() and name.isalnum() and name == name.lower() and colon):
            raise click.BadParameter(f"{item!r} is not of the form name:key")
        try:
            base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise click.BadParameter(f"the key of account {name} is not base64") from error
        accounts[name] = key
    return accounts


def connection_string(account: str, key: str, host: str, port: int) -> str:
    """Return the connection string of an account, as az, the SDKs and azfuse take it."""
    shown = f"[{host}]" if ":" in host else host
    return (
        f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
        f"FileEndpoint=http://{shown}:{port}/{account};"
    )


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that holds shares and files; made if missing.",
)
@click.option("--in-memory", is_flag=True, help="Keep everything in memory; gone at the end.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEVELOPMENT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--accounts",
    metavar="NAME:KEY[,...]",
    envvar="AZFUSE_EMULATOR_ACCOUNTS",
    help="Accounts and their base64 keys; devstoreaccount1 with the public key if not given.",
)
@click.option("--create-share", "shares", multiple=True, metavar="NAME", help="Make this share.")
@click.option(
    "--latency",
    "latency_ms",
    default=0.0,
    type=click.FloatRange(min=0),
    metavar="MS",
    help="Milliseconds added to every request.",
)
@click.option(
    "--bandwidth",
    "bandwidth_mib",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MIB",
    help="Most MiB a second, all requests together.",
)
@click.option(
    "--no-md5",
    is_flag=True,
    help="Answer Put Range without Content-MD5 unless it was sent: faster than the service does.",
)
@click.option(
    "--accept-tokens",
    is_flag=True,
    help="Development mode: accept any well-formed bearer token.",
)
@click.option("--log", "level", default="warning", type=click.Choice(_LEVELS), show_default=True)
def emulator(
    data: Path | None,
    in_memory: bool,
    host: str,
    port: int,
    accounts: str | None,
    shares: tuple[str, ...],
    latency_ms: float,
    bandwidth_mib: float | None,
    no_md5: bool,
    accept_tokens: bool,
    level: str,
) -> None:
    """Run an emulator of the Azure Files REST API.

    It prints one line when it listens, then the connection string of each account.
    """  # fmt: skip
    if in_memory == (data is not None):
        _fail("give either --data DIR or --in-memory", _USAGE)
    try:
        from azfuse.emulator import server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "azfuse":
            raise
        _fail(
            f"{error.name} is not installed: install it with pip install 'azfuse[emulator]'",
            _TROUBLE,
        )
    from azfuse.emulator.service import Settings
    from azfuse.emulator.setup import SetupError, build

    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    try:
        keys = parse_accounts(accounts) if accounts else {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY}
        app = build(
            data,
            keys,
            shares=shares,
            settings=Settings(answer_md5=not no_md5, accept_tokens=accept_tokens),
            latency_ms=latency_ms,
            bandwidth_mib=bandwidth_mib,
        )
        sock = server.bind(host, port)
    except click.BadParameter as error:
        _fail(error.message, _USAGE)
    except (SetupError, server.CannotListen) as error:
        _fail(str(error), _USAGE)
    bound = sock.getsockname()[1]

    def ready() -> None:
        click.echo(f"azfuse emulator listens on http://{host}:{bound}")
        for account, key in keys.items():
            click.echo(connection_string(account, key, host, bound))
        sys.stdout.flush()

    try:
        server.serve(app, sock, ready)
    except OSError as error:
        _fail(str(error), _TROUBLE)
    finally:
        app.service.store.close()
