"""From options to an application: accounts, data directory, shares to begin with."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

from azfuse.emulator import share, snapshots
from azfuse.emulator.app import Emulator
from azfuse.emulator.errors import Refusal
from azfuse.emulator.faults import Faults
from azfuse.emulator.names import check_share_name
from azfuse.emulator.service import Settings
from azfuse.emulator.store import Store, StoreUnusable


class SetupError(Exception):
    """The emulator cannot be set up like this; the message is one sentence for the user."""


def build(
    data: Path | None,
    keys: Mapping[str, str],
    *,
    shares: Iterable[str] = (),
    settings: Settings | None = None,
    faults: Faults | None = None,
) -> Emulator:
    """Return an application on a data directory, or in memory if *data* is None.

    *keys* are the base64 keys of the accounts; *shares* are made in the first account unless they
    are there already. Raises SetupError.
    """
    try:
        store = Store(data)
    except StoreUnusable as error:
        raise SetupError(str(error)) from error
    settings = settings or Settings()
    while snapshots.collect(store, keep_days=settings.soft_delete_days, limit=1000):
        continue
    decoded = {name: base64.b64decode(key) for name, key in keys.items()}
    app = Emulator(
        store, decoded, settings=settings,
        faults=faults,
    )  # fmt: skip
    account = next(iter(decoded))
    for name in shares:
        try:
            check_share_name(name)
            if store.share(account, name) is None:
                share.make_share(app.service, account, name, quota=settings.default_quota)
        except Refusal as refusal:
            store.close()
            raise SetupError(f"cannot make share {name!r}: {refusal.message}") from refusal
    return app
