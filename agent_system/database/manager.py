"""`DatabaseManager`: the one object that owns the connections, and what everybody else asks for work to be done."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from agent_system.database.dialects.registry import prepare_backend
from agent_system.database.engine import resolve_url
from agent_system.database.lanes import uncancelled
from agent_system.database.maintenance import Maintenance
from agent_system.database.migrations import prepare_schema
from agent_system.database.observation import observed
from agent_system.database.recall import NO_RECALL, Recall
from agent_system.database.shared import Shared
from agent_system.database.transactions import Transaction, current_transaction, entered, nested
from agent_system.database.translate import translated
from agent_system.errors import DatabaseError, NotConnectedError, StatementTimeoutError, TransactionError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import URL, Dialect, TextClause
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agent_system.database.dialects.base import Backend, Changes, EngineHealth, Hidden
    from agent_system.database.executor import Work
    from agent_system.database.observation import Observer
    from agent_system.database.plans import Plan

__all__ = ["DatabaseManager"]

T = TypeVar("T")


class DatabaseManager:
    """Connects to one database and runs units of work on it.

    A manager belongs to the process and the event loop that connected it.

    Args:
        path_or_url: Path of a SQLite file, `:memory:`, or a URL of SQLite or PostgreSQL. None takes
            AGENT_SYSTEM_DATABASE_URL, then seed 004's DB_HOST and its companions, then ./data/system.db.
        settings: All other settings; None reads the AGENT_SYSTEM_* variables.
        auto_migrate: Whether connect() brings the schema to head; None takes the settings' value.
        durability: What an acknowledged write survives, "full" or "normal"; None takes the settings' value.
        observers: Who watches the operations, such as those of `agent_system.observability`.

    Raises:
        ConfigurationError: A setting has a value that cannot work.

    Example:
        >>> async with DatabaseManager("./data/system.db") as db:
        ...     em = EntityManager(db)
        ...     async with db.transaction():
        ...         await em.agents.create({"name": "researcher", "instruction": "Find sources."})
    """

    is_scoped = False  # whether it sees only what belongs to somebody
    recall: Recall = NO_RECALL  # what answers lookups at once

    def __init__(
        self,
        path_or_url: str | os.PathLike[str] | None = None,
        *,
        settings: DatabaseSettings | None = None,
        auto_migrate: bool | None = None,
        durability: str | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        settings = settings if settings is not None else DatabaseSettings()
        if durability is not None:
            # Through validation, so that a wrong value gets the same ConfigurationError as the variable would.
            checked = DatabaseSettings.model_validate({"durability": durability}).durability
            settings = settings.model_copy(update={"durability": checked})
        self.settings = settings
        self.auto_migrate = settings.auto_migrate if auto_migrate is None else auto_migrate
        self.url: URL = resolve_url(path_or_url, settings)
        self._observers = observers
        self._backend: Backend | None = None
        self._maintenance: Maintenance | None = None
        self.shared = Shared()
        self._is_connecting, self._process_id = False, 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        state = "" if self._backend is not None else "not "
        return f"<DatabaseManager {self.url.render_as_string(hide_password=True)} ({state}connected)>"

    async def connect(self) -> Self:
        """Open the connections; makes the folder of a SQLite file and brings the schema to head (`auto_migrate`).

        Raises:
            SchemaMismatchError: The schema is not at head and `auto_migrate` is off, or it is of a newer version.
            DatabaseUnavailableError: The path or the server cannot be reached.
            DatabaseCorruptError: The file is damaged or is no SQLite database.
        """
        if self._backend is not None or self._is_connecting:
            message = "this manager is connected already"
            raise DatabaseError(message)
        self._is_connecting = True
        try:
            with translated():
                self._backend = observed(await self._open_backend(), self._observers)
        finally:
            self._is_connecting = False
        self._process_id, self._loop = os.getpid(), asyncio.get_running_loop()
        self.recall = self._backend.recall
        self._maintenance = Maintenance(self._backend, self.settings.maintenance_seconds)
        self._maintenance.start()
        return self

    async def _open_backend(self) -> Backend:
        url, backend = prepare_backend(self.url, self.settings, makes=self.auto_migrate)
        try:
            await prepare_schema(url, self.settings, auto_migrate=self.auto_migrate, engine=backend.engine)
            await backend.open()
        except BaseException:
            await uncancelled(backend.close())
            raise
        return backend

    async def disconnect(self) -> None:
        """Finish accepted writes and close every connection; safe to call twice."""
        backend, self._backend, self.recall = self._backend, None, NO_RECALL
        if backend is None:
            return
        if os.getpid() != self._process_id:
            # The connections belong to the parent process; closing them here would drop its locks.
            return
        with translated():
            await uncancelled(self._close(backend))

    async def _close(self, backend: Backend) -> None:
        if self._maintenance is not None:
            await self._maintenance.close()
        await backend.close()

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(self, *error: object) -> None:
        await self.disconnect()

    async def read(self, work: Work[T]) -> T:
        """Run a reading unit of work; inside this task's transaction it sees what the transaction has written."""
        backend = self._connected()
        transaction = current_transaction(self)
        if transaction is not None:
            return await transaction.run(work, isolate=False)
        return await backend.read(work)

    async def fetch(self, plan: Plan, parameters: Sequence[Any]) -> list[Any]:
        """Run one compiled short read (a lookup by key, the end of a range) and return the driver's rows.

        On SQLite it runs on the event loop's own thread while it is quick.
        """
        backend = self._connected()
        transaction = current_transaction(self)
        if transaction is not None:
            return await transaction.run(lambda executor: executor.fetch(plan, parameters), isolate=False)
        return await backend.fetch(plan, parameters)

    async def write(self, work: Work[T]) -> T:
        """Run a writing unit of work, all or nothing.

        Outside of a transaction it is committed, together with those of other tasks, before this returns; inside, it
        becomes part of the transaction, and a failure takes back only what this work has done.

        Raises:
            IntegrityError: The data break a rule of the schema.
            DatabaseBusyError: The write lock did not come in time.
            DiskFullError: Nothing was written.
            OutcomeUnknownError: The commit failed in a way that does not tell whether it happened.
        """
        backend = self._connected()
        transaction = current_transaction(self)
        if transaction is not None:
            return await transaction.run(work, isolate=True)
        backend.check_may_write()
        return await backend.write(work)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Make everything in the block one transaction: all or nothing.

        A transaction inside a transaction is a savepoint. On SQLite the block holds the one write lock, so it should be
        short: it is warned about and then rolled back when it stays open.

        Raises:
            TransactionError: A parent task has a transaction open.
            TransactionTimeoutError: The block was open for longer than the settings allow.
            DatabaseBusyError: The write lock did not come in time.
        """
        backend = self._connected()
        outer = current_transaction(self)
        if outer is not None:
            async with nested(outer):
                yield outer
            return
        backend.check_may_write()
        with translated():
            inner = await backend.begin()
        warn, timeout = self.settings.transaction_warn_seconds, self.settings.transaction_timeout_seconds
        transaction = Transaction(inner, warn_seconds=warn, timeout_seconds=timeout)
        try:
            with entered(self, transaction):
                yield transaction
        except BaseException:
            await uncancelled(transaction.rollback())
            raise
        await transaction.commit()

    @asynccontextmanager
    async def session(self, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        """Give an `AsyncSession` for what the managers do not offer; commit it yourself.

        Inside a transaction it joins that transaction, and its commit is a savepoint's.

        Args:
            read_only: The session sees a snapshot and does not wait for its turn to write.
        """
        backend = self._connected()
        transaction = current_transaction(self)
        if transaction is not None:
            bind: Any = await transaction.connection()
        else:
            bind = self.engine.execution_options(**backend.session_options(read_only=read_only))
        session = AsyncSession(bind, expire_on_commit=False, join_transaction_mode="create_savepoint")
        try:
            # What is no error of SQLAlchemy may be the caller's own; the engine has translated the driver's.
            with translated((SQLAlchemyError,)):
                yield session
        finally:
            await uncancelled(session.close())

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[Changes]:
        """Watch for commits of any process inside the block, to wait for work without asking for it all the time.

        On PostgreSQL only those are seen whose unit of work called `Executor.notify`.
        """
        changes = self._connected().changes()
        try:
            yield changes
        finally:
            await uncancelled(changes.close())

    async def query(
        self, statement: TextClause, limit: int, *, timeout_seconds: float, hidden: Hidden
    ) -> tuple[list[str], list[Any]]:
        """Run free SQL on a connection that can only read; returns its columns and at most `limit` committed rows.

        Raises:
            ValidationError: It does more than read, or it reads one of the hidden columns.
            StatementTimeoutError: It took too long.
        """
        backend = self._connected()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await backend.query(statement, limit, hidden)
        except TimeoutError:
            message = f"the query took longer than {timeout_seconds:g} s"
            raise StatementTimeoutError(message) from None

    async def scrub(self, *, rebuild: bool = False) -> None:
        """Take away what deletions left in files, logs and full-text indexes; `rebuild` finds what went long ago, too.

        Raises:
            TransactionError: A transaction is open.
            DatabaseBusyError: Another process kept the file busy; run it again.
        """
        backend = self._connected()
        if self.in_transaction:
            message = "scrub() rewrites files, which no transaction can; call it afterwards"
            raise TransactionError(message)
        backend.check_may_write()
        with translated():
            await backend.scrub(rebuild=rebuild)

    async def maintain(self) -> None:
        """Do now what is done every `maintenance_seconds`: shorten the log, renew statistics, give free pages back."""
        backend = self._connected()
        backend.check_may_write()
        await Maintenance(backend, None).round()

    async def health(self) -> EngineHealth:
        """Measure how the engine is."""
        with translated():
            return await self._connected().health()

    async def sizes(self) -> dict[str, int | None]:
        """Return the bytes of each table with its indexes, None where the engine cannot tell; reads the whole file."""
        with translated():
            return await self._connected().sizes()

    def complete(self, table: str, values: dict[str, Any]) -> None:
        """Fill in what a scope says about a new row of a table; a database without a scope says nothing."""

    def another(self) -> DatabaseManager:
        """One not connected yet, for a thread with a loop of its own; of `:memory:` too, which is a file behind."""
        url = self._connected().engine.url.render_as_string(hide_password=False)
        return DatabaseManager(url, settings=self.settings, auto_migrate=False)

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's pooled async engine."""
        return self._connected().engine

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, for compiling statements; units of work ask for it on a thread without a loop."""
        if self._backend is None:
            raise NotConnectedError
        return self._backend.dialect

    @property
    def stamp(self) -> bytes | None:
        """What changes with every commit of any process, to be compared with an earlier one; None: nobody can tell."""
        return self._connected().stamp

    @property
    def in_transaction(self) -> bool:
        """Whether the running task has a transaction of this manager open."""
        return current_transaction(self) is not None

    @property
    def is_connected(self) -> bool:
        """Whether connect() has been called and disconnect() has not."""
        return self._backend is not None

    def _connected(self) -> Backend:
        backend = self._backend
        if backend is None:
            raise NotConnectedError
        if os.getpid() != self._process_id:
            message = "this manager was connected before a fork: connect a new one in the child process"
            raise NotConnectedError(message)
        if asyncio.get_running_loop() is not self._loop:
            message = "this manager belongs to another event loop: connect one in each loop"
            raise NotConnectedError(message)
        return backend
