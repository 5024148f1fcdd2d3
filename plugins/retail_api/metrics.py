"""What Prometheus reads: requests of all workers, refused callers, connections, and the state of the pipeline.

Each worker writes its numbers to files in one folder; the worker that is asked adds them up.
"""

from __future__ import annotations

import json
import logging
import os
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.settings import Settings
from retail_api.domain.health import Reading

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds; 0.15 is what the 99th percentile of sales is held to."""

SHARED_SECONDS = 10.0
"""How long gauges of the pipeline are repeated before the warehouse is asked again."""

UNMATCHED = "unmatched"
"""Route of requests that no route takes, whatever their path: paths from outside must not become labels."""

_FILE = re.compile(r"_(\d+)\.db$")


class Metrics:
    """Counters of this process, and the text with those of all."""

    def __init__(self, settings: Settings) -> None:
        """Make the counters; the folder is shared by the workers of one host."""
        folder = Path(os.environ.setdefault(FOLDER_VARIABLE, str(settings.api / "metrics")))
        folder.mkdir(parents=True, exist_ok=True)
        _forget_ended(folder)
        # The client decides when it is imported whether it serves one process or several.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = CollectorRegistry()
        self._folder = folder
        self._requests = Counter(
            "retail_api_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "retail_api_request_seconds",
            "Time from a request's first byte to its answer's last",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._refused = Counter("retail_api_auth_failures", "Callers not let in", ["reason"], registry=registry)
        self._connections = Gauge(
            "retail_api_pool_connections",
            "Connections to the primary, by whether a request uses them",
            ["state"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._in_progress = Gauge(
            "retail_api_requests_in_progress",
            "Requests being answered",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._gauges: list[Reading] = []
        self._gauges_at = float("-inf")
        self._lock = threading.Lock()

    def begun(self) -> None:
        """Count a request in."""
        self._in_progress.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request out."""
        self._in_progress.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a caller who was not let in."""
        self._refused.labels(reason).inc()

    def pool(self, used: int, idle: int) -> None:
        """Set how many connections to the primary there are."""
        self._connections.labels("used").set(used)
        self._connections.labels("idle").set(idle)

    def text(self, gauges: Callable[[], list[Reading]]) -> bytes:
        """Return everything in Prometheus' text format.

        Args:
            gauges: Reads the gauges of the pipeline; asked at most every `SHARED_SECONDS`.
        """
        from prometheus_client import generate_latest

        with self._lock:
            if time.monotonic() - self._gauges_at >= SHARED_SECONDS:
                self._gauges, self._gauges_at = gauges(), time.monotonic()
            shown = self._gauges
        return generate_latest(_Counted(self._folder)) + generate_latest(_Pipeline(shown))


class _Counted:
    """The numbers of all processes, as the client collects them; a file that a crash has torn is left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Any]:
        """Yield the sums."""
        from prometheus_client.multiprocess import MultiProcessCollector

        yield from MultiProcessCollector.merge([str(path) for path in self._folder.glob("*.db") if _whole(path)])


def _whole(path: Path) -> bool:
    from prometheus_client.mmap_dict import MmapedDict

    try:
        for key, *_ in MmapedDict.read_all_values_from_file(str(path)):
            json.loads(key)
    except FileNotFoundError:
        return False  # its process has ended
    except (ValueError, struct.error, RuntimeError, IndexError, TypeError):
        log.warning("Numbers in %s cannot be read", path)
        return False
    return True


class _Pipeline:
    """Gauges that are asked for rather than counted, as the client collects them."""

    def __init__(self, gauges: list[Reading]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Any]:
        """Yield the gauges."""
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, Any] = {}
        for name, meaning, labels, value in self._gauges:
            family = families.setdefault(name, GaugeMetricFamily(name, meaning, labels=list(labels)))
            family.add_metric(list(labels.values()), value)
        yield from families.values()


def close() -> None:
    """Take this process's gauges out of the sums; its counters stay until the next start."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(os.getpid())


_begun: set[tuple[int, Path]] = set()
"""Processes, this one before and after a fork, that have begun to count in a folder."""


def _forget_ended(folder: Path) -> None:
    """Delete the numbers of processes that have ended; Prometheus takes a counter that falls for a restart.

    Those with the number of this process are an earlier one's until it has begun: containers number their processes
    from 1 at each start.
    """
    own = os.getpid()
    first = (own, folder) not in _begun
    _begun.add((own, folder))
    for path in folder.glob("*.db"):
        found = _FILE.search(path.name)
        if found and (not _lives(pid := int(found[1])) or (first and pid == own)):
            with suppress(FileNotFoundError):  # another worker was faster
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
