"""Spans in OpenTelemetry's words: one for each operation, in the context of the task that asked for it.

https://opentelemetry.io/docs/specs/semconv/database/: `db.system.name`, `db.operation.name`; no statement and no value
is in a span.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_system.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Tracing"]

EXTRA, FEATURE = "tracing", "OpenTelemetry spans"


class Tracing:
    """Makes a span of every operation of one manager; give it to `DatabaseManager(observers=[...])`.

    Args:
        system: Which database it is, for `db.system.name`: sqlite or postgresql.
        provider: Who makes the tracer; None is the one that the program has set for all.

    Raises:
        MissingExtraError: opentelemetry-api is not installed.
    """

    def __init__(self, system: str = "sqlite", provider: Any = None) -> None:
        try:
            trace: Any = importlib.import_module("opentelemetry.trace")
        except ImportError as exc:
            raise MissingExtraError(EXTRA, FEATURE) from exc
        self._tracer = trace.get_tracer("agent_system", tracer_provider=provider)
        self._kind = trace.SpanKind.CLIENT
        self._attributes = {"db.system.name": system}

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Make a span; an error ends it with its class, without its words. See `Observer`."""
        attributes = self._attributes | {"db.operation.name": name}
        with self._tracer.start_as_current_span(
            f"agent_system.{name}",
            kind=self._kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as exc:
                span.set_attribute("error.type", type(exc).__name__)
                raise
