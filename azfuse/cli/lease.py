"""`azfuse lease`: leases of files, which keep others from writing."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import click
import trio

from azfuse.cli.group import Group
from azfuse.cli.output import show_rows, time_text
from azfuse.cli.remote import run
from azfuse.cli.target import Words, json_option, target_options
from azfuse.mount.errors import UsageError
from azfuse.rest.directory import Directory
from azfuse.rest.errors import ErrorCode, ServiceError
from azfuse.rest.file import File
from azfuse.rest.models import FileProperties
from azfuse.rest.resource import MISSING
from azfuse.rest.transport import Transport

#: Requests in flight while leases are looked for: as many as there are connections.
_IN_FLIGHT: Final = 16
#: States in which a lease keeps others from writing.
_HELD: Final = frozenset({"leased", "breaking"})


@click.group(cls=Group)
def lease() -> None:
    """Show which files are leased, and break a lease.

    Who holds a lease on a file is its only writer: others get an error. A client
    that died may leave a lease behind; breaking it lets others write again.

    \b
    Examples:
      azfuse lease list account/team/projects
      azfuse lease break account/team/projects/plan.ods
    """  # noqa: D301 # \b is click's mark


@lease.command("list")
@click.argument("where", metavar="SHARE[/PATH]")
@click.option("--all", "show_all", is_flag=True, help="Files without a lease as well.")
@json_option
@target_options
def list_(where: str, show_all: bool, as_json: bool, *, words: Words) -> None:
    """List the leased files in SHARE, or below the directory PATH of it.

    It takes one request for each file: the service has no other way to ask.

    Example: azfuse lease list account/team/projects --json
    """
    target = words.to_share(where, with_path=True)

    async def work(transport: Transport) -> dict[str, FileProperties]:
        return await find_leases(transport, target.share, target.path, show_all=show_all)

    found = run(target, work)
    rows = [
        {
            "path": path,
            "state": properties.lease.state,
            "status": properties.lease.status,
            "duration": properties.lease.duration,
            "size": properties.size,
            "lastModified": time_text(properties.last_modified),
        }
        for path, properties in sorted(found.items())
    ]
    show_rows(rows, ["path", "state", "duration", "lastModified"], as_json=as_json)


async def find_leases(
    transport: Transport, share: str, top: str, *, show_all: bool
) -> dict[str, FileProperties]:
    """Return the leased files (or all) at or below *top*, by path. Raises as rest does."""
    file = File(transport, share)
    found: dict[str, FileProperties] = {}

    async def look(paths: trio.MemoryReceiveChannel[str]) -> None:
        async with paths:
            async for path in paths:
                try:
                    properties = await file.get_file_properties(path)
                except ServiceError as error:
                    if error.code not in MISSING:  # else it has gone since it was listed
                        raise
                    continue
                if show_all or properties.lease.state in _HELD:
                    found[path] = properties

    async with trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[str](_IN_FLIGHT)
        async with send, receive:
            for _ in range(_IN_FLIGHT):
                nursery.start_soon(look, receive.clone())
            async with aclosing(_files_below(Directory(transport, share), top)) as paths:
                async for path in paths:
                    await send.send(path)
    return found


async def _files_below(directory: Directory, top: str) -> AsyncGenerator[str, None]:
    """Yield the paths of all files below *top*, or *top* itself where it is a file."""
    waiting = [top]
    while waiting:
        parent = waiting.pop()
        marker: str | None = None
        while True:
            try:
                page = await directory.list_directories_and_files(
                    parent, marker=marker, extended=False
                )
            except ServiceError as error:
                if parent == top:
                    if error.code not in (*MISSING, ErrorCode.RESOURCE_TYPE_MISMATCH) or not top:
                        raise
                    await File(directory.transport, directory.share).get_file_properties(top)
                    yield top
                elif error.code not in MISSING:
                    raise
                break
            for entry in page.entries:
                path = f"{parent}/{entry.name}" if parent else entry.name
                if entry.is_directory:
                    waiting.append(path)
                else:
                    yield path
            marker = page.next_marker
            if marker is None:
                break


@lease.command("break")
@click.argument("where", metavar="SHARE/PATH")
@target_options
def break_(where: str, *, words: Words) -> None:
    """Break the lease of the file PATH in SHARE, at once and without its id.

    Who held it can write no more; what it had not yet sent may be lost.

    Example: azfuse lease break account/team/projects/plan.ods
    """
    target = words.to_share(where, with_path=True)
    if not target.path:
        raise UsageError(
            f"{where!r} names no file: add /PATH to it (azfuse share lease break is for shares)"
        )

    async def work(transport: Transport) -> None:
        await File(transport, target.share).break_lease(target.path)

    run(target, work)
