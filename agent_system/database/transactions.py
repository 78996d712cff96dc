"""Transactions belong to the task that opened them.

One context variable says which transaction of which manager the running code is in. A task that is started inside an
open transaction inherits the variable but not the transaction: two tasks on one connection would commit each other's
half-done work, so it gets a clear error.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from agent_system.database.lanes import uncancelled
from agent_system.database.translate import translated
from agent_system.errors import TransactionError, TransactionTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.dialects.base import BackendTransaction
    from agent_system.database.executor import Work

__all__ = ["Transaction", "current_transaction", "entered", "nested", "open_transactions"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_Open: TypeAlias = "Mapping[object, Transaction] | None"

open_transactions: ContextVar[_Open] = ContextVar("agent_system_transactions", default=None)
"""The transactions that the running task, or one that it stems from, has opened, by their managers."""


def current_transaction(owner: object) -> Transaction | None:
    """The open transaction of this manager that the running task may use, or None.

    Raises:
        TransactionError: A parent task has one open.
    """
    transactions = open_transactions.get()
    if transactions is None:
        return None
    transaction = transactions.get(owner)
    if transaction is None or transaction.is_over:
        return None
    transaction.check_task()
    return transaction


class entered:  # noqa: N801 (reads as a context manager)
    """Make a transaction the current one of its manager inside the block."""

    def __init__(self, owner: object, transaction: Transaction) -> None:
        self._value = {**(open_transactions.get() or {}), owner: transaction}

    def __enter__(self) -> None:
        self._token = open_transactions.set(self._value)

    def __exit__(self, *_exc: object) -> None:
        open_transactions.reset(self._token)


class Transaction:
    """A transaction that is open for one task; what the managers do inside joins it."""

    def __init__(self, inner: BackendTransaction, *, warn_seconds: float, timeout_seconds: float) -> None:
        self._inner = inner
        self._task = asyncio.current_task()
        self._timeout_seconds = timeout_seconds
        self._depth = 0
        self._over = False
        self._expired = False
        # One statement at a time, also against the watchdog's rollback.
        self._busy = asyncio.Lock()
        loop = asyncio.get_running_loop()
        self._warning = loop.call_later(warn_seconds, self._warn, warn_seconds)
        self._deadline = loop.call_later(timeout_seconds, self._expire)
        self._expiry: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has been committed or rolled back by its block."""
        return self._over

    def check_task(self) -> None:
        """Raise TransactionError unless the running task is the one that opened it."""
        if asyncio.current_task() is not self._task:
            message = (
                "this task was started inside a transaction that belongs to its parent task; await the work in the "
                "parent itself, or start the task after the transaction. asyncio.wait_for makes such a task on Python "
                "3.11: use `async with asyncio.timeout(...)` instead"
            )
            raise TransactionError(message)

    async def run(self, work: Work[T], *, isolate: bool) -> T:
        """Run a unit of work in the transaction; it is interrupted when the transaction's time is over."""
        async with self._busy:
            self._check_alive()
            limit = asyncio.timeout_at(self._deadline.when())
            try:
                async with limit:
                    with translated():
                        return await self._inner.run(work, isolate=isolate)
            except TimeoutError:
                if limit.expired():
                    raise self._timeout_error() from None
                raise

    async def connection(self) -> AsyncConnection:
        """SQLAlchemy's connection that the transaction runs on."""
        self._check_alive()
        with translated():
            return await self._inner.connection()

    async def nest(self) -> str:
        """Begin a nested transaction and return its savepoint."""
        async with self._busy:
            self._check_alive()
            self._depth += 1
            name = f"nested_{self._depth}"
            with translated():
                await self._inner.savepoint(name)
            return name

    async def leave(self, name: str, *, failed: bool) -> None:
        """End a nested transaction."""
        async with self._busy:
            self._depth -= 1
            if failed and (self._expired or not self._inner.is_alive):
                return
            self._check_alive()
            with translated():
                await (self._inner.rollback_to(name) if failed else self._inner.release(name))

    async def commit(self) -> None:
        """Commit; from now on the transaction is over, whatever happens."""
        async with self._busy:
            self._finish()
            if self._expired:
                raise self._timeout_error()
            if not self._inner.is_alive:
                await self._inner.rollback()
                raise self._gone_error()
            with translated():
                await self._inner.commit()

    async def rollback(self) -> None:
        """Roll back; from now on the transaction is over."""
        self._finish()
        async with self._busy:
            if not self._expired:
                with translated():
                    await self._inner.rollback()

    def _finish(self) -> None:
        self._over = True
        self._warning.cancel()
        self._deadline.cancel()

    def _check_alive(self) -> None:
        if self._expired:
            raise self._timeout_error()
        if not self._inner.is_alive:
            raise self._gone_error()

    def _gone_error(self) -> TransactionError:
        return TransactionError("the database has rolled this transaction back; nothing of it was written")

    def _timeout_error(self) -> TransactionTimeoutError:
        message = (
            f"this transaction was open for more than {self._timeout_seconds:g} s and was rolled back so that others "
            "can write; do slow work, such as calling a model, outside of transactions"
        )
        return TransactionTimeoutError(message)

    def _warn(self, seconds: float) -> None:
        logger.warning("a transaction of task %s has been open for more than %g s", _name(self._task), seconds)

    def _expire(self) -> None:
        self._expiry = asyncio.get_running_loop().create_task(self._roll_back_expired())

    async def _roll_back_expired(self) -> None:
        async with self._busy:
            if self._over:
                return
            self._expired = True
            logger.error("a transaction of task %s was open for too long and is rolled back", _name(self._task))
            with translated():
                await self._inner.rollback()


@asynccontextmanager
async def nested(outer: Transaction) -> AsyncIterator[None]:
    """Make the block a part of an open transaction that can be taken back alone."""
    name = await outer.nest()
    try:
        yield
    except BaseException:
        await uncancelled(outer.leave(name, failed=True))
        raise
    await outer.leave(name, failed=False)


def _name(task: asyncio.Task[Any] | None) -> str:
    return task.get_name() if task is not None else "?"
