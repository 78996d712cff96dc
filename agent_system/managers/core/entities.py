"""How an entity is named where there is no foreign key: its type, and its key as text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agent_system.types import ENTITY_TYPE_LEGACY

__all__ = ["stored_key", "stored_type"]

# With fewer characters it may be a digest, which is nobody's UUID.
UUID_LENGTH = 36


def stored_type(entity_type: str) -> str:
    """The type's name as it is stored; seed 001's `document` is a `context_document`."""
    return ENTITY_TYPE_LEGACY.get(entity_type, entity_type)


def stored_key(entity_id: Any) -> Any:
    """An entity's key as it is stored: text, and a UUID in its canonical spelling; what cannot be a key is returned."""
    if isinstance(entity_id, str) and len(entity_id) == UUID_LENGTH:
        try:
            return str(UUID(entity_id))
        except ValueError:
            return entity_id
    is_key = isinstance(entity_id, (UUID, int)) and not isinstance(entity_id, bool)
    return str(entity_id) if is_key else entity_id
