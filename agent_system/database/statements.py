"""Clauses that both engines know and SQLAlchemy's common statements do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import SyntaxExtension

if TYPE_CHECKING:
    from sqlalchemy import Insert
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["UnlessThere"]


class UnlessThere(SyntaxExtension, ClauseElement):
    """Makes an insert do nothing when a row with one of its unique values is there: `insert(...).ext(UnlessThere())`.

    It is what makes "get or create" free of races: on PostgreSQL it waits for a concurrent insert of the same key.
    """

    inherit_cache = True
    _traverse_internals: list[Any] = []  # noqa: RUF012 (SQLAlchemy declares it so)

    def apply_to_insert(self, insert_stmt: Insert) -> None:
        """Stand after the VALUES."""
        insert_stmt.apply_syntax_extension_point(lambda existing: [*existing, self], "post_values")


@compiles(UnlessThere)
def _unless_there(_element: UnlessThere, _compiler: SQLCompiler, **_arguments: Any) -> str:
    return "ON CONFLICT DO NOTHING"
