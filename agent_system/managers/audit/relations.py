"""Relationships: typed, weighted links between any two entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import and_, or_

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.entities import stored_key, stored_type
from agent_system.models import EntityRelationship

if TYPE_CHECKING:
    import builtins

__all__ = ["Direction", "RelationManager"]

Direction = Literal["out", "in", "both"]


class RelationManager(Manager[EntityRelationship]):
    """Relationships: typed, weighted links between any two entities.

    The two ends are a type and a key, so an end may be anything that has both. Relationships of an agent, task, tool,
    document or process go when it is deleted.
    """

    entity = EntityRelationship

    def normalise(self, values: dict[str, Any]) -> None:
        """Spell the types of the ends in one way."""
        for key in ("source_type", "target_type"):
            if key in values:
                values[key] = stored_type(values[key])

    def new_values(self, data: Mapping[str, Any] | EntityRelationship) -> dict[str, Any]:
        """Accept the keys of the ends as they are, not only as text."""
        if isinstance(data, Mapping):
            data = {
                key: stored_key(value) if key in {"source_id", "target_id"} else value for key, value in data.items()
            }
        return super().new_values(data)

    async def connect(
        self, source: tuple[str, Any], relationship_type: str, target: tuple[str, Any], **fields: Any
    ) -> EntityRelationship:
        """Relate two entities, each a pair of type and key; one that is there gets the fields given (strength ...).

        Raises:
            ValidationError: The type of the relationship or a field is unknown.
            CheckError: The strength is not between 0 and 1.
        """
        ends = {
            "source_type": source[0],
            "source_id": stored_key(source[1]),
            "target_type": target[0],
            "target_id": stored_key(target[1]),
            "relationship_type": relationship_type,
        }
        return await self.upsert(ends | fields, on=tuple(ends))

    async def disconnect(self, source: tuple[str, Any], relationship_type: str, target: tuple[str, Any]) -> bool:
        """Remove a relationship between two entities; False when there is none."""
        found = await self.find_one(
            source_type=stored_type(source[0]),
            source_id=stored_key(source[1]),
            target_type=stored_type(target[0]),
            target_id=stored_key(target[1]),
            relationship_type=relationship_type,
        )
        return found is not None and await self.delete(found.id)

    async def of(
        self,
        entity_type: str,
        entity_id: Any,
        *,
        relationship_type: str | None = None,
        other_type: str | None = None,
        direction: Direction = "both",
    ) -> builtins.list[EntityRelationship]:
        """Return the relationships of one entity, the strongest first.

        Args:
            entity_type: The entity's type.
            entity_id: Its key.
            relationship_type: Only relationships of this type.
            other_type: Only those whose other end is of this type.
            direction: `out` for those that start from it, `in` for those that lead to it.

        Raises:
            ValidationError: There is no such direction.
        """
        if direction not in get_args(Direction):
            message = f"direction must be one of {', '.join(get_args(Direction))}, not {direction!r}"
            raise ValidationError(message, field="direction", entity=self.store.name)
        columns = self.plans.columns
        ends = []
        for here, there, wanted in (("source", "target", "out"), ("target", "source", "in")):
            if direction in {wanted, "both"}:
                end = [
                    columns[f"{here}_type"] == stored_type(entity_type),
                    columns[f"{here}_id"] == stored_key(entity_id),
                ]
                if other_type is not None:
                    end.append(columns[f"{there}_type"] == stored_type(other_type))
                ends.append(and_(*end))
        statement = self.query().where(or_(*ends))
        if relationship_type is not None:
            statement = statement.where(columns["relationship_type"] == relationship_type)
        return await self.select(statement.order_by(columns["strength"].desc(), columns["id"]))
