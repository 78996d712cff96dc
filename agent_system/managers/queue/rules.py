"""The rules of types of jobs: which are paused, how many may run at once, and how many may begin in a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal_column, or_, select, update

from agent_system.clock import to_microseconds
from agent_system.database.plans import compile_plan, shared_plans
from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.models import JobType, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor

__all__ = ["Rule", "RuleBook", "RuleManager", "is_ruled"]

_types = metadata.tables["queue_types"]
_jobs = metadata.tables["queue"]
SECOND = 1_000_000


@dataclass(slots=True)
class Rule:
    """What may begin of one type now."""

    allowed: int | None = None
    """So many of its jobs; None: any number."""
    per_key: int = 1
    """So many of its jobs with one concurrency key may run at once."""
    rate: int | None = None
    """So many of its jobs, those included that begin again; None: any number."""
    starts: list[int] = field(default_factory=list)
    """When jobs began within the window of its rate, in microseconds since 1970."""


def is_ruled() -> Any:
    """The condition that a type has rules that a claim has to obey."""
    columns = _types.c
    return or_(
        columns.is_paused,
        columns.max_running.is_not(None),
        columns.rate_limit.is_not(None),
        columns.max_running_per_key > literal_column("1"),
    )


class RuleManager(Manager[JobType]):
    """The rules of types of jobs."""

    entity = JobType
    kept = frozenset({"recent_starts"})

    async def set(self, task_type: str, rules: Mapping[str, Any]) -> JobType:
        """Set the rules of a type that are named; the others stay as they are.

        Raises:
            ValidationError: A rule is unknown, out of range, or half a rule.
        """
        if len({"rate_limit", "rate_seconds"} & rules.keys()) == 1:
            message = "queue_types.rate_limit: it needs rate_seconds, and rate_seconds needs it"
            raise ValidationError(message, field="rate_limit", entity="queue_types")
        if (rules.get("rate_limit") is None) != (rules.get("rate_seconds") is None):
            message = "queue_types.rate_limit: it and rate_seconds are both None, or neither is"
            raise ValidationError(message, field="rate_limit", entity="queue_types")
        rule = await self.upsert({"task_type": task_type, **rules}, on=("task_type",))
        await self._db.write(lambda executor: executor.notify())
        return rule


class RuleBook:
    """Reads the rules inside a claim; those that limit a number are locked, so that two claims do not share it."""

    def __init__(self, dialect: Dialect) -> None:
        self._hydrate = shared_plans(JobType, dialect).hydrate
        columns = _types.c
        rows = select(*columns).where(is_ruled())
        self._read = compile_plan(rows, dialect)
        self._lock = compile_plan(rows.order_by(columns.task_type).with_for_update(), dialect)
        lease = _jobs.c.lease_expires_at
        running = select(_jobs.c.task_type, func.count()).where(lease.is_not(None)).group_by(_jobs.c.task_type)
        self._running = compile_plan(running, dialect)
        self._remember = compile_plan(
            update(_types)
            .where(columns.task_type == bindparam("type", type_=columns.task_type.type))
            .values(recent_starts=bindparam("starts", type_=columns.recent_starts.type), updated_at=columns.updated_at),
            dialect,
        )

    def apply_to(self, executor: Executor, types: Sequence[str] | None) -> bool:
        """Tell whether there are rules for any of these types; None is all types."""
        rows = executor.fetch(self._read, self._read.encode({}))
        return bool(rows) and (types is None or any(self._hydrate.decode(row)["task_type"] in types for row in rows))

    def read(self, executor: Executor, now: datetime) -> dict[str, Rule]:
        """What may begin of each type that has rules."""
        rows = [self._hydrate.decode(row) for row in executor.fetch(self._lock, self._lock.encode({}))]
        running: Mapping[str, int] = {}
        if any(row["max_running"] is not None for row in rows):
            running = dict(executor.fetch(self._running, self._running.encode({})))
        return {row["task_type"]: _rule(row, running.get(row["task_type"], 0), now) for row in rows}

    def remember(self, executor: Executor, rules: Mapping[str, Rule], began: Iterable[str], now: datetime) -> None:
        """Write down which types have begun a job each, for their rates."""
        for task_type in began:
            rule = rules.get(task_type)
            if rule is not None and rule.rate is not None:
                rule.starts.append(to_microseconds(now))
        for task_type in {task_type for task_type in began if task_type in rules}:
            if rules[task_type].rate is not None:
                plan = self._remember
                executor.change(plan, plan.encode({"type": task_type, "starts": rules[task_type].starts}))


def _rule(row: Mapping[str, Any], running: int, now: datetime) -> Rule:
    rule = Rule(per_key=row["max_running_per_key"])
    if row["max_running"] is not None:
        rule.allowed = max(0, row["max_running"] - running)
    if row["rate_limit"] is not None:
        moment, window = to_microseconds(now), int(row["rate_seconds"] * SECOND)
        # Who waited for the lock has looked at the clock before; a start that lies further in the future was written
        # before the clock was set back, and must not stop the type for an hour.
        rule.starts = [one for one in row["recent_starts"] if abs(moment - one) < window]
        rule.rate = max(0, row["rate_limit"] - len(rule.starts))
    if row["is_paused"]:
        rule.allowed = rule.rate = 0
    return rule
