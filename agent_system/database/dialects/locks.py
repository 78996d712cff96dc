"""Locks by name, for rules over many rows, which no lock of a row can keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["try_transaction_lock"]


class try_transaction_lock(FunctionElement[bool]):  # noqa: N801 (reads as the SQL function that it is)
    """Whether no other transaction holds the lock of this name, which this one then holds to its end.

    Nobody waits, so that two who want several locks cannot wait for each other. SQLite has one writer, whose are all.
    """

    type = Boolean()
    inherit_cache = True


@compiles(try_transaction_lock, "sqlite")
def _lock_on_sqlite(element: try_transaction_lock, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"({compiler.process(element.clauses, **arguments)} IS NOT NULL)"


@compiles(try_transaction_lock, "postgresql")
def _lock_on_postgresql(element: try_transaction_lock, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"pg_try_advisory_xact_lock(hashtextextended({compiler.process(element.clauses, **arguments)}, 0))"
