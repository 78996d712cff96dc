"""Reading messages: the branches of conversations by pages, and the newest of channels and guilds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from sqlalchemy import func, select

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.conversations.inbox import answers, is_pending, is_unread, urgent_first
from agent_system.managers.conversations.message_filters import MessageFilter
from agent_system.managers.conversations.message_history import EVERYTHING, MessageHistory
from agent_system.managers.conversations.model_history import ModelHistory
from agent_system.managers.core.asking import DEFAULT_HITS, Asked
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.searching import RowSearch
from agent_system.managers.core.store import RowStore
from agent_system.managers.users.persons import PersonLookup
from agent_system.models import Conversation, ConversationHead, Message, metadata
from agent_system.search.index import MESSAGES

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.conversations.message_filters import MessageFilters
    from agent_system.managers.core.pagination import Page
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.hits import Hits

T = TypeVar("T")

__all__ = ["MessagePage", "MessageReader"]

DEFAULT_LAST = 50

_heads = metadata.tables["conversation_heads"].c


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Some messages of a conversation, the oldest first, and where those around them are."""

    items: list[Message] = field(default_factory=list)
    older: int | None = None
    """What to pass as `before` for the page above; None at the beginning of the conversation."""
    newer: int | None = None
    """What to pass as `after` for the page below; None at its end, as far as was known when it was read."""


class MessageReader(Manager[Message]):
    """Reads messages in the order in which they were said."""

    entity = Message
    embedder: Embedder | None = None
    """What makes vectors; None: nothing does."""

    async def get_by_uid(self, uid: UUID) -> Message | None:
        """Return the message with this public key, or None."""
        return await self.find_one(uid=uid)

    async def search(
        self,
        text: str,
        limit: int = DEFAULT_HITS,
        after: str | None = None,
        mode: str = "auto",
        *,
        weights: Mapping[str, float] | None = None,
        embedder: Embedder | None = None,
        **filters: Unpack[MessageFilters],
    ) -> Hits[Message]:
        """Find messages by their words, their meaning or both, the best first.

        What the text may have, what the arguments mean and what is raised tells `MemoryRecall.search`.
        """
        used = embedder if embedder is not None else self.embedder
        asked = Asked(text=text, limit=limit, after=after, mode=mode, weights=weights, embedder=used)
        return await self.index.hits(asked, MessageFilter(self.plans, self._persons, filters), filters)

    @cached_property
    def index(self) -> RowSearch[Message]:
        """The index, for its care."""
        return RowSearch(self, self._db, MESSAGES, self._clock)

    async def run(self, work: Work[T], values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()) -> T:
        """Run a writing unit of work and write the vectors of its texts; see `Manager.run`."""
        return await self.index.vectors.run(super().run, work, values, self.embedder)

    @cached_property
    def _persons(self) -> PersonLookup:
        return PersonLookup(self._db.dialect)

    # Conversations.

    async def last(self, conversation_id: UUID, n: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return the last `n` messages of a conversation's current branch, the oldest of them first.

        Raises:
            ValidationError: `n` is below 1.
        """
        check_limit(n)
        plan, parameters = self._history.line(conversation_id, n)
        rows = await self._db.fetch(plan, parameters)
        if rows:
            return self.plans.hydrate.all(reversed(rows))
        return await self._db.read(lambda executor: self._history.walk(executor, conversation_id, n))

    async def before(self, conversation_id: UUID, message_id: int, n: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return the `n` messages before one of the conversation, the oldest first: the page above.

        Raises:
            ValidationError: `n` is below 1.
        """
        check_limit(n)
        return await self._db.read(
            lambda executor: self._history.read(executor, conversation_id, n, "before", message_id)
        )

    async def after(self, conversation_id: UUID, message_id: int, n: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return the `n` messages of the current branch after one of them, the oldest first: the page below.

        Raises:
            ValidationError: `n` is below 1.
        """
        check_limit(n)
        return await self._db.read(
            lambda executor: self._history.read(executor, conversation_id, n, "after", message_id)
        )

    async def page(
        self,
        conversation_id: UUID,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = DEFAULT_LAST,
        head: str | None = None,
    ) -> MessagePage:
        """Return one page of a conversation, which can be turned both ways; without a place the last one.

        Messages that come in between neither repeat nor hide others.

        Args:
            conversation_id: The conversation.
            before: The page that ends before this message.
            after: The page that begins after this message.
            limit: At most so many, from 1.
            head: The branch that ends with this named head; None is the current one.

        Raises:
            NotFoundError: There is no such head.
            ValidationError: The limit is below 1, or both places are given.
        """
        check_limit(limit, "limit")
        if before is not None and after is not None:
            message = "messages: a page is before one message or after one, not both"
            raise ValidationError(message, field="after", entity="Message")

        def work(executor: Executor) -> builtins.list[Message]:
            end = self._end(executor, conversation_id, head)
            if after is not None:
                return self._history.read(executor, conversation_id, limit + 1, "after", after, head=end)
            if before is not None:
                return self._history.read(executor, conversation_id, limit + 1, "before", before, head=end)
            return self._history.read(executor, conversation_id, limit + 1, head=end)

        rows = await self._db.read(work)
        is_more = len(rows) > limit
        if after is not None:
            items = rows[:limit]
            return MessagePage(items, items[0].id if items else None, items[-1].id if is_more else None)
        items = rows[-limit:]
        is_end = before is None or not items
        return MessagePage(items, items[0].id if is_more else None, None if is_end else items[-1].id)

    async def history(
        self, conversation_id: UUID, limit: int | None = None, *, head: str | None = None, for_model: bool = False
    ) -> builtins.list[Message]:
        """Return the messages of a branch, the oldest first.

        Args:
            conversation_id: The conversation.
            limit: Only the last ones, at most so many; None is all.
            head: The branch that ends with this named head; None is the current one.
            for_model: Only what a model's API accepts: tool calls with their results right behind them, where one is
                missing with one that says so, and no result without its call; see `ModelHistory`. What was made up or
                cut for that is not stored.

        Raises:
            NotFoundError: There is no such head.
            ValidationError: The limit is below 1.
        """
        n = EVERYTHING if limit is None else limit
        check_limit(n, "limit")

        def work(executor: Executor) -> builtins.list[Message]:
            end = self._end(executor, conversation_id, head)
            return self._history.read(executor, conversation_id, n, head=end)

        rows = await self._db.read(work)
        return ModelHistory(rows).messages() if for_model else rows

    async def revision(self, conversation_id: UUID) -> int:
        """Return the revision that a conversation is at, for an append that is to expect it.

        Raises:
            NotFoundError: There is no such conversation.
        """
        columns = self._conversations.plans.columns
        wanted = select(columns["revision"]).where(columns["id"] == conversation_id)
        found: Any = await self._db.read(lambda executor: executor.execute(wanted).scalar())
        if found is None:
            raise NotFoundError(Conversation.__name__, conversation_id)
        return int(found)

    # Channels and guilds.

    async def last_in_channel(self, channel_id: str, n: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return the newest `n` messages of a channel, the oldest of them first."""
        return (await self.recent_in_channel(channel_id, check_limit(n))).items[::-1]

    async def last_in_guild(self, guild_id: str, n: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return the newest `n` messages of a guild, the oldest of them first."""
        return (await self.recent_in_guild(guild_id, check_limit(n))).items[::-1]

    async def recent_in_channel(
        self, channel_id: str, limit: int = DEFAULT_LAST, after: str | None = None
    ) -> Page[Message]:
        """Return one page of the messages of a channel, the newest first; `after` is the cursor of the page before."""
        return await self.list({"channel_id": channel_id}, "-created_at", limit, after)

    async def recent_in_guild(
        self, guild_id: str, limit: int = DEFAULT_LAST, after: str | None = None
    ) -> Page[Message]:
        """Return one page of the messages of a guild, the newest first; `after` is the cursor of the page before."""
        return await self.list({"guild_id": guild_id}, "-created_at", limit, after)

    async def count_since(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        channel_id: str | None = None,
        guild_id: str | None = None,
        user_id: str | None = None,
    ) -> int:
        """Count the messages of a channel or a guild in [since, until), from an index alone.

        Args:
            since: From this moment on.
            until: Before this moment; None is without end.
            channel_id: Those of this channel.
            guild_id: Those of this guild.
            user_id: Only those of this person.

        Raises:
            ValidationError: Neither channel nor guild is given, or a moment has no time zone.
        """
        wanted = {"channel_id": channel_id, "guild_id": guild_id, "user_id": user_id}
        values = {key: value for key, value in wanted.items() if value is not None}
        if not values.keys() & {"channel_id", "guild_id"}:
            message = "messages.channel_id: a channel or a guild has to be given"
            raise ValidationError(message, field="channel_id", entity="Message")
        said_at = self.plans.columns["created_at"]
        statement = self.query(values).where(said_at >= aware(since, "since"))
        if until is not None:
            statement = statement.where(said_at < aware(until, "until"))
        counting = statement.with_only_columns(func.count(), maintain_column_froms=True)
        return int(await self._db.read(lambda executor: executor.execute(counting).scalar_one()))

    async def count_in_channel(self, channel_id: str, since: datetime) -> int:
        """Count the messages of a channel from a moment on."""
        return await self.count_since(since, channel_id=channel_id)

    async def count_in_guild(self, guild_id: str, since: datetime) -> int:
        """Count the messages of a guild from a moment on."""
        return await self.count_since(since, guild_id=guild_id)

    # What is meant for a person.

    async def unread(self, user_id: str | None = None, limit: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return what agents have said to a person outside of any conversation and nobody has read yet.

        The highest priority comes first, and of those the oldest.

        Args:
            user_id: The person; None is everybody.
            limit: At most so many.
        """
        return await self.select(urgent_first(self.plans, is_unread(self.plans, user_id), check_limit(limit, "limit")))

    async def count_unread(self, user_id: str | None = None) -> int:
        """Count what `unread` returns, however much it is."""
        counting = select(func.count()).where(is_unread(self.plans, user_id))
        return int(await self._db.read(lambda executor: executor.execute(counting).scalar_one()))

    async def pending_responses(self, user_id: str | None = None, limit: int = DEFAULT_LAST) -> builtins.list[Message]:
        """Return what waits for an answer, the highest priority first, and of those the oldest.

        Args:
            user_id: The person whom it is meant for; None is everybody.
            limit: At most so many.
        """
        return await self.select(urgent_first(self.plans, is_pending(self.plans, user_id), check_limit(limit, "limit")))

    async def responses(self, ids: Iterable[int]) -> dict[int, Message]:
        """Return the answers to messages by the ids of those, by one statement; those without one are left out."""
        return await self._db.read(answers(self.plans, ids))

    # What the verbs have in common.

    def _end(self, executor: Executor, conversation_id: UUID, head: str | None) -> int | None:
        """The message at which a named head stands."""
        if head is None:
            return None
        wanted = select(_heads.message_id).where(_heads.conversation_id == conversation_id, _heads.name == head)
        found: Any = executor.execute(wanted).scalar()
        if found is None:
            raise NotFoundError(ConversationHead.__name__, (conversation_id, head))
        return int(found)

    @cached_property
    def _conversations(self) -> RowStore[Conversation]:
        return RowStore(Conversation, self._db.dialect, self._clock)

    @cached_property
    def _history(self) -> MessageHistory:
        return MessageHistory(self.plans, self._conversations.plans.table, self._db.dialect)


def check_limit(n: int, field: str = "n") -> int:
    """Return how many messages are wanted.

    Raises:
        ValidationError: It is below 1.
    """
    if n < 1:
        message = f"{field} must be at least 1, not {n}"
        raise ValidationError(message, field=field, entity="Message")
    return n
