"""The recordings of the real service, sent again: status and error code have to agree."""

import pytest

from tests.emulator.replay import RECORDINGS, Replay, Totals, comparable, groups, why_not

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings in {RECORDINGS}"),
]


def is_elsewhere(exchange, live):
    """Say whether an exchange is about a share that another run made, or made again unseen."""
    share = exchange["request"]["path"].strip("/").partition("/")[0]
    status, operation = exchange["response"]["status"], exchange["operation"]
    if operation == "CreateShare":
        known = share in live
        if status == 201:
            live.add(share)
        return known == (status == 201)
    if not share or share in live:
        if (
            operation == "DeleteShare"
            and status == 202
            and not exchange["request"]["query"].get("sharesnapshot")
        ):
            live.discard(share)
        return False
    return status != 404


#: Where the recordings cannot be met by a replay, and why. Operation, expected, got: reason.
EXPLAINED = {
    "azure-cli": "resource names were replaced in the recordings",
    "crc": "the source's bytes were not recorded in full",
    "blob": "the source is a blob",
    "header": "a request header was not recorded",
    "credentials": "the recorded credentials were a token or belonged to another account",
    "abort": "copies in the emulator are never pending",
}


def explanation(name, exchange, expected, got):
    """Return why a difference is none of the emulator's, None if it may be."""
    headers = exchange["request"]["headers"]
    if name.startswith("azure-cli"):
        return EXPLAINED["azure-cli"]
    if "Crc64ConditionNotMet" in (expected[1], got[1]):
        return EXPLAINED["crc"]
    if ".blob." in headers.get("x-ms-copy-source", ""):
        return EXPLAINED["blob"]
    if exchange["operation"] == "CopyFile" and "x-ms-copy-source" not in headers:
        return EXPLAINED["header"]
    if exchange["operation"] == "LeaseFile" and "x-ms-lease-id" not in headers:
        return EXPLAINED["header"]
    if name.startswith("js-sdk") and "Lease" in (expected[1] or ""):
        return EXPLAINED["header"]
    if "oauth" in exchange["test"] or "_private_" in exchange["test"]:
        return EXPLAINED["credentials"]
    if "shared_delete_access" in exchange["test"] or "abort_copy" in exchange["test"]:
        return EXPLAINED["abort"]
    return None


async def test_recordings(capsys):
    totals = Totals()
    for name, _, run in groups():
        reason = why_not(run)
        if reason:
            totals.skipped[reason] += len(run)
            continue
        live: set[str] = set()
        for exchange, expected, got, answer in await Replay(run).play():
            if exchange["operation"] == "CreateShare" and expected[0] == 201 and expected != got:
                # Two runs in one recording, or a first try that failed: nothing fits after it.
                totals.skipped["share made twice in one recording"] += 1
                break
            if is_elsewhere(exchange, live) or not comparable(expected):
                totals.skipped["depends on time, load or another run"] += 1
                continue
            totals.played[exchange["operation"]] += 1
            # Before 2017-07-29 only the status was sent in headers.
            if expected == got or (expected[0] == got[0] and expected[1] is None):
                totals.agreed[exchange["operation"]] += 1
                continue
            reason = explanation(name, exchange, expected, got)
            if reason:
                totals.skipped[reason] += 1
                totals.played[exchange["operation"]] -= 1
                if exchange["operation"] == "CopyFile":
                    break  # what follows is about the copy
                continue
            totals.differences.append(
                f"{name} {exchange['test']} #{exchange['seq']} {exchange['operation']} "
                f"{exchange['request']['path']} {exchange['request']['query']}: "
                f"expected {expected}, got {got}: {answer.text[-200:]}"
            )
    with capsys.disabled():
        print("\n" + "\n".join(totals.lines()))
    assert not totals.differences, "\n".join(totals.differences)
    assert sum(totals.agreed.values()) > 4000
