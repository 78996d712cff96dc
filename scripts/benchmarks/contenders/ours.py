"""agent_system itself, through the facade that its users have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system import DatabaseManager, DatabaseSettings, EntityManager

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["AgentSystem"]


class AgentSystem:
    """The managers' verbs: validated data in, detached instances out, audit events with what is audited."""

    writes_events = True

    async def open(self, path: Path, options: Options) -> None:
        """Connect without looking for migrations."""
        settings = DatabaseSettings()
        if not options.hot_cache:
            settings = settings.model_copy(update={"hot_cache_size": 0})
        self._db = DatabaseManager(path, settings=settings, durability=options.durability, auto_migrate=False)
        await self._db.connect()
        self._em = EntityManager(self._db)

    async def close(self) -> None:
        """Disconnect."""
        await self._db.disconnect()

    async def create_message(self, row: Row) -> None:
        """Create."""
        await self._em.messages.create(row)

    async def create_agent(self, row: Row) -> None:
        """Create."""
        await self._em.agents.create(row)

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Create many."""
        await self._em.messages.create_many(rows)

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Update."""
        await self._em.agents.update(agent_id, changes)

    async def get_agent(self, agent_id: UUID) -> Any:
        """Get."""
        return await self._em.agents.get_by_id(agent_id)

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """Read from the end."""
        return await self._em.messages.last(conversation_id, count)

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """List by name."""
        page = await self._em.agents.list(order_by="name", limit=count, after=after)
        return page.items, page.next_cursor

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Append and read."""
        return await self._em.messages.append_and_read(conversation_id, row, count)

    def value(self, item: Any, column: str) -> Any:
        """The attribute."""
        return getattr(item, column)
