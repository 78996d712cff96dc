"""Figures and spans for whoever monitors: Prometheus (extra `metrics`) and OpenTelemetry (extra `tracing`)."""

from __future__ import annotations

from agent_system.observability.prometheus import PrometheusMetrics
from agent_system.observability.tracing import Tracing

__all__ = ["PrometheusMetrics", "Tracing"]
