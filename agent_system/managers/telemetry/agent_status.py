"""Agent status: what agents were doing when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.managers.core.where import conditions
from agent_system.managers.telemetry.secrets import redact, redact_text
from agent_system.managers.telemetry.task_context import TaskContext
from agent_system.models import AgentStatusEntry, metadata

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where

__all__ = ["AgentStatusManager", "StatusSummary"]

KEPT = timedelta(days=30)

_entries = metadata.tables["agent_status"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusSummary:
    """What agents were doing in a time."""

    by_status: dict[str, int]
    """How many entries there are of each status, the most frequent first."""
    latest: list[AgentStatusEntry]
    """The newest entries, the newest first."""

    @property
    def total(self) -> int:
        """How many entries there are."""
        return sum(self.by_status.values())


class AgentStatusManager(Manager[AgentStatusEntry]):
    """Agent status: what agents were doing when; `em.agents.set_status` says what one does now.

    Example:
        >>> await em.agent_status.record("tool_call", task_id=task.id, message="Bash completed")
        >>> (await em.agent_status.summary()).by_status
        {'tool_call': 1}
    """

    entity = AgentStatusEntry

    @cached_property
    def _context(self) -> TaskContext:
        return TaskContext(self.store)

    def normalise(self, values: dict[str, Any]) -> None:
        """Take the secrets out of what is written."""
        if values.get("message"):
            values["message"] = redact_text(values["message"])
        if values.get("meta"):
            values["meta"] = redact(values["meta"])

    async def record(
        self,
        status: str,
        *,
        task_id: Any = None,
        agent_id: Any = None,
        session_uuid: str | None = None,
        message: str | None = None,
        **fields: Any,
    ) -> AgentStatusEntry:
        """Write down what an agent is doing.

        Args:
            status: In the runtime's own words, such as started, tool_call or completed.
            task_id: What it is for; a task that is gone is kept in `meta`.
            agent_id: Who; by default the agent of the task.
            session_uuid: Without `task_id` the newest task of this session is meant.
            message: More about it, for people.
            fields: Other columns: timestamp, user_id, meta.

        Raises:
            ValidationError: A value was refused.
            ForeignKeyError: There is no such agent or user.
        """
        named = {"status": status, "task_id": task_id, "agent_id": agent_id, "session_uuid": session_uuid}
        values = self.new_values({"timestamp": self._clock(), **named, "message": message, **fields})
        given = {key: values[key] for key in self._context.late}
        insert = self.store.prepare_insert(values, late=self._context.late)

        def work(executor: Executor) -> None:
            values.update(given)
            self._context.complete(executor, values)
            insert(executor)

        await self.run(work, values)
        return self.plans.hydrate.build(values)

    async def history(self, where: Where = None, limit: int = 100, after: str | None = None) -> Page[AgentStatusEntry]:
        """Return one page of entries, the newest first.

        Args:
            where: Of what, such as `{"task_id": task.id}` or `{"agent_id": agent.id}`; see `list`.
        """
        return await self.list(where, "-timestamp", limit, after)

    async def current(self, agent_ids: Iterable[UUID] | None = None) -> dict[UUID, AgentStatusEntry]:
        """Return the newest entry of each agent, by its key.

        Args:
            agent_ids: Only these agents; None is all that have entries.
        """
        wanted = [_entries.c.agent_id.is_not(None)]
        if agent_ids is not None:
            wanted.append(_entries.c.agent_id.in_([*agent_ids]))
        newest = (_entries.c.timestamp.desc(), _entries.c.id.desc())
        place = func.row_number().over(partition_by=_entries.c.agent_id, order_by=newest).label("place")
        ranked = select(_entries.c.id, place).where(*wanted).subquery("ranked")
        latest = select(ranked.c.id).where(ranked.c.place == 1)
        return {
            row.agent_id: row
            for row in await self.select(self.query().where(_entries.c.id.in_(latest)))
            if row.agent_id
        }

    async def summary(
        self, where: Where = None, *, since: datetime | None = None, until: datetime | None = None, latest: int = 10
    ) -> StatusSummary:
        """Count the entries of each status and return the newest ones, in one read.

        Args:
            since: The first moment that counts.
            until: The first that does not.
            latest: How many of the newest entries.
        """
        wanted = conditions(self.plans, where)
        if since is not None:
            wanted.append(_entries.c.timestamp >= aware(since, "since"))
        if until is not None:
            wanted.append(_entries.c.timestamp < aware(until, "until"))
        counts = status_counts(wanted)
        newest = self.query().where(*wanted).order_by(_entries.c.timestamp.desc(), _entries.c.id.desc()).limit(latest)

        def read(executor: Executor) -> tuple[Any, Any]:
            return executor.execute(counts).all(), executor.execute(newest).all()

        statuses, rows = await self._db.read(read)
        build: Callable[[dict[str, Any]], AgentStatusEntry] = self.plans.hydrate.build
        entries = [build(dict(zip(self.plans.hydrate.keys, row, strict=True))) for row in rows]
        return StatusSummary(by_status={row[0]: row[1] for row in statuses}, latest=entries)

    async def cleanup(self, older_than: timedelta = KEPT) -> int:
        """Delete the entries that are older, by default than 30 days; returns how many there were."""
        return await delete_in_parts(self._db, _entries, [_entries.c.timestamp < self._clock() - older_than])


def status_counts(wanted: builtins.list[Any]) -> Any:
    """How many entries there are of each status, the most frequent first."""
    status = _entries.c.status
    return select(status, func.count()).where(*wanted).group_by(status).order_by(func.count().desc(), status)
