"""Whether the machine boots: then the network may be late, or who is to answer there."""

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from azfuse.mount.plan import Plan

#: Seconds for which a mount is tried while the machine boots. systemd gives up on a mount
#: unit after 90 (DefaultTimeoutStartSec=).
BOOT_TIMEOUT: Final = 80.0
#: Bound on asking systemd, in seconds.
_ANSWER_TIMEOUT: Final = 5.0
#: What `systemctl is-system-running` says until every job of the boot is done.
_BOOTING: Final = frozenset({"initializing", "starting"})


def allow_for_boot(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """Return *plan* with more time for the first contact, if a boot needs it.

    Nobody tries a mount unit again, so this one try has to last.
    """
    if plan.options.mount_timeout is not None or not is_booting(environ):
        return plan
    return replace(plan, options=replace(plan.options, mount_timeout=BOOT_TIMEOUT))


def is_booting(environ: Mapping[str, str]) -> bool:
    """Say whether systemd runs us, as part of a unit, while the machine boots."""
    if "INVOCATION_ID" not in environ:  # systemd.exec(5): set for units only
        return False
    try:
        done = subprocess.run(
            ["systemctl", "is-system-running"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in _BOOTING
