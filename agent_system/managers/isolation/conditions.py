"""What the policies of tables mean in SQL: the condition under which a row belongs to a scope.

Two spellings of "its parent belongs to the scope" give the same rows: an EXISTS that looks each parent up, for
statements that find few rows by a key, and an IN over all parents of the scope, for those that go through many.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, false, literal_column, or_, select, true

from agent_system.managers.isolation.policies import Column, Either, Identity, Parent
from agent_system.managers.isolation.registry import POLICIES
from agent_system.managers.isolation.scope import BIND_PREFIX, BIND_TYPES, Dimension
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy import BindParameter, ColumnElement, FromClause, Select

    from agent_system.managers.isolation.policies import Rule

__all__ = ["Access", "Conditions"]

IDENTITIES = "user_identities"


class Access(Enum):
    """What a statement wants from the rows of a table."""

    READ = auto()
    """To see them: those of the scope, and those that all may read."""
    OWN = auto()
    """To change them, or to say that something belongs to them: those of the scope alone."""


class Conditions:
    """Makes the conditions for one set of dimensions.

    Args:
        dimensions: The dimensions of the scope.
        values: Whom they name; None leaves the parameters to be filled in when a statement runs.
        by_key: Whether the statements find few rows by a key.
    """

    def __init__(
        self, dimensions: frozenset[Dimension], values: Mapping[Dimension, Any] | None = None, *, by_key: bool
    ) -> None:
        self._dimensions = dimensions
        self._values = values
        self._by_key = by_key
        self._depth = 0

    def is_restricted(self, table: str, access: Access) -> bool:
        """Whether there are rows in a table that the scope may not touch."""
        return not (POLICIES[table].is_open and access is Access.READ)

    def knows(self, table: str) -> bool:
        """Whether some dimension of the scope tells whose the rows of a table are."""
        return not self._dimensions.isdisjoint(POLICIES[table].rules)

    def of(self, table: str, rows: FromClause, access: Access) -> ColumnElement[bool]:
        """The condition that a row of a table belongs to the scope.

        Args:
            table: The table.
            rows: Where its rows stand in the statement: the table itself or an alias.
            access: Whether they are read or changed.
        """
        return self._of(table, rows, access, self._dimensions)

    def may_name(self, column: ColumnElement[Any], table: str, key: str, access: Access) -> ColumnElement[bool]:
        """The condition that a column has the key of a row that the scope may name, or no value."""
        found = self._refers(column, table, key, lambda rows: self.of(table, rows, access))
        return or_(column.is_(None), found)

    def parameter(self, dimension: Dimension) -> BindParameter[Any]:
        """The parameter that names whom a dimension is bound to."""
        name, kind = BIND_PREFIX + dimension, BIND_TYPES[dimension]
        return bindparam(name, type_=kind) if self._values is None else bindparam(name, self._values[dimension], kind)

    def _of(self, table: str, rows: FromClause, access: Access, dimensions: Iterable[Dimension]) -> ColumnElement[bool]:
        policy = POLICIES[table]
        if policy.is_open and access is Access.READ:
            return true()
        known = [dimension for dimension in Dimension if dimension in dimensions and dimension in policy.rules]
        is_shared = rows.c[policy.shared].is_(None) if policy.shared and access is Access.READ else false()
        if not known:
            return is_shared
        grouped: dict[Rule, list[Dimension]] = {}
        for dimension in known:
            grouped.setdefault(policy.rules[dimension], []).append(dimension)
        mine = and_(*(self._rule(rule, rows, access, of) for rule, of in grouped.items()))
        return or_(mine, is_shared)

    def _rule(self, rule: Rule, rows: FromClause, access: Access, dimensions: list[Dimension]) -> ColumnElement[bool]:
        if isinstance(rule, Either):
            cases = []
            empty: list[ColumnElement[bool]] = []
            for one in rule.rules:
                cases.append(and_(*empty, self._rule(one, rows, access, dimensions)))
                empty.append(rows.c[one.name].is_(None))
            return or_(*cases)
        column = rows.c[rule.name]
        if isinstance(rule, Column):
            return and_(*(column == self.parameter(dimension) for dimension in dimensions))
        if isinstance(rule, Identity):
            return and_(*(self._is_identity(column, dimension) for dimension in dimensions))
        return self._has_parent(column, rule, access, dimensions)

    def _is_identity(self, column: ColumnElement[Any], dimension: Dimension) -> ColumnElement[bool]:
        if dimension is Dimension.IDENTITY:
            return column == self.parameter(dimension)
        return self._refers(
            column, IDENTITIES, "id", lambda identities: identities.c.user_id == self.parameter(dimension)
        )

    def _has_parent(
        self, column: ColumnElement[Any], rule: Parent, access: Access, dimensions: list[Dimension]
    ) -> ColumnElement[bool]:
        (key,) = metadata.tables[rule.table].primary_key.columns
        access = access if rule.follows_shared else Access.OWN
        return self._refers(
            column, rule.table, key.name, lambda parents: self._of(rule.table, parents, access, dimensions)
        )

    def _refers(
        self, column: ColumnElement[Any], table: str, key: str, condition: Callable[[FromClause], ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        self._depth += 1
        # Of a name of its own, so that it is no other occurrence of the table that the statement may have.
        rows = metadata.tables[table].alias(f"{BIND_PREFIX}{table}_{self._depth}")
        wanted = condition(rows)
        self._depth -= 1
        if self._by_key:
            found: Select[Any] = select(literal_column("1")).select_from(rows).where(rows.c[key] == column, wanted)
            return found.correlate_except(rows).exists()
        return column.in_(select(rows.c[key]).where(wanted).correlate_except(rows))
