"""Metrics in Prometheus' words: how long operations take, how many fail, and the figures of `em.health()`."""

from __future__ import annotations

import importlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_system.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_system.entity_manager import EntityManager

__all__ = ["PrometheusMetrics"]

EXTRA, FEATURE = "metrics", "Prometheus metrics"
# From a cached lookup (5 µs) to a wait for a lock (30 s).
BUCKETS = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
GAUGES = {
    "cold_storage_connected": "1 when the database answers",
    "disk_usage": "bytes of the database with its log",
    "wal_file_size": "bytes of the write-ahead log",
    "write_queue_depth": "writes that wait for their group commit",
    "hot_cache_size": "rows in the hot cache",
    "hot_cache_hits": "lookups that the hot cache has answered since connect()",
    "hot_cache_misses": "lookups of hot tables that it has not",
    "pool_size": "connections that the pool keeps",
    "pool_checked_out": "connections that are in use",
    "latency_ms": "milliseconds of the query that tested the connection",
    "queue_backlog": "jobs that wait",
    "queue_running": "jobs that a worker has",
    "queue_stalled": "jobs whose worker has lost its lease",
    "queue_dead_letters": "jobs that failed for good",
    "tasks_running": "tasks that run",
    "streams_stalled": "messages whose streaming nobody goes on with",
}


class PrometheusMetrics:
    """Counts and times the operations of one manager; give it to `DatabaseManager(observers=[...])`.

    Args:
        registry: Where the metrics are registered; None is the library's own.

    Raises:
        MissingExtraError: prometheus-client is not installed.

    Example:
        >>> metrics = PrometheusMetrics()
        >>> async with DatabaseManager(observers=[metrics]) as db:
        ...     await metrics.refresh(EntityManager(db))
        ...     page = metrics.render()
    """

    def __init__(self, registry: Any = None) -> None:
        try:
            self._library: Any = importlib.import_module("prometheus_client")
        except ImportError as exc:
            raise MissingExtraError(EXTRA, FEATURE) from exc
        self._registry = registry if registry is not None else self._library.REGISTRY
        given = {"registry": self._registry, "namespace": "agent_system"}
        self._seconds = self._library.Histogram(
            "operation_seconds", "How long an operation took.", ["operation"], buckets=BUCKETS, **given
        )
        self._errors = self._library.Counter(
            "operation_errors", "How many operations failed.", ["operation", "error"], **given
        )
        self._gauges = {name: self._library.Gauge(name, f"Health: {text}.", **given) for name, text in GAUGES.items()}

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Time an operation; see `Observer`."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as exc:
            self._errors.labels(name, type(exc).__name__).inc()
            raise
        finally:
            self._seconds.labels(name).observe(time.perf_counter() - started)

    async def refresh(self, em: EntityManager) -> None:
        """Set the gauges to the present figures; what is not known becomes NaN."""
        figures = (await em.health()).as_dict()
        for name, gauge in self._gauges.items():
            value = figures.get(name)
            gauge.set(float("nan") if value is None else float(value))

    def render(self) -> bytes:
        """Return the page that Prometheus reads."""
        page: bytes = self._library.generate_latest(self._registry)
        return page
