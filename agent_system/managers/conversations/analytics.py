"""Chat analytics: who says how much, when, by which way and by which model; each report is one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import case, func, select

from agent_system.database.dialects.expressions import unindexed, utc_day, utc_hour
from agent_system.database.plans import TablePlans, shared_plans
from agent_system.errors import ValidationError
from agent_system.managers.core.moments import within
from agent_system.managers.core.where import equals
from agent_system.models import Message, metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.manager import DatabaseManager
    from agent_system.types import MessageRole

__all__ = ["ActiveUser", "Activity", "Bucket", "ChatAnalytics", "ChatFilters", "ChatStatistics", "RoleTokens", "Share"]

_messages = metadata.tables["messages"]
_identities = metadata.tables["user_identities"]

DEFAULT_LIMIT = 50
RANGE = ("since", "until")


class Bucket(StrEnum):
    """Pieces of time, in UTC."""

    HOUR = "hour"
    DAY = "day"


BUCKETS: Mapping[Bucket, tuple[Any, str]] = {
    Bucket.HOUR: (utc_hour, "%Y-%m-%d %H"),
    Bucket.DAY: (utc_day, "%Y-%m-%d"),
}


class ChatFilters(TypedDict, total=False):
    """Which messages count: those that fulfil all of these; what is None, or left out, does not matter."""

    since: datetime | None
    """Messages from this moment on, aware."""
    until: datetime | None
    """Messages before this moment, aware."""
    user_id: str | None
    role: MessageRole | str | None
    conversation_id: UUID | None
    channel_id: str | None
    guild_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What was said in a piece of time."""

    starts_at: datetime
    """When it began, in UTC."""
    messages: int
    users: int
    """How many different people said something."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """How many of all messages have something in common."""

    name: str | None
    """The way of input or the model; None for messages of which nobody knows it."""
    messages: int
    share: float
    """Of all messages that count, 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActiveUser:
    """Somebody who said something."""

    user_id: str
    display_name: str
    messages: int
    last_message_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleTokens:
    """The tokens of all messages of one role; a message without figures adds nothing."""

    role: MessageRole
    messages: int
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    """Those of input_tokens that came from a cache."""
    cache_creation_input_tokens: int
    """Those of input_tokens that were written to a cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatStatistics:
    """What all messages add up to."""

    messages: int
    users: int
    """How many different people they are of."""
    conversations: int
    channels: int
    with_image: int
    """Messages with a picture."""
    input_tokens: int
    output_tokens: int
    first_message_at: datetime | None
    """None without messages."""
    last_message_at: datetime | None
    """None without messages."""


class ChatAnalytics:
    """Reports over all messages, in a conversation or outside of any.

    Args:
        db: A connected `DatabaseManager`.

    Example:
        >>> week = {"since": now - timedelta(days=7), "until": now}
        >>> [day.messages for day in await em.analytics.activity("day", **week)]
    """

    def __init__(self, db: DatabaseManager) -> None:
        self._db = db

    @cached_property
    def _plans(self) -> TablePlans[Message]:
        return shared_plans(Message, self._db.dialect)

    async def activity(self, bucket: Bucket | str = Bucket.DAY, **filters: Unpack[ChatFilters]) -> list[Activity]:
        """Count the messages of each hour or day in UTC in which there were any, the earliest first.

        Raises:
            ValidationError: There is no such bucket or filter, or a moment has no time zone.
        """
        if bucket not in set(Bucket):
            message = f"bucket: {bucket!r} is none of {', '.join(Bucket)}"
            raise ValidationError(message, field="bucket", entity=Message.__name__)
        function, form = BUCKETS[Bucket(bucket)]
        piece = function(_messages.c.created_at)
        statement = select(piece, func.count(), func.count(_messages.c.user_id.distinct()))
        rows = await self._rows(statement.group_by(piece).order_by(piece), filters)
        return [
            Activity(starts_at=datetime.strptime(row[0], form).replace(tzinfo=UTC), messages=row[1], users=row[2])
            for row in rows
        ]

    async def input_methods(self, **filters: Unpack[ChatFilters]) -> list[Share]:
        """Tell how messages were entered, such as by text or voice, the most common way first.

        Raises:
            ValidationError: As for `activity`.
        """
        return await self._shares(_messages.c.input_method, filters)

    async def models(self, **filters: Unpack[ChatFilters]) -> list[Share]:
        """Tell which models wrote messages, the busiest first; messages that no model wrote do not count.

        Raises:
            ValidationError: As for `activity`.
        """
        return await self._shares(_messages.c.model, filters, _messages.c.model.is_not(None))

    async def active_users(self, limit: int = DEFAULT_LIMIT, **filters: Unpack[ChatFilters]) -> list[ActiveUser]:
        """Return the people whose messages there are, with their names, the busiest first.

        Raises:
            ValidationError: As for `activity`.
        """
        user, name = unindexed(_messages.c.user_id), _identities.c.display_name
        statement = (
            select(user, name, func.count(), func.max(_messages.c.created_at))
            .select_from(_messages.join(_identities, _identities.c.id == _messages.c.user_id))
            .group_by(user, name)
            .order_by(func.count().desc(), user)
            .limit(limit)
        )
        rows = await self._rows(statement, filters)
        return [
            ActiveUser(user_id=row[0], display_name=row[1], messages=row[2], last_message_at=row[3]) for row in rows
        ]

    async def tokens_by_role(self, **filters: Unpack[ChatFilters]) -> list[RoleTokens]:
        """Add up the tokens of the messages of each role.

        Raises:
            ValidationError: As for `activity`.
        """
        role = _messages.c.role
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        statement = select(role, func.count(), *(_sum(_messages.c[name]) for name in names))
        rows = await self._rows(statement.group_by(role).order_by(role), filters)
        return [
            RoleTokens(role=row[0], messages=row[1], **dict(zip(names, map(int, row[2:]), strict=True))) for row in rows
        ]

    async def statistics(self, **filters: Unpack[ChatFilters]) -> ChatStatistics:
        """Add up all messages.

        Raises:
            ValidationError: As for `activity`.
        """
        columns = _messages.c
        statement = select(
            func.count(),
            func.count(columns.user_id.distinct()),
            func.count(columns.conversation_id.distinct()),
            func.count(columns.channel_id.distinct()),
            func.count(case((columns.has_image, 1))),
            _sum(columns.input_tokens),
            _sum(columns.output_tokens),
            func.min(columns.created_at),
            func.max(columns.created_at),
        )
        ((messages, users, conversations, channels, with_image, read, written, first, last),) = await self._rows(
            statement, filters
        )
        return ChatStatistics(
            messages=messages,
            users=users,
            conversations=conversations,
            channels=channels,
            with_image=with_image,
            input_tokens=int(read),
            output_tokens=int(written),
            first_message_at=first,
            last_message_at=last,
        )

    async def _shares(self, column: Any, filters: ChatFilters, *conditions: ColumnElement[bool]) -> list[Share]:
        # The sum of all groups' counts comes with each group, so that one statement is enough.
        everything = func.sum(func.count()).over()
        statement = select(column, func.count(), everything).where(*conditions).group_by(column)
        rows = await self._rows(statement.order_by(func.count().desc(), column.is_(None), column), filters)
        return [Share(name=row[0], messages=row[1], share=row[1] / int(row[2])) for row in rows]

    def _conditions(self, filters: ChatFilters) -> list[ColumnElement[bool]]:
        unknown = filters.keys() - ChatFilters.__annotations__.keys()
        if unknown:
            name = min(unknown)
            message = f"{name}: unknown filter; there are {', '.join(ChatFilters.__annotations__)}"
            raise ValidationError(message, field=name, entity=Message.__name__)
        values = {name: value for name, value in filters.items() if name not in RANGE and value is not None}
        equal = [equals(self._plans, name, value) for name, value in values.items()]
        return [*within(_messages.c.created_at, filters.get("since"), filters.get("until")), *equal]

    async def _rows(self, statement: Select[Any], filters: ChatFilters) -> Sequence[Any]:
        wanted = statement.where(*self._conditions(filters))
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(wanted).all())
        return rows


def _sum(column: Any) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), 0)
