"""`Normaliser`: written values become those that a read would give."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_system.models.codec import decode_json
from agent_system.models.columns import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column

    from agent_system.database.plans import Plan

__all__ = ["Normaliser"]


class _Keys(NamedTuple):
    """What there is to do for one plan."""

    written: list[tuple[str, int]]
    """JSON that it writes, and at which place."""
    left_out: list[str]
    """JSON that is left to the database, because it is as empty as its default."""
    moments: list[str]


class Normaliser:
    """Makes JSON that is not the caller's own object, and moments in UTC.

    Args:
        columns: The columns of a table by attribute.
    """

    def __init__(self, columns: Mapping[str, Column[Any]]) -> None:
        self._json = [key for key, column in columns.items() if isinstance(column.type, Json)]
        self._moments = [key for key, column in columns.items() if isinstance(column.type, UtcDateTime)]
        self._known: dict[str, _Keys] = {}

    def __call__(self, values: dict[str, Any], plan: Plan, parameters: Sequence[Any], prefix: str = "") -> None:
        """Change the values that a plan writes.

        Args:
            values: The values by attribute.
            plan: What writes them.
            parameters: They, encoded for the plan.
            prefix: What stands before the attributes in the names of the plan's parameters.
        """
        keys = self._known.get(plan.sql) or self._learn(plan, prefix)
        for key, place in keys.written:
            value = values[key]
            if value:
                values[key] = decode_json(parameters[place])
            elif isinstance(value, (dict, list, tuple)):
                values[key] = {} if isinstance(value, dict) else []
        for key in keys.left_out:
            value = values.get(key)
            if value is not None:
                values[key] = {} if isinstance(value, dict) else []
        for key in keys.moments:
            moment = values[key]
            if moment is not None and moment.tzinfo is not UTC:
                values[key] = moment.astimezone(UTC)

    def _learn(self, plan: Plan, prefix: str) -> _Keys:
        places = plan.positions
        written = [(key, places[prefix + key]) for key in self._json if prefix + key in places]
        left_out = [key for key in self._json if prefix + key not in places]
        moments = [key for key in self._moments if prefix + key in places]
        return self._known.setdefault(plan.sql, _Keys(written, left_out, moments))
