"""Statements of a scope: every table in them is replaced by its rows that the scope may touch.

A table in a FROM, wherever it stands (a join, a subquery, a CTE, an EXISTS, a UNION), becomes
`(SELECT * FROM messages WHERE ...) AS messages`: what the statement says about `messages`, it says about these rows.
Both engines' planners see through such a subquery. The rows that a statement changes or deletes get the condition in
its WHERE instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import CompoundSelect, Delete, Select, Table, TextClause, Update, select
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.selectable import CTE, Alias, Subquery, TableClause
from sqlalchemy.util import EMPTY_DICT

from agent_system.errors import ScopeError
from agent_system.managers.isolation.conditions import Access
from agent_system.managers.isolation.registry import POLICIES
from agent_system.models import metadata

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement, FromClause

    from agent_system.managers.isolation.conditions import Conditions

__all__ = ["Rewriter", "known_table"]

Statement = TypeVar("Statement", bound="Select[Any] | CompoundSelect[Any]")

_READS_TABLES = re.compile(r"\b(select|from|join|table|values)\b", re.IGNORECASE)
_WORDS = re.compile(r"\w+")


def known_table(rows: Any) -> Table:
    """The table of ours that a statement names.

    Raises:
        ScopeError: It is none, or nobody has said whose its rows are.
    """
    table = metadata.tables.get(rows.name)
    if table is None or table.name not in POLICIES:
        message = f"nobody has said whose the rows of {rows.name} are: see managers/isolation/registry.py"
        raise ScopeError(message, table=rows.name)
    return table


class Rewriter:
    """Rewrites statements by the conditions of a scope."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._replacements: dict[tuple[Any, Access], FromClause] = {}

    def select(self, statement: Statement) -> Statement:
        """A SELECT over the rows that the scope may see; one that locks rows is about to change them.

        Raises:
            ScopeError: It has something in it that cannot be bound to a scope.
        """
        locks = getattr(statement, "_for_update_arg", None) is not None
        rewritten: Statement = self._replace(statement, Access.OWN if locks else Access.READ)
        return rewritten

    def change(self, statement: Update | Delete) -> Update | Delete:
        """An UPDATE or DELETE of rows of the scope; what it reads besides are rows that the scope may see.

        Raises:
            ScopeError: It has something in it that cannot be bound to a scope.
        """
        target: Any = statement.table
        table = known_table(target)
        for part in visitors.iterate(statement):
            # There it is not the row that is changed but any row, and the names of the two are one.
            if isinstance(part, (Subquery, CTE)) and any(one is target for one in visitors.iterate(part)):
                message = f"a statement that changes {table.name} reads it under its own name; use an alias"
                raise ScopeError(message, table=table.name)
        rewritten: Any = self._replace(statement, Access.READ, target)
        changed: Update | Delete = rewritten.where(self._conditions.of(table.name, target, Access.OWN))
        return changed

    def _replace(self, statement: Any, access: Access, target: Any = None) -> Any:
        def replace(element: Any, **_arguments: Any) -> ClauseElement | None:
            if isinstance(element, ColumnClause):
                _check_text(element, is_text=element.is_literal)
                rows = element.table
                if rows is None or rows is target or not _is_table(rows):
                    return None
                replacement = self._replacement(rows, access)
                return None if replacement is None else replacement.c[element.key]
            if element is not target and _is_table(element):
                return self._replacement(element, access)
            _check_text(element, is_text=isinstance(element, TextClause))
            return None

        rewritten = visitors.replacement_traverse(statement, {}, replace)
        # A condition over a table class makes the whole statement one of the ORM, which knows no replaced tables.
        rewritten._propagate_attrs = EMPTY_DICT  # noqa: SLF001 (there is no other way to take it back)
        self._check(rewritten, target)
        return rewritten

    def _replacement(self, rows: Any, access: Access) -> FromClause | None:
        table = known_table(rows.element if isinstance(rows, Alias) else rows)
        if not self._conditions.is_restricted(table.name, access):
            return None
        key = (rows, access)
        replacement = self._replacements.get(key)
        if replacement is None:
            condition = self._conditions.of(table.name, table, access)
            replacement = select(*table.columns).where(condition).subquery(rows.name)
            self._replacements[key] = replacement
        return replacement

    def _check(self, statement: Any, target: Any) -> None:
        """Make sure that nothing was left over, such as a table in an expression that hides what it is made of."""
        ours = {id(one) for one in self._replacements.values()}
        waiting = [statement]
        while waiting:
            element = waiting.pop()
            if id(element) in ours:
                continue
            if element is not target and _is_table(element):
                table = known_table(element.element if isinstance(element, Alias) else element)
                if self._conditions.is_restricted(table.name, Access.READ):
                    message = f"a statement that reads {table.name} cannot be bound to a scope"
                    raise ScopeError(message, table=table.name)
            waiting += element.get_children()


def _is_table(rows: Any) -> bool:
    return isinstance(rows, TableClause) or (isinstance(rows, Alias) and isinstance(rows.element, TableClause))


def _check_text(element: Any, *, is_text: bool) -> None:
    """Refuse SQL as text that reads tables; what is only computed stays inside of what the scope may see."""
    if not is_text:
        return
    is_clause = isinstance(element, TextClause)
    spelled = str(element.text if is_clause else element.name)
    # A clause can stand in a FROM, where a table's name is enough.
    if _READS_TABLES.search(spelled) or (is_clause and not POLICIES.keys().isdisjoint(_WORDS.findall(spelled.lower()))):
        message = "SQL as text cannot be bound to a scope"
        raise ScopeError(message)
