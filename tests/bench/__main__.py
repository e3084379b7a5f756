"""The command line: see `python -m tests.bench --help`."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from azfuse.mount.errors import MountError
from azfuse.mount.mountpoint import check_machine
from tests.bench import report
from tests.bench.catalogue import EXTRA, QUICK, WORKLOADS, make
from tests.bench.driver import DriverError
from tests.bench.interrupts import interruptible
from tests.bench.measure import Line, Measurement, mounted
from tests.bench.peers import PEERS, Peer
from tests.bench.place import Place
from tests.bench.results import OK, Results, about
from tests.bench.workload import Workload

_ALL_PEERS = ("azfuse", "azfuse-writeback", "rclone", "rclone-tuned", "passthrough")
_USUAL_PEERS = ("azfuse", "azfuse-writeback", "rclone-tuned", "passthrough")

_DESCRIPTION = """\
Run workloads on azfuse, on rclone mount and on a plain FUSE passthrough, against the emulator
with added latency; print a table of seconds, requests and bytes, and what is over budget.
"""
_DURATION = """\
How long it takes: --quick less than a minute. Without arguments every workload at a tenth of its
size, three times, at 0 and 20 ms, for azfuse, rclone-tuned and passthrough: about half an hour.
--full is --scale 1 --runs 5 --latency 0 5 20 50 and all peers: a night, and 15 GB of disk.
soak-8g (20 GB) and mixed run only where they are named.

`python -m tests.bench report FILE.json` prints the table of ratios for the README from --json FILE,
`python -m tests.bench budget FILE.json` what is over budget. The exit status is 1 if azfuse failed
or was wrong anywhere, 2 for words that make no sense.
"""


def main(words: Sequence[str]) -> int:
    """Do what the command line says; return the exit status."""
    if words and words[0] in ("report", "budget"):
        return _show(words[0], words[1:])
    options = _parse(words)
    if options.list:
        for name, maker in {**WORKLOADS, **EXTRA}.items():
            print(f"{name:22} {maker(1.0).title}")
        return 0
    try:
        check_machine(allow_other=False)
        with interruptible():
            return _bench(options)
    except (MountError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Ends with exit status 2 for what makes no sense."""
    parser = argparse.ArgumentParser(
        "python -m tests.bench", description=_DESCRIPTION, epilog=_DURATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--workload", nargs="+", metavar="NAME", help="only these; --list names them")
    add("--peer", nargs="+", metavar="NAME", help=f"only these of {', '.join(PEERS)}")
    add("--latency", nargs="+", type=_not_negative, metavar="MS", help="default: 0 20")
    add("--bandwidth", type=_positive, metavar="MIB", help="MiB a second, all requests together")
    add("--runs", type=_count, metavar="N", help="runs of each, in alternating order; default 3")
    add("--scale", type=_scale, metavar="F", help="sizes and counts, 1 for all of it; default 0.1")
    add("--full", action="store_true", help="scale 1, 5 runs, latency 0 5 20 50")
    add("--quick", action="store_true", help="one small run of a few workloads, azfuse only")
    add("--limit", type=_positive, default=600, metavar="SECONDS", help="for a run; default 600")
    add("--minutes", type=_positive, default=60, metavar="N", help="how long mixed runs")
    add("--json", type=Path, metavar="FILE", help="write every run there, as they come")
    add("--directory", type=Path, metavar="DIR", help="where to work; default TMPDIR or /tmp")
    add("--keep-page-cache", action="store_true", help="leave what the kernel cached of disks")
    add("--list", action="store_true", help="list the workloads and end")
    options = parser.parse_args(words)
    if options.quick and options.full:
        parser.error("--quick and --full exclude each other")
    _fill_in(options)
    if unknown := set(options.workload) - WORKLOADS.keys() - EXTRA.keys():
        parser.error(f"unknown workload {min(unknown)!r}; --list names them")
    if unknown := set(options.peer) - PEERS.keys():
        parser.error(f"unknown peer {min(unknown)!r}; known are {', '.join(PEERS)}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"{options.json.parent} is not a directory")
    return options


def _fill_in(options: argparse.Namespace) -> None:
    """Give what was left out its value, which depends on the size of the bench."""
    if options.quick:
        defaults = (list(QUICK), ["azfuse"], [0.0, 20.0], 1, 0.02)
    elif options.full:
        defaults = (list(WORKLOADS), list(_ALL_PEERS), [0.0, 5.0, 20.0, 50.0], 5, 1.0)
    else:
        defaults = (list(WORKLOADS), list(_USUAL_PEERS), [0.0, 20.0], 3, 0.1)
    for name, value in zip(("workload", "peer", "latency", "runs", "scale"), defaults, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)


def _not_negative(text: str) -> float:
    if not (number := float(text)) >= 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return _finite(number)


def _positive(text: str) -> float:
    if not (number := float(text)) > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return _finite(number)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError("must be finite")
    return number


def _scale(text: str) -> float:
    if (number := _positive(text)) > 1:
        raise argparse.ArgumentTypeError("is at most 1")
    return number


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _show(what: str, words: Sequence[str]) -> int:
    if len(words) != 1:
        print(f"usage: python -m tests.bench {what} FILE.json", file=sys.stderr)
        return 2
    try:
        results = Results.load(Path(words[0]))
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    lines = report.markdown(results) if what == "report" else report.budget_lines(results.runs)
    print("\n".join(lines))
    return 0


def _bench(options: argparse.Namespace) -> int:
    """Run everything; return 1 if azfuse failed anywhere."""
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
    results = Results(about(settings))
    with Place(options.directory, drop_caches=not options.keep_page_cache) as place:
        peers = [peer for name in options.peer if _available(place, peer := PEERS[name])]
        for name in options.workload:
            workload = make(name, options.minutes / 60 if name == "mixed" else options.scale)
            for latency in options.latency:
                line = Line(latency, options.bandwidth)
                _measure(place, workload, peers, line, options, results)
    for text in report.tables(results):
        print(text)
    bad = any(run.outcome != OK for run in results.runs if run.peer.startswith("azfuse"))
    return 1 if bad else 0


def _measure(
    place: Place,
    workload: Workload,
    peers: Sequence[Peer],
    line: Line,
    options: argparse.Namespace,
    results: Results,
) -> None:
    if not all(peer.remote for peer in peers) and line.latency_ms != options.latency[0]:
        peers = [peer for peer in peers if peer.remote]  # nothing of it travels
    for number in range(options.runs):
        # Everybody goes first as often as anybody: drift of the machine hits all alike.
        first = number % max(1, len(peers))
        for peer in [*peers[first:], *peers[:first]]:
            limit = max(options.limit, workload.least_limit)
            run = Measurement(place, workload, peer, line, number + 1, limit).run()
            results.runs.append(run)
            outcome = (
                f"{run.durable:.3f} s" if run.outcome == OK else f"{run.outcome}: {run.reason}"
            )
            print(f"{workload.title}, {line.latency_ms:g} ms, {peer.name}: {outcome}", flush=True)
            if options.json:
                results.save(options.json)


def _available(place: Place, peer: Peer) -> bool:
    """Say whether *peer* mounts here; tell why if it does not."""
    store = place.new_store(remote=peer.remote)
    try:
        with place.run_directory() as state, mounted(place, peer, store, state, limit=60):
            return True
    except DriverError as error:
        print(f"skipped: {peer.name} {error}", flush=True)
        return False
    finally:
        store.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
