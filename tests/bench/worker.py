"""Runs one phase of a workload in a process of its own, and says how long it took.

    python -m tests.bench.worker PHASE WORKLOAD SCALE MOUNT INPUTS

The answer is one line of JSON on standard output. Whoever started it may kill it
at any moment: what hangs hangs here.
"""

import ctypes
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.catalogue import make
from tests.bench.store import Wrong
from tests.bench.workload import Workload, last_words


def main() -> None:
    """Run the phase named on the command line."""
    phase, name, scale, mount, inputs = sys.argv[1:]
    workload = make(name, float(scale))
    print(json.dumps(_attempt(phase, workload, Path(mount), Path(inputs))))


def _attempt(phase: str, workload: Workload, mount: Path, inputs: Path) -> dict[str, Any]:
    try:
        if phase == "set-up":
            workload.set_up(mount, inputs)
            return {"outcome": "ok"}
        if phase == "warm-up":
            workload.warm_up(mount, inputs)
            time.sleep(workload.pause)
            return {"outcome": "ok"}
        return _run(workload, mount, inputs)
    except Wrong as error:
        return {"outcome": "wrong", "reason": str(error)}
    except subprocess.CalledProcessError as error:
        return {"outcome": "fails", "reason": last_words(error)}
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "?")
        return {"outcome": "fails", "reason": f"{code}: {error}"}
    except Exception as error:  # a program's failure is a result
        return {"outcome": "fails", "reason": f"{type(error).__name__}: {error}"}


def _run(workload: Workload, mount: Path, inputs: Path) -> dict[str, Any]:
    workload.load(inputs)
    began = time.monotonic()
    outcome = workload.run(mount, inputs)
    ended = time.monotonic()
    _syncfs(mount)
    synced = time.monotonic()
    workload.check(outcome)
    return {"outcome": "ok", "began": began, "ended": ended, "synced": synced}


def _syncfs(mount: Path) -> None:
    """Have everything sent that the kernel still holds."""
    descriptor = os.open(mount, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(mount))
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
