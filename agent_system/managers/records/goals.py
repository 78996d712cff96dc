"""Goals: what people want to reach, and by when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.records.completion import date_change, date_new
from agent_system.managers.users.identity_writer import IdentityWriter, identity_writer
from agent_system.managers.users.persons import PersonLookup, identity_id
from agent_system.models import Goal, metadata
from agent_system.types import GoalStatus, TodoStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Select

    from agent_system.database.executor import Executor

__all__ = ["GoalManager", "GoalProgress", "GoalSummary"]

# In the words of the indexes over open goals, so that an engine sees that they fit.
OPEN = (GoalStatus.NOT_STARTED, GoalStatus.IN_PROGRESS, GoalStatus.BLOCKED)


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalSummary:
    """How many goals of somebody stand where."""

    by_status: dict[GoalStatus, int]
    """Every status is listed."""
    overdue: int
    """Open goals whose deadline is over."""

    @property
    def total(self) -> int:
        """All goals."""
        return sum(self.by_status.values())

    @property
    def completed_share(self) -> float | None:
        """The part of the goals, of those not cancelled, that was reached: 0 to 1; None when there are none."""
        counted = self.total - self.by_status[GoalStatus.CANCELLED]
        return self.by_status[GoalStatus.COMPLETED] / counted if counted else None


@dataclass(frozen=True, kw_only=True, slots=True)
class GoalProgress:
    """What is done of the lists that lead to a goal."""

    items: int
    """All things to do but those that were cancelled."""
    completed: int

    @property
    def share(self) -> float | None:
        """The part that is done, 0 to 1; None when there is nothing to do."""
        return self.completed / self.items if self.items else None


class GoalManager(Manager[Goal]):
    """Goals: what people want to reach. A person's goals are found under each of their linked identities.

    Example:
        >>> goal = await em.goals.set("ada", "Finish the engine", deadline=datetime(2030, 1, 1, tzinfo=UTC))
        >>> [each.objective for each in await em.goals.check("ada")]
        ['Finish the engine']
        >>> await em.goals.complete(goal.id)
    """

    entity = Goal

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    @cached_property
    def _persons(self) -> PersonLookup:
        return PersonLookup(self._db.dialect)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Date a goal that is reached already."""
        date_new(values, self._clock)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new goal, and the identity of its owner unless it is there."""
        return self._identities.before(values["user_id"], super().insertion(values, audit=audit))

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let the moment of completion follow the status."""
        del executor
        date_change(before, changes, self._clock)

    async def set(
        self, user_id: UUID | str | None, objective: str, deadline: datetime | None = None, **fields: Any
    ) -> Goal:
        """Set somebody a goal.

        Args:
            user_id: Whose goal: the id of an identity, or the key of an account; None is nobody in particular.
            objective: What is to be reached.
            deadline: By when; one that is over is accepted.
            fields: Other columns, such as `priority`.

        Raises:
            ValidationError: The deadline has no time zone, or a field is refused.
        """
        owner = None if user_id is None else identity_id(user_id)
        return await self.create({"user_id": owner, "objective": objective, "deadline_at": deadline, **fields})

    async def complete(self, id: int) -> Goal:  # noqa: A002
        """Say that a goal was reached; one that was already stays as it is."""
        return await self.set_status(id, GoalStatus.COMPLETED)

    async def set_status(self, id: int, status: GoalStatus | str) -> Goal:  # noqa: A002
        """Say where a goal stands.

        Raises:
            NotFoundError: There is no such goal.
            ValidationError: There is no such status.
        """
        return await self.revise(id, lambda row: {} if row["status"] == status else {"status": status})

    async def check(self, user_id: UUID | str, limit: int = 100) -> builtins.list[Goal]:
        """Return somebody's open goals: the nearest deadline first, those without one last, the most urgent first."""
        columns = self.plans.columns
        deadline = columns["deadline_at"]
        order = (deadline.is_(None), deadline, columns["priority"].desc(), columns["id"])
        return await self._of(user_id, lambda query: query.where(columns["status"].in_(OPEN)).order_by(*order), limit)

    async def due(self, before: datetime, limit: int = 100) -> builtins.list[Goal]:
        """Return the open goals of everybody whose deadline is before a moment, the earliest first.

        Raises:
            ValidationError: The moment has no time zone.
        """
        columns = self.plans.columns
        deadline = columns["deadline_at"]
        statement = self.query().where(columns["status"].in_(OPEN), deadline < aware(before, "before"))
        return await self.select(statement.order_by(deadline, columns["id"]).limit(limit))

    async def history(self, user_id: UUID | str, days: int = 7, limit: int = 100) -> builtins.list[Goal]:
        """Return somebody's goals that were changed or reached in the last days, the last one first.

        Raises:
            ValidationError: There are no days.
        """
        if days < 1:
            message = f"days must be at least 1, not {days}"
            raise ValidationError(message, field="days", entity=self.store.name)
        column = self.plans.columns["updated_at"]
        since = self._clock() - timedelta(days=days)
        key = self.plans.columns["id"]
        return await self._of(
            user_id, lambda query: query.where(column >= since).order_by(column.desc(), key.desc()), limit
        )

    async def summary(self, user_id: UUID | str) -> GoalSummary:
        """Count somebody's goals by status."""
        columns = self.plans.columns
        status = columns["status"]
        is_overdue = status.in_(OPEN) & (columns["deadline_at"] < self._clock())

        def work(executor: Executor) -> Any:
            statement = select(status, func.count(), func.count().filter(is_overdue)).group_by(status)
            return executor.execute(statement.where(self._is_of(executor, user_id))).all()

        rows = await self._db.read(work)
        counts = {row[0]: row[1] for row in rows}
        return GoalSummary(
            by_status={each: counts.get(each, 0) for each in GoalStatus}, overdue=sum(row[2] for row in rows)
        )

    async def progress(self, id: int) -> GoalProgress:  # noqa: A002
        """Count what is done of the lists that lead to a goal; one statement."""
        lists, items = metadata.tables["todos"], metadata.tables["todo_items"]
        status = items.c.status
        statement = (
            select(
                func.count().filter(status != TodoStatus.CANCELLED),
                func.count().filter(status == TodoStatus.COMPLETED),
            )
            .select_from(items.join(lists, items.c.todo_id == lists.c.id))
            .where(lists.c.goal_id == id)
        )
        row: Any = await self._db.read(lambda executor: executor.execute(statement).one())
        return GoalProgress(items=row[0], completed=row[1])

    async def _of(
        self, user_id: UUID | str, narrow: Callable[[Select[Any]], Select[Any]], limit: int
    ) -> builtins.list[Goal]:
        statement = narrow(self.query()).limit(limit)

        def work(executor: Executor) -> Any:
            return executor.execute(statement.where(self._is_of(executor, user_id))).all()

        keys, build = self.plans.hydrate.keys, self.plans.hydrate.build
        return [build(dict(zip(keys, row, strict=True))) for row in await self._db.read(work)]

    def _is_of(self, executor: Executor, user_id: UUID | str) -> Any:
        return self.plans.columns["user_id"].in_(self._persons.ids(executor, user_id))
