"""Metrics and spans: what they say about operations, and that nobody pays for them who has not asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from agent_system import DatabaseManager, EntityManager
from agent_system.database.dialects.postgresql import PostgresBackend
from agent_system.database.dialects.sqlite import SqliteBackend
from agent_system.errors import DuplicateKeyError, MissingExtraError
from agent_system.observability import PrometheusMetrics, Tracing

if TYPE_CHECKING:
    from agent_system.database.observation import Observer

SECRET = "planted-value"


async def work(url: str, observers: list[Observer]) -> EntityManager:
    async with DatabaseManager(url, auto_migrate=False, observers=observers) as db:
        em = EntityManager(db)
        agent = await em.agents.create({"name": SECRET})
        await em.agents.get_by_id(agent.id)
        await em.agents.find(name=SECRET)
        with pytest.raises(DuplicateKeyError):
            await em.agents.create({"name": SECRET})
        async with db.transaction():
            await em.agents.update(agent.id, {"status": "thinking"})
        await em.query("SELECT 1")
        for one in observers:
            if isinstance(one, PrometheusMetrics):
                await one.refresh(em)
    return em


async def test_operations_are_counted_and_timed(migrated_url: str) -> None:
    metrics = PrometheusMetrics(CollectorRegistry())
    await work(migrated_url, [metrics])
    page = metrics.render().decode()
    for operation, least in (("write", 2), ("query", 1), ("begin", 1), ("commit", 1)):
        (line,) = [one for one in page.splitlines() if f'operation_seconds_count{{operation="{operation}"}}' in one]
        assert float(line.split()[-1]) >= least
    assert 'agent_system_operation_errors_total{error="DuplicateKeyError",operation="write"} 1.0' in page
    assert "agent_system_cold_storage_connected 1.0" in page
    assert "agent_system_queue_backlog 0.0" in page
    assert SECRET not in page


async def test_operations_are_spans_of_the_task_that_asked(migrated_url: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("caller").start_as_current_span("request") as request:
        await work(migrated_url, [Tracing("sqlite", provider)])
    spans = [span for span in exporter.get_finished_spans() if span.name.startswith("agent_system.")]
    assert {"agent_system.write", "agent_system.begin", "agent_system.commit", "agent_system.query"} <= {
        span.name for span in spans
    }
    assert all(span.parent is not None and span.context is not None for span in spans)
    assert {span.context.trace_id for span in spans if span.context} == {request.get_span_context().trace_id}
    (failed,) = [span for span in spans if "error.type" in (span.attributes or {})]
    assert (failed.attributes or {})["error.type"] == "DuplicateKeyError"
    assert all(SECRET not in str(span.to_json()) for span in spans)


async def test_nobody_is_in_the_way_of_a_manager_that_is_not_watched(database: DatabaseManager) -> None:
    assert type(database._backend) in {SqliteBackend, PostgresBackend}
    await asyncio.sleep(0)


@pytest.mark.parametrize(("observer", "extra"), [(PrometheusMetrics, "metrics"), (Tracing, "tracing")])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, observer: Any, extra: str) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError) as caught:
        observer()
    assert caught.value.extra == extra
