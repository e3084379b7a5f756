"""A Debian 12 tree, made once by debootstrap and never changed: each test gets a layer over it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
#: A system that boots, mounts and runs azfuse; `minbase` holds what is not named.
PACKAGES = (
    "ca-certificates", "dbus", "dbus-user-session", "fuse3", "iproute2", "libpam-systemd", "mount",
    "python3", "python3-venv", "systemd", "systemd-sysv",
)  # fmt: skip
#: Seconds for debootstrap: some two hundred packages over a slow line.
BUILD_LIMIT = 900
COPY_LIMIT = 300


def why_not() -> str | None:
    """Return why no Debian tree can be made here, or None."""
    if os.geteuid() != 0:
        return "only root can make a Debian tree"
    absent = [name for name in ("debootstrap", "unshare") if shutil.which(name) is None]
    return f"not on this machine: {', '.join(absent)}" if absent else None


def debian_tree(packages: Sequence[str] = PACKAGES, suite: str = SUITE) -> Path:
    """Return the root of a Debian *suite* with *packages*, to be read only.

    It is made when it is first asked for, which takes a minute or more, and kept below
    `$XDG_CACHE_HOME/azfuse-tests`. Remove that directory to have it made anew.
    """
    wanted = sorted(set(packages))
    digest = hashlib.sha256(" ".join([suite, *wanted]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azfuse-tests"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    tree = cache / f"{suite}-{digest}"
    with (cache / f"{tree.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            unfinished = cache / f"{tree.name}.unfinished"
            if unfinished.exists():
                shutil.rmtree(unfinished)
            _debootstrap(unfinished, wanted, suite)
            unfinished.rename(tree)
    return tree


def _debootstrap(tree: Path, packages: Sequence[str], suite: str) -> None:
    include = [f"--include={','.join(packages)}"] if packages else []
    # In namespaces of its own, so that no mount and no process outlives it.
    words = [
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
        "debootstrap", "--variant=minbase", *include, suite, str(tree),
        *_mirror(),
    ]  # fmt: skip
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_LIMIT,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"debootstrap failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _mirror() -> list[str]:
    """Return where this machine's apt finds Debian, as words for debootstrap.

    None on another distribution: debootstrap then takes the mirror it knows itself.
    """
    if shutil.which("apt-get") is None:
        return []
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
         "Origin: Debian", "Label: Debian"],
        capture_output=True, text=True, timeout=60, check=False,
    ).stdout  # fmt: skip
    return said.split()[:1]


@contextmanager
def layered(trees: Sequence[Path], directory: Path) -> Iterator[Path]:
    """Yield a directory with what is in *trees*, the first on top, that may be changed at will.

    Changes are kept in *directory*`/changes`, and are gone at the end. An overlay where the kernel
    has it, which costs nothing; else a copy.
    """
    root, changes, work = (directory / name for name in ("root", "changes", "work"))
    for path in (root, changes, work):
        path.mkdir(parents=True)
    try:
        if _overlay(trees, root, changes, work):
            try:
                yield root
            finally:
                # Lazily: a process that did not end must not make a test fail twice.
                subprocess.run(["umount", "--lazy", str(root)], timeout=COPY_LIMIT, check=True)
        else:
            for tree in reversed(trees):
                copy = ["cp", "--archive", "--reflink=auto", f"{tree}/.", str(root)]
                subprocess.run(copy, timeout=COPY_LIMIT, check=True)
            yield root
    finally:
        for path in (root, changes, work):
            shutil.rmtree(path)


def _overlay(trees: Sequence[Path], root: Path, changes: Path, work: Path) -> bool:
    lower = ":".join(str(tree) for tree in trees)
    words = ["mount", "-t", "overlay", "overlay", str(root)]
    options = f"lowerdir={lower},upperdir={changes},workdir={work}"
    done = subprocess.run(
        [*words, "-o", options], capture_output=True, timeout=COPY_LIMIT, check=False
    )
    return done.returncode == 0
