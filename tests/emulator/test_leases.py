"""File leases: the state table of the reference, 4.5. Share leases: the observed sequences."""

import pytest

from tests.emulator.conftest import code

pytestmark = pytest.mark.anyio

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"
MISSING = (412, "LeaseIdMissing")
MISMATCH = (412, "LeaseIdMismatchWithFileOperation")
NOT_PRESENT = (412, "LeaseNotPresentWithFileOperation")
NO_LEASE = (409, "LeaseNotPresentWithLeaseOperation")
TAKEN = (409, "LeaseAlreadyPresent")
OTHER = (409, "LeaseIdMismatchWithLeaseOperation")

#: what is tried: (answer when available, when leased by A, when A's lease was broken)
TABLE = {
    ("write", A): (NOT_PRESENT, (200, None), NOT_PRESENT),
    ("write", B): (NOT_PRESENT, MISMATCH, NOT_PRESENT),
    ("write", None): ((200, None), MISSING, (200, None)),
    ("read", A): (NOT_PRESENT, (200, None), NOT_PRESENT),
    ("read", B): (NOT_PRESENT, MISMATCH, NOT_PRESENT),
    ("read", None): ((200, None), (200, None), (200, None)),
    ("acquire", None): ((201, None), TAKEN, (201, None)),
    ("acquire", A): ((201, None), (201, None), (201, None)),
    ("acquire", B): ((201, None), TAKEN, (201, None)),
    ("break", None): (NO_LEASE, (202, None), (202, None)),
    ("change", A): (NO_LEASE, (200, None), NO_LEASE),
    ("change", B): (NO_LEASE, (200, None), NO_LEASE),
    ("release", A): (NO_LEASE, (200, None), (200, None)),
    ("release", B): (NO_LEASE, OTHER, OTHER),
}


async def lease(client, action, path="/share/a", query="comp=lease", **headers):
    names = {"id": "x-ms-lease-id", "proposed": "x-ms-proposed-lease-id",
             "duration": "x-ms-lease-duration", "period": "x-ms-lease-break-period"}  # fmt: skip
    sent = {names[n]: v for n, v in headers.items() if v is not None}
    return await client("PUT", path, query, {"x-ms-lease-action": action, **sent})


@pytest.mark.parametrize("state", ["available", "leased", "broken"])
@pytest.mark.parametrize("what", TABLE, ids=lambda what: f"{what[0]}-{(what[1] or 'none')[0]}")
async def test_state_table(client, what, state):
    await client.share()
    await client.file("/share/a", 1)
    if state != "available":
        assert (await lease(client, "acquire", proposed=A)).status_code == 201
    if state == "broken":
        assert (await lease(client, "break")).status_code == 202
    before = (await client("HEAD", "/share/a")).headers
    assert before["x-ms-lease-state"] == state
    assert before["x-ms-lease-status"] == ("locked" if state == "leased" else "unlocked")
    action, given = what
    with_id = {"x-ms-lease-id": given} if given else {}
    if action == "write":
        answer = await client("PUT", "/share/a", "comp=metadata", with_id)
    elif action == "read":
        answer = await client("GET", "/share/a", headers=with_id)
    elif action == "acquire":
        answer = await lease(client, "acquire", proposed=given)
    elif action == "change":
        # The id B is the proposed one: change is idempotent where it is the current id.
        answer = await lease(client, "change", id=given, proposed=A if given == B else B)
    else:
        answer = await lease(client, action, id=given)
    expected = TABLE[what][("available", "leased", "broken").index(state)]
    assert code(answer) == expected
    if action in ("acquire", "break", "change", "release"):
        after = (await client("HEAD", "/share/a")).headers
        assert after["etag"] == before["etag"]


async def test_answers(client):
    await client.share()
    await client.file("/share/a", 1)
    answer = await lease(client, "acquire")
    assert answer.headers["transfer-encoding"] == "chunked"
    taken = answer.headers["x-ms-lease-id"]
    head = (await client("HEAD", "/share/a")).headers
    assert head["x-ms-lease-duration"] == "infinite"
    assert (await lease(client, "break")).headers["x-ms-lease-time"] == "0"
    assert code(await lease(client, "release", id="nonsense")) == (400, "InvalidHeaderValue")
    assert code(await lease(client, "acquire", duration="15")) == (400, "InvalidHeaderValue")
    assert code(await lease(client, "renew", id=taken)) == (400, "InvalidHeaderValue")
    assert code(await lease(client, "acquire", "/share/none")) == (404, "ResourceNotFound")
    missing = await client("PUT", "/share/a", "comp=lease")
    assert code(missing) == (400, "MissingRequiredHeader")


@pytest.mark.parametrize("operation", ["create", "delete", "put", "clear", "properties", "copy"])
async def test_writes_need_the_id(client, operation):
    await client.share()
    await client.file("/share/a", 8)
    await client.file("/share/source", 8)
    await lease(client, "acquire", proposed=A)

    async def attempt(given):
        headers = {"x-ms-lease-id": given} if given else {}
        span = {"x-ms-range": "bytes=0-0"}
        if operation == "create":
            headers |= {"x-ms-type": "file", "x-ms-content-length": "8"}
            return await client("PUT", "/share/a", headers=headers)
        if operation == "delete":
            return await client("DELETE", "/share/a", headers=headers)
        if operation == "put":
            headers |= {"x-ms-write": "update", **span}
            return await client("PUT", "/share/a", "comp=range", headers, b"x")
        if operation == "clear":
            headers |= {"x-ms-write": "clear", **span}
            return await client("PUT", "/share/a", "comp=range", headers)
        if operation == "properties":
            return await client("PUT", "/share/a", "comp=properties", headers)
        headers["x-ms-copy-source"] = "http://localhost/devstoreaccount1/share/source"
        return await client("PUT", "/share/a", headers=headers)

    assert code(await attempt(None)) == MISSING
    assert code(await attempt(B)) == MISMATCH
    assert (await attempt(A)).status_code < 300


async def test_share_leases(client):
    await client.share()
    query = "restype=share&comp=lease"

    async def act(action, **headers):
        return await lease(client, action, "/share", query, **headers)

    for duration in ("1", "10", "70", "-10"):
        assert code(await act("acquire", duration=duration)) == (400, "InvalidHeaderValue")
    assert (await act("acquire", proposed=A, duration="15")).status_code == 201
    head = (await client("GET", "/share", "restype=share")).headers
    assert (head["x-ms-lease-state"], head["x-ms-lease-duration"]) == ("leased", "fixed")
    assert (await act("renew", id=A)).headers["x-ms-lease-id"] == A
    assert code(await client("DELETE", "/share", "restype=share")) == MISSING
    wrong = {"x-ms-lease-id": B}
    assert code(await client("PUT", "/share", "restype=share&comp=metadata", wrong)) == (
        412, "LeaseIdMismatchWithContainerOperation",
    )  # fmt: skip
    assert (await client.file("/share/f", 1)).status_code == 201
    answer = await act("break", period="5")
    assert (answer.status_code, answer.headers["x-ms-lease-time"]) == (202, "5")
    head = (await client("GET", "/share", "restype=share")).headers
    assert (head["x-ms-lease-state"], head["x-ms-lease-status"]) == ("breaking", "locked")
    assert (await act("break", period="0")).headers["x-ms-lease-time"] == "0"
    assert code(await client("DELETE", "/share", "restype=share", {"x-ms-lease-id": A})) == (
        412, "LeaseLost",
    )  # fmt: skip
    assert (await act("release", id=A)).headers["x-ms-lease-time"] == "0"
    assert code(await client("DELETE", "/share", "restype=share", {"x-ms-lease-id": A})) == (
        412, "LeaseNotPresentWithContainerOperation",
    )  # fmt: skip
    assert code(await act("break")) == NO_LEASE
    assert (await client("DELETE", "/share", "restype=share")).status_code == 202
