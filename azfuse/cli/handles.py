"""`azfuse handles`: what SMB clients have open."""

import click

from azfuse.cli.failure import CommandError
from azfuse.cli.group import Group
from azfuse.cli.output import show_object, show_rows, time_text
from azfuse.cli.remote import run
from azfuse.cli.target import Words, json_option, target_options
from azfuse.rest.directory import Directory
from azfuse.rest.handles import ALL_HANDLES, Handle
from azfuse.rest.transport import Transport


@click.group(cls=Group)
def handles() -> None:
    """List what SMB clients have open, and close it.

    An open handle can keep a file from being deleted and a directory from being
    renamed. Mounts of azfuse hold none: they speak REST.

    \b
    Examples:
      azfuse handles list account/team --recursive
      azfuse handles close account/team/plan.ods --close-all
    """  # noqa: D301 # \b is click's mark


_recursive_option = click.option(
    "--recursive", is_flag=True, help="All below the directory as well."
)


@handles.command("list")
@click.argument("where", metavar="SHARE[/PATH]")
@_recursive_option
@json_option
@target_options
def list_(where: str, recursive: bool, as_json: bool, *, words: Words) -> None:
    """List the open handles on a file or directory.

    Example: azfuse handles list account/team --recursive --json
    """
    target = words.to_share(where, with_path=True)

    async def work(transport: Transport) -> list[Handle]:
        # A file is asked with the same words as a directory.
        directory, found, marker = Directory(transport, target.share), list[Handle](), None
        while True:
            page = await directory.list_handles(target.path, recursive=recursive, marker=marker)
            found += page.handles
            marker = page.next_marker
            if marker is None:
                return found

    rows = [
        {
            "handleId": handle.handle_id,
            "path": handle.path,
            "client": handle.client_ip,
            "clientName": handle.client_name,
            "rights": list(handle.access_rights),
            "opened": time_text(handle.open_time),
            "reconnected": time_text(handle.last_reconnect_time),
            "sessionId": handle.session_id,
            # As text: these numbers are too large for many readers of JSON.
            "fileId": _text(handle.file_id),
            "parentId": _text(handle.parent_id),
        }
        for handle in run(target, work)
    ]
    columns = ["handleId", "path", "client", "clientName", "rights", "opened"]
    show_rows(rows, columns, as_json=as_json)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


@handles.command()
@click.argument("where", metavar="SHARE[/PATH]")
@click.option("--handle-id", metavar="ID", help="Close this one.")
@click.option("--close-all", is_flag=True, help="Close all there are.")
@_recursive_option
@json_option
@target_options
def close(
    where: str,
    handle_id: str | None,
    close_all: bool,
    recursive: bool,
    as_json: bool,
    *,
    words: Words,
) -> None:
    """Close handles on a file or directory; the clients lose what they had not saved.

    Example: azfuse handles close account/team/plan.ods --handle-id 81190846710
    """
    if close_all == (handle_id is not None):
        raise click.UsageError("give either --handle-id ID or --close-all")
    target = words.to_share(where, with_path=True)

    async def work(transport: Transport) -> tuple[int, int]:
        directory, marker, closed, failed = Directory(transport, target.share), None, 0, 0
        while True:
            answer = await directory.force_close_handles(
                target.path, handle_id or ALL_HANDLES, recursive=recursive, marker=marker
            )
            closed, failed = closed + answer.closed, failed + answer.failed
            marker = answer.next_marker
            if marker is None:
                return closed, failed

    closed, failed = run(target, work)
    show_object({"closed": closed, "failed": failed}, as_json=as_json)
    if failed:
        raise CommandError(f"{failed} handles could not be closed")
