"""The list of all entities, how they belong together, what happened to them, and how well they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.conflicts import Known, Merge, Suffix
from agent_system.importers.legacy.converters import (
    NOW,
    OWN_ID,
    Converter,
    count,
    future,
    integer,
    json_value,
    moment,
    number,
    reference,
    required,
    text,
    word,
)
from agent_system.importers.legacy.description import Link, Table
from agent_system.importers.legacy.systems.the_system.agents import CREATED, STATE, UPDATED, facts
from agent_system.types import (
    ENTITY_TYPE_LEGACY,
    CounterType,
    Effort,
    EventOutcome,
    OpportunityStatus,
    RelationshipType,
    ReviewFrequency,
    Severity,
    TaskStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["TABLES"]

# Where the things of each type are there.
HOMES = {
    "agent": "agents",
    "task": "tasks",
    "tool": "tools",
    "document": "context_documents",
    "process": "processes",
    "event": "events",
}
SYSTEM = "the_system"
_seconds = number("duration_seconds", negative=False)
_frequency = word("review_frequency", ReviewFrequency, ReviewFrequency.THRESHOLD)


def _type(name: str) -> Converter:
    def convert(row: SourceRow) -> str:
        spelled = (text(name, "")(row) or "").strip().lower()
        return str(ENTITY_TYPE_LEGACY.get(spelled, spelled))

    return convert


def _entity(kind: str, name: str, *, is_needed: bool = False) -> Converter:
    """The key of a thing of any type, as text; one that is not there keeps its number and the system's name."""

    def convert(row: SourceRow) -> str:
        spelled = (text(kind, "")(row) or "").strip().lower()
        value = row.get(name)
        found = row.reading.references.find(HOMES.get(spelled, spelled), value)
        if found is not None:
            return str(found)
        if is_needed:
            row.reject(f"{name} refers to a {spelled or 'thing'} that is not there: {value!r}")
        if not value:
            return ""
        if spelled in HOMES:
            row.lose_reference(name, HOMES[spelled])
        return f"{SYSTEM}:{value}"

    return convert


def _event_type(row: SourceRow) -> str:
    spelled = text("event_type", "")(row) or ""
    if spelled != spelled.lower():
        row.mend("event_type", "now in small letters", keep=False)
    return spelled.lower() or "unknown"


def _milliseconds(row: SourceRow) -> float | None:
    found = _seconds(row)
    return None if found is None else found * 1000


def _review_frequency(row: SourceRow) -> ReviewFrequency:
    if _frequency(row) is not ReviewFrequency.THRESHOLD:
        row.mend("review_frequency", "the period is not known, now threshold")
    return ReviewFrequency.THRESHOLD


def _is(kind: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda raw: str(raw.get("entity_type") or "").strip().lower() == kind


def _is_other(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("entity_type") or "").strip().lower() not in {"agent", "task", "tool", "document", "process"}


def _entities(kind: str, target: str, columns: Mapping[str, Converter], *conflicts: Any) -> Table:
    """The entities of one type: those whose table was dropped, or that were never in it, are made by their names."""
    home = HOMES[kind]
    return Table(
        source="entities",
        part=home,
        target=target,
        identity=("entity_type", "entity_id", "name", "created_at"),
        key=("entity_id",),
        needs=frozenset({"entity_type", "name"}),
        only=_is(kind),
        columns={"id": OWN_ID, "meta": facts("version", metadata=True), "created_at": CREATED, **columns},
        conflicts=(Known(source=home, column="entity_id"), *conflicts),
        known_as=home,
    )


NAME = text("name", "(no name)", empty=False)
ENTITIES = (
    _entities("agent", "agents", {"name": NAME, "state": STATE}, Suffix(column="name", owner="user_id")),
    _entities("tool", "tools", {"name": NAME, "status": STATE}, Merge(on=("name_key",))),
    _entities("document", "context_documents", {"name": NAME, "status": STATE}),
    _entities("process", "processes", {"name": NAME, "status": STATE}),
    _entities(
        "task",
        "tasks",
        # Whether it was ever done, nobody knows: it shall not be begun again.
        {"tree_id": OWN_ID, "instruction": NAME, "status": lambda _row: TaskStatus.ON_HOLD},
    ),
)
EVENTS = Table(
    source="events",
    target="events",
    identity=("id", "event_type", "primary_entity_type", "primary_entity_id", "timestamp"),
    needs=frozenset({"event_type", "primary_entity_type"}),
    columns={
        "event_type": _event_type,
        "entity_type": _type("primary_entity_type"),
        "entity_id": _entity("primary_entity_type", "primary_entity_id"),
        "related_entities": json_value("related_entities"),
        "data": json_value("event_data"),
        "outcome": word("outcome", EventOutcome, None),
        "tree_id": reference("tree_id", "tasks.tree_id"),
        "duration_ms": _milliseconds,
        "meta": facts(metadata=True),
        "created_at": moment("timestamp", NOW),
    },
    links=(Link(column="parent_event_id", source="parent_event_id"),),
)


def _task_or_system(row: SourceRow) -> str:
    return "system" if row.get("source_task_id") is None else "task"


def _task_or_nothing(row: SourceRow) -> str:
    value = row.get("source_task_id")
    found = None if value is None else row.reading.references.find("tasks", value)
    if found is None and value is not None:
        row.lose_reference("source_task_id", "tasks")
        return f"{SYSTEM}:{value}"
    return "" if found is None else str(found)


SYSTEM_EVENTS = Table(
    source="system_events",
    target="events",
    identity=("id", "event_type", "source_task_id", "timestamp"),
    needs=frozenset({"event_type", "source_task_id"}),
    columns={
        "event_type": _event_type,
        "entity_type": _task_or_system,
        "entity_id": _task_or_nothing,
        "data": json_value("event_data"),
        "severity": word("severity", Severity, Severity.INFO),
        "created_at": moment("timestamp", NOW),
    },
    # Their runner has copied these into `events`.
    conflicts=(Merge(on=("entity_id", "event_type", "created_at"), same=("data",)),),
    is_referenced=False,
)
RELATIONSHIPS = Table(
    source="entity_relationships",
    target="relations",
    identity=("id", "source_type", "source_id", "target_type", "target_id", "relationship_type", "created_at"),
    needs=frozenset({"source_type", "relationship_type"}),
    columns={
        "source_type": _type("source_type"),
        "source_id": _entity("source_type", "source_id", is_needed=True),
        "target_type": _type("target_type"),
        "target_id": _entity("target_type", "target_id", is_needed=True),
        "relationship_type": required(word("relationship_type", RelationshipType, None), "relationship_type"),
        "strength": number("strength", 1.0, negative=False),
        "context": json_value("context"),
        "created_by_event_id": reference("created_by_event_id", "events"),
        "created_at": CREATED,
        "updated_at": UPDATED,
    },
    conflicts=(Merge(on=("source_id", "source_type", "target_type", "target_id", "relationship_type")),),
    is_referenced=False,
)
COUNTERS = Table(
    source="rolling_review_counters",
    target="reviews",
    identity=("entity_type", "entity_id", "counter_type", "created_at"),
    needs=frozenset({"counter_type", "threshold"}),
    columns={
        "entity_type": _type("entity_type"),
        "entity_id": _entity("entity_type", "entity_id"),
        "counter_type": word("counter_type", CounterType, CounterType.USAGE),
        "count": count("count", 0),
        "total_count": count("count", 0),
        "threshold": integer("threshold", 100, low=1),
        "frequency": _review_frequency,
        "last_review_at": moment("last_review_at"),
        "next_review_at": future("next_review_due"),
        "created_at": moment("created_at", NOW),
    },
    conflicts=(Merge(on=("entity_id", "entity_type", "counter_type")),),
    is_referenced=False,
)
OPPORTUNITIES = Table(
    source="optimization_opportunities",
    target="opportunities",
    identity=("id", "entity_type", "entity_id", "opportunity_type", "created_at"),
    needs=frozenset({"opportunity_type"}),
    columns={
        "entity_type": _type("entity_type"),
        "entity_id": _entity("entity_type", "entity_id"),
        "opportunity_type": text("opportunity_type", "unknown", empty=False),
        "description": text("description", ""),
        "potential_impact": number("potential_impact", 0.0),
        "effort_estimate": word("effort_estimate", Effort, None),
        "status": word("status", OpportunityStatus, OpportunityStatus.PENDING),
        "created_by_event_id": reference("created_by_event_id", "events"),
        "result": text("result"),
        "completed_at": moment("completed_at"),
        "created_at": moment("created_at", NOW),
    },
    conflicts=(
        Merge(
            on=("entity_id", "entity_type", "opportunity_type"),
            when=lambda values: values["status"] in {OpportunityStatus.PENDING, OpportunityStatus.IN_PROGRESS},
        ),
    ),
    is_referenced=False,
)
EFFECTIVENESS = Table(
    source="entity_effectiveness",
    target="effectiveness",
    identity=("id", "entity_type", "entity_id", "metric_name", "measured_at"),
    needs=frozenset({"metric_name", "metric_value"}),
    columns={
        "entity_type": _type("entity_type"),
        "entity_id": _entity("entity_type", "entity_id"),
        "metric_name": text("metric_name", "unknown", empty=False),
        "metric_value": required(number("metric_value"), "metric_value"),
        "measured_at": moment("measured_at", NOW),
        "event_id": reference("event_id", "events"),
        "context": json_value("context"),
        "created_at": moment("measured_at", NOW),
    },
    is_referenced=False,
)
TABLES = (*ENTITIES, EVENTS, SYSTEM_EVENTS, RELATIONSHIPS, COUNTERS, OPPORTUNITIES, EFFECTIVENESS)
