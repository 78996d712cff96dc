"""Encoding of new rows: most columns of most rows hold their default, which the database fills in by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Column

    from agent_system.database.plans import Plan, TablePlans

__all__ = ["RowEncoder"]

# Callers that set ever different columns shall not fill the memory with plans.
MOST_PLANS = 200


class RowEncoder:
    """Turns complete attribute values into an insert's plan and parameters.

    A column that holds the default object of its field is left out where the database has the same default: binding a
    NULL costs SQLite as much as binding a number, and a message has 37 columns of which a caller gives 5. The function
    that looks is generated from the columns, as `dataclasses` generates `__init__`: 2 µs where a loop takes 6.

    Args:
        constants: The default object of each field that has one.
        made: Columns that only the database knows; the plan returns them. Computed ones are never written.
        forced: Columns that are written whatever they hold now.
    """

    def __init__(
        self, plans: TablePlans[Any], constants: Mapping[str, Any], made: tuple[str, ...], forced: tuple[str, ...]
    ) -> None:
        self._plans = plans
        self._made = made
        self._is_counted = bool(made) and made == plans.counted
        self._keys = tuple(key for key in plans.columns if key not in made and key not in plans.computed)
        self._everything = self._plan(self._keys)
        self._known: dict[int, Plan] = {}
        self._generate(constants, forced)

    def encode(self, values: Mapping[str, Any]) -> tuple[Plan, list[Any]]:
        """The plan and its parameters."""
        present, parameters = self._encode(values)
        plan = self._known.get(present)
        if plan is None:
            if len(self._known) >= MOST_PLANS:
                return self._everything, list(self._everything.encode(values))
            keys = tuple(key for bit, key in enumerate(self._keys) if present >> bit & 1)
            plan = self._known[present] = self._plan(keys)
        return plan, parameters

    def name_bad_value(self, values: Mapping[str, Any]) -> tuple[str, Exception] | None:
        """The column whose value cannot be encoded, and why."""
        return self._everything.name_bad_value(values)

    def _plan(self, keys: tuple[str, ...]) -> Plan:
        return self._plans.insert_counted(keys) if self._is_counted else self._plans.insert(keys, self._made)

    def _generate(self, constants: Mapping[str, Any], forced: tuple[str, ...]) -> None:
        scope: dict[str, Any] = {}
        lines = ["def encode(values):", "    present = 0", "    parameters = []", "    add = parameters.append"]
        processors = dict(zip(self._everything.parameters, self._everything.processors, strict=True))
        for bit, key in enumerate(self._keys):
            lines.append(f"    value = values[{key!r}]")
            column = self._plans.columns[key]
            is_given = None if key in forced else _is_given(column, constants, key, scope, f"default_{bit}")
            indent = "    " if is_given is None else "        "
            if is_given is not None:
                lines.append(f"    if {is_given}:")
            lines.append(f"{indent}present |= {1 << bit}")
            if processors[key] is None:
                lines.append(f"{indent}add(value)")
            else:
                scope[f"process_{bit}"] = processors[key]
                lines.append(f"{indent}add(value if value is None else process_{bit}(value))")
        lines.append("    return present, parameters")
        exec("\n".join(lines), scope)  # noqa: S102 (made of attribute names of our own classes)
        self._encode: Callable[[Mapping[str, Any]], tuple[int, list[Any]]] = scope["encode"]


def _is_given(
    column: Column[Any], constants: Mapping[str, Any], key: str, scope: dict[str, Any], name: str
) -> str | None:
    """The condition that a value is not the default that the database has too; None: it is written always."""
    default: Any = column.server_default
    kind = {"{}": "dict", "[]": "list"}.get(str(getattr(default, "arg", "")))
    if kind is not None:
        # A 0 or an empty text in a column of any JSON is none of its default.
        return f"value or value.__class__ is not {kind}"
    if key not in constants or (constants[key] is None) != (default is None):
        return None
    if constants[key] is None:
        return "value is not None" if column.nullable else None
    scope[name] = constants[key]
    return f"value is not {name}"
