"""Messages between agents and people: what is unread, what waits for an answer, and what was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, literal_column, select, text, update

from agent_system.errors import ConflictError, NotFoundError
from agent_system.types import MessageRole

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select, TextClause

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import TablePlans
    from agent_system.managers.conversations.message_log import MessageLog
    from agent_system.managers.core.store import RowStore
    from agent_system.models import Message

__all__ = ["Inbox", "answers", "is_pending", "is_unread", "urgent_first"]

# SQLite allows 32,766 parameters in a statement, PostgreSQL's protocol 32,767.
CHUNK = 10_000
# What an answer has of the message that it answers.
INHERITED = ("conversation_id", "user_id", "channel_id", "guild_id", "task_id")


def is_unread(plans: TablePlans[Message], user_id: str | None) -> ColumnElement[bool]:
    """The condition that an agent has said something outside of any conversation that nobody has read yet."""
    columns = plans.columns
    # Word for word as the partial index has it.
    is_said = columns["role"] == literal_column(f"'{MessageRole.AGENT.value}'")
    return _meant_for(plans, user_id, is_said, columns["conversation_id"].is_(None), columns["read_at"].is_(None))


def is_pending(plans: TablePlans[Message], user_id: str | None) -> ColumnElement[bool]:
    """The condition that something waits for an answer."""
    # SQLAlchemy's own condition would be `requires_response = 1` on SQLite, which is not what the partial index says.
    asks = text("requires_response")
    return _meant_for(plans, user_id, asks, plans.columns["responded_at"].is_(None))


def urgent_first(plans: TablePlans[Message], wanted: ColumnElement[bool], limit: int) -> Select[Any]:
    """Some messages, the highest priority first, and of those the oldest."""
    statement = select(*plans.table.columns).where(wanted)
    return statement.order_by(plans.columns["priority"].desc(), plans.columns["id"]).limit(limit)


def answers(plans: TablePlans[Message], ids: Iterable[int]) -> Work[dict[int, Message]]:
    """What reads the answers to messages, by the ids of those."""
    wanted = list(dict.fromkeys(ids))
    answer = plans.table.alias("answer")
    linked = answer.c.id == plans.columns["response_id"]
    statement = select(plans.columns["id"], *answer.columns).join_from(plans.table, answer, linked)

    def work(executor: Executor) -> dict[int, Message]:
        found: dict[int, Message] = {}
        for begin in range(0, len(wanted), CHUNK):
            part = statement.where(plans.columns["id"].in_(wanted[begin : begin + CHUNK]))
            for row in executor.execute(part):
                found[row[0]] = plans.hydrate.build(dict(zip(plans.hydrate.keys, row[1:], strict=True)))
        return {key: found[key] for key in wanted if key in found}

    return work


def _meant_for(
    plans: TablePlans[Message], user_id: str | None, *wanted: ColumnElement[bool] | TextClause
) -> ColumnElement[bool]:
    return and_(*wanted) if user_id is None else and_(*wanted, plans.columns["user_id"] == user_id)


class Inbox:
    """Makes the units of work for messages that are meant for a person."""

    def __init__(self, store: RowStore[Message], log: MessageLog, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._log = log
        self._columns = store.plans.columns
        self._clock = clock

    def mark_read(self, ids: Iterable[int]) -> Work[int]:
        """What dates the reading of messages that were not read before; tells how many they were."""
        wanted = list(dict.fromkeys(ids))
        now = self._clock()
        table = self._store.plans.table

        def work(executor: Executor) -> int:
            changed = 0
            for begin in range(0, len(wanted), CHUNK):
                is_new = and_(
                    self._columns["id"].in_(wanted[begin : begin + CHUNK]), self._columns["read_at"].is_(None)
                )
                statement = update(table).where(is_new).values(read_at=now, updated_at=now)
                changed += executor.execute(statement).rowcount
            return changed

        return work

    def answer(self, id_: int, template: Mapping[str, Any], given: Collection[str]) -> Work[dict[str, Any]]:
        """What writes the answer to a message and links the two.

        Args:
            id_: The message.
            template: The values of the answer.
            given: The names of those that the caller gave; what the others could be, the message knows.
        """

        def work(executor: Executor) -> dict[str, Any]:
            question = self._store.get(executor, {"id": id_})
            if question is None:
                raise NotFoundError(self._store.name, id_)
            if question["responded_at"] is not None:
                return self._earlier(executor, question, template["uid"])
            values = {**template, **{key: question[key] for key in INHERITED if key not in given}}
            if "role" not in given and question["role"] is MessageRole.USER:
                values["role"] = MessageRole.ASSISTANT
            self._log.append([values], [self._log.prepare(values)])(executor)
            self._link(executor, id_, values["id"])
            return values

        return work

    def _earlier(self, executor: Executor, question: Mapping[str, Any], uid: UUID) -> dict[str, Any]:
        """The answer that a message has already, if this is it."""
        earlier = None
        if question["response_id"] is not None:
            earlier = self._store.get(executor, {"id": question["response_id"]})
        if earlier is None or earlier["uid"] != uid:
            raise self._answered(question["id"])
        return earlier

    def _link(self, executor: Executor, id_: int, response_id: int) -> None:
        now, columns = self._clock(), self._columns
        statement = update(self._store.plans.table).where(columns["id"] == id_, columns["responded_at"].is_(None))
        changes = {"response_id": response_id, "responded_at": now, "updated_at": now}
        read_at = func.coalesce(columns["read_at"], now)
        if not executor.execute(statement.values(read_at=read_at, **changes)).rowcount:
            # Somebody else was faster; what this one has written goes with the error.
            raise self._answered(id_)

    def _answered(self, id_: int) -> ConflictError:
        message = f"Message {id_} was answered already"
        return ConflictError(message, entity=self._store.name, entity_id=id_)
