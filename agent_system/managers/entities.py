"""How an entity is named where there is no foreign key: its type, and its key as text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agent_system.types import ENTITY_TYPE_LEGACY

__all__ = ["entity_key", "entity_type"]


def entity_type(name: str) -> str:
    """The type's name as it is stored; seed 001's `document` is a `context_document`."""
    return ENTITY_TYPE_LEGACY.get(name, name)


def entity_key(id_: Any) -> Any:
    """An entity's key as it is stored: text, and a UUID in its canonical spelling; what cannot be a key is returned."""
    if isinstance(id_, str):
        try:
            return str(UUID(id_))
        except ValueError:
            return id_
    return str(id_) if isinstance(id_, (UUID, int)) and not isinstance(id_, bool) else id_
