"""What is written in a scope: new rows get their owner, and nothing refers to what the scope may not see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import and_, bindparam, literal_column, select

from agent_system.database.plans import compile_plan
from agent_system.errors import ForeignKeyError, ScopeError
from agent_system.managers.isolation.conditions import IDENTITIES, Access
from agent_system.managers.isolation.policies import Column, Either, Identity, Parent
from agent_system.managers.isolation.registry import POLICIES
from agent_system.managers.isolation.scope import Dimension
from agent_system.managers.isolation.values import Literal
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import Dialect, Table

    from agent_system.database.plans import Plan
    from agent_system.managers.isolation.conditions import Conditions
    from agent_system.managers.isolation.policies import Rule


__all__ = ["Look", "TableChecks", "WriteChecks"]

FOUND = "value"


@dataclass(frozen=True, slots=True)
class Look:
    """A question to the database: is there such a row, and may it be named?"""

    table: str
    column: str
    access: Access


class WriteChecks:
    """The checks of all tables for one set of dimensions."""

    def __init__(self, conditions: Conditions, dimensions: frozenset[Dimension], dialect: Dialect) -> None:
        self.conditions = conditions
        self.dimensions = dimensions
        self._dialect = dialect
        self._tables: dict[str, TableChecks] = {}

    def of(self, table: str) -> TableChecks:
        """The checks of one table."""
        checks = self._tables.get(table)
        if checks is None:
            checks = self._tables[table] = TableChecks(self, metadata.tables[table])
        return checks

    def plan(self, look: Look) -> Plan:
        """The statement that answers a question; its parameter `value` comes encoded."""
        table = metadata.tables[look.table]
        column = table.c[look.column]
        named = column == bindparam(FOUND, type_=column.type)
        wanted = and_(named, self.conditions.of(look.table, table, look.access))
        return compile_plan(select(literal_column("1")).select_from(table).where(wanted), self._dialect)


class TableChecks:
    """What the values of new or changed rows of one table have to be."""

    def __init__(self, checks: WriteChecks, table: Table) -> None:
        self._checks = checks
        self._table = table
        self._policy = POLICIES[table.name]
        self._rules: list[tuple[Dimension, Rule]] = [
            (dimension, rule) for dimension, rule in self._policy.rules.items() if dimension in checks.dimensions
        ]

    def may_add(self) -> None:
        """Refuse new rows where a scope may not add any.

        Raises:
            ScopeError: It may not.
        """
        if not self._policy.adds or not (self._rules or self._policy.is_open):
            self._refuse("no rows can be added")

    def may_delete(self) -> None:
        """Refuse a deletion where a scope may not delete.

        Raises:
            ScopeError: It may not.
        """
        if not self._policy.deletes:
            self._refuse("no rows can be deleted")

    def may_change(self, columns: Iterable[str]) -> None:
        """Refuse changes of columns that are no business of a scope.

        Raises:
            ScopeError: One is not.
        """
        if self._policy.changes is None:
            return
        for name in columns:
            if name not in self._policy.changes:
                self._refuse("it cannot be changed", name)

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the table."""
        return frozenset(self._table.c.keys())

    @cached_property
    def looked_at(self) -> frozenset[str]:
        """The columns whose values matter."""
        return frozenset(self._owners) | frozenset(self.references) | self._policy.stays_empty

    @cached_property
    def fillable(self) -> dict[str, Any]:
        """The columns that a new row may get from the scope, with their types."""
        names = [name for name, owners in self._owners.items() if not isinstance(owners[0][1], Parent)]
        return {name: self._table.c[name].type for name in names}

    def encoded(self, name: str, literal: Literal, dialect: Dialect) -> Literal:
        """A value that stands in a statement as the driver takes it."""
        process = self._table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        return literal if process is None or literal.value is None else Literal(process(literal.value))

    def may_compute(self, name: str) -> None:
        """Refuse an expression where only a value can be checked.

        Raises:
            ScopeError: The column says whose the row is.
        """
        if name in self._owners:
            self._refuse("it cannot be computed", name)

    @cached_property
    def _owners(self) -> dict[str, list[tuple[Dimension, Column | Identity | Parent]]]:
        owners: dict[str, list[tuple[Dimension, Column | Identity | Parent]]] = {}
        for dimension, rule in self._rules:
            for one in rule.rules if isinstance(rule, Either) else (rule,):
                owners.setdefault(one.name, []).append((dimension, one))
        return owners

    @cached_property
    def references(self) -> dict[str, Look]:
        """The columns that refer to rows of which a scope may not see all, without saying whose the row is."""
        found: dict[str, Look] = {}
        for foreign_key in self._table.foreign_keys:
            column, target = foreign_key.parent.name, foreign_key.column
            name = target.table.name
            policy = POLICIES.get(name)
            if column in self._owners or policy is None or policy.is_open:
                continue
            if not (policy.may_be_named and not self._checks.conditions.knows(name)):
                found[column] = Look(name, target.name, Access.READ)
        return found

    def missing(self, values: Mapping[str, Any], own: Mapping[Dimension, Any]) -> dict[str, Any]:
        """The columns of a new row that nothing says whose it is, with whom they get.

        Args:
            values: The new row's values by column; None, or absent, is no value.
            own: Whom the dimensions name.

        Raises:
            ScopeError: Nothing says whose it is, and no column could.
        """
        fills: dict[str, Any] = {}
        for dimension, rule in self._rules:
            name = self._filled(rule, values)
            if name is not None:
                is_identity = any(isinstance(one, Identity) for _, one in self._owners[name])
                fills[name] = str(own[dimension]) if is_identity else own[dimension]
        return fills

    def _filled(self, rule: Rule, values: Mapping[str, Any]) -> str | None:
        if not isinstance(rule, Either):
            if values.get(rule.name) is not None:
                return None
            if isinstance(rule, Parent):
                self._refuse("a row of this scope needs it", rule.name)
            return rule.name
        if rule.fills is not None and values.get(rule.fills) is None:
            return rule.fills
        if any(values.get(one.name) is not None for one in rule.rules):
            return None
        name = next((one.name for one in rule.rules if not isinstance(one, Parent)), None)
        if name is None:
            self._refuse("a row of this scope needs it", rule.rules[0].name)
        return name

    def check(
        self,
        values: Mapping[str, Any],
        own: Mapping[Dimension, Any],
        ask: Callable[[Look, Any], bool],
        *,
        is_new: bool,
    ) -> None:
        """Refuse values that are not the scope's.

        Args:
            values: The values that are written, by column, encoded.
            own: Whom the dimensions name, encoded.
            ask: Whether there is a row with this value.
            is_new: Whether the row is new; the owner of one that is there cannot be taken away.

        Raises:
            ScopeError: An owner is somebody else.
            ForeignKeyError: A row is referred to that is not there for this scope.
        """
        for name, owners in self._owners.items():
            if name not in values:
                continue
            value = values[name]
            for dimension, rule in owners:
                self._check_owner(rule, value, own[dimension], dimension, ask, is_new=is_new)
        for name in self._policy.stays_empty:
            if values.get(name) is not None:
                self._refuse("it is not for a scope to say", name)
        for name, look in self.references.items():
            value = values.get(name)
            if value is not None and not ask(look, value):
                self._not_there(name, look, value)

    def _check_owner(
        self,
        rule: Column | Identity | Parent,
        value: Any,
        own: Any,
        dimension: Dimension,
        ask: Callable[[Look, Any], bool],
        *,
        is_new: bool,
    ) -> None:
        if isinstance(rule, Parent):
            look = Look(rule.table, _key(rule.table), Access.OWN)
            if value is not None and not ask(look, value):
                self._not_there(rule.name, look, value)
            return
        if value is None:
            if not is_new and isinstance(rule, Column):
                self._refuse("it cannot be taken away", rule.name)
            return
        is_own = value == (str(own) if isinstance(rule, Identity) else own)
        if not is_own and isinstance(rule, Identity) and dimension is Dimension.USER:
            is_own = ask(Look(IDENTITIES, "id", Access.OWN), value)
        if not is_own:
            self._refuse("it is somebody else", rule.name)

    def _refuse(self, why: str, field: str | None = None) -> NoReturn:
        where = self._table.name if field is None else f"{self._table.name}.{field}"
        message = f"{where}: {why} in this scope; nothing was written"
        raise ScopeError(message, table=self._table.name, field=field)

    def _not_there(self, field: str, look: Look, value: Any) -> NoReturn:
        # As if there were none: that there is one is nobody's business.
        message = f"{self._table.name}.{field}: there is no {look.table} row {value}; nothing was written"
        raise ForeignKeyError(message, table=self._table.name, fields=(field,))


def _key(table: str) -> str:
    (key,) = metadata.tables[table].primary_key.columns
    return key.name
