"""What INSERT and UPDATE statements write, read off the statements themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Select, and_, select

from agent_system.errors import ScopeError
from agent_system.managers.isolation.conditions import Access
from agent_system.managers.isolation.rewriting import known_table

if TYPE_CHECKING:
    from sqlalchemy import Insert

    from agent_system.managers.isolation.checks import TableChecks
    from agent_system.managers.isolation.conditions import Conditions
    from agent_system.managers.isolation.rewriting import Rewriter

__all__ = ["Literal", "from_scoped_select", "insert_columns", "literal_of", "update_columns"]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is a part of a statement."""

    value: Any


def insert_columns(statement: Insert) -> dict[str, Any]:
    """The columns that an INSERT of one row gives, with their values or parameters."""
    given: Any = statement._values  # noqa: SLF001 (SQLAlchemy shows what a statement holds nowhere else)
    return {_name(key): value for key, value in (given or {}).items()}


def update_columns(statement: Any) -> dict[str, Any]:
    """The columns that an UPDATE sets, with their values or parameters."""
    ordered = getattr(statement, "_ordered_values", None)
    given = ordered or (statement._values or {}).items()  # noqa: SLF001 (as above)
    return {_name(key): value for key, value in given}


def literal_of(value: Any) -> Literal | None:
    """The value that stands in the statement itself; None when a parameter or an expression does."""
    if not isinstance(value, BindParameter):
        return None
    is_anonymous = bool(value.unique)
    return Literal(value.value) if is_anonymous or value.value is not None else None


def from_scoped_select(statement: Insert, rewriter: Rewriter, checks: TableChecks, conditions: Conditions) -> Insert:
    """An INSERT of what a SELECT finds: of the rows that the scope sees, those that may be written as its own."""
    table = known_table(statement.table)
    source: Any = statement.select
    names = [_name(each) for each in statement._select_names or ()]  # noqa: SLF001 (as above)
    if not isinstance(source, Select):
        message = f"{table.name}: an INSERT takes its rows from one SELECT in a scope"
        raise ScopeError(message, table=table.name)
    found = rewriter.select(source)
    columns = [column.label(name) for column, name in zip(found.selected_columns, names, strict=True)]
    absent = [name for name in checks.fillable if name not in names]
    if absent:
        message = f"{table.name}.{absent[0]}: an INSERT from a SELECT has to give it in a scope"
        raise ScopeError(message, table=table.name, field=absent[0])
    new = found.with_only_columns(*columns, maintain_column_froms=True).subquery("scope_new")
    wanted = [conditions.of(table.name, new, Access.OWN)]
    for name, look in checks.references.items():
        if name in names:
            wanted.append(conditions.may_name(new.c[name], look.table, look.column, look.access))
    chosen = select(*new.c).where(and_(*wanted))
    return statement.from_select(names, chosen, include_defaults=statement.include_insert_from_select_defaults)


def _name(key: Any) -> str:
    return key if isinstance(key, str) else str(key.name)
