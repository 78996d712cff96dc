"""The timeline of a task: its log, what its agents were doing and which tools they called, as one list."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import Integer, and_, literal, or_, select, union_all

from agent_system.errors import CursorError, ValidationError
from agent_system.managers.core.pagination import Page
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from sqlalchemy import Select

    from agent_system.database.executor import Executor
    from agent_system.managers.core.base import Manager
    from agent_system.models import AgentStatusEntry, TaskActivity, ToolUsage

__all__ = ["Kind", "TimelineEntry", "TimelineReader"]

Kind: TypeAlias = Literal["activity", "status", "tool"]

_TABLES: dict[Kind, tuple[Any, Any]] = {
    "activity": (metadata.tables["task_activities"], metadata.tables["task_activities"].c.created_at),
    "status": (metadata.tables["agent_status"], metadata.tables["agent_status"].c.timestamp),
    "tool": (metadata.tables["tool_usage"], metadata.tables["tool_usage"].c.timestamp),
}
# At one moment a line of the log comes first, then what the agent was doing, then the call.
_RANKS: dict[Kind, int] = {kind: rank for rank, kind in enumerate(_TABLES)}
_KINDS: tuple[Kind, ...] = tuple(_TABLES)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEntry:
    """One thing that happened in a task."""

    kind: Kind
    """What it is: a line of the task's log, a status of an agent, or a tool call."""
    at: datetime
    """When it happened or, of a call, began."""
    item: TaskActivity | AgentStatusEntry | ToolUsage
    """The row."""


class TimelineReader:
    """Reads timelines: one statement that finds the entries of a page, and one for the rows of each kind."""

    def __init__(self, managers: dict[Kind, Manager[Any]]) -> None:
        self._managers = managers

    def page(
        self, task_id: UUID, limit: int, after: str | None, kinds: Sequence[Kind]
    ) -> Callable[[Executor], Page[TimelineEntry]]:
        """What reads one page, the oldest entries first.

        Raises:
            ValidationError: The limit is below 1, or there is no such kind.
            CursorError: `after` is no cursor of a timeline.
        """
        if limit < 1:
            message = f"limit must be at least 1, not {limit}"
            raise ValidationError(message, field="limit")
        for kind in kinds:
            if kind not in _TABLES:
                message = f"kinds: there is no {kind!r}; there are {', '.join(_TABLES)}"
                raise ValidationError(message, field="kinds")
        places = _places(task_id, limit + 1, None if after is None else _decoded(after), kinds)

        def read(executor: Executor) -> Page[TimelineEntry]:
            found: Sequence[Any] = executor.execute(places).all()
            cursor = _encoded(found[limit - 1]) if len(found) > limit else None
            rows = {kind: self._rows(executor, kind, found[:limit]) for kind in kinds}
            entries = [
                TimelineEntry(kind=_KINDS[rank], at=at, item=rows[_KINDS[rank]][key])
                for at, rank, key in found[:limit]
                if key in rows[_KINDS[rank]]
            ]
            return Page(entries, cursor)

        return read

    def _rows(self, executor: Executor, kind: Kind, found: Sequence[Any]) -> dict[int, Any]:
        keys = [key for _, rank, key in found if _KINDS[rank] == kind]
        if not keys:
            return {}
        manager = self._managers[kind]
        table, _ = _TABLES[kind]
        names, build = manager.plans.hydrate.keys, manager.plans.hydrate.build
        rows = executor.execute(select(*table.columns).where(table.c.id.in_(keys))).all()
        built = [build(dict(zip(names, row, strict=True))) for row in rows]
        return {row.id: row for row in built}


def _places(task_id: UUID, limit: int, after: tuple[datetime, int, int] | None, kinds: Sequence[Kind]) -> Select[Any]:
    """Moment, rank and key of the entries of a page; each table gives no more than a page, by its index."""
    parts = []
    for kind in kinds:
        table, moment = _TABLES[kind]
        rank = literal(_RANKS[kind], Integer())
        part = select(moment.label("at"), rank.label("rank"), table.c.id.label("key")).where(table.c.task_id == task_id)
        if after is not None:
            at, after_rank, key = after
            behind = _RANKS[kind] > after_rank
            same = and_(moment == at, table.c.id > key) if _RANKS[kind] == after_rank else None
            later = moment >= at if behind else moment > at
            part = part.where(later if same is None else or_(moment > at, same))
        parts.append(select(part.order_by(moment, table.c.id).limit(limit).subquery(kind)))
    together = union_all(*parts).subquery("timeline")
    order = (together.c.at, together.c.rank, together.c.key)
    return select(*order).order_by(*order).limit(limit)


def _encoded(place: Any) -> str:
    at, rank, key = place
    text = json.dumps(["timeline", at.isoformat(), rank, key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[datetime, int, int]:
    try:
        name, at, rank, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        moment = datetime.fromisoformat(at)
    except (ValueError, TypeError, AttributeError) as exc:
        raise CursorError(field="after") from exc
    if name != "timeline" or moment.tzinfo is None or type(rank) is not int or type(key) is not int:
        raise CursorError(field="after")
    return moment, rank, key
