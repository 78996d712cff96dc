"""Rows for tests: the least data that each manager accepts, with whatever they refer to."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.entity_manager import EntityManager
    from agent_system.managers.core.base import Manager

__all__ = ["Factories"]

SOME_TIME = datetime(2025, 1, 15, 12, tzinfo=UTC)


class Factories:
    """Makes valid data and rows for every manager of a facade.

    Example:
        >>> factories = Factories(em)
        >>> agent = await factories.create("agents", status="thinking")
        >>> data = await factories.data("messages")
    """

    def __init__(self, em: EntityManager) -> None:
        self._em = em
        self._numbers = count(1)
        self._owners: dict[str, Any] = {}
        self._minimal: dict[str, Callable[[str], dict[str, Any]]] = {
            "agents": lambda name: {"name": name},
            "tools": lambda name: {"name": name},
            "tasks": lambda name: {"instruction": name},
            "context_documents": lambda name: {"name": name},
            "processes": lambda name: {"name": name},
            "process_instances": lambda _: {"process_id": self._owners["processes"]},
            "events": lambda name: {"event_type": "test.made", "entity_type": "test", "entity_id": name},
            "relations": lambda name: {
                "source_type": "test",
                "source_id": name,
                "target_type": "test",
                "target_id": "other",
                "relationship_type": "uses",
            },
            "users": lambda name: {"username": name},
            "identities": lambda name: {"id": name, "display_name": name},
            "projects": lambda name: {"name": name},
            "workspaces": lambda name: {"name": name},
            "conversations": lambda name: {"title": name},
            "messages": lambda name: {"role": "user", "content": name},
            "queue": lambda name: {"task_type": name},
            "effects": lambda name: {"key": name, "job_id": self._owners["queue"], "step": "send"},
            "promises": lambda name: {"chat_id": 1, "message_id": 1, "task_description": name},
            "chat_states": lambda name: {"chat_id": int(name.rpartition("-")[2])},
            "message_feedback": lambda name: {
                "message_id": self._owners["messages"],
                "user_id": name,
                "rating": "positive",
            },
            "memories": lambda name: {"content": name},
            "prompts": lambda name: {"name": name, "content": name},
            "capabilities": lambda name: {"name": name},
            "config": lambda name: {"config_key": name, "config_value": name},
            "flags": lambda name: {"flag_name": name},
            "logs": lambda name: {"message": name},
            "todos": lambda name: {"name": name},
            "goals": lambda name: {"objective": name},
            "hosts": lambda name: {"name": name},
            "models": lambda name: {"name": name, "host_id": self._owners["hosts"]},
            "model_prices": lambda _: {
                "model_id": self._owners["models"],
                "valid_from": SOME_TIME,
                "above_input_tokens": next(self._numbers),
            },
            "token_usage": lambda _: {"model_id": self._owners["models"]},
            "tool_usage": lambda name: {"tool_name": name},
            "links": lambda name: {"url": f"https://example.com/{name}"},
            "games": lambda name: {"user_id": name, "game_type": "snake"},
            "credits": lambda name: {"provider": name},
            "alerts": lambda name: {"alert_type": name},
            "model_usage": lambda name: {"model_name": name},
            "budgets": lambda name: {"scope_kind": "user", "scope_key": name, "limit_nano_usd": 1_000_000_000},
            "agent_status": lambda name: {"status": name},
            "files": lambda name: {"file_path": name},
            "documents": lambda name: {"path": name},
            "reviews": lambda name: {"entity_type": "test", "entity_id": name, "counter_type": "usage"},
            "opportunities": lambda name: {"entity_type": "test", "entity_id": name, "opportunity_type": "slow"},
            "effectiveness": lambda name: {
                "entity_type": "test",
                "entity_id": name,
                "metric_name": "success_rate",
                "metric_value": 0.5,
            },
            "knowledge_gaps": lambda name: {"topic": name},
            "knowledge_usage": lambda _: {"document_id": self._owners["context_documents"]},
        }
        self._needs = {
            "process_instances": "processes",
            "effects": "queue",
            "models": "hosts",
            "model_prices": "models",
            "message_feedback": "messages",
            "token_usage": "models",
            "knowledge_usage": "context_documents",
        }

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of the facade for which there are data."""
        return tuple(self._minimal)

    def manager(self, attribute: str) -> Manager[Any]:
        """The manager behind an attribute of the facade."""
        manager: Manager[Any] = getattr(self._em, attribute)
        return manager

    async def data(self, attribute: str, **values: Any) -> dict[str, Any]:
        """Return data of which no two are the same, with these values besides."""
        await self._make_owner(self._needs.get(attribute))
        return self._minimal[attribute](f"{attribute}-{next(self._numbers)}") | values

    async def create(self, attribute: str, **values: Any) -> Any:
        """Write a row with these values and return it."""
        return await self.manager(attribute).create(await self.data(attribute, **values))

    async def _make_owner(self, attribute: str | None) -> None:
        """Make what others need to refer to, once."""
        if attribute is not None and attribute not in self._owners:
            self._owners[attribute] = (await self.create(attribute)).id
