"""The statements that claim jobs, above all: one UPDATE that picks the next ones, leases them and returns them.

It picks from three places, each through a partial index that holds nothing else: what is ready, the highest priority
first and then the longest ready; and what somebody has whose lease has run out. A job that was lost too often, or whose
time is over, is ended by the same statement instead of being begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Text, and_, bindparam, case, func, literal_column, null, or_, select, union_all, update

from agent_system.database.dialects.batches import json_item, json_rows
from agent_system.database.dialects.expressions import index_preference
from agent_system.database.plans import compile_plan
from agent_system.managers.queue.rules import is_ruled
from agent_system.models import metadata

if TYPE_CHECKING:
    from sqlalchemy import CTE, ColumnElement, Dialect, Select

    from agent_system.database.plans import Plan

__all__ = ["ClaimStatements", "listed", "text_of"]

_jobs = metadata.tables["queue"]
_columns = _jobs.c

LOST = "the worker that had it did not come back before its lease ran out"
TOO_LATE = "its time was over before a worker could begin it"
# So many at once whose time has come, so that a claim is short whatever was scheduled for one moment.
MOST_PROMOTED = 1_000


def text_of(value: str) -> ColumnElement[Any]:
    """A constant of the statement itself."""
    return literal_column(f"'{value}'")


class ClaimStatements:
    """Compiles what a claim needs, once for each number of types."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._claims: dict[int, Plan] = {}
        self._candidates: dict[int, Plan] = {}
        self.look = compile_plan(_look(), dialect)
        """Tells whether the time of jobs has come, and whether any type has rules."""
        self.promote = compile_plan(_promotion(), dialect)
        """Lets jobs be ready whose time has come."""
        self.take = compile_plan(_taking(_columns.id.in_(listed("ids", _columns.id))), dialect)
        """Claims the jobs `ids`, which the transaction has locked."""
        self.give_back = compile_plan(_giving_back(_columns.id.in_(listed("ids", _columns.id))), dialect)
        """Takes the claim of the jobs `ids` back."""
        kind = _columns.task_type
        after = kind > bindparam("after", type_=kind.type)
        types = select(kind).where(_columns.ready_at.is_not(None), after).order_by(kind).limit(1)
        self.next_type = compile_plan(types, dialect)
        """The first type after another one of which a job is ready."""
        self.running_types = compile_plan(
            select(kind).where(_columns.lease_expires_at.is_not(None)).distinct(), dialect
        )

    def claim(self, types: int) -> Plan:
        """Claim jobs of so many types, each with limits of its own; 0: of any type."""
        plan = self._claims.get(types)
        if plan is None:
            plan = self._claims[types] = compile_plan(_claim(types), self._dialect)
        return plan

    def candidates(self, types: int) -> Plan:
        """Find what could be claimed, lock it, and leave out jobs with the concurrency keys `blocked`."""
        plan = self._candidates.get(types)
        if plan is None:
            key = _columns.concurrency_key
            allowed = or_(key.is_(None), key.not_in(listed("blocked", key)))
            plan = self._candidates[types] = compile_plan(_order(_found(types, allowed)), self._dialect)
        return plan


def listed(name: str, column: Any) -> Any:
    """The values of a parameter of `dump_rows`, one in each row."""
    rows = json_rows(bindparam(name, type_=Text())).table_valued("value", name=name)
    return select(json_item(rows.c.value, 0, column.type))


def _moment(name: str) -> Any:
    return bindparam(name, type_=_columns.lease_expires_at.type)


def _now() -> Any:
    return _moment("now")


def _look() -> Any:
    types = metadata.tables["queue_types"]
    # In order, so that PostgreSQL goes along the index before anybody has told it to.
    due: Select[Any] = select(_columns.due_at).where(_columns.due_at <= _now()).order_by(_columns.due_at).limit(1)
    has_rules = select(literal_column("1")).select_from(types).where(is_ruled()).exists()
    return select(due.scalar_subquery().is_not(None), has_rules, index_preference())


def _promotion() -> Any:
    """Let jobs be ready whose time has come; rows of plain SQL get what the layer would have written."""
    found = select(_columns.id).where(_columns.due_at <= _now()).order_by(_columns.due_at).limit(MOST_PROMOTED)
    due = _materialized(found.with_for_update(skip_locked=True).cte("due"))
    is_pending, schedule = _columns.status == text_of("pending"), _columns.scheduled_for
    is_early = and_(is_pending, schedule > _now())
    is_nobodys = and_(_columns.status == text_of("in_progress"), _columns.lease_expires_at.is_(None))
    values = {
        "due_at": case((is_early, schedule), else_=null()),
        "ready_at": case(
            (is_early, null()), (is_pending, func.coalesce(schedule, _columns.created_at)), else_=_columns.ready_at
        ),
        "lease_expires_at": case((is_nobodys, _columns.created_at), else_=_columns.lease_expires_at),
        "updated_at": _columns.updated_at,
    }
    return update(_jobs).where(_columns.id.in_(select(due.c.id))).values(values)


def _materialized(found: CTE) -> CTE:
    # PostgreSQL may run a subquery more than once and then locks and changes more rows than its limit says.
    return found.prefix_with("MATERIALIZED", dialect="postgresql")


def _claim(types: int) -> Any:
    picked = _order(_found(types)).limit(bindparam("wanted", type_=Integer()))
    return _taking(_columns.id.in_(select(_materialized(picked.cte("picked")).c.id)))


def _order(statement: Select[Any]) -> Select[Any]:
    columns = statement.selected_columns
    return statement.order_by(columns.priority.desc(), columns.ready_at, columns.id)


def _found(types: int, allowed: Any = None) -> Select[Any]:
    """What may be claimed, of each type at most so many; `allowed` is a condition on what does not run already."""
    kind = _columns.task_type.type
    branches: list[Select[Any]] = []
    for number in range(types or 1):
        of_type = _columns.task_type == bindparam(f"type_{number}", type_=kind) if types else None
        ready = _pick(_columns.ready_at.is_not(None), of_type, allowed)
        branches.append(_limited(_order(ready), f"limit_{number}"))
    lost = [bindparam(f"lost_type_{number}", type_=kind) for number in range(types)]
    of_types = or_(*(_columns.task_type == one for one in lost)) if lost else None
    lease = _columns.lease_expires_at
    # Those whose lease has run out, or reaches further than any lease does, which no clock of ours has written.
    for condition in (lease <= _moment("steady"), lease > _moment("too_far")):
        lost_ones = _pick(condition, of_types).order_by(lease)
        branches.append(_limited(lost_ones, "wanted"))
    return select(union_all(*branches).subquery("found"))


def _pick(*conditions: Any) -> Select[Any]:
    picked = select(_columns.id, _columns.priority, _columns.ready_at, _columns.task_type, _columns.concurrency_key)
    return picked.where(*(condition for condition in conditions if condition is not None))


def _limited(statement: Select[Any], limit: str) -> Select[Any]:
    limited = statement.limit(bindparam(limit, type_=Integer())).with_for_update(skip_locked=True).subquery()
    return select(limited)


def _taking(condition: Any) -> Any:
    """Lease the jobs of a condition to a worker, or end those that are not to be begun."""
    status = _columns.status
    is_lost = status == text_of("in_progress")
    # Somebody has written its end by plain SQL.
    is_ended = status.in_([text_of("completed"), text_of("failed"), text_of("cancelled")])
    is_spent = and_(is_lost, _columns.retries >= _columns.max_retries)
    is_late = _columns.expires_at <= _now()
    is_over = or_(is_spent, is_late, is_ended)
    values = {
        "status": case(
            (is_ended, status),
            (is_spent, text_of("failed")),
            (is_late, text_of("cancelled")),
            else_=text_of("in_progress"),
        ),
        "retries": case((and_(is_lost, ~is_spent), _columns.retries + 1), else_=_columns.retries),
        "lease_token": _columns.lease_token + 1,
        "lease_expires_at": case((is_over, null()), else_=_moment("until")),
        "ready_at": null(),
        "assigned_to": case((is_over, _columns.assigned_to), else_=bindparam("worker", type_=_columns.task_type.type)),
        "started_at": case((is_over, _columns.started_at), else_=_now()),
        "completed_at": case((is_over, func.coalesce(_columns.completed_at, _now())), else_=null()),
        "error_message": case(
            (is_ended, _columns.error_message),
            (is_spent, text_of(LOST)),
            (is_late, text_of(TOO_LATE)),
            (is_lost, text_of(LOST)),
            else_=_columns.error_message,
        ),
        "updated_at": _now(),
    }
    return update(_jobs).where(condition).values(values).returning(*_jobs.c)


def _giving_back(condition: Any) -> Any:
    values = {
        "status": text_of("pending"),
        "ready_at": func.coalesce(_columns.scheduled_for, _columns.created_at),
        "lease_expires_at": null(),
        "updated_at": _now(),
    }
    return update(_jobs).where(condition).values(values)
