"""SQLAlchemy statements of a scope: what `plans.py` does for compiled ones, for those that are made for one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Delete, Insert, Update

from agent_system.errors import ScopeError
from agent_system.managers.isolation.conditions import Conditions
from agent_system.managers.isolation.rewriting import Rewriter, known_table
from agent_system.managers.isolation.values import (
    Literal,
    from_scoped_select,
    insert_columns,
    literal_of,
    update_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import CompoundSelect, Select

    from agent_system.managers.isolation.checks import Look, TableChecks
    from agent_system.managers.isolation.plans import ScopeRules
    from agent_system.managers.isolation.scope import Dimension, Scope

    Ask = Callable[[Look, Any], bool]

__all__ = ["StatementRules"]


class StatementRules:
    """Binds statements to one scope."""

    def __init__(self, scope: Scope, rules: ScopeRules) -> None:
        self._rules = rules
        self._own: Mapping[Dimension, Any] = rules.encode(scope.values)
        self._values = scope.values
        self._conditions = Conditions(scope.dimensions, scope.values, by_key=False)
        self._rewriter = Rewriter(self._conditions)

    def select(self, statement: Select[Any] | CompoundSelect[Any]) -> Select[Any] | CompoundSelect[Any]:
        """The statement over the rows that the scope may see."""
        return self._rewriter.select(statement)

    def change(self, statement: Update | Delete, parameters: Any, ask: Ask) -> Update | Delete:
        """The statement over the rows that the scope may change; what it writes is checked.

        Raises:
            ScopeError: It would write what is not the scope's.
        """
        checks = self._rules.checks.of(known_table(statement.table).name)
        if isinstance(statement, Delete):
            checks.may_delete()
        else:
            written = update_columns(statement)
            checks.may_change(written)
            for given in _rows(parameters):
                checks.may_change(given.keys() & checks.columns)
                checks.check(self._encoded(checks, written, given), self._own, ask, is_new=False)
        return self._rewriter.change(statement)

    def insert(self, statement: Insert, parameters: Any, ask: Ask) -> tuple[Insert, Any]:
        """The statement and its parameters with the owner of each row; what they write is checked.

        Raises:
            ScopeError: They would write what is not the scope's.
        """
        checks = self._rules.checks.of(known_table(statement.table).name)
        checks.may_add()
        if statement.select is not None:
            return from_scoped_select(statement, self._rewriter, checks, self._conditions), parameters
        if statement._multi_values:  # noqa: SLF001 (SQLAlchemy shows what a statement holds nowhere else)
            message = "an INSERT of several rows in one VALUES cannot be bound to a scope; give them as parameters"
            raise ScopeError(message, table=statement.table.name)
        written = insert_columns(statement)
        rows: list[dict[str, Any]] = []
        for given in _rows(parameters):
            values = self._encoded(checks, written, given)
            checks.check(values, self._own, ask, is_new=True)
            rows.append({**given, **checks.missing(values, self._values)})
        if len(rows) == 1 and not isinstance(parameters, (list, tuple)):
            fills = {name: value for name, value in rows[0].items() if name in checks.fillable}
            return statement.values(fills) if fills else statement, parameters
        return statement, _alike(rows)

    def _encoded(self, checks: TableChecks, written: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """The written values that matter, as the driver takes them."""
        found: dict[str, Any] = {}
        for name in checks.looked_at:
            if name in given:
                found[name] = checks.encoded(name, Literal(given[name]), self._rules.dialect).value
            elif name in written:
                value = written[name]
                literal = literal_of(value)
                if literal is None and hasattr(value, "key") and value.key in given:
                    literal = Literal(given[value.key])
                if literal is None:
                    checks.may_compute(name)
                else:
                    found[name] = checks.encoded(name, literal, self._rules.dialect).value
        return found


def _rows(parameters: Any) -> Sequence[Mapping[str, Any]]:
    if parameters is None:
        return [{}]
    return parameters if isinstance(parameters, (list, tuple)) else [parameters]


def _alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the same keys, as executing one statement for all of them demands."""
    keys = {key for row in rows for key in row}
    return [{key: row.get(key) for key in keys} for row in rows]
