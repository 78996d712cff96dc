"""Logs: what programs report about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.models import LogEntry
from agent_system.types import LOG_LEVEL_LEGACY, LogLevel

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from agent_system.managers.core.pagination import Page

__all__ = ["LogCount", "LogManager"]

LEVELS = tuple(LogLevel)
CLEANUP_ROWS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LogCount:
    """How many entries of a level a service has written."""

    service: str | None
    level: LogLevel
    entries: int


class LogManager(Manager[LogEntry]):
    """Logs: entries with a level, a message, the service that says so, and whatever else it wants to say.

    Example:
        >>> await em.logs.append("warn", "the provider is slow", service="api", context={"ms": 5_200})
        >>> page = await em.logs.recent(min_level="warn", service="api")
    """

    entity = LogEntry

    async def append(
        self,
        level: LogLevel | str,
        message: str,
        service: str | None = None,
        context: Mapping[str, Any] | None = None,
        *,
        timestamp: datetime | None = None,
    ) -> LogEntry:
        """Write an entry.

        Args:
            level: How grave it is; the names of Python's levels are understood too.
            message: What happened.
            service: The part of the system that says so.
            context: Whatever else there is to say, as a JSON object; it is the entry's `meta`.
            timestamp: When it happened; None is now.

        Raises:
            ValidationError: There is no such level, or the context is no JSON.
        """
        data: dict[str, Any] = {"level": _level(level), "message": message, "service": service}
        data["meta"] = dict(context or {})
        if timestamp is not None:
            data["timestamp"] = timestamp
        return await self.create(data)

    async def recent(
        self,
        limit: int = 100,
        after: str | None = None,
        *,
        level: LogLevel | str | None = None,
        min_level: LogLevel | str | None = None,
        service: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[LogEntry]:
        """Return one page of entries, the newest first.

        Args:
            limit: At most so many.
            after: The `next_cursor` of the page before.
            level: Only of this level.
            min_level: Only as grave as this, or graver.
            service: Only of this service.
            since: Only from this moment on.
            until: Only before this moment.

        Raises:
            ValidationError: There is no such level, or a moment has no time zone.
        """
        wanted = self._between(since, until)
        columns = self.plans.columns
        if level is not None:
            wanted.append(columns["level"] == _level(level))
        if min_level is not None:
            wanted.append(columns["level"].in_(LEVELS[LEVELS.index(_level(min_level)) :]))
        if service is not None:
            wanted.append(columns["service"] == service)
        return await self.list(wanted, order_by="-timestamp", limit=limit, after=after)

    async def counts(self, since: datetime | None = None, until: datetime | None = None) -> builtins.list[LogCount]:
        """Count the entries of a span of time by service and level.

        Args:
            since: From this moment on; None is the beginning.
            until: Before this moment; None is the end.

        Raises:
            ValidationError: A moment has no time zone.
        """
        service, level = self.plans.columns["service"], self.plans.columns["level"]
        statement = select(service, level, func.count()).where(*self._between(since, until))
        statement = statement.group_by(service, level).order_by(service.is_(None), service, level)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [LogCount(service=name, level=grade, entries=entries) for name, grade, entries in rows]

    async def cleanup(self, before: datetime, batch: int = CLEANUP_ROWS) -> int:
        """Delete the entries of before a moment and return how many there were.

        It is done in batches of at most so many rows, a transaction each, so that writers need not wait.

        Raises:
            ValidationError: The moment has no time zone, or the batch is empty.
        """
        if batch < 1:
            message = f"batch must be at least 1, not {batch}"
            raise ValidationError(message, field="batch", entity=self.store.name)
        old = self.plans.columns["timestamp"] < aware(before, "before")
        return await delete_in_parts(self._db, self.plans.table, [old], batch)

    def _between(self, since: datetime | None, until: datetime | None) -> builtins.list[ColumnElement[bool]]:
        column: Any = self.plans.columns["timestamp"]
        wanted: builtins.list[ColumnElement[bool]] = []
        if since is not None:
            wanted.append(column >= aware(since, "since"))
        if until is not None:
            wanted.append(column < aware(until, "until"))
        return wanted


def _level(level: LogLevel | str) -> LogLevel:
    name = level.lower()
    try:
        return LOG_LEVEL_LEGACY[name] if name in LOG_LEVEL_LEGACY else LogLevel(name)
    except ValueError:
        message = f"there is no level {level!r}; there are: {', '.join(LogLevel)}"
        raise ValidationError(message, field="level", entity="LogEntry") from None
