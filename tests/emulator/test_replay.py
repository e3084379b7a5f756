"""The recordings of the real service, sent again: status, code, headers and bodies agree."""

import pytest

from tests.emulator.compare import MEANT, differences
from tests.emulator.replay import RECORDINGS, Replay, Totals, groups

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings in {RECORDINGS}"),
]


def why_meant(name, exchange, found):
    """Return why all differences are meant, None if one is not."""
    reasons = [
        next((m.reason for m in MEANT if m.applies(name, exchange, difference)), None)
        for difference in found
    ]
    if None in reasons:
        return None
    return "; ".join(sorted({reason for reason in reasons if reason}))


async def test_recordings(capsys):
    totals = Totals()
    for name, run in groups():
        async for exchange, answer in Replay(run).play():
            operation = exchange["operation"]
            totals.all[operation] += 1
            if isinstance(answer, str):
                totals.skipped[answer] += 1
                continue
            totals.guessed[operation] += "guessed" in exchange
            found = differences(exchange, answer)
            if not found:
                totals.agreed[operation] += 1
                continue
            reason = why_meant(name, exchange, found)
            if reason:
                totals.meant[operation] += 1
                totals.reasons[reason] += 1
                continue
            where = f"{name} {exchange['test']} #{exchange['seq']} {operation}"
            request = exchange["request"]
            totals.differences.append(
                f"{where} {request['path']} {request['query']} "
                f"{exchange.get('guessed', '')}\n    " + "\n    ".join(found)
            )
    with capsys.disabled():
        print("\n" + "\n".join(totals.lines()))
    assert not totals.differences, "\n".join(totals.differences)
    assert totals.agreed.total() > 9400
