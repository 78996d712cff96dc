"""What a report of a runtime leaves open and its task tells: whose it is, and which agent was at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal_column, select

from agent_system.database.plans import compile_plan
from agent_system.models import metadata
from agent_system.models.columns import Text
from agent_system.models.naming import name_key

if TYPE_CHECKING:
    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import RowStore

__all__ = ["TaskContext"]

KEYS = ("task_id", "user_id", "agent_id", "tool_id")

_tasks = metadata.tables["tasks"]
_tools = metadata.tables["tools"]


class TaskContext:
    """Completes new rows that belong to tasks, by one statement.

    A report must not get lost because its task was deleted in the meantime: such a task is only named in `meta`. A
    report that names a session belongs to the newest task of that session.
    """

    def __init__(self, store: RowStore[Any]) -> None:
        dialect = store.plans.dialect
        self._plan = compile_plan(_context(), dialect)
        uuid: Any = _tasks.c.id.type
        self._decode = uuid.dialect_impl(dialect).result_processor(dialect, None)
        self.late = tuple(key for key in (*KEYS, "meta") if key in store.plans.columns)
        """The columns that it fills in."""

    def complete(self, executor: Executor, values: dict[str, Any]) -> None:
        """Fill in what is not given of a row that is about to be written, of the columns that it has."""
        name = values.get("tool_name")
        wanted = {key: values[key] for key in ("task_id", "session_uuid")}
        row = executor.fetch(self._plan, self._plan.encode({**wanted, "name_key": name and name_key(name)}))[0]
        found = {key: self._decode(value) for key, value in zip(KEYS, row, strict=True)}
        if values["task_id"] is not None and found["task_id"] is None:
            values["meta"] = {**values["meta"], "task_id": str(values["task_id"])}
        values["task_id"] = found["task_id"]
        for key in KEYS[1:]:
            if key in values and values[key] is None:
                values[key] = found[key]


def _context() -> Any:
    """One row: the task that is meant, its owner and its agent, and the registered tool of a name."""
    session = bindparam("session_uuid", type_=_tasks.c.session_uuid.type)
    newest = select(_tasks.c.id).where(_tasks.c.session_uuid == session).order_by(_tasks.c.id.desc()).limit(1)
    wanted = func.coalesce(bindparam("task_id", type_=_tasks.c.id.type), newest.scalar_subquery())
    named = select(_tools.c.id).where(_tools.c.name_key == bindparam("name_key", type_=Text()))
    one = select(literal_column("1").label("one")).subquery("one")
    columns = (_tasks.c.id, _tasks.c.user_id, _tasks.c.agent_id, named.scalar_subquery())
    return select(*columns).select_from(one.outerjoin(_tasks, _tasks.c.id == wanted))
