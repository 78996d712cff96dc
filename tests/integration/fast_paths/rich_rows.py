"""Rows of every table that the codecs have work with: each column that may have a value has an uncommon one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, get_origin
from uuid import UUID

from sqlalchemy import Boolean
from sqlalchemy.orm import class_mapper

from agent_system import models
from agent_system.managers.core.base import Manager
from agent_system.models.columns import Enumerated, FormatVersion, Json, Real, Text, UtcDateTime, Uuid, Vector
from agent_system.models.conversations import FORMAT_VERSION
from agent_system.types import ReservationState, UsageState

if TYPE_CHECKING:
    from agent_system.database import DatabaseManager

KATHMANDU = timezone(timedelta(hours=5, minutes=45))
MOMENT = datetime(2025, 1, 15, 18, 15, 45, 678901, tzinfo=KATHMANDU)
LATER = datetime(2025, 2, 1, 0, 0, 0, 1, tzinfo=UTC)

_MAPPERS = [
    mapper for mapper in models.TableModel._sa_registry.mappers if mapper.class_.__module__.startswith("agent_system.")
]
_BY_TABLE = {mapper.local_table: mapper.class_ for mapper in _MAPPERS}
ENTITIES: list[type[Any]] = [_BY_TABLE[table] for table in models.metadata.sorted_tables]
"""Every table class, after those that it refers to."""

# Where the rules of a table do not allow what the other tables' rows have, or want more.
FEW: dict[str, dict[str, Any]] = {
    "agent_permissions": {"agent_type": "few"},
    "tasks": {"tree_id": UUID(int=5)},
    "embeddings": {"memory_id": 1},
    "links": {"url": "https://example.com/few"},
}
MANY: dict[str, dict[str, Any]] = {
    "agent_permissions": {"agent_type": None},
    "budget_reservations": {"state": ReservationState.SETTLED},
    "chat_state": {"chat_id": 3},
    "embeddings": {"message_id": None, "context_document_id": None},
    "links": {"url": "https://example.com/many?q=ü#part"},
    "token_usage": {
        "input_tokens": 10,
        "output_tokens": 10,
        "cache_creation_input_tokens": 4,
        "usage_state": UsageState.REPORTED,
    },
}
# Tables whose rows are about two different rows of one table: the reference to the second one.
PAIRS: dict[type[Any], tuple[str, str]] = {
    models.TaskDependency: ("depends_on_id", "tasks"),
    models.PromiseDependency: ("depends_on_id", "promises"),
    models.MemoryLink: ("target_id", "memories"),
}


_stores: dict[tuple[type[Any], str], Any] = {}

VALUES: dict[type[Any], Any] = {
    UtcDateTime: MOMENT,
    Uuid: UUID(int=5),
    Real: 0.1,
    Boolean: True,
    Vector: b"\0\xff",
    # What is newer is not read.
    FormatVersion: FORMAT_VERSION,
}


class Managers:
    """A manager of the engine room's own verbs for every table class."""

    def __init__(self, db: DatabaseManager) -> None:
        self.db = db
        self._managers = {entity: self._make(entity) for entity in ENTITIES}

    def _make(self, entity: type[Any]) -> Manager[Any]:
        kind = type(f"{entity.__name__}Manager", (Manager,), {"entity": entity, "hot": True})
        manager: Manager[Any] = kind(self.db)
        # To make the statements and validators of all tables takes longer than what most tests do with them.
        known = (entity, self.db.dialect.name)
        if known not in _stores:
            _stores[known] = manager.store
        manager.store = _stores[known]
        return manager

    def __getitem__(self, entity: type[Any]) -> Manager[Any]:
        return self._managers[entity]

    async def create(self) -> list[Any]:
        """Create a row of every table with little in it, and one with as much as there can be; return all."""
        few: dict[str, Any] = {}
        for entity in ENTITIES:
            if entity is models.ContextDocumentKey:
                few[entity.__tablename__] = await self[entity].find_one(document_id=few["context_documents"].id)
            elif entity not in PAIRS:
                few[entity.__tablename__] = await self[entity].create(self.few(entity, few))
        many: dict[str, Any] = {}
        for entity in ENTITIES:
            if entity is models.ContextDocumentKey:
                # A trigger has made it.
                many[entity.__tablename__] = await self[entity].find_one(document_id=many["context_documents"].id)
            else:
                many[entity.__tablename__] = await self[entity].create(self.many(entity, few, many))
        return [*few.values(), *many.values()]

    def few(self, entity: type[Any], rows: dict[str, Any]) -> dict[str, Any]:
        """The values that a new row needs, with references to these rows."""
        keys = self[entity].plans.columns
        required = [key for key in keys if entity.model_fields[key].is_required()]
        return self._values(entity, required, rows, rows, "few") | FEW.get(entity.__tablename__, {})

    def many(self, entity: type[Any], few: dict[str, Any], many: dict[str, Any]) -> dict[str, Any]:
        """As many values as a new row may have, with references to these rows."""
        values = self._values(entity, list(self[entity].plans.columns), many, few, "many")
        if entity in PAIRS:
            key, table = PAIRS[entity]
            values[key] = few[table].id
        return values | MANY.get(entity.__tablename__, {})

    def _values(
        self, entity: type[Any], keys: list[str], rows: dict[str, Any], others: dict[str, Any], text: str
    ) -> dict[str, Any]:
        plans = self[entity].plans
        derived = self[entity].store.validator.derived
        values: dict[str, Any] = {}
        for number, key in enumerate(keys):
            column = plans.columns[key]
            references = [reference.column for reference in column.foreign_keys]
            if key in plans.computed or key in derived or key in plans.counted:
                continue
            if references:
                target = rows.get(references[0].table.name) or others.get(references[0].table.name)
                values[key] = None if target is None else getattr(target, references[0].name)
            elif column.primary_key and isinstance(column.type, Uuid):
                continue
            else:
                values[key] = self._value(entity, key, f"{text} {number}")
        return values

    def _value(self, entity: type[Any], key: str, text: str) -> Any:
        kind = self[entity].plans.columns[key].type
        if isinstance(kind, Enumerated):
            return list(kind.enum)[-1]
        if isinstance(kind, Json):
            return self._json(entity, key)
        if isinstance(kind, Text):
            return f"{text} ü\0\ud83d\ude00 😀"
        return VALUES.get(type(kind), 2)

    def _json(self, entity: type[Any], key: str) -> Any:
        deep = {"z\0": [1, 0.1, None, True, {}], "a": "\ud800", "": []}
        annotation = entity.model_fields[key].annotation
        if get_origin(annotation) is not list:
            return deep
        return [deep] if "dict" in str(annotation) else ["a\0b", "ü"]


def key_of(row: Any) -> Any:
    """The primary key of a row, as `get_by_id` and `Session.get` take it."""
    values = tuple(getattr(row, column.key) for column in class_mapper(type(row)).primary_key)
    return values[0] if len(values) == 1 else values
