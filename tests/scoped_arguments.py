"""What the verbs of the managers are called with when somebody tries to get at what is not theirs.

The keys are those of Ada's rows (tests/planted.py). A verb that has an argument which is not here fails the test: add
the argument by its name, or for one verb alone as `attribute.verb.argument`.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system import models
from agent_system.managers.core.base import Manager
from agent_system.managers.ledger.usage import Usage
from agent_system.managers.queue.settlements import Completion
from tests.migration.rows import ROWS, key
from tests.planted import ADA, mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agent_system.entity_manager import EntityManager

__all__ = ["attributes_of", "calls_of", "verbs_of"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

SIMPLE: Mapping[str, Any] = {
    "action": "read",
    "actual_nano_usd": 5,
    "after": None,
    "agent_id": key(3),
    "alert_type": "low_balance",
    "analyse": None,
    "at": NOW,
    "before": None,
    "by": ADA,
    "bucket": timedelta(days=3_650),
    "call_id": "eve",
    "capability": mark("agents", "capabilities"),
    "capabilities": ("x",),
    "category": "general",
    "changes": {"meta": {"changed": True}},
    "channel_id": mark("messages", "channel_id"),
    "chat_id": 5,
    "column": "meta",
    "config": {"changed": True},
    "content": "x",
    "content_format": mark("context_documents", "format"),
    "conversation_id": key(11),
    "cost_usd": 1.0,
    "cron": "0 3 * * *",
    "depends_on_id": key(13),
    "dimension": "tool_name",
    "document_id": key(7),
    "document_ids": [key(7)],
    "document_name": mark("context_documents", "name"),
    "document_names": (mark("context_documents", "name"),),
    "domain": "example.org",
    "effect_id": 1,
    "email": "eve@example.org",
    "end": NOW + timedelta(days=10_000),
    "entity_id": key(3),
    "entity_type": "agent",
    "error": "x",
    "estimate_nano_usd": 5,
    "event_id": 1,
    "event_type": "agent.created",
    "file_id": 1,
    "file_path": "/x",
    "first": 1,
    "from_id": str(ADA),
    "game_type": mark("games", "game_type"),
    "guild_id": mark("messages", "guild_id"),
    "head": mark("conversation_heads", "name"),
    "host": "Host",
    "host_id": 1,
    "ids": [1, 2],
    "implementation": mark("tools", "implementation"),
    "item": 1,
    "items": ["x"],
    "into_id": str(ADA),
    "job_id": 1,
    "jobs": [],
    "key": "Limit",
    "label": "production",
    "left": None,
    "level": "info",
    "limit_nano_usd": 5,
    "message": "x",
    "message_id": 1,
    "metric_name": "x",
    "metric_value": 0.5,
    "model": "gpt",
    "model_id": 1,
    "model_name": "gpt",
    "n": 5,
    "name": mark("agents", "name"),
    "name_or_email": mark("users", "username"),
    "names": [mark("context_documents", "name")],
    "new": "long enough",
    "not_made": (),
    "objective": "x",
    "old": "long enough",
    "older_than": timedelta(0),
    "on": ("id",),
    "one_id": 1,
    "operation": "read",
    "opportunity_type": "x",
    "order": [1],
    "other_id": 2,
    "parent_task_id": key(12),
    "password": "long enough",
    "path": "/x",
    "patch": {"changed": True},
    "permission": mark("tools", "permissions"),
    "permissions": ("x",),
    "phase": "x",
    "process_id": key(9),
    "process_name": "review",
    "process_type": mark("processes", "process_type"),
    "progress": 0.5,
    "project_id": key(6),
    "promise_id": 1,
    "rate": 1.0,
    "rating": "negative",
    "relationship_type": "uses",
    "reservation": key(16),
    "result": "x",
    "role": "admin",
    "right": None,
    "session_uuid": mark("tool_usage", "session_uuid"),
    "silent_for": timedelta(0),
    "since": LONG_AGO,
    "source": ("agent", key(3)),
    "source_id": 1,
    "specialization": mark("agents", "specialization"),
    "start": LONG_AGO,
    "status": "x",
    "step": "send",
    "success": True,
    "summary": "x",
    "tag": mark("context_documents", "tags"),
    "tags": (mark("memories", "tags"),),
    "target": ("tool", key(2)),
    "target_id": 2,
    "task_description": "x",
    "task_id": key(12),
    "task_type": mark("queue", "task_type"),
    "term": mark("agents", "name"),
    "text": "x",
    "title": "x",
    "todo": 1,
    "tool_id": key(2),
    "tool_name": mark("task_tool_assignments", "tool_name"),
    "to_version": 1,
    "topic": "x",
    "trigger": "x",
    "triggers": ("x",),
    "uid": key(15),
    "until": NOW + timedelta(days=10_000),
    "url": "https://example.org/eve",
    "usage_id": 1,
    "user_ids": ("x",),
    "username": mark("users", "username"),
    "value": 5,
    "version": 1,
    "was_made": True,
    "which": 1,
}
# For one verb alone.
SPECIAL: Mapping[str, Any] = {
    "agents.set_status.status": "thinking",
    "conversations.compare.other_id": key(11),
    "conversations.delete_head.name": mark("conversation_heads", "name"),
    "conversations.switch.name": mark("conversation_heads", "name"),
    "context_documents.get_by_name.name": mark("context_documents", "name"),
    "identities.ensure.name": "x",
    "memories.remember.user_id": str(ADA),
    "models.calculate_cost.usage": Usage(input_tokens=1, output_tokens=1),
    "process_instances.advance.state": {"x": 1},
    "process_instances.complete.result": {"x": 1},
    "tasks.set_status.status": "running",
    "promises.make_dependent.promises": {"x": {"task_description": "x", "user_id": str(ADA)}},
    "promises.make_parallel.promises": [{"task_description": "x", "user_id": str(ADA)}],
    "queue.schedule.task_type": "x",
    "todos.create_list.name": "x",
    "hosts.ensure.name": "x",
    "logs.cleanup.before": NOW,
    "goals.due.before": NOW,
    "tool_usage.request.tool_name": "x",
    "tool_usage.start.tool_name": "x",
    "tool_usage.interrupt.call_id": mark("tool_usage", "call_id"),
    "token_usage.export_to.path": "/dev/null",
    "token_usage.log_many.calls": [{"model": "gpt", "host": "Host", "user_id": str(ADA)}],
    "users.get_by_email.email": mark("users", "email"),
    "projects.ensure.name": "x",
    "queue.enqueue.task_type": "x",
    "queue.exchange.done": [Completion(ROWS["queue"]["id"], 1, None, False)],  # noqa: FBT003 (a field of a tuple)
    "queue.enqueue_many.jobs": [{"task_type": "x", "user_id": str(ADA)}],
    "links.record_analysis.result": {"title": "x"},
}


async def _analyse(url: str) -> dict[str, Any]:
    return {"title": url}


async def _make() -> dict[str, Any]:
    return {"made": True}


def attributes_of(em: EntityManager) -> list[str]:
    """The managers of a facade."""
    return [name for name, value in vars(em).items() if isinstance(value, Manager)]


def verbs_of(manager: Manager[Any]) -> Iterator[str]:
    """The names of the verbs that are awaited or iterated over."""
    for name in dir(type(manager)):
        function = inspect.getattr_static(type(manager), name)
        is_verb = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        # What reads rows of another table by a statement of its manager's own is what `select` is.
        if is_verb and not name.startswith("_") and name != "read_versions":
            yield name


def calls_of(
    manager: Manager[Any], attribute: str, verb: str, minimal: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """The calls of a verb: with what it needs, and with all that may name somebody else's.

    Raises:
        LookupError: It has an argument that nobody has told about.
    """
    named: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    more: tuple[Any, ...] = ()
    for parameter in list(inspect.signature(getattr(manager, verb)).parameters.values()):
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        given = _argument(manager, attribute, verb, parameter.name, minimal)
        if parameter.kind is parameter.VAR_POSITIONAL:
            more = _known(given, attribute, verb, parameter.name)
        elif parameter.default is parameter.empty:
            named[parameter.name] = _known(given, attribute, verb, parameter.name)
        elif given is not MISSING and given is not None and parameter.name in NAMES_SOMEBODY:
            optional[parameter.name] = given
    yield "as it must", (*(named.values() if more else ()), *more), {} if more else named
    if optional:
        yield "naming somebody", (*(named.values() if more else ()), *more), ({} if more else named) | optional


MISSING: Any = object()
NAMES_SOMEBODY = {
    "agent_id",
    "channel_id",
    "conversation_id",
    "guild_id",
    "head",
    "message_id",
    "process_id",
    "task_id",
    "user_id",
    "where",
}


def _known(given: Any, attribute: str, verb: str, name: str) -> Any:
    if given is MISSING:
        message = f"tests/scoped_arguments.py does not know `{name}` of em.{attribute}.{verb}(): add it"
        raise LookupError(message)
    return given


def _argument(manager: Manager[Any], attribute: str, verb: str, name: str, minimal: Mapping[str, Any]) -> Any:
    special = f"{attribute}.{verb}.{name}"
    if special in SPECIAL:
        return SPECIAL[special]
    make = MADE.get(name)
    if make is not None:
        return make(manager, minimal)
    return SIMPLE.get(name, MISSING)


def _key(manager: Manager[Any], _minimal: Mapping[str, Any]) -> Any:
    row = ROWS[manager.plans.table.name]
    values = [row[name] for name in manager.plans.primary_key]
    return values[0] if len(values) == 1 else tuple(values)


def _data(manager: Manager[Any], minimal: Mapping[str, Any]) -> dict[str, Any]:
    """The least data, in Ada's name and about her things."""
    validator = manager.store.validator
    values = dict(minimal)
    for name, column in manager.plans.columns.items():
        if column.foreign_keys and name in validator.changeable:
            target = next(iter(column.foreign_keys)).column
            values.setdefault(name, ROWS[target.table.name][target.name])
    if "user_id" in manager.plans.columns:
        values["user_id"] = _user(manager, minimal)
    return values


def _user(manager: Manager[Any], _minimal: Mapping[str, Any]) -> Any:
    column = manager.plans.columns.get("user_id")
    return str(ADA) if column is not None and column.type.python_type is str else ADA


def _count(manager: Manager[Any], _minimal: Mapping[str, Any]) -> Callable[[Any], int]:
    table = manager.plans.table
    return lambda executor: int(executor.execute(select(func.count()).select_from(table)).scalar_one())


def _job(_manager: Manager[Any], _minimal: Mapping[str, Any]) -> Any:
    """Ada's job as a worker would hold it."""
    return models.Job(**ROWS["queue"], lease_token=1, status="in_progress")


MADE: Mapping[str, Callable[[Manager[Any], Mapping[str, Any]], Any]] = {
    "analyse": lambda _manager, _minimal: _analyse,
    "calls": lambda _manager, minimal: [minimal],
    "compute": lambda _manager, _minimal: lambda _row: {"meta": {"changed": True}},
    "data": _data,
    "id": _key,
    "job": _job,
    "jobs": lambda manager, minimal: [_job(manager, minimal)],
    "make": lambda _manager, _minimal: _make,
    "rows": lambda manager, minimal: [_data(manager, minimal)],
    "statement": lambda manager, _minimal: manager.query(),
    "user_id": _user,
    "values": lambda _manager, _minimal: (),
    "where": lambda _manager, _minimal: (),
    "work": _count,
}
