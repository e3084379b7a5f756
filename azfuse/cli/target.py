"""What a command on the service is about: account, share, path, and the credentials for it.

The words are those of `azfuse mount` and of `az storage`: a source such as
`account/share/path` or a URL; or only `share`, with the account from
`--account-name`, AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from azfuse.cli import complete
from azfuse.mount.credentials import Login, find_login, read_credentials_file
from azfuse.mount.errors import UsageError
from azfuse.mount.source import Source, parse_source
from azfuse.rest.auth import ConnectionString

F = TypeVar("F", bound=Callable[..., Any])

#: Makes an account into a source that can be parsed.
_ANY_SHARE: Final = "any"


@dataclass(frozen=True, slots=True)
class Target:
    """Account, share and path (both may be empty), and how to get there."""

    login: Login
    source: Source

    @property
    def account(self) -> str:
        """Return the name of the account."""
        return self.source.account

    @property
    def share(self) -> str:
        """Return the name of the share, empty for a whole account."""
        return self.source.share

    @property
    def path(self) -> str:
        """Return the share-relative path, empty for the root."""
        return self.source.directory


@dataclass(frozen=True, slots=True)
class Words:
    """The options that say where to go: those of `target_options`."""

    account_name: str | None
    credentials: Path | None

    def to_account(self, text: str | None) -> Target:
        """Find the account *text*, or the one that options or environment name."""
        name = text or self.account_name or self._known_account()
        if name is None:
            raise UsageError(f"no account is named: {_HOW_TO_NAME}")
        return self._target(parse_account(name))

    def to_share(self, text: str, *, with_path: bool = False) -> Target:
        """Find the share *text*, and *with_path* what is in it. Raises UsageError."""
        source = self._parse(text)
        if source.directory and not with_path:
            raise UsageError(f"{text!r} names more than a share: {source.directory!r} is too much")
        return self._target(source)

    def _parse(self, text: str) -> Source:
        if self.account_name is not None:
            account = parse_account(self.account_name)
            source = parse_source(f"{account.account}/{text.lstrip('/')}")
            return replace(source, text=text, endpoint=account.endpoint)
        if "/" in text or "\\" in text:
            try:
                return parse_source(text)
            except UsageError as error:
                if "://" in text or text[0] in "/\\":
                    raise
                raise UsageError(f"{error}; what is meant is ACCOUNT/SHARE[/PATH]") from None
        account_name = self._known_account()
        if account_name is None:
            raise UsageError(f"{text!r} names no account: write ACCOUNT/{text}, or {_HOW_TO_NAME}")
        return parse_source(f"{account_name}/{text}")

    def _known_account(self) -> str | None:
        """Return the account that the credentials file or the environment names, if any."""
        variables: Mapping[str, str] = os.environ
        if self.credentials is not None:
            variables = read_credentials_file(self.credentials)
        if text := variables.get("AZURE_STORAGE_CONNECTION_STRING"):
            try:
                return ConnectionString.parse(text).endpoint.account
            except ValueError as error:
                raise UsageError(str(error)) from None
        return variables.get("AZURE_STORAGE_ACCOUNT") or None

    def _target(self, source: Source) -> Target:
        login = find_login(source, self.credentials, os.environ, file_option="--credentials FILE")
        return Target(login, source)


_HOW_TO_NAME: Final = (
    "use --account-name, or set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING"
)


def parse_account(text: str) -> Source:
    """Read an account: its name, or the URL of its File endpoint. Raises UsageError."""
    if "?" in text or "@" in text:  # may be a secret: not to be repeated
        raise UsageError("an account is named without a SAS or a password")
    try:
        source = parse_source(f"{text.rstrip('/')}/{_ANY_SHARE}")
    except UsageError:
        source = None
    if source is None or (source.share, source.directory) != (_ANY_SHARE, ""):
        raise UsageError(
            f"{text!r} is no account: write its name, or https://NAME.file.core.windows.net"
        )
    return replace(source, text=text, share="")


def target_options(command: F) -> F:
    """Add the options of `Words` to a command, as one argument `words`."""

    def wrapped(
        *args: Any, account_name: str | None, credentials: Path | None, **kwargs: Any
    ) -> Any:
        return command(*args, words=Words(account_name, credentials), **kwargs)

    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    wrapped.__dict__.update(command.__dict__)
    decorated: Any = wrapped
    for option in (
        click.option(
            "--credentials",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Credentials, as for azfuse mount.",
        ),
        click.option("--account-name", metavar="ACCOUNT", help="Account (name or URL)."),
    ):
        decorated = option(decorated)
    result: F = decorated
    return result


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
#: For commands that ask what `azfuse mount` would do.
mount_options_option = click.option(
    "-o",
    "options",
    multiple=True,
    metavar="NAME[=VALUE],...",
    help="As for mount.",
    shell_complete=complete.mount_options,
)
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="AZFUSE_CONFIG",
    metavar="FILE",
    help="Config file instead of those of machine and user.",
)
