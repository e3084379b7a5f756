"""Work on bytes: on the loop's thread if there are few, in a worker thread if there are many."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

import anyio.to_thread

from azfuse.emulator.errors import Refusal
from azfuse.emulator.store import Store

P = ParamSpec("P")
T = TypeVar("T")

#: Threads that hash while others write.
_HASHERS: Final = ThreadPoolExecutor(2, thread_name_prefix="md5")
#: Bytes up to which a read, a write or a hash is quicker than the way to another thread and back.
INLINE: Final = 64 * 1024


async def off_loop(size: int, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Do *work* on *size* bytes; return whether other requests may have run meanwhile."""
    if size <= INLINE:
        work(*args, **kwargs)
        return False
    await anyio.to_thread.run_sync(lambda: work(*args, **kwargs))
    return True


async def compute(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what *work* on *size* bytes gives; other requests may run meanwhile."""
    if size <= INLINE:
        return work(*args, **kwargs)
    return await anyio.to_thread.run_sync(lambda: work(*args, **kwargs))


def md5(data: bytes | bytearray) -> str:
    """Return the MD5 of *data* as headers carry it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


async def md5_of(data: bytes | bytearray) -> str:
    """Return the MD5 of *data* as headers carry it; other requests may run meanwhile."""
    return await compute(len(data), md5, data)


def begin_md5(data: bytes | bytearray) -> Future[str]:
    """Begin to hash *data*, beside whatever else is done, if there is much of it."""
    if len(data) > INLINE:
        return _HASHERS.submit(md5, data)
    done: Future[str] = Future()
    done.set_result(md5(data))
    return done


async def finish_md5(pending: Future[str]) -> str:
    """Return what `begin_md5` has begun. Checkpoints unless it is done."""
    return pending.result() if pending.done() else await anyio.to_thread.run_sync(pending.result)


@contextmanager
def removing_if_refused(store: Store, blob: int) -> Iterator[None]:
    """Remove a blob that was written ahead if what is inside refuses the request."""
    try:
        yield
    except Refusal:
        store.blobs.remove(blob)
        raise
