"""What does not grow: counted in steps of SQLite's machine, not in seconds."""

from contextlib import contextmanager

import pytest

from azfuse.emulator import entries, files
from azfuse.emulator.rows import Kind
from tests.emulator.conftest import xml
from tests.emulator.signing import ACCOUNT

pytestmark = pytest.mark.anyio
LIST = "restype=directory&comp=list"
MANY = 100_000
PAGE = 1000
#: Steps of SQLite between two counts.
GRAIN = 10


@contextmanager
def steps(app):
    """Count the steps that statements take inside; the result is in the list when it is left."""
    counted = [0]
    found: list[int] = []

    def step():
        counted[0] += GRAIN

    db = app.service.store.db
    db.set_progress_handler(step, GRAIN)
    try:
        yield found
    finally:
        db.set_progress_handler(None, 0)
        found.append(counted[0])


def fill(app, directory, count):
    """Put *count* files into a directory, quicker than requests would."""
    store = app.service.store
    share = store.share(ACCOUNT, "share")
    node = entries.find(store, share, (directory,)).node
    assert node is not None
    parent = node.id
    (last,) = store.db.execute("SELECT max(id) FROM nodes").fetchone()
    with store.transaction() as db:
        db.executemany(
            "INSERT INTO nodes (id, share, kind, file_id, born, created, written, changed, "
            "accessed, modified) VALUES (?, ?, ?, ?, 0, 1, 1, 1, 1, 1)",
            ((last + n, share.id, int(Kind.FILE), str(last + n)) for n in range(1, count + 1)),
        )
        db.executemany(
            "INSERT INTO names VALUES (?, ?, ?, ?, 0)",
            ((parent, f"F{n:06}", f"f{n:06}", last + n) for n in range(1, count + 1)),
        )


@pytest.fixture
async def share(client):
    await client.share()
    for name in ("few", "many"):
        await client("PUT", f"/share/{name}", "restype=directory")
    return client


async def rename(client, old, new):
    source = f"http://localhost/{ACCOUNT}/share/{old}"
    headers = {"x-ms-file-rename-source": source}
    answer = await client("PUT", f"/share/{new}", "restype=directory&comp=rename", headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("snapshot", [False, True])
async def test_renaming_a_directory_costs_the_same_whatever_is_below(app, share, snapshot):
    fill(app, "few", 1)
    fill(app, "many", MANY)
    if snapshot:
        await share("PUT", "/share", "restype=share&comp=snapshot")
    with steps(app) as few:
        await rename(share, "few", "few2")
    with steps(app) as many:
        await rename(share, "many", "many2")
    assert many[0] <= few[0] * 1.5
    answer = await share("GET", "/share/many2", f"{LIST}&maxresults=1")
    assert xml(answer).findtext("Entries/File/Name") == "f000001"


async def test_deleting_a_share_costs_the_same_whatever_is_in_it(app, share):
    app.collects = False
    await share.share("other")
    fill(app, "many", MANY)
    with steps(app) as few:
        await share("DELETE", "/other", "restype=share")
    with steps(app) as many:
        await share("DELETE", "/share", "restype=share")
    assert many[0] <= few[0] * 1.5


async def test_a_snapshot_costs_the_same_whatever_is_in_the_share(app, share):
    await share.share("other")
    fill(app, "many", MANY)
    costs = []
    for name in ("other", "share"):
        with steps(app) as found:
            await share("PUT", f"/{name}", "restype=share&comp=snapshot")
        costs += found
    assert costs[1] <= costs[0] * 1.5


@pytest.mark.parametrize("where", ["living", "snapshot", "changed snapshot"])
async def test_the_20th_page_costs_as_much_as_the_first(app, share, where):
    fill(app, "many", 21 * PAGE)
    query = f"{LIST}&maxresults={PAGE}"
    if where != "living":
        answer = await share("PUT", "/share", "restype=share&comp=snapshot")
        query += f"&sharesnapshot={answer.headers['x-ms-snapshot']}"
    if where == "changed snapshot":
        for number in range(1, 21 * PAGE, 500):
            assert (await share("DELETE", f"/share/many/f{number:06}")).status_code == 202
    costs, marker, names = [], "", []
    for _ in range(20):
        with steps(app) as found:
            answer = await share("GET", "/share/many", f"{query}&marker={marker}")
        root = xml(answer)
        names += [e.findtext("Name") for e in root.find("Entries")]
        marker = root.findtext("NextMarker")
        costs += found
    assert names == [f"f{n:06}" for n in range(1, 20 * PAGE + 1)]
    assert costs[19] <= costs[0] * 1.1
    # A page costs what its entries cost, not what the directory holds.
    assert costs[0] <= 400 * PAGE


async def test_finding_a_file_costs_the_same_in_a_large_directory(app, share):
    await share.file("/share/few/f000001")
    fill(app, "many", MANY)
    costs = []
    for path in ("/share/few/f000001", "/share/many/f050000"):
        with steps(app) as found:
            assert (await share("HEAD", path)).status_code == 200
        costs += found
    assert costs[1] <= costs[0] * 1.5


async def test_the_20th_page_of_shares_costs_as_much_as_the_first(app, share):
    store = app.service.store
    for number in range(420):
        store.create_share(
            ACCOUNT, f"s{number:04}", quota=1, protocol="SMB", settings="{}", metadata=None
        )
    costs, marker = [], "s0000"
    for _ in range(20):
        with steps(app) as found:
            answer = await share("GET", "/", f"comp=list&maxresults=20&marker=/{ACCOUNT}/{marker}")
        marker = xml(answer).findtext("NextMarker").rpartition("/")[2]
        costs += found
    assert costs[19] <= costs[0] * 1.2


async def test_writing_in_the_middle_costs_the_same_whatever_was_written(app, share):
    await share.file("/share/f", 1 << 30)
    store = app.service.store
    await share.put("/share/f", 0, b"x")
    with steps(app) as few:
        await share.put("/share/f", 1 << 20, b"x")
    node = entries.find(store, store.share(ACCOUNT, "share"), ("f",)).node
    assert node is not None
    (blob,) = store.db.execute("SELECT blob FROM contents WHERE id = ?", (node.content,)).fetchone()
    with store.transaction() as db:
        db.executemany(
            "INSERT INTO extents VALUES (?, ?, ?, ?)",
            (
                (node.content, n * 4096 + (1 << 21), n * 4096 + (1 << 21) + 1, blob)
                for n in range(50_000)
            ),
        )
    with steps(app) as many:
        await share.put("/share/f", (1 << 21) + 25_000 * 4096 + 100, b"x")
    assert many[0] <= few[0] * 2
    assert len(files.extents_of(store, node, 0, 1 << 22)) > 2
