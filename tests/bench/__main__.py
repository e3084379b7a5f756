"""Run the workloads on a fresh mount over the emulator, and print what each of them cost.

The emulator runs on the same machine and takes its share of it: the seconds
compare two versions of azfuse, not azfuse with a share in a data centre. The
requests and bytes are what they would be there.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from azfuse.cli.demo import show_usage
from azfuse.cli.demo_stage import Stage, Usage
from azfuse.mount.errors import MountError

KIB = 1024
MIB = 1024 * KIB
FILES = 300
LARGE = 128 * MIB


def make_small_files(share: Path) -> None:
    (share / "small").mkdir()
    for number in range(FILES):
        (share / f"small/{number:04}").write_bytes(os.urandom(4 * KIB))


def list_with_attributes(share: Path) -> None:
    subprocess.run(["ls", "-l", share / "small"], stdout=subprocess.DEVNULL, check=True)


def read_small_files(share: Path) -> None:
    for number in range(FILES):
        (share / f"small/{number:04}").read_bytes()


def write_large_file(share: Path) -> None:
    piece = os.urandom(MIB)
    with (share / "large").open("wb", buffering=0) as file:
        for _ in range(LARGE // MIB):
            file.write(piece)


def read_large_file(share: Path) -> None:
    with (share / "large").open("rb", buffering=0) as file:
        while file.read(MIB):
            pass


def read_here_and_there(share: Path) -> None:
    with (share / "large").open("rb", buffering=0) as file:
        for step in range(100):
            os.pread(file.fileno(), 4 * KIB, (step * 7919 * 4 * KIB) % LARGE)


def overwrite_and_sync(share: Path) -> None:
    with (share / "large").open("r+b", buffering=0) as file:
        for step in range(50):
            os.pwrite(file.fileno(), os.urandom(4 * KIB), step * MIB)
            os.fsync(file.fileno())


def overwrite_scattered(share: Path) -> None:
    with (share / "large").open("r+b", buffering=0) as file:
        for step in range(1000):
            os.pwrite(file.fileno(), os.urandom(4 * KIB), (step * 7919 * 4 * KIB) % LARGE)
        os.fsync(file.fileno())


def append_and_sync(share: Path) -> None:
    with (share / "journal").open("ab", buffering=0) as file:
        for _ in range(50):
            file.write(os.urandom(4 * KIB))
            os.fsync(file.fileno())


def rename_onto(share: Path) -> None:
    for number in range(50):
        (share / f"small/{number:04}").replace(share / f"small/{number + 100:04}")


def remove_all(share: Path) -> None:
    subprocess.run(["rm", "-r", *share.iterdir()], check=True)


#: Title, what is done, and whether a new mount comes first, so that nothing is cached.
WORKLOADS: tuple[tuple[str, Callable[[Path], None], bool], ...] = (
    (f"create {FILES} files of 4 KiB", make_small_files, False),
    (f"ls -l of {FILES} files, cold", list_with_attributes, True),
    (f"read {FILES} files of 4 KiB, cold", read_small_files, True),
    (f"write {LARGE // MIB} MiB", write_large_file, False),
    (f"read {LARGE // MIB} MiB, cold", read_large_file, True),
    ("read 100 scattered 4 KiB, cold", read_here_and_there, True),
    ("overwrite 4 KiB + fsync, 50 times", overwrite_and_sync, False),
    ("overwrite 1000 x 4 KiB, one fsync", overwrite_scattered, False),
    ("append 4 KiB + fsync, 50 times", append_and_sync, False),
    ("rename onto a file, 50 times", rename_onto, False),
    ("rm -r of it all", remove_all, False),
)


def main() -> int:
    """Run every workload; return the exit status."""
    rows: list[tuple[str, float, Usage]] = []
    try:
        with Stage(1) as stage:
            for title, work, cold in WORKLOADS:
                if cold:
                    stage.unmount()
                    stage.mount()
                stage.take_usage()
                began = time.monotonic()
                work(stage.share)
                rows.append((title, time.monotonic() - began, stage.take_usage()))
            show_usage(rows)
    except (MountError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
