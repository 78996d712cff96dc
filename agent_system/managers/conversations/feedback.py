"""Feedback: what people think of messages, one opinion of each person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.errors import ForeignKeyError, NotFoundError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import Message, MessageFeedback, metadata
from agent_system.types import FeedbackRating

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.managers.users.identity_writer import IdentityWriter

__all__ = ["FeedbackManager", "FeedbackSummary"]

_messages = metadata.tables["messages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackSummary:
    """How often messages were found good or bad."""

    negative: int = 0
    neutral: int = 0
    positive: int = 0

    @property
    def total(self) -> int:
        """How many opinions there are."""
        return self.negative + self.neutral + self.positive


class FeedbackManager(Manager[MessageFeedback]):
    """Feedback on messages.

    A person has one opinion of a message; giving it again changes it, however many do so at once. Who was not seen
    before gets an identity in the same transaction. Where the runtime knows no users, all opinions are one.

    Example:
        >>> await em.message_feedback.give(message.id, "negative", user_id="discord:1", comment="Too long.")
        >>> (await em.message_feedback.summary(conversation_id=conversation.id)).negative
    """

    entity = MessageFeedback
    fixed = frozenset({"message_id", "user_id"})

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the opinion with the identity of whose it is."""
        return self._identities.before(values["user_id"], self.store.prepare_insert(values, audit=audit))

    async def give(
        self,
        message_id: int,
        rating: FeedbackRating | str,
        *,
        user_id: str | None = None,
        comment: str | None = None,
    ) -> MessageFeedback:
        """Write what a person thinks of a message, instead of what they thought before.

        Args:
            message_id: The message.
            rating: negative, neutral or positive.
            user_id: The person; None where the runtime knows no users.
            comment: Why; None takes back a comment that was given before.

        Raises:
            NotFoundError: There is no such message.
            ValidationError: The rating is none.
        """
        data = {"message_id": message_id, "user_id": user_id, "rating": rating, "comment": comment}
        try:
            return await self.upsert(data, on=("message_id", "user_id"))
        except ForeignKeyError as exc:
            if exc.field == "message_id":
                raise NotFoundError(Message.__name__, message_id) from exc
            raise

    async def withdraw(self, message_id: int, user_id: str | None = None) -> bool:
        """Take back what a person thinks of a message; False when they have said nothing."""
        matching = {"message_id": message_id, "user_id": user_id}

        def work(executor: Executor) -> bool:
            key = self.store.find_key(executor, matching)
            return key is not None and self.store.remove(executor, key)

        return await self.run(work)

    async def of(self, message_id: int) -> builtins.list[MessageFeedback]:
        """Return what people think of a message, in the order in which they first said so."""
        return await self.find(message_id=message_id)

    async def summary(
        self,
        *,
        message_id: int | None = None,
        conversation_id: UUID | None = None,
        agent_id: UUID | None = None,
        model: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> FeedbackSummary:
        """Count the opinions by rating, by one statement.

        Args:
            message_id: Only of this message.
            conversation_id: Only of messages of this conversation.
            agent_id: Only of messages that this agent has said.
            model: Only of messages that this model wrote.
            since: Only those first given from this moment on.
            until: Only those first given before this moment.

        Raises:
            ValidationError: A moment has no time zone.
        """
        columns = self.plans.columns
        about = {"conversation_id": conversation_id, "agent_id": agent_id, "model": model}
        of_messages = [_messages.c[name] == value for name, value in about.items() if value is not None]
        wanted: list[ColumnElement[bool]] = [*of_messages]
        if message_id is not None:
            wanted.append(columns["message_id"] == message_id)
        if since is not None:
            wanted.append(columns["created_at"] >= aware(since, "since"))
        if until is not None:
            wanted.append(columns["created_at"] < aware(until, "until"))
        statement = select(columns["rating"], func.count()).where(*wanted).group_by(columns["rating"])
        if of_messages:
            statement = statement.join(_messages, _messages.c.id == columns["message_id"])
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return FeedbackSummary(**{FeedbackRating(rating).value: count for rating, count in rows})

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)
