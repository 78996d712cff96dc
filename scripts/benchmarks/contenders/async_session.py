"""Plain SQLModel on SQLAlchemy's `AsyncSession` and aiosqlite, one session per operation, as documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event, tuple_
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from agent_system.clock import utc_now
from agent_system.models import Agent, Conversation, Message
from scripts.benchmarks.contenders.contender import BUSY_TIMEOUT_MS, pragmas

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["AsyncSessionContender", "count_message", "open_engine"]


def open_engine(path: Path, options: Options) -> AsyncEngine:
    """An engine with SQLAlchemy's default pool and the PRAGMAs of all contenders on each connection."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine.sync_engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for statement in pragmas(options):
            cursor.execute(statement)
        cursor.close()

    return engine


def count_message(conversation: Conversation, message: Message) -> None:
    """Make a message that has its key the head of its conversation."""
    conversation.head_message_id = message.id
    conversation.revision += 1
    conversation.message_count += 1
    conversation.last_message_at = conversation.updated_at = message.created_at


class AsyncSessionContender:
    """A session per operation, objects of the table classes, no audit events."""

    writes_events = False

    async def open(self, path: Path, options: Options) -> None:
        """Make the engine and the factory of sessions."""
        self._engine = open_engine(path, options)
        self._sessions = async_sessionmaker(self._engine, class_=AsyncSession, expire_on_commit=False)

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def create_message(self, row: Row) -> None:
        """Add and commit."""
        async with self._sessions() as session:
            session.add(Message(**row))
            await session.commit()

    async def create_agent(self, row: Row) -> None:
        """Add and commit."""
        async with self._sessions() as session:
            session.add(Agent(**row))
            await session.commit()

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Validate, add all and commit once."""
        async with self._sessions() as session:
            session.add_all([Message.model_validate(row) for row in rows])
            await session.commit()

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Get, set and commit."""
        async with self._sessions() as session:
            agent = await session.get_one(Agent, agent_id)
            agent.sqlmodel_update({**changes, "updated_at": utc_now(), "version": agent.version + 1})
            await session.commit()

    async def get_agent(self, agent_id: UUID) -> Any:
        """Get."""
        async with self._sessions() as session:
            return await session.get(Agent, agent_id)

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """Select the end of the conversation."""
        async with self._sessions() as session:
            return await self._last(session, conversation_id, count)

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """Select by keyset."""
        name, id_ = col(Agent.name), col(Agent.id)
        statement = select(Agent).order_by(name, id_).limit(count)
        if after is not None:
            statement = statement.where(tuple_(name, id_) > after)
        async with self._sessions() as session:
            agents = (await session.exec(statement)).all()
        return agents, (agents[-1].name, agents[-1].id) if len(agents) == count else None

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Get, add, count, commit and select in one session."""
        async with self._sessions() as session:
            conversation = await session.get_one(Conversation, conversation_id)
            message = Message(conversation_id=conversation_id, parent_id=conversation.head_message_id, **row)
            session.add(message)
            await session.flush()
            count_message(conversation, message)
            await session.commit()
            return await self._last(session, conversation_id, count)

    def value(self, item: Any, column: str) -> Any:
        """The attribute."""
        return getattr(item, column)

    async def _last(self, session: AsyncSession, conversation_id: UUID, count: int) -> Sequence[Any]:
        statement = select(Message).where(Message.conversation_id == conversation_id)
        return (await session.exec(statement.order_by(col(Message.id).desc()).limit(count))).all()
