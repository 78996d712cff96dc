"""Deleting what is old, a small part at a time, so that nobody else waits for long."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Table

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["delete_in_parts"]

# 2,000 rows with their indexes keep the writer for some 10 ms; where a part takes longer the next ones are smaller, so
# that no writer waits for more than 50 ms (issue 7) but behind the first one.
ROWS_AT_ONCE = 2_000
FEWEST_ROWS = 25
PART_SECONDS = 0.025


async def delete_in_parts(
    db: DatabaseManager, table: Table, wanted: Sequence[ColumnElement[bool]], rows_at_once: int = ROWS_AT_ONCE
) -> int:
    """Delete the rows that satisfy conditions, each part in a transaction of its own; returns how many there were.

    For tables whose rows take nothing with them that the audit trail has to know of. Inside of a transaction all parts
    belong to it.

    Args:
        table: A table with one key column.
        wanted: Which rows.
        rows_at_once: Rows of a part.
    """
    (key,) = table.primary_key.columns
    deleted = 0
    while True:
        # PostgreSQL locks the parts of two who clean up at the same time in no order; skipping lets both go on.
        part = select(key).where(*wanted).limit(rows_at_once).with_for_update(skip_locked=True)
        count, seconds = await db.write(partial(_delete, delete(table).where(key.in_(part))))
        deleted += count
        if count < rows_at_once:
            return deleted
        if seconds > PART_SECONDS:
            rows_at_once = max(FEWEST_ROWS, rows_at_once // 2)


def _delete(statement: Any, executor: Executor) -> tuple[int, float]:
    """Delete one part; returns how many rows, and how long that took once it was its turn."""
    started = time.perf_counter()
    count: Any = executor.execute(statement).rowcount
    return int(count), time.perf_counter() - started
