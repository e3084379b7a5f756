"""Scripts run as root in a Debian tree: no daemons there, and nothing of them stays."""

import subprocess
from pathlib import Path

from tests.system.packages.build import BUILD_LIMIT

#: In namespaces that end with the script, and with them its processes and mounts.
_ENTER = """
mount -t proc proc "$1/proc"
mount -t devpts devpts "$1/dev/pts"
[ -e "$1/dev/fuse" ] || mknod -m 666 "$1/dev/fuse" c 10 229
[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf > "$1/etc/resolv.conf"
exec chroot "$1" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -euc "$2"
"""


def run_in(
    root: Path, script: str, *, limit: float = BUILD_LIMIT, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a shell script in the tree *root* and return what it said."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
         "sh", "-euc", _ENTER, "sh", root, script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"it ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done
