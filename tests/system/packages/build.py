"""Programs run apart from this source tree, and what is built from it."""

import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from azfuse.mount.mountpoint import MOUNT_TYPE, mounted_here

REPOSITORY = Path(__file__).parents[3]
#: Seconds for pip and apt-get, which fetch, and compile pyfuse3.
BUILD_LIMIT = 600
#: Seconds after which azfuse itself is stuck.
PATIENCE = 60

#: What would lead programs back to this source tree, to our environment, or into the cloud.
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "DESTDIR", "PREFIX")


def outside(**variables: str) -> dict[str, str]:
    """Return our environment as it is outside this project, and with *variables*."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _OURS and not name.startswith(("AZURE_", "AZFUSE_"))
    }
    return {**kept, **variables}


def run(
    *words: str | Path,
    cwd: str | Path = "/",
    limit: float = BUILD_LIMIT,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, outside of this source tree, and return what it said."""
    done = subprocess.run(
        words, cwd=cwd, env=env or outside(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=limit, check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def unpacked(sdist: Path, directory: Path) -> Path:
    """Unpack *sdist* and return the source tree that was in it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    (tree,) = directory.iterdir()
    return tree


def everything_below(directory: Path) -> set[str]:
    """Return the paths of all that is below *directory*."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@contextmanager
def emulator(azfuse: Sequence[str | Path]) -> Iterator[tuple[str, int]]:
    """Run `azfuse emulator` with the share `team`; yield the URL of that, and its process."""
    words = ["emulator", "--in-memory", "--port", "0", "--create-share", "team"]
    process = subprocess.Popen(
        [*azfuse, *words], cwd="/", env=outside(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().rpartition(" ")[2].strip()
        try:
            yield f"{endpoint}/devstoreaccount1/team", process.pid
        finally:
            process.terminate()


def check_in_use(azfuse: Path, directory: Path) -> None:
    """Mount an emulator, write and read with the installed *azfuse*, and unmount."""
    place = directory / "mnt"
    place.mkdir()
    with emulator([azfuse]) as (url, _):
        options = f"state-dir={directory / 'state'},log-file={directory / 'log'}"
        run(azfuse, "mount", url, place, "-o", options, limit=PATIENCE)
        try:
            run("sh", "-ec", "echo hello > a; mv a b; cat b", cwd=place, limit=PATIENCE)
            run(azfuse, "unmount", place, limit=PATIENCE)
            assert not any(place.iterdir())
            run(azfuse, "mount", url, place, "-o", options, limit=PATIENCE)
            assert run("cat", "b", cwd=place, limit=PATIENCE).stdout == "hello\n"
            run(azfuse, "unmount", place, limit=PATIENCE)
        finally:
            while (mount := mounted_here(place)) is not None and mount.kind == MOUNT_TYPE:
                run("fusermount3", "-uz", "--", place, limit=PATIENCE)
