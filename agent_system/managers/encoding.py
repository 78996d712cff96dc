"""Encoding of new rows: most columns of most rows hold their default, which the database fills in by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.database.plans import Plan, TablePlans

__all__ = ["RowEncoder"]

_NEVER: Any = object()
# Callers that set ever different columns shall not fill the memory with plans.
MOST_PLANS = 200


class RowEncoder:
    """Turns complete attribute values into an insert's plan and parameters.

    A column that holds the default object of its field is left out where the database has the same default: binding a
    NULL costs SQLite as much as binding a number, and a message has 37 columns of which a caller gives 5.

    Args:
        constants: The default object of each field that has one.
        made: Columns that only the database knows; the plan returns them.
    """

    def __init__(self, plans: TablePlans[Any], constants: Mapping[str, Any], made: tuple[str, ...]) -> None:
        self._plans = plans
        self._made = made
        self._is_counted = bool(made) and made == plans.counted
        keys = tuple(key for key in plans.columns if key not in made)
        self._everything = self._plan(keys)
        processors = dict(zip(self._everything.parameters, self._everything.processors, strict=True))
        self._spec = [
            (key, _omitted(plans.columns[key], constants.get(key, _NEVER)), _is_empty_json(plans.columns[key]), process)
            for key, process in processors.items()
        ]
        self._known: dict[tuple[str, ...], Plan] = {}

    def encode(self, values: Mapping[str, Any], forced: Sequence[str] = ()) -> tuple[Plan, list[Any]]:
        """The plan and its parameters.

        Args:
            forced: Columns that are written whatever they hold now.
        """
        keys: list[str] = []
        parameters: list[Any] = []
        for key, omitted, empty_json, process in self._spec:
            value = values[key]
            if (value is omitted or (empty_json and not value and value is not None)) and key not in forced:
                continue
            keys.append(key)
            parameters.append(value if value is None or process is None else process(value))
        names = tuple(keys)
        plan = self._known.get(names)
        if plan is None:
            if len(self._known) >= MOST_PLANS:
                return self._everything, list(self._everything.encode(values))
            plan = self._known[names] = self._plan(names)
        return plan, parameters

    def name_bad_value(self, values: Mapping[str, Any]) -> tuple[str, Exception] | None:
        """The column whose value cannot be encoded, and why."""
        return self._everything.name_bad_value(values)

    def _plan(self, keys: tuple[str, ...]) -> Plan:
        return self._plans.insert_counted(keys) if self._is_counted else self._plans.insert(keys, self._made)


def _omitted(column: Any, constant: Any) -> Any:
    """The object that stands for the default that the database has too."""
    if constant is None:
        return None if column.nullable and column.server_default is None else _NEVER
    return constant if column.server_default is not None else _NEVER


def _is_empty_json(column: Any) -> bool:
    """Whether an empty object or array is what the database fills in."""
    default = getattr(column.server_default, "arg", None)
    return str(default) in {"{}", "[]"}
