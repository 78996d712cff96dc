"""`ScopedDatabase`: the database as the managers of a scope see it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from agent_system.database.groups import kind_of
from agent_system.database.inline_writes import size_of
from agent_system.database.manager import DatabaseManager
from agent_system.database.recall import NO_RECALL, Recall
from agent_system.database.transactions import Transaction
from agent_system.errors import ScopeError
from agent_system.managers.isolation.binding import Binder
from agent_system.managers.isolation.executor import Guard, ScopedExecutor
from agent_system.managers.isolation.plans import ScopeRules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Dialect, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlmodel.ext.asyncio.session import AsyncSession

    from agent_system.database.dialects.base import Changes, EngineHealth, Hidden
    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import Plan
    from agent_system.managers.isolation.scope import Dimension, Scope

__all__ = ["Isolation", "ScopedDatabase"]

T = TypeVar("T")


class Isolation:
    """What all scopes of one database share: the statements that were made for their dimensions."""

    def __init__(self, db: DatabaseManager) -> None:
        self.db = db
        self.binder = Binder()
        self._rules: dict[frozenset[Dimension], ScopeRules] = {}

    def rules(self, dimensions: frozenset[Dimension]) -> ScopeRules:
        """What a set of dimensions means for statements."""
        rules = self._rules.get(dimensions)
        if rules is None or rules.dialect is not self.db.dialect:
            rules = self._rules[dimensions] = ScopeRules(dimensions, self.db.dialect)
        return rules

    def database(self, scope: Scope) -> ScopedDatabase:
        """The database as a scope sees it."""
        return ScopedDatabase(self, scope)


class ScopedDatabase(DatabaseManager):
    """The database of a facade that is bound to a scope: units of work, and nothing that leads past the scope.

    Everything that `DatabaseManager` offers is answered here, or refused.
    """

    is_scoped = True
    recall: Recall = NO_RECALL  # it does not know whose a row is

    def __init__(self, isolation: Isolation, scope: Scope) -> None:
        # Not the base's own: what it keeps leads to the whole database.
        self._isolation = isolation
        self._inner = isolation.db
        self._known_guard: Guard | None = None
        self.scope = scope
        self.settings = self._inner.settings
        self.shared = self._inner.shared
        self.auto_migrate = False

    def __repr__(self) -> str:
        return f"<ScopedDatabase of {', '.join(self.scope.values)}>"

    async def read(self, work: Work[T]) -> T:
        """Run a reading unit of work over the rows of the scope."""
        return await self._inner.read(self.bound(work))

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run one compiled short read over the rows of the scope."""
        guard = self._guard
        scoped = guard.rules.plan(plan)
        if scoped.plan.writes is not None:
            message = "fetch() only reads"
            raise ScopeError(message)
        return await self._inner.fetch(scoped.plan, scoped.parameters(parameters, guard.own))

    async def write(self, work: Work[T]) -> T:
        """Run a writing unit of work over the rows of the scope."""
        return await self._inner.write(self.bound(work))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Make everything in the block one transaction; see `DatabaseManager.transaction`."""
        async with self._inner.transaction() as transaction:
            yield _ScopedTransaction(transaction, self)

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, for compiling statements."""
        return self._inner.dialect

    @property
    def stamp(self) -> bytes | None:
        """What changes with every commit: that there was one tells nothing of what it wrote."""
        return self._inner.stamp

    @property
    def in_transaction(self) -> bool:
        """Whether the running task has a transaction open."""
        return self._inner.in_transaction

    @property
    def is_connected(self) -> bool:
        """Whether the database is connected."""
        return self._inner.is_connected

    def complete(self, table: str, values: dict[str, Any]) -> None:
        """Fill in to whom a new row belongs.

        Raises:
            ScopeError: It is given to somebody else, or the scope may add no rows.
        """
        self._guard.complete(table, values)

    @property
    def engine(self) -> AsyncEngine:
        """Not there in a scope."""
        _refuse("the engine")

    async def connect(self) -> Self:
        """Not there in a scope."""
        _refuse("connect()")

    async def disconnect(self) -> None:
        """Not there in a scope."""
        _refuse("disconnect()")

    @asynccontextmanager
    async def session(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """Not there in a scope."""
        if self.is_connected:
            _refuse(f"session({read_only=})")
        # What follows makes this a context manager, as the base's is.
        async with self._inner.session(read_only=True) as session:
            yield session

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[Changes]:
        """Watch for commits inside the block: that there was one tells nothing of what it wrote."""
        async with self._inner.changes() as changes:
            yield changes

    def another(self) -> DatabaseManager:
        """Not there in a scope."""
        _refuse("another()")

    async def query(
        self, statement: TextClause, limit: int, *, timeout_seconds: float, hidden: Hidden
    ) -> tuple[list[str], list[Any]]:
        """Not there in a scope: nobody can tell whose the rows of free SQL are."""
        del statement, limit, timeout_seconds, hidden
        _refuse("query()")

    async def scrub(self, *, rebuild: bool = False) -> None:
        """Not there in a scope."""
        del rebuild
        _refuse("scrub()")

    async def maintain(self) -> None:
        """Not there in a scope."""
        _refuse("maintain()")

    async def sizes(self) -> dict[str, int | None]:
        """Not there in a scope."""
        _refuse("sizes()")

    async def health(self) -> EngineHealth:
        """Not there in a scope."""
        _refuse("health()")

    @property
    def _guard(self) -> Guard:
        rules = self._isolation.rules(self.scope.dimensions)
        if self._known_guard is None or self._known_guard.rules is not rules:
            self._known_guard = Guard(self.scope, rules)
        return self._known_guard

    def bound(self, work: Work[T]) -> Work[T]:
        """A unit of work over the rows of the scope."""
        return _BoundWork(self._guard, work)


class _BoundWork(Generic[T]):
    """A unit of work over the rows of a scope; one that can be done with others is done with those of its scope."""

    __slots__ = ("_guard", "work")

    def __init__(self, guard: Guard, work: Work[T]) -> None:
        self._guard = guard
        self.work: Any = work

    def __call__(self, executor: Executor) -> T:
        result: T = self.work(ScopedExecutor(executor, self._guard))
        return result

    def kind(self) -> object | None:
        """See `agent_system.database.groups.Companion`."""
        kind = kind_of(self.work)
        return None if kind is None else (self._guard, kind)

    def written_size(self) -> int | None:
        """See `agent_system.database.inline_writes`."""
        return size_of(self.work)

    def do_with(self, executor: Executor, others: Sequence[_BoundWork[T]]) -> None:
        """See `agent_system.database.groups.Companion`."""
        self.work.do_with(ScopedExecutor(executor, self._guard), [other.work for other in others])


class _ScopedTransaction(Transaction):
    """The open transaction, for whoever runs units of work in it by hand."""

    def __init__(self, inner: Transaction, db: ScopedDatabase) -> None:
        self._whole = inner
        self._db = db

    @property
    def is_over(self) -> bool:
        """Whether it has been committed or rolled back by its block."""
        return self._whole.is_over

    async def run(self, work: Work[T], *, isolate: bool) -> T:
        """Run a unit of work over the rows of the scope."""
        return await self._whole.run(self._db.bound(work), isolate=isolate)

    async def connection(self) -> AsyncConnection:
        """Not there in a scope."""
        _refuse("the connection")


def _refuse(what: str) -> NoReturn:
    message = f"{what} is not there in a scoped facade: it would lead past the scope"
    raise ScopeError(message)
