"""Where the credentials of a mount come from.

In this order, the first that says anything: the file of `-o credentials=`, the
credential `azfuse` of systemd, the environment as the Azure CLI names it, and for
the development account on this machine its public key. A secret that was read is
removed from the environment, so that no child process inherits it; no message in
here repeats one.
"""

import logging
import os
import stat
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from azfuse.mount.errors import UsageError
from azfuse.mount.identity import find_identity
from azfuse.mount.sas_file import SasOfFile
from azfuse.mount.secrecy import wipe_environment
from azfuse.mount.source import Source
from azfuse.rest.auth import Bearer, ConnectionString, Credentials, Sas, SharedKey
from azfuse.rest.endpoint import DEFAULT_ENDPOINT_SUFFIX, Endpoint
from azfuse.rest.wire import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY

log = logging.getLogger(__name__)

#: Names in a credentials file -> the Azure CLI's names. `username` and `password` are those
#: of mount.cifs, whose files Azure's portal writes.
_FILE_NAMES: Final = {
    "connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "account": "AZURE_STORAGE_ACCOUNT",
    "username": "AZURE_STORAGE_ACCOUNT",
    "user": "AZURE_STORAGE_ACCOUNT",
    "key": "AZURE_STORAGE_KEY",
    "account_key": "AZURE_STORAGE_KEY",
    "password": "AZURE_STORAGE_KEY",
    "sas": "AZURE_STORAGE_SAS_TOKEN",
    "sas_token": "AZURE_STORAGE_SAS_TOKEN",
    "auth_mode": "AZURE_STORAGE_AUTH_MODE",
}
#: A name is not longer than that; a key that stands alone is, and ends with "=".
_LONGEST_NAME: Final = 24
_BARE: Final = "a value without a name: write key=... or sas=... in front of it"
_IGNORED_FILE_NAMES: Final = frozenset({"domain", "dom", "workgroup"})
#: Where systemd puts the credentials of a service, and the one that is ours (systemd.exec(5)).
_CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
_SYSTEMD_CREDENTIAL: Final = "azfuse"
SECRET_VARIABLES: Final = (
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)


#: Those of the Azure CLI; `key` means one of the others.
_AUTH_MODES: Final = frozenset({"", "login", "key"})
#: Secrets of azure-identity, which reads them from the environment when it needs them.
_IDENTITY_SECRETS: Final = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
)


@dataclass(frozen=True, slots=True)
class Login:
    """Where to go and how to prove who we are. `found_in` is for messages."""

    endpoint: Endpoint
    credentials: Credentials
    found_in: str


def find_login(
    source: Source,
    file: Path | None,
    environ: MutableMapping[str, str],
    *,
    file_option: str = "-o credentials=FILE",
) -> Login:
    """Find the endpoint and the credentials of *source*. Raises UsageError.

    Removes secrets from *environ*, also those it did not use; where it is the
    environment of this process, also from what /proc/PID/environ shows. *file_option*
    is how the command names a *file*, for messages.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name.startswith("AZURE_STORAGE_") and value
    }
    for name in SECRET_VARIABLES:
        environ.pop(name, None)
    if environ is os.environ:
        _wipe()
    systemd = _systemd_directory(environ)
    if file is None and systemd is not None and (systemd / _SYSTEMD_CREDENTIAL).exists():
        file = systemd / _SYSTEMD_CREDENTIAL
    if file is not None:
        login = _from_file(source, file)
        if isinstance(login.credentials, Sas):
            return replace(login, credentials=SasOfFile(file, partial(_sas_of_file, source, file)))
        return login
    if found := _from_variables(source, variables, "the environment"):
        return found
    endpoint = public_endpoint(source)
    if source.account == DEVELOPMENT_ACCOUNT and endpoint.loopback:
        return Login(endpoint, SharedKey(source.account, DEVELOPMENT_KEY), "the public key")
    raise UsageError(
        f"no credentials for account {source.account}: set AZURE_STORAGE_KEY, "
        f"AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or use {file_option}"
    )


def _wipe() -> None:
    for name in _IDENTITY_SECRETS:
        if name in os.environ:
            os.environ[name] = str(os.environ[name])  # a copy, away from what /proc shows
    try:
        wipe_environment((*SECRET_VARIABLES, *_IDENTITY_SECRETS))
    except OSError as error:
        log.warning("root can still read the credentials in /proc/PID/environ: %s", error.strerror)


def _systemd_directory(environ: Mapping[str, str]) -> Path | None:
    text = environ.get(_CREDENTIALS_DIRECTORY)
    return Path(text) if text else None


def _from_file(source: Source, file: Path) -> Login:
    login = _from_variables(source, read_credentials_file(file), str(file))
    if login is None:
        raise UsageError(f"credentials file {file} holds no key, sas or connection_string")
    return login


def _sas_of_file(source: Source, file: Path) -> Sas:
    credentials = _from_file(source, file).credentials
    if not isinstance(credentials, Sas):
        raise UsageError(f"credentials file {file} holds no shared access signature any more")
    return credentials


def read_credentials_file(path: Path) -> dict[str, str]:
    """Read a credentials file, TOML or `name=value` lines, as variables. Raises UsageError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # An ACL for the user of the service looks like rights of root's group.
            theirs = 0o007 if _is_of_systemd(path, status) else 0o077
            if stat.S_IMODE(status.st_mode) & theirs:
                raise UsageError(
                    f"credentials file {path} may be read by others: run chmod 600 {path}"
                )
            if status.st_uid not in (0, os.geteuid()):
                raise UsageError(f"credentials file {path} belongs to another user")
            text = file.read().decode()
    except OSError as error:
        raise UsageError(f"credentials file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"credentials file {path} is not UTF-8 text") from None
    variables: dict[str, str] = {}
    for name, value in _file_fields(path, text).items():
        known = name.lower().replace("-", "_")
        if known in _IGNORED_FILE_NAMES:
            continue
        if known not in _FILE_NAMES:
            if len(name) > _LONGEST_NAME or not value.strip("="):
                raise UsageError(f"credentials file {path} holds {_BARE}")  # it may be the key
            raise UsageError(f"credentials file {path} has an unknown name: {name}")
        variables[_FILE_NAMES[known]] = value
    return variables


def _is_of_systemd(path: Path, status: os.stat_result) -> bool:
    directory = _systemd_directory(os.environ)
    return directory is not None and path.parent == directory and status.st_uid == 0


def _file_fields(path: Path, text: str) -> dict[str, str]:
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # The form of mount.cifs: neither quotes nor escapes, the first "=" ends the name.
        lines = [line.strip() for line in text.splitlines()]
        pairs = [line.partition("=") for line in lines if line and line[0] not in "#;"]
        if not all(equals and name.strip().isidentifier() for name, equals, _ in pairs):
            raise UsageError(
                f"credentials file {path} is neither TOML nor name=value lines"
            ) from None
        return {name.strip(): value.strip() for name, _, value in pairs}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise UsageError(f"credentials file {path}: {name} must be a string")
    return fields


def _from_variables(source: Source, variables: Mapping[str, str], found_in: str) -> Login | None:
    for name, value in variables.items():
        if not value.isascii():  # neither base64 nor a query has anything else
            raise UsageError(f"{name} in {found_in} holds what is neither letter, digit nor sign")
    try:
        if text := variables.get("AZURE_STORAGE_CONNECTION_STRING"):
            _check_account(source, variables.get("AZURE_STORAGE_ACCOUNT"), found_in)
            return _from_connection_string(source, text, found_in)
        credentials: Credentials
        if key := variables.get("AZURE_STORAGE_KEY"):
            credentials = SharedKey(source.account, key)
        elif sas := variables.get("AZURE_STORAGE_SAS_TOKEN"):
            credentials = Sas(sas)
        elif _auth_mode(variables, found_in) == "login":
            credentials = Bearer(find_identity())
        else:
            return None
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"credentials in {found_in}: {error}") from None
    _check_account(source, variables.get("AZURE_STORAGE_ACCOUNT"), found_in)
    return Login(public_endpoint(source), credentials, found_in)


def _auth_mode(variables: Mapping[str, str], found_in: str) -> str:
    mode = variables.get("AZURE_STORAGE_AUTH_MODE", "").lower()
    if mode not in _AUTH_MODES:
        raise UsageError(f"the auth mode in {found_in} is {mode!r}, and must be login or key")
    return mode


def _from_connection_string(source: Source, text: str, found_in: str) -> Login:
    parsed = ConnectionString.parse(text)
    _check_account(source, parsed.endpoint.account, found_in)
    if parsed.credentials is None:
        raise ValueError("the connection string has neither AccountKey nor SharedAccessSignature")
    return Login(source.endpoint or parsed.endpoint, parsed.credentials, found_in)


def _check_account(source: Source, account: str | None, found_in: str) -> None:
    if account is not None and account.lower() != source.account:
        raise UsageError(
            f"the source names account {source.account}, "
            f"but the credentials in {found_in} are for account {account}"
        )


def public_endpoint(source: Source) -> Endpoint:
    """Return the endpoint that *source* names, or else that of the public cloud."""
    if source.endpoint is not None:
        return source.endpoint
    return Endpoint.parse(f"https://{source.account}.file.{DEFAULT_ENDPOINT_SUFFIX}")
