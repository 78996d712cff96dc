"""Statements that took long, with their plans, in the log.

The connection only notes what was slow. The plan is asked for afterwards, by a task and on a connection of the
sessions, so that neither the writer nor the reader waits for it. Values are never logged: they may be secrets.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from agent_system.database.driver import sqlite
from agent_system.errors import AgentSystemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["SlowQueries", "SlowQuery"]

logger = logging.getLogger("agent_system.slow_queries")

# So many wait at most for their plan; more are only counted.
WAITING = 100
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES")
_TEXT = re.compile(r"'(?:[^']|'')*'")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?\b")
_CONDITION = re.compile(r"\b(?:Cond|Filter|Output)\b")
PLANS_KEPT = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowQuery:
    """One statement that took long."""

    sql: str
    parameters: Any
    seconds: float


class SlowQueries:
    """Notes slow statements and logs them with their plans.

    Args:
        limit_seconds: From how long a statement is slow.
        explain: The words before a statement that ask for its plan.
        options: Execution options of the connection that it is asked on.
    """

    def __init__(self, limit_seconds: float, explain: str, options: dict[str, Any]) -> None:
        self.limit_seconds = limit_seconds
        self.count = 0
        """How many there were."""
        self._explain = explain
        self._options = options
        self._waiting: deque[SlowQuery] = deque(maxlen=WAITING)
        self._plans: dict[str, str] = {}
        self._engine: AsyncEngine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, engine: AsyncEngine) -> None:
        """Begin to log, asking for plans on connections of this engine."""
        self._engine = engine
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Log what still waits."""
        self._loop = None
        self._wake()
        if self._task is not None:
            await self._task

    def note(self, sql: str, parameters: Any, seconds: float) -> None:
        """Note a statement if it was slow; may be called on any thread."""
        if seconds < self.limit_seconds or sql.startswith("EXPLAIN"):
            return
        self.count += 1
        self._waiting.append(SlowQuery(sql=sql, parameters=parameters, seconds=seconds))
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def listen(self, engine: AsyncEngine) -> None:
        """Note what is slow among the statements of an engine whose driver answers at once."""

        def before(connection: Connection, _cursor: Any, _sql: str, *_rest: Any) -> None:
            connection.info["agent_system_started"] = time.perf_counter()

        def after(connection: Connection, _cursor: Any, sql: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001
            seconds = time.perf_counter() - connection.info["agent_system_started"]
            self.note(sql, parameters[0] if many and parameters else parameters, seconds)

        event.listen(engine.sync_engine, "before_cursor_execute", before)
        event.listen(engine.sync_engine, "after_cursor_execute", after)

    def connection_class(self) -> type[Any]:
        """A class of the SQLite driver's connections that notes what is slow."""
        return _observing(self.note)

    def _wake(self) -> None:
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._log_all(), name="agent_system slow queries")

    async def _log_all(self) -> None:
        try:
            while self._waiting:
                query = self._waiting.popleft()
                plan = await self._plan_of(query)
                logger.warning("%.0f ms: %s\n%s", query.seconds * 1000, query.sql, plan)
        finally:
            self._task = None

    async def _plan_of(self, query: SlowQuery) -> str:
        known = self._plans.get(query.sql)
        if known is not None or self._engine is None or not query.sql.lstrip().startswith(EXPLAINED):
            return known or ""
        values = query.parameters
        values = tuple(values) if isinstance(values, list) else values
        try:
            async with self._engine.execution_options(**self._options).connect() as connection:
                answer = await connection.exec_driver_sql(f"{self._explain} {query.sql}", values or None)
                plan = "\n".join(f"  {_without_values(str(row[-1]))}" for row in answer.all())
        except (SQLAlchemyError, AgentSystemError) as exc:
            plan = f"  its plan cannot be told: {exc}"
        if len(self._plans) >= PLANS_KEPT:
            self._plans.clear()
        self._plans[query.sql] = plan
        return plan


def _without_values(line: str) -> str:
    """A line of a plan of PostgreSQL's, which repeats the values in its conditions."""
    line = _TEXT.sub("?", line)
    return _NUMBER.sub("?", line) if _CONDITION.search(line) else line


def _observing(note: Callable[[str, Any, float], None]) -> type[Any]:
    """A connection whose cursors tell how long each statement took, with the reading of its rows."""

    class ObservedCursor(sqlite.Cursor):  # type: ignore[misc]  # the driver is loaded at run time
        _statement: tuple[str, Any, float] | None = None

        def execute(self, sql: str, parameters: Any = ()) -> Any:
            started = time.perf_counter()
            super().execute(sql, parameters)
            seconds = time.perf_counter() - started
            if self.description is None:
                note(sql, parameters, seconds)
            else:
                # Its rows are not read yet, which is most of the work.
                self._statement = sql, parameters, seconds
            return self

        def executemany(self, sql: str, parameters: Any) -> Any:
            started = time.perf_counter()
            super().executemany(sql, parameters)
            first = parameters[0] if isinstance(parameters, list) and parameters else None
            note(sql, first, time.perf_counter() - started)
            return self

        def fetchall(self) -> Any:
            started = time.perf_counter()
            rows = super().fetchall()
            if self._statement is not None:
                sql, parameters, seconds = self._statement
                self._statement = None
                note(sql, parameters, seconds + time.perf_counter() - started)
            return rows

    class ObservedConnection(sqlite.Connection):  # type: ignore[misc]  # as above
        def cursor(self, factory: Any = ObservedCursor) -> Any:
            return super().cursor(factory)

        # The driver's own would make a plain cursor.
        def execute(self, sql: str, parameters: Any = ()) -> Any:
            return self.cursor().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Any) -> Any:
            return self.cursor().executemany(sql, parameters)

    return ObservedConnection
