"""`ChangeLog`: what has changed in a table since somebody looked last, whoever changed it.

The logs are kept by triggers (`models/search_changes.py`). On SQLite, where one writes at a time, the sequence is the
order of the commits. On PostgreSQL a transaction may commit what was logged before something that was read already; so
there everything is read again that was logged by transactions which were not over when the log was read last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import BigInteger, Integer, bindparam, cast, column, func, literal_column, select, table
from sqlalchemy.types import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Select

    from agent_system.database.executor import Executor

__all__ = ["ChangeLog", "LogPlace", "change_log"]


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Up to where a log was read."""

    last: int
    """The highest number that was there."""
    settled: int
    """On PostgreSQL the oldest transaction that was not over; what it and later ones logged is read again."""
    seen: frozenset[int] = frozenset()
    """What was read already of those."""


class ChangeLog(Protocol):
    """The log of one table, inside a unit of work."""

    def end(self, executor: Executor) -> LogPlace:
        """Where the log ends now; to be asked before what it tells of is read."""

    def from_last(self) -> Select[Any] | None:
        """The numbers of the entry `:last` and of the one behind it; when it is alone, nothing was logged since.

        None where numbers do not tell it.
        """

    def since(self, executor: Executor, place: LogPlace) -> tuple[set[int] | None, LogPlace]:
        """The rows that changed behind a place, and where the log ends now; None: too many, read everything."""


class _SqliteLog:
    def __init__(self, name: str) -> None:
        self._log = table(name, column("id", Integer()), column("row_id"))

    def from_last(self) -> Select[Any] | None:
        number = self._log.c.id
        return select(number).where(number >= bindparam("last", type_=Integer())).order_by(number).limit(2)

    def end(self, executor: Executor) -> LogPlace:
        return LogPlace(int(executor.execute(select(func.max(self._log.c.id))).scalar() or 0), 0)

    def since(self, executor: Executor, place: LogPlace) -> tuple[set[int] | None, LogPlace]:
        log = self._log.c
        # The row that was the last one is asked for too: when it is gone, the log was cut off, or is another one.
        wanted = select(log.id, log.row_id).where(log.id >= place.last).order_by(log.id)
        rows: Any = executor.execute(wanted).all()
        if place.last and (not rows or rows[0][0] != place.last):
            return None, self.end(executor)
        changed = {row[1] for row in rows if row[0] > place.last}
        return changed, LogPlace(rows[-1][0] if rows else 0, 0)


class _PostgresLog:
    def __init__(self, name: str) -> None:
        self._log = table(name, column("id"), column("row_id"), column("transaction_id"))

    def from_last(self) -> Select[Any] | None:
        # A transaction that was open may since have logged under a lower number.
        return None

    def end(self, executor: Executor) -> LogPlace:
        # The transaction first: what is committed in between is read twice.
        oldest = self._oldest(executor)
        return LogPlace(int(executor.execute(select(func.max(self._log.c.id))).scalar() or 0), oldest)

    def since(self, executor: Executor, place: LogPlace) -> tuple[set[int] | None, LogPlace]:
        log = self._log.c
        oldest = self._oldest(executor)
        first = executor.execute(select(func.min(log.id))).scalar()
        if place.last and (first is None or first > place.last + 1):
            return None, self.end(executor)
        wanted = select(log.id, log.row_id, log.transaction_id).where(log.transaction_id >= place.settled)
        rows: Any = executor.execute(wanted).all()
        changed = {row[1] for row in rows if row[0] not in place.seen}
        seen = frozenset(row[0] for row in rows if row[2] >= oldest)
        last = max((row[0] for row in rows), default=0)
        return changed, LogPlace(max(last, place.last), oldest, seen)

    def _oldest(self, executor: Executor) -> int:
        snapshot = func.pg_snapshot_xmin(literal_column("pg_current_snapshot()"))
        return int(executor.execute(select(cast(cast(snapshot, Text), BigInteger))).scalar_one())


_LOGS: Mapping[str, Callable[[str], ChangeLog]] = {"sqlite": _SqliteLog, "postgresql": _PostgresLog}


def change_log(table_name: str, engine: str) -> ChangeLog:
    """The log of a table.

    Args:
        table_name: The table.
        engine: The name of SQLAlchemy's dialect.
    """
    return _LOGS[engine](f"{table_name}_changes")
