"""`PostgresExecutor`: what a unit of work gets on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_system.database.dialects.expressions import INDEX_SETTINGS
from agent_system.database.half_statements import require_all
from agent_system.database.many_rows import repeat_numbered_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, CursorResult, Executable

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan

__all__ = ["CHANNEL", "PREFER_INDEXES", "PostgresExecutor"]

# What PostgreSQL's protocol can carry in one statement, and what it plans quickly.
MOST_PARAMETERS = 32_767
MOST_ROWS = 500
CHANNEL = "agent_system"
"""Where PostgreSQL's notifications go."""
NOTIFY = f"NOTIFY {CHANNEL}"
PREFER_INDEXES = f"SELECT {INDEX_SETTINGS}"
"""Keeps PostgreSQL from sorting all that waits: a claim of 144 of 12,000 jobs, of which old statistics promised 16,
took 12 ms without it and takes 1.4 ms."""


class PostgresExecutor:
    """Runs inside SQLAlchemy's greenlet bridge on one PostgreSQL connection."""

    __slots__ = ("_connection", "failure")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.failure: BaseException | None = None
        """The error of a statement, also when the work has caught it: PostgreSQL will commit nothing after it."""

    @property
    def trusted(self) -> Executor:
        """This one: nothing narrows it."""
        return self

    @property
    def counts_on(self) -> bool:
        """They do not: others count too."""
        return False

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run any SQLAlchemy Core statement."""
        try:
            return self._connection.execute(statement, parameters)
        except BaseException as exc:
            self.failure = exc
            raise

    def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run a compiled statement and return its rows."""
        return list(self._run(plan, tuple(parameters)).fetchall())

    def insert(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Insert one row and return its counted key."""
        keys = self._run(plan, tuple(parameters)).scalars().all()
        require_all(plan, len(keys), 1)
        return int(keys[0])

    def insert_unless_there(self, plan: Plan, parameters: Sequence[Any]) -> int | None:
        """Insert one row and return its counted key; None when it is there."""
        key = self._run(plan, tuple(parameters)).scalar_one_or_none()
        return None if key is None else int(key)

    def insert_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows, many in one statement, and return their counted keys."""
        keys: list[int] = []
        most = min(MOST_ROWS, MOST_PARAMETERS // len(plan.parameters)) if plan.parameters else 1
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            values = tuple(value for row in part for value in row)
            found = self._run(replace(plan, sql=repeat_numbered_values(plan.sql, len(part))), values).scalars().all()
            require_all(plan, len(found), len(part))
            # The sequence counts the rows in the order of the statement; RETURNING promises no order.
            keys += sorted(found)
        return keys

    def change(self, plan: Plan, parameters: Sequence[Any]) -> int:
        """Run a compiled statement and return how many rows it changed."""
        return self._run(plan, tuple(parameters)).rowcount

    def change_many(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Run a compiled statement once for each tuple of parameters."""
        if rows:
            self._run(plan, [tuple(row) for row in rows])

    def change_each(self, plan: Plan, rows: Sequence[Sequence[Any]]) -> None:
        """Change rows that are there; of many at once the driver does not tell how many it has changed."""
        for row in rows:
            require_all(plan, self.change(plan, row), 1)

    def insert_pairs(
        self, plan: Plan, rows: Sequence[Sequence[Any]], other: Plan, others: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows, and then their companions."""
        self.change_many(plan, rows)
        self.change_many(other, others)

    def prefer_indexes(self) -> None:
        """Forbid what a server does that believes a table to be small, which in a queue is not true for long."""
        self._connection.exec_driver_sql(PREFER_INDEXES)

    def forget(self) -> None:
        """Nothing to do: the server's vacuum takes away what is deleted."""

    def notify(self) -> None:
        """Send a notification, which the server delivers when the transaction commits."""
        try:
            self._connection.exec_driver_sql(NOTIFY)
        except BaseException as exc:
            self.failure = exc
            raise

    def _run(self, plan: Plan, parameters: Any) -> CursorResult[Any]:
        try:
            return self._connection.exec_driver_sql(plan.sql, parameters)
        except BaseException as exc:
            self.failure = exc
            raise
