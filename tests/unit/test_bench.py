"""The bench without a mount: its words, its content, its numbers, its tables."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.bench import report
from tests.bench.__main__ import main
from tests.bench.budget import verdicts
from tests.bench.catalogue import EXTRA, QUICK, WORKLOADS, make
from tests.bench.content import MIB, Content, scattered
from tests.bench.measure import Tally
from tests.bench.results import Results, Run, Spread, quarters
from tests.bench.store import DirectoryStore, Wrong, check_content
from tests.bench.workload import pages, parts

BUDGET = {"line": "one", "requests": 2, "spare": 1, "bytes_in": 100, "bytes_out": None}
ABOUT = {
    "date": "2026-11-26T12:00:00+00:00",
    "machine": {"processors": 2, "processor": "a processor", "system": "Linux 6"},
    "versions": {"azfuse": "1.0", "rclone": "rclone v1"},
}


def a_run(peer="azfuse", durable=1.0, **more):
    run = Run("patch", "patch it", peer, 20.0, 1, seconds=durable / 2, durable=durable)
    return replace(run, **more)


def text(lines):
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workload", "nonsense"], "unknown workload 'nonsense'"),
        (["--peer", "nfs"], "unknown peer 'nfs'"),
        (["--latency", "-1"], "must not be negative"),
        (["--latency", "slow"], "invalid"),
        (["--bandwidth", "0"], "must be more than 0"),
        (["--runs", "0"], "must be at least 1"),
        (["--scale", "1.5"], "at most 1"),
        (["--scale", "nan"], "must be more than 0"),
        (["--limit", "inf"], "must be finite"),
        (["--quick", "--full"], "exclude each other"),
        (["--json", "/does/not/exist/file"], "is not a directory"),
        (["report"], "usage"),
        (["report", "/does/not/exist"], "No such file"),
    ],
)
def test_wrong_words(words, said, capsys):
    if words[0] == "report":
        assert main(words) == 2
    else:
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_result(tmp_path, capsys):
    for content in ("", "[]", '{"about": {}, "runs": [{"nonsense": 1}]}'):
        (tmp_path / "file").write_text(content)
        assert main(["report", str(tmp_path / "file")]) == 2
        assert "is no result of this bench" in capsys.readouterr().err


def test_the_list_names_every_workload(capsys):
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [*WORKLOADS, *EXTRA]
    assert set(QUICK) <= set(listed)


@pytest.mark.parametrize("name", [*WORKLOADS, *EXTRA])
@pytest.mark.parametrize("scale", [0.02, 1.0])
def test_every_workload_can_be_made(name, scale):
    workload = make(name, scale)
    assert workload.name == name
    assert workload.title
    budget = workload.budget()
    assert budget is None or budget.requests > 0


def test_content_is_the_same_however_it_is_read():
    content = Content(3, 3 * MIB + 77)
    whole = content.read(0, 10 * MIB)
    assert len(whole) == content.size
    assert content.read(MIB - 5, 10) == whole[MIB - 5 : MIB + 5]
    assert content.read(content.size - 1, 10) == whole[-1:]
    assert content.read(content.size, 10) == b""
    assert whole[:100] != whole[MIB : MIB + 100] != Content(4, MIB).read(0, 100)


def test_changes_to_content():
    content = Content(3, 1000)
    before = content.read(0, 1000)
    content.change(10, b"abc")
    content.change(12, b"XY")
    content.change(998, b"long")
    assert content.size == 1002
    assert content.read(0, 2000) == before[:10] + b"abXY" + before[14:998] + b"long"
    assert content.read(11, 2) == b"bX"


def test_scattered_numbers_are_different_and_always_the_same():
    found = scattered(50, 60, 1)
    assert len(set(found)) == 50
    assert max(found) < 60
    assert found == scattered(50, 60, 1) != scattered(50, 60, 2)


def test_arithmetic():
    assert [pages(n) for n in (0, 1, 5000, 5001, 100_000)] == [1, 1, 1, 2, 20]
    assert list(parts(10, 4)) == [3, 3, 2, 2]
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert quarters([1, 3, 5, 5, 5, 5, 8, 10]) == (2, 9)
    assert quarters([7]) == (7, 7)
    for empty in (Spread.of, quarters):
        with pytest.raises(ValueError, match="no "):
            empty([])


def test_what_a_tally_counts():
    def entry(requests, bytes_in, bytes_out):
        return {"requests": requests, "bytes_in": bytes_in, "bytes_out": bytes_out}

    before = Tally.of({"PutRange": entry(2, 10, 0), "GetFile": entry(1, 0, 5)})
    after = Tally.of(
        {
            "PutRange": entry(3, 14, 0),
            "GetFile": entry(1, 0, 5),
            "ListDirectoriesAndFiles": entry(1, 0, 700),
        }
    )
    used = after.since(before)
    assert used.requests == {"PutRange": 1, "ListDirectoriesAndFiles": 1}
    assert (used.bytes_in, used.bytes_out, used.bytes_listed) == (4, 700, 700)
    assert after.changes - before.changes == 1


def test_a_store_is_checked_whole(tmp_path):
    store = DirectoryStore(tmp_path / "store")
    content = Content(1, 5 * MIB)
    store.put(["d"], [("d/file", content)])
    check_content(store, [("d/file", content)])
    assert store.tree() == {"d": None, "d/file": 5 * MIB}
    with pytest.raises(Wrong, match="is missing"):
        check_content(store, [("d/other", content)])
    with pytest.raises(Wrong, match="not 7"):
        check_content(store, [("d/file", Content(1, 7))])
    with (tmp_path / "store/d/file").open("r+b") as file:
        file.seek(4 * MIB + 1)
        file.write(b"?" * 100)
    with pytest.raises(Wrong, match="differs in the 4 MiB from byte 4194304"):
        check_content(store, [("d/file", content)])


def test_budgets():
    def judged(**more):
        (verdict,) = verdicts([a_run(budget=BUDGET, **more)])
        return verdict

    assert judged(requests={"PutRange": 3}, bytes_in=100).holds
    over = judged(requests={"PutRange": 3, "GetFile": 1}, bytes_in=100)
    assert not over.holds
    assert over.text == "4 requests of 2+1, 100 bytes up of 100 (1 GetFile, 3 PutRange)"
    assert not judged(requests={"PutRange": 1}, bytes_in=101).holds
    assert not verdicts([a_run(budget=BUDGET, outcome="fails"), a_run(budget=None)])


def test_listings_are_no_bytes_of_content():
    budget = BUDGET | {"bytes_in": None, "bytes_out": 100}
    run = a_run(budget=budget, requests={"GetFile": 1}, bytes_out=1100, bytes_listed=1000)
    assert verdicts([run])[0].holds
    run.bytes_listed = 999
    assert not verdicts([run])[0].holds


def test_tables():
    runs = [
        a_run(durable=durable, number=number, requests={"PutRange": 1}, budget=BUDGET)
        for number, durable in ((1, 1.0), (2, 3.0), (3, 2.0))
    ]
    runs += [a_run("rclone-tuned", 8.0, requests={"PutRange": 50}, bytes_in=2_000_000)]
    runs += [a_run("rclone", outcome="fails", reason="EPERM: no")]
    shown = text(report.tables(Results(ABOUT, runs)))
    assert "20 ms added" in shown
    assert "1.000 (0.500..1.500)" in shown
    assert "x 4.00" in shown
    assert "patch it, rclone: fails: EPERM: no" in shown
    assert "ok    patch it  1 requests of 2+1" in shown


def test_markdown_for_the_readme():
    runs = [
        a_run(durable=2.0, requests={"PutRange": 1}),
        a_run("rclone-tuned", 8.0, requests={"PutRange": 50}),
        a_run(workload="git", title="git", requests={"PutRange": 5}),
        a_run("rclone-tuned", workload="git", title="git", outcome="wrong", reason="lost"),
    ]
    lines = text(report.markdown(Results(ABOUT, runs))).splitlines()
    assert lines[0].startswith("2026-11-26, azfuse 1.0, rclone v1, 2 x a processor, Linux 6;")
    assert lines[2:] == [
        "| workload | 20 ms | requests: azfuse, rclone-tuned |",
        "|---|---|---|",
        "| patch it | 4.0 x | 1, 50 |",
        "| git | rclone-tuned wrong | 5, - |",
    ]


def test_memory_over_time():
    run = a_run(rss_samples=[100 * MIB] * 4 + [200 * MIB] * 4, peak_bytes=300 * MIB)
    (_, line) = report.memory_lines([run])
    assert "peak 300 MiB; resident 100 MiB in the first quarter, 200 in the last" in line


def test_results_are_kept(tmp_path, capsys):
    results = Results(ABOUT, [a_run(requests={"PutRange": 4}, budget=BUDGET)])
    results.save(tmp_path / "file.json")
    assert Results.load(tmp_path / "file.json") == results
    assert json.loads((tmp_path / "file.json").read_text())["runs"][0]["peer"] == "azfuse"
    assert main(["budget", str(tmp_path / "file.json")]) == 0
    assert "OVER  patch it  4 requests of 2+1" in capsys.readouterr().out


def test_a_program_that_fails_is_a_result(tmp_path):
    """The mount is a directory without the file that is to be patched."""
    words = [sys.executable, "-m", "tests.bench.worker", "run", "patch", "0.01", tmp_path, tmp_path]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    assert json.loads(said)["outcome"] == "fails"
    assert json.loads(said)["reason"].startswith("ENOENT: ")
