"""Promises that wait for others: where they stand, and what becomes of them when one of the others ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update

from agent_system.managers.core.steps import in_chunks
from agent_system.models import metadata
from agent_system.types import DependencyPolicy, PromiseStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.promises.promise_jobs import PromiseJobs

__all__ = ["ENDED", "UNSUCCESSFUL", "Dependents", "is_undecided", "standing"]

ENDED = (PromiseStatus.COMPLETED, PromiseStatus.FAILED, PromiseStatus.CANCELLED)
"""It is over; `completed_at` is set."""

UNSUCCESSFUL = (PromiseStatus.FAILED, PromiseStatus.CANCELLED)
"""It was not kept, and what waits for it is decided by the policy of the dependency."""

_promises = metadata.tables["promises"]
_edges = metadata.tables["promise_dependencies"]
_parents = _promises.alias("parents")
_waits = _promises.c.status == PromiseStatus.WAITING


def standing(
    parents: Iterable[tuple[int, PromiseStatus, DependencyPolicy]],
) -> tuple[PromiseStatus, str | None]:
    """Where a promise stands that has not begun: pending, waiting, or failed and why.

    Args:
        parents: What it depends on: id, status and policy of each.
    """
    is_held_up = False
    for parent_id, status, policy in parents:
        if status in UNSUCCESSFUL and policy is DependencyPolicy.FAIL:
            became = "failed" if status is PromiseStatus.FAILED else "was cancelled"
            return PromiseStatus.FAILED, f"promise {parent_id}, which it depends on, {became}"
        does_not_matter = status in UNSUCCESSFUL and policy is DependencyPolicy.IGNORE
        is_held_up = is_held_up or not (status is PromiseStatus.COMPLETED or does_not_matter)
    return PromiseStatus.WAITING if is_held_up else PromiseStatus.PENDING, None


def is_undecided() -> Any:
    """The condition that a promise waits although nothing holds it up, or although it should have failed."""
    edge = select(_edges.c.promise_id).join(_parents, _parents.c.id == _edges.c.depends_on_id)
    edge = edge.where(_edges.c.promise_id == _promises.c.id).correlate(_promises)
    has_failed = _parents.c.status.in_(UNSUCCESSFUL)
    is_settled = or_(
        _parents.c.status == PromiseStatus.COMPLETED,
        and_(_edges.c.on_failure == DependencyPolicy.IGNORE, has_failed),
    )
    is_doomed = and_(_edges.c.on_failure == DependencyPolicy.FAIL, has_failed)
    return and_(_waits, or_(~edge.where(~is_settled).exists(), edge.where(is_doomed).exists()))


class Dependents:
    """Lets promises begin, or fail, when what they wait for has ended; in the unit of work that ends it."""

    def __init__(self, jobs: PromiseJobs, clock: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._clock = clock

    def settle_after(self, executor: Executor, promise_id: int, status: PromiseStatus) -> None:
        """Do what the end of a promise means for those that wait for it, directly or through others."""
        found = _below(promise_id, is_through=status in UNSUCCESSFUL)
        self.settle(executor, executor.execute(found).mappings().all())

    def settle(self, executor: Executor, promises: Sequence[Any]) -> list[int]:
        """Let those of these promises begin or fail, which the caller has locked, whose time has come; their ids."""
        # On PostgreSQL a row may have changed while its lock was waited for; this is what it is now.
        waiting = {row["id"]: row for row in promises if row["status"] is PromiseStatus.WAITING}
        if not waiting:
            return []
        # A second statement: by now it sees what those have written whose locks were waited for.
        parents = _parents_of(executor, list(waiting))
        decided = _decide(parents, waiting)
        for promise_id, (status, reason) in decided.items():
            self._write(executor, waiting[promise_id], status, reason)
        return list(decided)

    def _write(self, executor: Executor, promise: Mapping[str, Any], status: PromiseStatus, reason: str | None) -> None:
        now = self._clock()
        values: dict[str, Any] = {"status": status, "updated_at": now}
        if status is PromiseStatus.FAILED:
            values |= {"error_message": promise["error_message"] or reason, "completed_at": now}
        executor.execute(update(_promises).where(_promises.c.id == promise["id"], _waits).values(values))
        if status is PromiseStatus.PENDING:
            self._jobs.enqueue(executor, promise)


def _decide(
    parents: Mapping[int, Sequence[Any]], waiting: Iterable[int]
) -> dict[int, tuple[PromiseStatus, str | None]]:
    """Where the promises stand that do not wait any longer; a failure goes on until nothing follows from it."""
    decided: dict[int, tuple[PromiseStatus, str | None]] = {}
    changed = True
    while changed:
        changed = False
        for promise_id in waiting:
            if promise_id in decided:
                continue
            edges = (
                (parent, decided[parent][0] if parent in decided else status, policy)
                for parent, status, policy in parents.get(promise_id, ())
            )
            status, reason = standing(edges)
            if status is not PromiseStatus.WAITING:
                decided[promise_id] = status, reason
                changed = True
    return decided


def _parents_of(executor: Executor, ids: Sequence[int]) -> dict[int, list[Any]]:
    columns = (_edges.c.promise_id, _edges.c.depends_on_id, _parents.c.status, _edges.c.on_failure)
    statement = select(*columns).join(_parents, _parents.c.id == _edges.c.depends_on_id)
    found: dict[int, list[Any]] = {}
    for part in in_chunks(ids):
        wanted = statement.where(_edges.c.promise_id.in_(part)).order_by(_edges.c.promise_id, _edges.c.depends_on_id)
        rows: Sequence[Any] = executor.execute(wanted).all()
        for promise_id, parent_id, status, policy in rows:
            found.setdefault(promise_id, []).append((parent_id, status, policy))
    return found


def _below(promise_id: int, *, is_through: bool) -> Any:
    """The promises that wait for one, directly or also through others, locked in the order of their ids.

    What waits has a higher id than what it waits for, so that no two who lock this way wait for each other.
    """
    direct = select(_edges.c.promise_id).join(_promises, _promises.c.id == _edges.c.promise_id).where(_waits)
    first = direct.where(_edges.c.depends_on_id == promise_id)
    if is_through:
        below = first.cte("below", recursive=True)
        first = select(below.union(direct.join(below, _edges.c.depends_on_id == below.c.promise_id)).c.promise_id)
    wanted = select(*_promises.columns).where(_promises.c.id.in_(first.scalar_subquery()))
    return wanted.order_by(_promises.c.id).with_for_update(of=_promises)
