"""Letting others watch what a database is asked for; a manager that nobody watches has none of this in its way."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from agent_system.database.recall import NO_RECALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import TextClause

    from agent_system.database.dialects.base import Backend, BackendTransaction, Hidden
    from agent_system.database.executor import Work
    from agent_system.database.plans import Plan

__all__ = ["Observer", "observed"]

T = TypeVar("T")


class Observer(Protocol):
    """Watches one kind of figures: times, spans."""

    def operation(self, name: str) -> AbstractContextManager[None]:
        """What an operation runs in: `read`, `fetch`, `query`, `write`, `begin`, `commit` or `rollback`."""


def observed(backend: Backend, observers: Sequence[Observer]) -> Backend:
    """The same backend with its operations watched; the very same when nobody watches."""
    return cast("Backend", _ObservedBackend(backend, observers)) if observers else backend


class _Observed:
    """Has what the watched object has."""

    def __init__(self, whole: Any, observers: Sequence[Observer]) -> None:
        self._whole = whole
        self._observers = observers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def _watch(self, name: str) -> ExitStack:
        stack = ExitStack()
        for observer in self._observers:
            stack.enter_context(observer.operation(name))
        return stack


class _ObservedBackend(_Observed):
    recall = NO_RECALL  # who watches wants to see every lookup

    async def read(self, work: Work[T]) -> T:
        with self._watch("read"):
            found: T = await self._whole.read(work)
            return found

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        with self._watch("fetch"):
            rows: list[Any] = await self._whole.fetch(plan, parameters)
            return rows

    async def query(self, statement: TextClause, limit: int, hidden: Hidden) -> tuple[list[str], list[Any]]:
        with self._watch("query"):
            found: tuple[list[str], list[Any]] = await self._whole.query(statement, limit, hidden)
            return found

    async def write(self, work: Work[T]) -> T:
        with self._watch("write"):
            found: T = await self._whole.write(work)
            return found

    async def begin(self) -> BackendTransaction:
        with self._watch("begin"):
            transaction = await self._whole.begin()
        return cast("BackendTransaction", _ObservedTransaction(transaction, self._observers))


class _ObservedTransaction(_Observed):
    async def commit(self) -> None:
        with self._watch("commit"):
            await self._whole.commit()

    async def rollback(self) -> None:
        with self._watch("rollback"):
            await self._whole.rollback()
