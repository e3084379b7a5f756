"""Entra identities: tokens of azure-identity, which blocks, without blocking trio."""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import trio

from azfuse.mount.errors import UsageError
from azfuse.rest.auth import AccessToken, TokenUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: Longest time for one token, in seconds; `az` alone may take ten.
_TOKEN_TIMEOUT: Final = 30.0


class Identity:
    """Tokens of the credential that *make* makes, each fetched in a thread, one at a time.

    The credential is made at the first token: a daemon forks before that, and
    must not take a connection pool along. A thread that hangs is left behind; no
    other is begun until it ends.
    """

    def __init__(self, make: Callable[[], "TokenCredential"]) -> None:
        self._make = make
        self._credential: TokenCredential | None = None
        self._worked = False
        self._one = trio.CapacityLimiter(1)

    async def get_token(self, scope: str) -> AccessToken:
        """Return a token for *scope*. Raises TokenUnavailable."""
        try:
            with trio.fail_after(_TOKEN_TIMEOUT):
                token = await trio.to_thread.run_sync(
                    self._get_token, scope, abandon_on_cancel=True, limiter=self._one
                )
        except trio.TooSlowError:
            raise TokenUnavailable(
                f"azure-identity gave none for {_TOKEN_TIMEOUT:.0f} s", lasting=False
            ) from None
        self._worked = True
        return token

    def _get_token(self, scope: str) -> AccessToken:
        try:
            if self._credential is None:
                self._credential = self._make()
            token = self._credential.get_token(scope)
        except Exception as error:  # whatever its many sources raise: they share no class
            # Where it worked before, it may work again: a metadata service is restarted, say.
            raise TokenUnavailable(_reason(error), lasting=not self._worked) from error
        return AccessToken(token.token, token.expires_on)


def _reason(error: Exception) -> str:
    """Return the line that says most: a chain of credentials says one for each."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _default_credential() -> "TokenCredential":
    # The chain tries environment (a service principal), workload identity, managed identity,
    # Azure CLI and others; AZURE_TOKEN_CREDENTIALS chooses among them.
    from azure.identity import DefaultAzureCredential

    # It logs every source that it tries, at INFO.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    return DefaultAzureCredential()


def find_identity() -> Identity:
    """Return the identity of this machine or user. Raises UsageError without azure-identity."""
    if find_spec("azure") is None or find_spec("azure.identity") is None:
        raise UsageError(
            "AZURE_STORAGE_AUTH_MODE=login needs azure-identity: pip install 'azfuse[identity]'"
        )
    return Identity(_default_credential)
