"""Effectiveness: figures of how well entities do, over time and beside others of their type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.base import Manager
from agent_system.managers.core.entities import stored_key, stored_type
from agent_system.managers.core.moments import aware
from agent_system.models import EffectivenessMetric, metadata

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["EffectivenessManager", "Standing"]

_metrics = metadata.tables["entity_effectiveness"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where an entity stands by its newest figure among all of its type."""

    value: float
    share_not_above: float
    """The share of the entities, itself included, whose figure is not higher, 0 to 1."""
    entities: int
    """How many entities have the figure."""


class EffectivenessManager(Manager[EffectivenessMetric]):
    """Effectiveness: figures of how well entities do; rows are added, never changed."""

    entity = EffectivenessMetric

    def normalise(self, values: dict[str, Any]) -> None:
        """Spell the entity as events do."""
        if "entity_type" in values:
            values["entity_type"] = stored_type(values["entity_type"])

    def new_values(self, data: Mapping[str, Any] | EffectivenessMetric) -> dict[str, Any]:
        """Accept an entity's key as it is, not only as text."""
        if isinstance(data, Mapping) and "entity_id" in data:
            data = {**data, "entity_id": stored_key(data["entity_id"])}
        return super().new_values(data)

    async def record(
        self, entity_type: str, entity_id: Any, metric_name: str, metric_value: float, **fields: Any
    ) -> EffectivenessMetric:
        """Write down a figure.

        Args:
            fields: Other columns: measured_at, event_id, context, meta.

        Raises:
            ValidationError: A value was refused.
        """
        named = {"entity_type": entity_type, "entity_id": entity_id, "metric_name": metric_name}
        given = {"metric_value": metric_value, "measured_at": self._clock(), **fields}
        return await self.create(named | given)

    async def latest(self, entity_type: str, entity_id: Any) -> dict[str, EffectivenessMetric]:
        """Return the newest figure of each metric of an entity, by the metric's name."""
        newest = _newest([*_of(entity_type, entity_id)], _metrics.c.metric_name)
        rows = await self.select(self.query().where(_metrics.c.id.in_(newest)).order_by(_metrics.c.metric_name))
        return {row.metric_name: row for row in rows}

    async def history(
        self, entity_type: str, entity_id: Any, metric_name: str, *, since: datetime | None = None, limit: int = 100
    ) -> builtins.list[EffectivenessMetric]:
        """Return the figures of one metric of an entity, the newest first."""
        wanted = [*_of(entity_type, entity_id), _metrics.c.metric_name == metric_name]
        if since is not None:
            wanted.append(_metrics.c.measured_at >= aware(since, "since"))
        order = (_metrics.c.measured_at.desc(), _metrics.c.id.desc())
        return await self.select(self.query().where(*wanted).order_by(*order).limit(limit))

    async def standing(self, entity_type: str, entity_id: Any, metric_name: str) -> Standing | None:
        """Return where an entity stands among all of its type by its newest figure; None when it has none."""
        metric = [_metrics.c.entity_type == stored_type(entity_type), _metrics.c.metric_name == metric_name]
        newest = _newest(metric, _metrics.c.entity_id)
        value = _metrics.c.metric_value
        share = func.cume_dist().over(order_by=value).label("share")
        every = select(_metrics.c.entity_id, value, share, func.count().over().label("entities"))
        ranked = every.where(_metrics.c.id.in_(newest)).subquery("ranked")
        statement = select(ranked.c.metric_value, ranked.c.share, ranked.c.entities)
        statement = statement.where(ranked.c.entity_id == stored_key(entity_id))
        row: Any = await self._db.read(lambda executor: executor.execute(statement).first())
        return None if row is None else Standing(value=row[0], share_not_above=row[1], entities=row[2])


def _of(entity_type: str, entity_id: Any) -> tuple[Any, Any]:
    return _metrics.c.entity_type == stored_type(entity_type), _metrics.c.entity_id == stored_key(entity_id)


def _newest(wanted: Sequence[Any], each: Any) -> Any:
    """The keys of the newest figures, one for each value of a column."""
    order = (_metrics.c.measured_at.desc(), _metrics.c.id.desc())
    place = func.row_number().over(partition_by=each, order_by=order).label("place")
    ranked = select(_metrics.c.id, place).where(*wanted).subquery("by_time")
    return select(ranked.c.id).where(ranked.c.place == 1)
