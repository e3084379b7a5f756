"""Figures of a mount for Prometheus, over HTTP on a loopback address (`-o metrics=`)."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from azfuse.mount.errors import MountError
from azfuse.mount.values import MetricsAddress

log = logging.getLogger(__name__)

#: Seconds that a client may take for its request, and again for the answer.
_CLIENT_TIMEOUT: Final = 5.0
#: Connections served at once; further ones wait in the kernel's queue.
_MAX_CLIENTS: Final = 8
#: Longest head of a request in bytes.
_MAX_HEAD: Final = 16 * 1024
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

#: Counts by operation: key of `azfuse stats` -> name and help of the metric.
_BY_OPERATION: Final = {
    "requests": ("azfuse_requests", "Requests sent to the service, every try counted."),
    "retries": ("azfuse_request_retries", "Tries after the first of a request."),
    "errors": ("azfuse_request_errors", "Tries without an answer, or answered with an error."),
    "throttles": ("azfuse_request_throttles", "Tries answered 503 (server busy)."),
    "bytesSent": ("azfuse_sent_bytes", "Bytes of request bodies."),
    "bytesReceived": ("azfuse_received_bytes", "Bytes of response bodies."),
}
_BY_KERNEL_OPERATION: Final = {
    "requests": ("azfuse_kernel_requests", "Requests that the kernel sent."),
    "errors": ("azfuse_kernel_request_errors", "Those of them answered with an error."),
    "seconds": ("azfuse_kernel_request_seconds", "Time that they took together."),
}
#: Sections whose figures only ever grow, but for the keys below; those of others come and go.
_COUNTER_SECTIONS: Final = frozenset({"reads", "cache", "writes"})
_GAUGES: Final = frozenset(
    {"cachedBytes", "capacityBytes", "blocks", "dirtyBytes", "dirtyLimitBytes", "dirtyFiles",
     "dirtyDirectories", "uploadsInFlight", "failing", "bytesAheadWasted"}
)  # fmt: skip


class MetricsServer:
    """Answers `GET /metrics`, and nothing else."""

    def __init__(self, address: MetricsAddress, stats: Callable[[], Mapping[str, Any]]) -> None:
        self._address = address
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_StatsCollector(stats))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once clients can connect.

        Raises MountError where the address cannot be had.
        """
        try:
            listeners = await trio.open_tcp_listeners(self._address.port, host=self._address.host)
        except OSError as error:
            raise MountError(
                f"metrics cannot be served at {self._address}: {error.strerror or error}"
            ) from None
        log.info("metrics are served at http://%s/metrics", self._address)
        places = trio.CapacityLimiter(_MAX_CLIENTS)

        async def serve(stream: trio.SocketStream) -> None:
            async with places:
                await self._serve(stream)

        task_status.started()
        await trio.serve_listeners(serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """Answer one client; whatever goes wrong with it must not end the mount."""
        try:
            async with stream:
                with trio.move_on_after(_CLIENT_TIMEOUT) as reading:
                    head = await _read_head(stream)
                if reading.cancelled_caught:
                    return
                with trio.move_on_after(_CLIENT_TIMEOUT):
                    await stream.send_all(self._answer(head))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            log.debug("a client of the metrics went away: %s", error)
        except Exception:
            log.exception("metrics: unexpected error")

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        body = b""
        if not version.startswith(b"HTTP/1."):
            status = HTTPStatus.BAD_REQUEST
        elif target.partition(b"?")[0] != b"/metrics":
            status = HTTPStatus.NOT_FOUND
        elif method not in (b"GET", b"HEAD"):
            status = HTTPStatus.METHOD_NOT_ALLOWED
        else:
            status = HTTPStatus.OK
            body = generate_latest(self._registry)
        kind = CONTENT_TYPE_LATEST if status == HTTPStatus.OK else "text/plain"
        body = body or f"{status.phrase}\n".encode()
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == b"HEAD" else body)


async def _read_head(stream: trio.SocketStream) -> bytes:
    received = bytearray()
    while b"\r\n\r\n" not in received and len(received) <= _MAX_HEAD:
        chunk = await stream.receive_some(_MAX_HEAD)
        if not chunk:
            break
        received += chunk
    return bytes(received)


class _StatsCollector(Collector):
    """Makes metrics of the figures of `azfuse stats`, at every scrape anew."""

    def __init__(self, stats: Callable[[], Mapping[str, Any]]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """Yield every figure as a metric."""
        stats = self._stats()
        yield from _of_mount(stats["mount"])
        for name, section in stats.items():
            if name == "requests":
                yield from _by_operation(section.get("byOperation", {}), _BY_OPERATION)
            elif name == "kernel":
                yield from _by_operation(section.get("byOperation", {}), _BY_KERNEL_OPERATION)
            elif name == "metadata":
                yield from _of_metadata(section)
            elif name != "mount":
                yield from _of_section(name, section)


def _of_mount(mount: Mapping[str, Any]) -> Iterator[Metric]:
    labels = ("mount_point", "source", "version", "state")
    info = GaugeMetricFamily("azfuse_mount_info", "What is mounted where.", labels=labels)
    # A path may hold bytes that are no UTF-8, which the format cannot.
    values = [mount["mountPoint"], mount["source"], mount["version"], mount["state"]]
    info.add_metric([value.encode(errors="replace").decode() for value in values], 1)
    yield info
    yield GaugeMetricFamily(
        "azfuse_uptime_seconds", "Time since it was mounted.", value=mount["uptimeSeconds"]
    )


def _by_operation(
    counts: Mapping[str, Mapping[str, float]], metrics: Mapping[str, tuple[str, str]]
) -> Iterator[Metric]:
    for key, (name, text) in metrics.items():
        family = CounterMetricFamily(name, text, labels=("operation",))
        for operation, values in counts.items():
            family.add_metric([operation], values[key])
        yield family


def _of_metadata(section: Mapping[str, Any]) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "azfuse_metadata_questions",
        "Questions about names and attributes, by whether memory answered them.",
        labels=("about", "from"),
    )
    for about in ("lookups", "attributes", "listings"):
        family.add_metric([about, "memory"], section[about]["hits"])
        family.add_metric([about, "service"], section[about]["misses"])
    yield family


def _of_section(name: str, section: Mapping[str, Any]) -> Iterator[Metric]:
    """Make a metric of each figure: `azfuse_writes_dirty_bytes`, `azfuse_reads_fetches_total`."""
    for key, value in section.items():
        figure = len(value) if isinstance(value, list) else value
        if isinstance(figure, bool) or not isinstance(figure, int | float):
            continue
        metric = f"azfuse_{_snake(name)}_{_unit_last(_snake(key))}"
        text = f"{key} of the section {name} of azfuse stats."
        if name in _COUNTER_SECTIONS and key not in _GAUGES:
            yield CounterMetricFamily(metric, text, value=figure)
        else:
            yield GaugeMetricFamily(metric, text, value=figure)


def _snake(name: str) -> str:
    return re.sub(r"\W", "_", _HUMP.sub("_", name)).lower()


def _unit_last(name: str) -> str:
    """Put the unit last, as names of metrics have it."""
    return f"{name.removeprefix('bytes_')}_bytes" if name.startswith("bytes_") else name
