"""`azfuse emulator`: run an Azure Files service of one's own."""

import base64
import binascii
import json
import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import click

from azfuse.mount.notify import notify
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY, DEVELOPMENT_PORT

if TYPE_CHECKING:
    from azfuse.emulator.faults import Faults
    from azfuse.emulator.tls import Certificate

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


def connection_string(account: str, key: str, address: str) -> str:
    """Return the connection string of an account, as az, the SDKs and azfuse take it."""
    scheme = address.partition(":")[0]
    return (
        f"DefaultEndpointsProtocol={scheme};AccountName={account};AccountKey={key};"
        f"FileEndpoint={address}/{account};"
    )


def read_faults(
    path: Path | None, latency_ms: float | None, bandwidth_mib: float | None
) -> "Faults":
    """Return the faults of a file, with latency and bandwidth by options in place of its own.

    Raises click.BadParameter.
    """
    from azfuse.emulator.faults import FaultError, Faults

    faults = Faults()
    try:
        wanted = json.loads(path.read_text()) if path else {}
        if not isinstance(wanted, dict):
            raise click.BadParameter(f"{path} is not a JSON object")
        options = {"latency_ms": latency_ms, "bandwidth_mib": bandwidth_mib}
        faults.replace({**wanted, **{k: v for k, v in options.items() if v is not None}})
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}") from error
    except (FaultError, ValueError) as error:
        raise click.BadParameter(f"the faults of {path} make no sense: {error}") from error
    return faults


def find_certificate(
    chain: Path | None, key: Path | None, made_in: Path | None, host: str
) -> "Certificate | None":
    """Return the certificate to use: the one given, or one made in a directory; None for none."""
    from azfuse.emulator import tls

    if chain and key:
        return tls.given(chain, key)
    try:
        return tls.make(made_in, host) if made_in else None
    except ModuleNotFoundError as error:
        raise click.BadParameter(_not_installed(error)) from error


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep shares and files here; made if missing.",
)
@click.option("--in-memory", is_flag=True, help="Keep everything in memory; gone at the end.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEVELOPMENT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 picks a free one.",
)
@click.option(
    "--accounts",
    metavar="NAME:KEY[,...]",
    envvar="AZFUSE_EMULATOR_ACCOUNTS",
    help="Accounts and base64 keys (devstoreaccount1).",
)
@click.option("--create-share", "shares", multiple=True, metavar="NAME", help="Make this share.")
@click.option(
    "--latency",
    "latency_ms",
    type=click.FloatRange(min=0),
    metavar="MS",
    help="Milliseconds added to every request.",
)
@click.option(
    "--bandwidth",
    "bandwidth_mib",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MIB",
    help="Most MiB a second, all together.",
)
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSON of faults, also live at /-/admin/faults.",
)
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Serve HTTPS with this certificate chain (PEM).",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Private key of --tls-cert (PEM).",
)
@click.option(
    "--tls-self-signed",
    is_flag=True,
    help="HTTPS with a certificate made now, and ca.pem.",
)
@click.option(
    "--soft-delete-days",
    default=0,
    type=click.IntRange(0, 365),
    metavar="DAYS",
    help="Deleted shares can be restored so long.",
)
@click.option(
    "--share-delete-seconds",
    default=0.0,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a deleted name stays taken (Azure: 30).",
)
@click.option(
    "--copy-seconds",
    default=0.0,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a foreign copy is pending.",
)
@click.option(
    "--no-md5",
    is_flag=True,
    help="Put Range answers no MD5 unless it was sent.",
)
@click.option(
    "--accept-tokens",
    is_flag=True,
    help="Accept any well-formed bearer token.",
)
@click.option("--log", "level", default="warning", type=click.Choice(_LEVELS), show_default=True)
def emulator(
    data: Path | None,
    in_memory: bool,
    host: str,
    port: int,
    accounts: str | None,
    shares: tuple[str, ...],
    latency_ms: float | None,
    bandwidth_mib: float | None,
    faults_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_self_signed: bool,
    soft_delete_days: int,
    share_delete_seconds: float,
    copy_seconds: float,
    no_md5: bool,
    accept_tokens: bool,
    level: str,
) -> None:
    """Run an emulator of the Azure Files REST API.

    It prints one line when it listens, then the connection string of each account.

    \b
    Examples:
      azfuse emulator --data ~/emulated --create-share demo
      azfuse emulator --in-memory --latency 20 --tls-self-signed
    """  # noqa: D301 # \b is click's mark
    if in_memory == (data is not None):
        _fail("give either --data DIR or --in-memory", _USAGE)
    if (tls_cert is None) != (tls_key is None) or (tls_cert and tls_self_signed):
        _fail("give --tls-cert and --tls-key together, or --tls-self-signed", _USAGE)
    _require_extra()
    from azfuse.emulator import server, tls
    from azfuse.emulator.service import Settings
    from azfuse.emulator.setup import SetupError, build

    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    settings = Settings(
        answer_md5=not no_md5,
        accept_tokens=accept_tokens,
        soft_delete_days=soft_delete_days,
        share_delete_seconds=share_delete_seconds,
        copy_seconds=copy_seconds,
    )
    with ExitStack() as cleanup:
        made_in = _directory_for_certificates(data, cleanup) if tls_self_signed else None
        try:
            faults = read_faults(faults_file, latency_ms, bandwidth_mib)
            keys = parse_accounts(accounts) if accounts else {DEVELOPMENT_ACCOUNT: DEVELOPMENT_KEY}
            certificate = find_certificate(tls_cert, tls_key, made_in, host)
            app = build(data, keys, shares=shares, settings=settings, faults=faults)
            cleanup.callback(app.service.store.close)
            sock = server.bind(host, port)
        except click.BadParameter as error:
            _fail(error.message, _USAGE)
        except (SetupError, server.CannotListen, tls.CertificateUnusable) as error:
            _fail(str(error), _USAGE)
        address = address_of(host, sock.getsockname()[1], tls=certificate is not None)
        try:
            server.serve(app, sock, lambda: announce(address, keys, made_in), certificate)
        except OSError as error:
            _fail(str(error), _TROUBLE)


def _require_extra() -> None:
    """End with one line if the packages of the extra are not there."""
    try:
        import azfuse.emulator.server  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "azfuse":
            raise
        _fail(_not_installed(error), _TROUBLE)


def _not_installed(error: ModuleNotFoundError) -> str:
    return f"{error.name} is not installed: install it with pip install 'azfuse[emulator]'"


def _directory_for_certificates(data: Path | None, cleanup: ExitStack) -> Path:
    """Return where certificates are made: beside the data, else where they vanish at the end."""
    if data:
        return data / "tls"
    return Path(cleanup.enter_context(TemporaryDirectory(prefix="azfuse-emulator-")))


def address_of(host: str, port: int, *, tls: bool) -> str:
    """Return the address of the emulator as a URL without a path."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def announce(address: str, keys: Mapping[str, str], made_in: Path | None) -> None:
    """Print that the emulator listens, and what clients need to reach it."""
    click.echo(f"azfuse emulator listens on {address}")
    for account, key in keys.items():
        click.echo(connection_string(account, key, address))
    if made_in:
        click.echo(f"clients have to trust {made_in / 'ca.pem'}")
    sys.stdout.flush()
    notify("READY=1", f"STATUS=listening on {address}")
