"""Writing tool calls: the beginning and the end of a call find each other, whichever comes first and however often.

| there is | a beginning | an end |
|---|---|---|
| no row | writes one, running | writes one, ended |
| one that is requested | lets it run | ends it |
| one that runs, or was interrupted | fills in what is not known | ends it |
| one that has ended | fills in what is not known | changes nothing |
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, and_, bindparam, literal_column, or_, select

from agent_system.database.plans import compile_plan
from agent_system.managers.telemetry.task_context import TaskContext
from agent_system.models import metadata
from agent_system.types import ToolCallState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.core.store import RowStore
    from agent_system.models import ToolUsage

__all__ = ["FAILED", "IN_PROGRESS", "CallLog"]

IN_PROGRESS: Any = literal_column("tool_usage.state IN ('requested', 'running')")
"""The condition that a call has not ended, in the words of the index over such calls."""

FAILED: Any = literal_column("tool_usage.state = 'failed'")
"""The condition that a call failed, in the words of the index over such calls."""

# What an end tells if it is given; the rest it only fills in where nobody has told it.
FACTS = frozenset(
    {
        "result", "screenshot_path", "duration_ms", "input_tokens", "output_tokens", "cache_read_input_tokens",
        "cache_creation_input_tokens",
    }
)  # fmt: skip
ENDED = frozenset({ToolCallState.DONE, ToolCallState.FAILED})
# By these seed 002 tells which call an end belongs to.
TELLING = ("file_path", "command", "pattern")
CANDIDATES = 200

_calls = metadata.tables["tool_usage"]


class CallLog:
    """Makes the units of work that write tool calls."""

    def __init__(self, store: RowStore[ToolUsage]) -> None:
        self._store = store
        dialect = store.plans.dialect
        columns = store.plans.columns
        by_id = select(*_calls.columns).where(columns["call_id"] == bindparam("call_id", type_=columns["call_id"].type))
        self._by_call_id = compile_plan(by_id.with_for_update(), dialect)
        self._context = TaskContext(store)
        self._unmatched = compile_plan(_unmatched(), dialect)

    def begin(self, values: dict[str, Any]) -> Work[dict[str, Any]]:
        """What writes the beginning of a call; `values` are those of a whole row."""
        given = {key: values[key] for key in self._context.late}
        insert = self._store.prepare_insert(values, late=self._context.late)

        def work(executor: Executor) -> dict[str, Any]:
            values.update(given)
            row = None if values["call_id"] is None else self._find(executor, values["call_id"])
            if row is None:
                self._context.complete(executor, values)
                insert(executor)
                return values
            changes = _begun(row, values)
            if not changes:
                return row
            self._context.complete(executor, values)
            changes |= {key: values[key] for key in self._context.late if key != "meta" and row[key] is None}
            return self._change(executor, row, changes)

        return work

    def end(self, values: dict[str, Any], given: Mapping[str, Any], *, is_measured: bool) -> Work[dict[str, Any]]:
        """What writes the end of a call.

        Args:
            values: Those of a whole row, which is written when the call has none.
            given: Those of them that the caller gave.
            is_measured: The caller has measured how long the call ran.
        """
        late = {key: values[key] for key in self._context.late}
        insert = self._store.prepare_insert(values, late=self._context.late)

        def work(executor: Executor) -> dict[str, Any]:
            values.update(late)
            find = partial(self._find, executor, values["call_id"])
            row = find() if values["call_id"] is not None else self._match(executor, values)
            if row is None:
                self._context.complete(executor, values)
                insert(executor)
                return values
            if row["state"] in ENDED:
                return row
            return self._change(executor, row, _ended(row, values, given, is_measured=is_measured))

        return work

    def _find(self, executor: Executor, call_id: str) -> dict[str, Any] | None:
        rows = executor.fetch(self._by_call_id, self._by_call_id.encode({"call_id": call_id}))
        return self._store.plans.hydrate.decode(rows[0]) if rows else None

    def _match(self, executor: Executor, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The call without an id of its own that this is the end of.

        One of the same parameters, else of the same file, command or pattern; an end that does not name its parameters
        belongs to the oldest call.
        """
        if values["task_id"] is None and values["session_uuid"] is None:
            return None
        wanted = {key: values[key] for key in ("tool_name", "task_id", "session_uuid")}
        plan = self._unmatched
        hydrate = self._store.plans.hydrate
        found = [hydrate.decode(row) for row in executor.fetch(plan, plan.encode(wanted))]
        if values["parameter_hash"] is None:
            return found[0] if found else None
        equal = (row for row in found if row["parameter_hash"] == values["parameter_hash"])
        telling = _telling(values["parameters"])
        alike = (row for row in found if telling is not None and _telling(row["parameters"]) == telling)
        return next(equal, None) or next(alike, None)

    def _change(self, executor: Executor, row: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        return self._store.change(executor, {"id": row["id"]}, changes)


def _begun(row: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What changes in a row that is there when its call begins."""
    changes: dict[str, Any] = {}
    if row["state"] is ToolCallState.REQUESTED and new["state"] is ToolCallState.RUNNING:
        changes |= {"state": ToolCallState.RUNNING, "started_at": new["started_at"]}
    if row["state"] in ENDED and row["started_at"] is None and new["started_at"] is not None:
        # The end was written first: when it began may be known now, but it was not after it had ended.
        changes["started_at"] = min(new["started_at"], row["completed_at"] or new["started_at"])
    return changes | _missing(row, new)


def _ended(
    row: Mapping[str, Any], new: Mapping[str, Any], given: Mapping[str, Any], *, is_measured: bool
) -> dict[str, Any]:
    """What changes in a row when its call ends."""
    changes = {key: new[key] for key in given if key in FACTS}
    changes |= {key: new[key] for key in ("state", "success", "success_source", "completed_at")}
    changes |= {key: new[key] for key in ("error", "error_category")}
    began = row["started_at"] or row["timestamp"]
    if not is_measured:
        changes["duration_ms"] = max(0.0, (new["completed_at"] - began).total_seconds() * 1000)
    if row["started_at"] is None:
        changes["started_at"] = row["timestamp"]
    if given.get("meta"):
        changes["meta"] = {**row["meta"], **new["meta"]} if isinstance(row["meta"], dict) else new["meta"]
    return changes | _missing(row, new)


def _missing(row: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What the row does not know and is known now."""
    keys = ("parameters", "parameter_hash", "operation", "session_uuid", "conversation_id", "message_id")
    missing = {key: new[key] for key in keys if row[key] is None and new[key] is not None}
    if not row["tool_name"] and new["tool_name"]:
        missing["tool_name"] = new["tool_name"]
    return missing


def _telling(parameters: Any) -> tuple[str, Any] | None:
    if not isinstance(parameters, dict):
        return None
    return next(((key, parameters[key]) for key in TELLING if parameters.get(key) is not None), None)


def _unmatched() -> Any:
    """The calls of one tool, without ids, that have not ended, the oldest first, locked."""
    task = bindparam("task_id", type_=_calls.c.task_id.type)
    session = bindparam("session_uuid", type_=_calls.c.session_uuid.type)
    name = bindparam("tool_name", type_=_calls.c.tool_name.type)
    of_it = or_(_calls.c.task_id == task, _calls.c.session_uuid == session)
    wanted = and_(IN_PROGRESS, _calls.c.tool_name == name, _calls.c.call_id.is_(None), of_it)
    order = (_calls.c.timestamp, _calls.c.id)
    limit = literal_column(str(CANDIDATES), Integer())
    return select(*_calls.columns).where(wanted).order_by(*order).limit(limit).with_for_update()
