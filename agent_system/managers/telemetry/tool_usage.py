"""Tool usage: every tool call from before it runs, and what the calls add up to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, get_args

from sqlalchemy import BigInteger, and_, cast, func, literal, or_, select

from agent_system.database.dialects.durations import epoch_bucket
from agent_system.errors import ValidationError
from agent_system.managers.telemetry.call_figures import (
    CallFigures,
    GroupFigures,
    Rank,
    ToolStatistics,
    figures_of_all,
    figures_of_groups,
)
from agent_system.managers.telemetry.call_filters import CallFilters, call_conditions
from agent_system.managers.telemetry.call_log import FAILED, IN_PROGRESS
from agent_system.managers.telemetry.tool_calls import ToolCallRecorder
from agent_system.models import metadata

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from uuid import UUID

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where
    from agent_system.models import ToolUsage

__all__ = ["CallBucket", "TaskTokens", "ToolUsageManager"]

Dimension: TypeAlias = Literal[
    "tool_name", "task_id", "session_uuid", "agent_id", "user_id", "conversation_id", "operation"
]

TOKENS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")

_calls = metadata.tables["tool_usage"]
_ledger = metadata.tables["token_usage"]
_tasks = metadata.tables["tasks"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CallBucket:
    """The calls that began in one stretch of time."""

    start: datetime
    """The beginning of the stretch, in UTC; it ends where the next one begins."""
    calls: int = 0
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTokens:
    """What the calls and the models of one task used."""

    task_id: UUID
    calls: int
    """Tool calls."""
    input_tokens: int
    """Tokens of the tool calls that reported them."""
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    cost_nano_usd: int | None
    """What the ledger's entries for the task cost; None when it has none that is priced."""
    unpriced: int
    """Entries of the ledger for the task whose cost nobody knows."""


class ToolUsageManager(ToolCallRecorder):
    """Tool usage: every tool call from before it runs, and what the calls add up to.

    Reports take `where`, as in `list`, and filters by name (`CallFilters`); a range of time is half-open.
    """

    async def statistics(self, where: Where = None, **filters: Unpack[CallFilters]) -> builtins.list[ToolStatistics]:
        """Add up the calls of each tool, the most called first.

        Raises:
            ValidationError: A column or a filter does not exist.
        """
        wanted = call_conditions(self.plans, where, filters)
        groups = await self._figures(_calls.c.tool_name, wanted, "calls", None)
        return [ToolStatistics(tool_name=name, **figures) for name, figures in groups]

    async def statistics_by(
        self,
        dimension: Dimension,
        where: Where = None,
        *,
        rank_by: Rank = "calls",
        limit: int | None = None,
        **filters: Unpack[CallFilters],
    ) -> builtins.list[GroupFigures]:
        """Add up the calls of each tool, task, session, agent, user, conversation or operation.

        Args:
            dimension: The column; calls without a value in it are left out.
            rank_by: Whichever figure is to come first where it is highest: a leaderboard.
            limit: At most so many; None is all.

        Raises:
            ValidationError: There is no such dimension, rank, column or filter.
        """
        self._check_word("dimension", dimension, get_args(Dimension))
        self._check_word("rank_by", rank_by, get_args(Rank))
        column = self.plans.columns[dimension]
        wanted = [column.is_not(None), *call_conditions(self.plans, where, filters)]
        groups = await self._figures(column, wanted, rank_by, limit)
        return [GroupFigures(key=key, **figures) for key, figures in groups]

    async def totals(self, where: Where = None, **filters: Unpack[CallFilters]) -> CallFigures:
        """Add up all calls."""
        wanted = call_conditions(self.plans, where, filters)
        return await self._db.read(lambda executor: figures_of_all(executor, wanted))

    async def series(
        self, bucket: timedelta, since: datetime, until: datetime, where: Where = None
    ) -> builtins.list[CallBucket]:
        """Count the calls of each stretch of time, the empty ones too, the oldest first.

        Args:
            bucket: Length of a stretch, a whole number of seconds; stretches begin at its multiples since 1970.
            since: The first moment.
            until: The first moment that does not count.
            where: Only such calls; see `list`.

        Raises:
            ValidationError: The bucket is no whole number of seconds, or there would be more than 10,000 of them.
        """
        wanted = call_conditions(self.plans, where, {"since": since, "until": until})
        seconds = _checked_bucket(since, until, bucket)
        statement = buckets(seconds, wanted)
        rows = await self._db.read(lambda executor: executor.execute(statement).all())
        return filled(rows, since, until, seconds)

    async def errors(
        self, where: Where = None, *, limit: int = 20, **filters: Unpack[CallFilters]
    ) -> builtins.list[ToolUsage]:
        """Return the calls that failed, the newest first."""
        wanted = call_conditions(self.plans, where, filters)
        return await self.select(recent_errors(wanted, limit))

    async def error_categories(self, where: Where = None, **filters: Unpack[CallFilters]) -> dict[str, int]:
        """Count the failed calls of each category of errors, the most frequent first."""
        wanted = [FAILED, *call_conditions(self.plans, where, filters)]
        category = func.coalesce(_calls.c.error_category, literal("unknown_error", _calls.c.error_category.type))
        statement = select(category, func.count()).where(*wanted).group_by(category)
        statement = statement.order_by(func.count().desc(), category)
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return {row[0]: row[1] for row in rows}

    async def by_session(self, session_uuid: str, limit: int = 100, after: str | None = None) -> Page[ToolUsage]:
        """Return one page of the calls of a session and of its tasks, in the order of writing, each of them once.

        A call that was recorded before it ran and again behind it, as two rows without an id that matches them, is the
        later row.
        """
        of_it = select(_tasks.c.id).where(_tasks.c.session_uuid == session_uuid)
        belongs = or_(_calls.c.session_uuid == session_uuid, _calls.c.task_id.in_(of_it))
        return await self.list([belongs, ~_told_again()], limit=limit, after=after)

    async def screenshots(self, task_id: Any, limit: int = 100) -> builtins.list[ToolUsage]:
        """Return the calls of a task that took a picture, the newest first."""
        wanted = call_conditions(self.plans, [_calls.c.screenshot_path.is_not(None)], {"task_id": task_id})
        order = (_calls.c.timestamp.desc(), _calls.c.id.desc())
        return await self.select(self.query().where(*wanted).order_by(*order).limit(limit))

    async def tokens_by_task(
        self, task_ids: Sequence[UUID] | None = None, *, limit: int = 100, **filters: Unpack[CallFilters]
    ) -> builtins.list[TaskTokens]:
        """Add up the tokens of the calls of each task, and what the ledger says that the task cost; by one statement.

        Args:
            task_ids: Only these tasks; None is all that have calls.
            limit: At most so many, those with the most tokens first.
        """
        wanted = call_conditions(self.plans, [_calls.c.task_id.is_not(None)], filters)
        if task_ids is not None:
            wanted.append(_calls.c.task_id.in_(task_ids))
        rows = await self._db.read(lambda executor: executor.execute(_tokens(wanted, limit)).all())
        names = ("task_id", "calls", *TOKENS, "cost_nano_usd", "unpriced")
        return [TaskTokens(**dict(zip(names, row, strict=True))) for row in rows]

    async def _figures(
        self, column: Any, wanted: Sequence[Any], rank_by: Rank, limit: int | None
    ) -> builtins.list[tuple[Any, dict[str, Any]]]:
        def read(executor: Executor) -> builtins.list[tuple[Any, dict[str, Any]]]:
            return list(figures_of_groups(executor, column, wanted, rank_by=rank_by, limit=limit))

        return await self._db.read(read)

    def _check_word(self, field: str, word: str, words: Sequence[str]) -> None:
        if word not in words:
            message = f"{field} must be one of {', '.join(words)}, not {word!r}"
            raise ValidationError(message, field=field, entity=self.store.name)


MOST_BUCKETS = 10_000


def _checked_bucket(since: datetime, until: datetime, bucket: timedelta) -> int:
    seconds = int(bucket.total_seconds())
    if seconds < 1 or timedelta(seconds=seconds) != bucket:
        message = f"bucket must be a whole number of seconds from 1, not {bucket}"
        raise ValidationError(message, field="bucket")
    if (until - since) / bucket > MOST_BUCKETS:
        message = f"bucket: {bucket} makes more than {MOST_BUCKETS} of the time from {since} to {until}"
        raise ValidationError(message, field="bucket")
    return seconds


def buckets(seconds: int, wanted: Sequence[Any]) -> Any:
    """Count the calls of each stretch of time."""
    start = epoch_bucket(_calls.c.timestamp, literal(seconds)).label("start")
    success = _calls.c.success
    counts = (func.count(), func.count().filter(success.is_(True)), func.count().filter(success.is_(False)))
    return select(start, *counts).where(*wanted).group_by(start)


def filled(rows: Sequence[Any], since: datetime, until: datetime, seconds: int) -> list[CallBucket]:
    """Make every stretch of time of those that have calls."""
    found: dict[int, Any] = {row[0]: row[1:] for row in rows}
    first = int(since.timestamp()) // seconds * seconds
    result = []
    for start in range(first, -int(-until.timestamp() // 1), seconds):
        calls, succeeded, failed = found.get(start, (0, 0, 0))
        moment = datetime.fromtimestamp(start, UTC)
        result.append(CallBucket(start=moment, calls=calls, succeeded=succeeded, failed=failed))
    return result


def recent_errors(wanted: Sequence[Any], limit: int) -> Any:
    """The failed calls, the newest first; read along the index over failed calls."""
    order = (_calls.c.timestamp.desc(), _calls.c.id.desc())
    return select(*_calls.columns).where(FAILED, *wanted).order_by(*order).limit(limit)


def _told_again() -> Any:
    """The condition that another row tells the end of the call whose beginning this row is."""
    later = _calls.alias("later")
    same = and_(
        later.c.tool_name == _calls.c.tool_name,
        later.c.parameter_hash == _calls.c.parameter_hash,
        later.c.session_uuid.is_not_distinct_from(_calls.c.session_uuid),
        later.c.task_id.is_not_distinct_from(_calls.c.task_id),
        later.c.call_id.is_(None),
        later.c.success.is_not(None),
        later.c.id > _calls.c.id,
    )
    return and_(IN_PROGRESS, _calls.c.call_id.is_(None), select(later.c.id).where(same).correlate(_calls).exists())


def _tokens(wanted: Sequence[Any], limit: int) -> Any:
    sums = [cast(func.coalesce(func.sum(_calls.c[name]), 0), BigInteger).label(name) for name in TOKENS]
    calls = select(_calls.c.task_id, func.count().label("calls"), *sums).where(*wanted).group_by(_calls.c.task_id)
    used = calls.subquery("used")
    cost = cast(func.sum(_ledger.c.cost_nano_usd), BigInteger).label("cost_nano_usd")
    unpriced = func.count().filter(_ledger.c.cost_nano_usd.is_(None)).label("unpriced")
    paid = select(_ledger.c.task_id, cost, unpriced).where(_ledger.c.task_id.in_(select(used.c.task_id)))
    priced = paid.group_by(_ledger.c.task_id).subquery("priced")
    most = (used.c.input_tokens + used.c.output_tokens).desc()
    statement = select(*used.columns, priced.c.cost_nano_usd, func.coalesce(priced.c.unpriced, 0))
    joined = statement.select_from(used.outerjoin(priced, priced.c.task_id == used.c.task_id))
    return joined.order_by(most, used.c.task_id).limit(limit)
