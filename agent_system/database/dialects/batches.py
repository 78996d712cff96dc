"""How one statement writes many rows, each with values of its own: they travel as one JSON array of arrays.

An UPDATE for each row costs PostgreSQL a round trip; `UPDATE ... FROM json_rows(:rows)` is one for all of them, and its
RETURNING tells which rows there were.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine

__all__ = ["dump_rows", "json_item", "json_rows"]


def dump_rows(rows: Iterable[Sequence[Any]]) -> str:
    """The parameter of `json_rows`: values as the driver would get them, JSON as its text."""
    return json.dumps(list(rows), separators=(",", ":"))


class json_rows(FunctionElement[Any]):  # noqa: N801 (reads as the SQL function that it is)
    """The items of a JSON array, as rows with one column `value`.

    Args:
        array: The array, as a bound parameter of text.
    """

    name = "json_rows"
    inherit_cache = True


@compiles(json_rows, "sqlite")
def _rows_on_sqlite(element: json_rows, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **arguments)})"


@compiles(json_rows, "postgresql")
def _rows_on_postgresql(element: json_rows, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **arguments)} AS JSON))"


class json_item(FunctionElement[Any]):  # noqa: N801 (reads as the SQL function that it is)
    """One item of a JSON array, in the type of a column.

    Args:
        array: The column that holds the array, such as `value` of `json_rows`.
        position: Which item, from 0.
        type_: The type of the column.
    """

    inherit_cache = True

    def __init__(self, array: Any, position: int, type_: TypeEngine[Any]) -> None:
        super().__init__(array, literal_column(str(position)))
        self.type = type_


@compiles(json_item, "sqlite")
def _item_on_sqlite(element: json_item, compiler: SQLCompiler, **arguments: Any) -> str:
    array, position = (compiler.process(clause, **arguments) for clause in element.clauses)
    return f"json_extract({array}, '$[{position}]')"


@compiles(json_item, "postgresql")
def _item_on_postgresql(element: json_item, compiler: SQLCompiler, **arguments: Any) -> str:
    array, position = (compiler.process(clause, **arguments) for clause in element.clauses)
    if element.type.python_type is str:
        # Which it is already; a cast would have to leave out the collation.
        return f"({array} ->> {position})"
    kind = compiler.dialect.type_compiler_instance.process(element.type)
    return f"CAST({array} ->> {position} AS {kind})"
