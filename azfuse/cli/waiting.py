"""A sign of life on a terminal while a service takes its time."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

#: What takes less than so many seconds needs none.
_PATIENCE: Final = 2.0


@asynccontextmanager
async def sign_of_life(text: str) -> AsyncIterator[None]:
    """Show *text* on standard error, if that is a terminal, while the block goes on too long."""
    async with trio.open_nursery() as nursery:
        if sys.stderr.isatty():
            nursery.start_soon(_show, text)
        yield
        nursery.cancel_scope.cancel()


async def _show(text: str) -> None:
    await trio.sleep(_PATIENCE)
    # Only here: most commands end before there is anything to show.
    from rich.console import Console

    with Console(stderr=True).status(text):
        await trio.sleep_forever()
