"""`azfuse status`."""

from typing import Any, Final

import click

from azfuse.cli import complete
from azfuse.cli.output import show_object
from azfuse.cli.target import json_option
from azfuse.mount.ask import ask, find_mount
from azfuse.mount.errors import MountError
from azfuse.mount.registry import Record

#: Complaints that a person is shown; `--json` has all that are remembered.
_SHOWN: Final = 5


@click.command()
@click.argument("mountpoint", required=False, shell_complete=complete.mounts)
@json_option
def status(mountpoint: str | None, *, as_json: bool) -> int:
    """Say whether a mount is healthy: exit status 0 if it is, 1 if not.

    MOUNTPOINT may be any path in the mount, and may be left out where there is just
    one. A mount is healthy when its process answers, the service answers that (it is
    asked once), and no upload fails.

    Example: azfuse status /srv/team || echo trouble
    """
    record = find_mount(mountpoint).record
    report = _report(record)
    complaints = report.get("complaints", [])
    if not as_json:
        report.pop("complaints", None)  # each has a line of its own
    show_object(report, as_json=as_json)
    if not as_json and isinstance(complaints, list) and complaints:
        click.echo("Complaints of the log:")
        for complaint in complaints[-_SHOWN:]:
            click.echo(f"  {complaint}")
    return 0 if report["healthy"] else 1


def _report(record: Record) -> dict[str, object]:
    report: dict[str, object] = {
        "mountPoint": record.mount_point,
        "source": record.source,
        "pid": record.pid,
        "log": record.log,
    }
    if record.state == "failed":
        return {"healthy": False, "problem": record.message, **report, "state": "failed"}
    try:
        answer: dict[str, Any] = ask(record, "stats")
        health: dict[str, Any] = ask(record, "health")
    except MountError as error:
        return {"healthy": False, "problem": str(error), **report, "state": record.state}
    writes, mount = answer["writes"], answer["mount"]
    failing = [f"{file['path']}: {file['error']}" for file in writes["failing"]]
    problems = [*([health["service"]] if health["service"] else []), *failing]
    return {
        "healthy": not problems,
        "problem": problems[0] if problems else None,
        **report,
        "state": mount["state"],
        "mountedAt": mount["mountedAt"],
        "dirtyBytes": writes["dirtyBytes"],
        "dirtyFiles": writes["dirtyFiles"],
        "failedUploads": writes["failedUploads"],
        "failing": failing,
        "leases": answer.get("leases", {}).get("held"),
        "serviceSeconds": None if health["service"] else health["seconds"],
        "complaints": [
            f"{entry['time']} {entry['level']}: {entry['message']}"
            for entry in health["complaints"]
        ],
    }
