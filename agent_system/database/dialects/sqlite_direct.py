"""Synchronous code of SQLAlchemy and alembic on the thread of a SQLite connection: one hop for all its statements."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from agent_system.database.cursors import LentConnection
from agent_system.database.driver import require_transaction, sqlite
from agent_system.database.engine import raise_ours

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.adapter import FusedConnection

__all__ = ["run_directly"]

T = TypeVar("T")
P = ParamSpec("P")


async def run_directly(
    connection: AsyncConnection, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Do what `connection.run_sync` does without a hop per statement, in the connection's transaction.

    A cancelled caller interrupts the statement that is running, and none begins after it. The transaction stays the
    caller's: when `work` has returned or raised, it is neither committed nor rolled back.

    Raises:
        TransactionError: SQLite has ended the transaction by itself, and `work` went on.
    """
    if not connection.in_transaction():
        await connection.begin()
    pooled = (await connection.get_raw_connection()).dbapi_connection
    # SQLAlchemy types it as a plain DBAPI connection; every engine of ours has the fused adapter's.
    lane = cast("FusedConnection", pooled).lane
    is_cancelled = threading.Event()

    def run() -> T:
        with _lend(lane.raw, is_cancelled) as lent:
            return work(lent, *args, **kwargs)

    try:
        return await lane.run_interruptible(run)
    except asyncio.CancelledError:
        is_cancelled.set()
        raise


def _lend(raw: sqlite3.Connection, is_cancelled: threading.Event) -> AbstractContextManager[Connection]:
    def check(*_statement: Any) -> None:
        if is_cancelled.is_set():
            raise asyncio.CancelledError
        require_transaction(raw)

    engine = create_engine("sqlite://", creator=lambda: LentConnection(raw), module=sqlite, poolclass=NullPool)
    event.listen(engine, "handle_error", raise_ours)
    event.listen(engine, "before_cursor_execute", check)
    return engine.begin()
