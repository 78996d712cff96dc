"""The commands of FTS5, which are written as rows (https://www.sqlite.org/fts5.html#special_insert_commands).

The column that is called as the table takes them; a `rank` says more about some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import column, insert, table, text

if TYPE_CHECKING:
    from sqlalchemy import Insert, TextClause

__all__ = ["FULL_TEXT_INDEXES", "full_text_command"]

FULL_TEXT_INDEXES: TextClause = text(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%USING fts5%'"
)
"""The names of all full-text indexes of a file."""


def full_text_command(index: str, command: str, rank: int | None = None) -> Insert:
    """The statement that gives an index a command: `rebuild`, `optimize`, `integrity-check` ..."""
    values: dict[str, Any] = {index: command} | ({} if rank is None else {"rank": rank})
    return insert(table(index, *map(column, values))).values(values)
