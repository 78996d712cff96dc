"""tortoise-orm: models of its own over the same tables, with the same PRAGMAs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Integer
from uuid_utils.compat import uuid7

from agent_system.clock import utc_now
from agent_system.models import Agent, Conversation, Message
from agent_system.models.columns import Json, Real, UtcDateTime, Uuid
from agent_system.models.naming import name_key
from scripts.benchmarks.contenders.async_session import count_message
from scripts.benchmarks.contenders.contender import pragmas

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Column
    from sqlmodel import SQLModel

    from scripts.benchmarks.contenders.contender import Options
    from scripts.benchmarks.rows import Row

__all__ = ["TortoiseContender"]

# By name, because the type checker runs where the extra `bench` is not installed.
_tortoise: Any = importlib.import_module("tortoise")
_fields: Any = importlib.import_module("tortoise.fields")
_transactions: Any = importlib.import_module("tortoise.transactions")
_expressions: Any = importlib.import_module("tortoise.expressions")

# Column types, the field for them, and its default where that is not the schema's.
_KINDS: list[tuple[Any, Any, Any]] = [
    (UtcDateTime, _fields.DatetimeField, utc_now),
    (Json, _fields.JSONField, None),
    (Uuid, _fields.UUIDField, uuid7),
    (Boolean, _fields.BooleanField, False),
    (Real, _fields.FloatField, None),
    (Integer, _fields.BigIntField, None),
    (object, _fields.TextField, None),
]


def _field(column: Column[Any]) -> Any:
    """The field of tortoise's that holds the same values, with the same default."""
    arguments: dict[str, Any] = {"source_field": column.name, "null": bool(column.nullable)}
    if column.primary_key:
        arguments["primary_key"] = True
    kind, default = next(((kind, default) for types, kind, default in _KINDS if isinstance(column.type, types)))
    text = str(getattr(column.server_default, "arg", ""))
    if kind is _fields.JSONField:
        default = list if text == "[]" else dict
    elif column.server_default is not None and default is None:
        default = int(text) if text.isdigit() else text
    if default is not None and not column.nullable:
        arguments["default"] = default
    return kind(**arguments)


def _model(entity: type[SQLModel], name: str) -> Any:
    mapper: Any = entity.__mapper__  # type: ignore[attr-defined]
    table = mapper.local_table
    fields = {mapper.get_property_by_column(column).key: _field(column) for column in table.columns}
    meta = type("Meta", (), {"table": table.name})
    return type(name, (_tortoise.Model,), {**fields, "Meta": meta, "__module__": __name__})


AgentModel = _model(Agent, "AgentModel")
MessageModel = _model(Message, "MessageModel")
ConversationModel = _model(Conversation, "ConversationModel")
COUNTED = ["head_message_id", "revision", "message_count", "last_message_at", "updated_at"]


class TortoiseContender:
    """Active-record models; no audit events."""

    writes_events = False

    async def open(self, path: Path, options: Options) -> None:
        """Open the connection."""
        settings = dict(statement.removeprefix("PRAGMA ").split(" = ") for statement in pragmas(options))
        query = "&".join(f"{name}={value}" for name, value in settings.items())
        await _tortoise.Tortoise.init(db_url=f"sqlite://{path}?{query}", modules={"models": [__name__]})

    async def close(self) -> None:
        """Close the connection."""
        await _tortoise.Tortoise.close_connections()

    async def create_message(self, row: Row) -> None:
        """Create."""
        await MessageModel.create(**row)

    async def create_agent(self, row: Row) -> None:
        """Create."""
        await AgentModel.create(name_key=name_key(row["name"]), **row)

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Create many."""
        async with _transactions.in_transaction():
            await MessageModel.bulk_create([MessageModel(**row) for row in rows])

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Update by key."""
        version = _expressions.F("version") + 1
        await AgentModel.filter(id=agent_id).update(**changes, version=version, updated_at=utc_now())

    async def get_agent(self, agent_id: UUID) -> Any:
        """Get."""
        return await AgentModel.get(id=agent_id)

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """Filter, order, limit."""
        messages: list[Any] = await MessageModel.filter(conversation_id=conversation_id).order_by("-id").limit(count)
        return messages

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """List by keyset; the names are unique here."""
        query = AgentModel.all() if after is None else AgentModel.filter(name__gt=after)
        agents = await query.order_by("name", "id").limit(count)
        return agents, agents[-1].name if len(agents) == count else None

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Get, create and count in a transaction, then filter."""
        async with _transactions.in_transaction():
            conversation = await ConversationModel.get(id=conversation_id)
            parent_id = conversation.head_message_id
            message = await MessageModel.create(conversation_id=conversation_id, parent_id=parent_id, **row)
            count_message(conversation, message)
            await conversation.save(update_fields=COUNTED)
        return await self.last_messages(conversation_id, count)

    def value(self, item: Any, column: str) -> Any:
        """The attribute."""
        return getattr(item, column)
