"""advanced-alchemy: its async repository over our table classes, with its defaults and a session per operation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import tuple_
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlmodel import col

from agent_system.clock import utc_now
from agent_system.models import Agent, Conversation, Message
from scripts.benchmarks.contenders.async_session import count_message, open_engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["AdvancedAlchemy"]

# By name, because the type checker runs where the extra `bench` is not installed.
_repository: Any = importlib.import_module("advanced_alchemy.repository")
_filters: Any = importlib.import_module("advanced_alchemy.filters")
_AgentRepository: Any = type("AgentRepository", (_repository.SQLAlchemyAsyncRepository,), {"model_type": Agent})
_MessageRepository: Any = type("MessageRepository", (_repository.SQLAlchemyAsyncRepository,), {"model_type": Message})
_ConversationRepository: Any = type(
    "ConversationRepository", (_repository.SQLAlchemyAsyncRepository,), {"model_type": Conversation}
)


class AdvancedAlchemy:
    """Repositories that commit by themselves; no audit events."""

    writes_events = False

    async def open(self, path: Path, options: Options) -> None:
        """Make the engine and the factory of sessions."""
        self._engine = open_engine(path, options)
        self._sessions = async_sessionmaker(self._engine, class_=AsyncSession, expire_on_commit=False)

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def create_message(self, row: Row) -> None:
        """Add."""
        async with self._sessions() as session:
            await _MessageRepository(session=session).add(Message(**row), auto_commit=True)

    async def create_agent(self, row: Row) -> None:
        """Add."""
        async with self._sessions() as session:
            await _AgentRepository(session=session).add(Agent(**row), auto_commit=True)

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Add many."""
        async with self._sessions() as session:
            messages = [Message.model_validate(row) for row in rows]
            await _MessageRepository(session=session).add_many(messages, auto_commit=True)

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Get, set and update."""
        async with self._sessions() as session:
            repository = _AgentRepository(session=session)
            agent = await repository.get(agent_id)
            agent.sqlmodel_update({**changes, "updated_at": utc_now(), "version": agent.version + 1})
            await repository.update(agent, auto_commit=True)

    async def get_agent(self, agent_id: UUID) -> Any:
        """Get."""
        async with self._sessions() as session:
            return await _AgentRepository(session=session).get(agent_id)

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """List, ordered and limited."""
        async with self._sessions() as session:
            return await self._last(session, conversation_id, count)

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """List by keyset."""
        name, id_ = col(Agent.name), col(Agent.id)
        conditions = [tuple_(name, id_) > after] if after is not None else []
        async with self._sessions() as session:
            agents: Sequence[Any] = await _AgentRepository(session=session).list(
                *conditions, _filters.LimitOffset(count, 0), order_by=[("name", False), ("id", False)]
            )
        return agents, (agents[-1].name, agents[-1].id) if len(agents) == count else None

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Get, add, count, commit and list in one session."""
        async with self._sessions() as session:
            conversation = await _ConversationRepository(session=session).get(conversation_id)
            message = Message(conversation_id=conversation_id, parent_id=conversation.head_message_id, **row)
            count_message(conversation, await _MessageRepository(session=session).add(message))
            await session.commit()
            return await self._last(session, conversation_id, count)

    def value(self, item: Any, column: str) -> Any:
        """The attribute."""
        return getattr(item, column)

    async def _last(self, session: AsyncSession, conversation_id: UUID, count: int) -> Sequence[Any]:
        messages: Sequence[Any] = await _MessageRepository(session=session).list(
            Message.conversation_id == conversation_id, _filters.LimitOffset(count, 0), order_by=("id", True)
        )
        return messages
