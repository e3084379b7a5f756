"""The page of `azfuse stats --html`: one file, without scripts, and nothing from elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final

from azfuse.cli.stats_view import Rates
from azfuse.mount.figures import read_from_memory
from azfuse.mount.units import count_text, duration_text, size_text

#: Samples that a chart shows at most; older ones are left out.
MOST_SAMPLES: Final = 600
_WIDTH: Final = 640
_HEIGHT: Final = 120
_STYLE: Final = """
:root { color-scheme: light dark; --line: #0b6bcb; --faint: #8884; }
@media (prefers-color-scheme: dark) { :root { --line: #6cb2f5; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }
.tile { border: 1px solid var(--faint); border-radius: .5rem; padding: .5rem .75rem; }
.tile b { display: block; font-size: 1.3rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; border-bottom: 1px solid var(--faint); }
polyline { fill: none; stroke: var(--line); stroke-width: 2; vector-effect: non-scaling-stroke; }
.bad { color: #c0392b; }
"""


def page(samples: Sequence[Mapping[str, Any]], refresh: float | None = None) -> str:
    """Return the page that shows the last of *samples*, and how it came to that.

    With *refresh* a browser loads it anew after so many seconds.
    """
    now = samples[-1]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="refresh" content="{max(1, round(refresh))}">' if refresh else "",
        f"<title>azfuse: {escape(now['mount']['mountPoint'])}</title>",
        f"<style>{_STYLE}</style></head><body>",
        *_head(now),
        *_tiles(now),
        *_charts(samples),
        *_operations(now),
        *_failing(now),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _head(now: Mapping[str, Any]) -> Iterator[str]:
    mount = now["mount"]
    yield f"<h1>{escape(mount['mountPoint'])}</h1>"
    uptime = duration_text(mount["uptimeSeconds"])
    yield f"<p>{escape(mount['source'])}, {escape(mount['state'])} for {uptime},"
    yield f"azfuse {escape(mount['version'])}, process {mount['pid']}</p>"


def _tiles(now: Mapping[str, Any]) -> Iterator[str]:
    total, writes, cache, reads = (
        now["requests"]["total"], now.get("writes", {}), now.get("cache", {}), now.get("reads", {})
    )  # fmt: skip
    tiles = [
        ("requests", count_text(total["requests"])),
        ("sent", size_text(total["bytesSent"])),
        ("received", size_text(total["bytesReceived"])),
        ("retries", count_text(total["retries"])),
        ("dirty", size_text(writes.get("dirtyBytes", 0))),
        ("files waiting", count_text(writes.get("dirtyFiles", 0))),
        ("in memory", size_text(cache.get("cachedBytes", 0))),
        ("read from memory", read_from_memory(reads)),
    ]
    yield '<div class="tiles">'
    for name, value in tiles:
        yield f'<div class="tile"><b>{escape(value)}</b>{name}</div>'
    yield "</div>"


def _charts(samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if len(samples) < 3:
        return
    pairs = list(pairwise(samples))
    for title, key, text in (
        ("Sent each second", "bytesSent", size_text),
        ("Received each second", "bytesReceived", size_text),
        ("Requests each second", "requests", count_text),
    ):
        rates = [Rates(after, before).total(key) or 0.0 for before, after in pairs]
        yield from _chart(title, rates, text)
    dirty = [float(sample.get("writes", {}).get("dirtyBytes", 0)) for sample in samples]
    yield from _chart("Dirty", dirty, size_text)


def _chart(title: str, values: Sequence[float], text: Callable[[int], str]) -> Iterator[str]:
    most = max(values)
    across = _WIDTH / (len(values) - 1)
    points = " ".join(
        f"{position * across:.1f},{_HEIGHT - value / (most or 1) * (_HEIGHT - 4):.1f}"
        for position, value in enumerate(values)
    )
    last, top = text(round(values[-1])), text(round(most))
    yield f"<h2>{title}: {last}, at most {top}</h2>"
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
    yield f'<polyline points="{points}"/></svg>'


def _operations(now: Mapping[str, Any]) -> Iterator[str]:
    found = now["requests"]["byOperation"]
    yield "<h2>Requests by operation</h2><table>"
    yield "<tr><th>operation<th>requests<th>sent<th>received<th>retries<th>errors</tr>"
    for name, counts in sorted(found.items(), key=lambda item: -item[1]["requests"]):
        cells = [
            escape(name),
            count_text(counts["requests"]),
            size_text(counts["bytesSent"]),
            size_text(counts["bytesReceived"]),
            count_text(counts["retries"]),
            count_text(counts["errors"]),
        ]
        yield f"<tr><td>{'<td>'.join(cells)}</tr>"
    yield "</table>"


def _failing(now: Mapping[str, Any]) -> Iterator[str]:
    failing = now.get("writes", {}).get("failing", [])
    if not failing:
        return
    yield '<h2 class="bad">Cannot be uploaded at present</h2><ul>'
    for file in failing:
        size = size_text(file["dirtyBytes"])
        yield f"<li>{escape(file['path'])}: {size}: {escape(file['error'])}</li>"
    yield "</ul>"
