"""The one factory of SQLAlchemy engines: which database a path or URL means, and how its connections behave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from agent_system.database.adapter import FusedDBAPI
from agent_system.database.driver import ConnectionOptions, open_connection
from agent_system.database.translate import translate, translated
from agent_system.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailableError,
    MissingExtraError,
    OutcomeUnknownError,
)
from agent_system.json_text import json_parser
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    import os

    from sqlalchemy import Connection, Dialect
    from sqlalchemy.engine.interfaces import ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry

    from agent_system.database.adapter import FusedConnection

__all__ = [
    "IDLE_LIMIT",
    "MEMORY",
    "TRANSACTION_MODE",
    "WRITE_TURN",
    "create_engine",
    "dispose",
    "raise_ours",
    "resolve_url",
    "sqlite_connection_arguments",
]

MEMORY = ":memory:"

# Execution options of a connection: how its transactions begin, and whose turn they wait for.
TRANSACTION_MODE = "agent_system_transaction_mode"
WRITE_TURN = "agent_system_write_turn"
# For how long, in seconds, a transaction on PostgreSQL may stand still before the server ends it.
IDLE_LIMIT = "agent_system_idle_limit"
IN_COMMIT = "agent_system_in_commit"
_parse = json_parser(json.JSONDecoder())
# How much later than the server itself we give up on it.
ANSWER_SECONDS = 5.0


def resolve_url(path_or_url: str | os.PathLike[str] | None, settings: DatabaseSettings | None = None) -> URL:
    """Turn a path or URL (None: what the settings say) into a URL with the async driver of its engine.

    Raises:
        ConfigurationError: It is neither a path nor a URL of SQLite or PostgreSQL.
    """
    text = str(path_or_url) if path_or_url is not None else (settings or DatabaseSettings()).url
    if not text:
        message = "the path or URL of the database is empty; :memory: is one that goes away with its manager"
        raise ConfigurationError(message, variable="AGENT_SYSTEM_DATABASE_URL")
    if "://" not in text:
        return URL.create("sqlite+aiosqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as exc:
        message = "the database URL cannot be read; expected sqlite:///path or postgresql://user:password@host/name"
        raise ConfigurationError(message, variable="AGENT_SYSTEM_DATABASE_URL") from exc
    backend = url.get_backend_name()
    if backend == "sqlite":
        return url.set(drivername="sqlite+aiosqlite", database=url.database or MEMORY)
    if backend in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+asyncpg")
    message = f"unknown database {backend!r}: agent_system runs on SQLite and PostgreSQL"
    raise ConfigurationError(message, variable="AGENT_SYSTEM_DATABASE_URL")


def create_engine(url: URL, settings: DatabaseSettings, **arguments: Any) -> AsyncEngine:
    """Make the pooled async engine for a URL from `resolve_url`.

    Transactions on SQLite begin with `BEGIN IMMEDIATE` (or what the execution option `TRANSACTION_MODE` says): the
    driver's own transaction mode loses updates, breaks SAVEPOINT and commits DDL half-way.

    Raises:
        MissingExtraError: The driver for PostgreSQL is not installed.
    """
    if url.get_backend_name() == "sqlite":
        engine = _create_sqlite(url, settings, arguments)
    else:
        engine = _create_postgresql(url, settings, arguments)
    event.listen(engine.sync_engine, "handle_error", raise_ours)
    return engine


async def dispose(engine: AsyncEngine) -> None:
    """Close the connections of the pool now, and those of open transactions and sessions when they come back."""

    def close(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.invalidate()

    event.listen(engine.sync_engine.pool, "checkin", close)
    await engine.dispose()


def sqlite_connection_arguments(url: URL, settings: DatabaseSettings, **changes: Any) -> tuple[str, ConnectionOptions]:
    """What `open_connection` needs for a connection to this file."""
    options = ConnectionOptions(
        synchronous=settings.durability.value.upper(),
        busy_timeout_ms=settings.busy_timeout_ms,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        cache_pages=settings.sqlite_cache_pages,
        wal_pages=settings.checkpoint_pages,
        **changes,
    )
    return _sqlite_database(url), options


def _create_sqlite(url: URL, settings: DatabaseSettings, arguments: dict[str, Any]) -> AsyncEngine:
    changes = {
        key: arguments.pop(key) for key in ("connection_class", "foreign_keys", "max_page_count") if key in arguments
    }
    database, options = sqlite_connection_arguments(url, settings, **changes)
    if "poolclass" not in arguments:
        # The writer, the reader and the long-query lane are checked out for good; sessions share the rest.
        arguments |= {
            "poolclass": AsyncAdaptedQueuePool,
            "pool_size": 3 + settings.sqlite_session_connections,
            "max_overflow": 0,
            "pool_timeout": settings.pool_timeout_seconds,
        }
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=url.database),
        module=FusedDBAPI(),
        connect_args={"connector": lambda: open_connection(database, options)},
        **arguments,
    )
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "handle_error", _keep_connection)
    return engine


def _keep_connection(context: ExceptionContext) -> None:
    # SQLAlchemy throws a connection away whose statement was cancelled. Ours is interrupted and in order, and it may be
    # the writer's.
    if isinstance(context.original_exception, asyncio.CancelledError):
        context.is_disconnect = False


def _sqlite_database(url: URL) -> str:
    """The path, or a `file:` URI when the URL has parameters of SQLite's own, such as `mode=ro`."""
    path = url.database or MEMORY
    query = {key: value for key, value in url.query.items() if key != "uri"}
    if not query:
        return path
    parameters = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{Path(path).absolute().as_uri()}?{parameters}"


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    adapted = connection.connection.dbapi_connection
    # SQLAlchemy types it as a plain DBAPI connection; every engine of ours has the fused adapter's.
    # A listener's errors do not pass through `handle_error`, and a disk may fail at BEGIN too.
    with translated():
        cast("FusedConnection", adapted).begin(options.get(TRANSACTION_MODE, "IMMEDIATE"), options.get(WRITE_TURN))


def _create_postgresql(url: URL, settings: DatabaseSettings, arguments: dict[str, Any]) -> AsyncEngine:
    if "poolclass" not in arguments:
        arguments |= {
            "pool_size": settings.pool_size,
            "max_overflow": settings.pool_max_overflow,
            "pool_timeout": settings.pool_timeout_seconds,
            "pool_pre_ping": True,
        }
    limits = {"lock_timeout": _milliseconds(settings.lock_timeout_seconds)}
    connect_args: dict[str, Any] = {"timeout": settings.connect_timeout_seconds, "server_settings": limits}
    if settings.statement_timeout_seconds is not None:
        limits["statement_timeout"] = _milliseconds(settings.statement_timeout_seconds)
        # For a server that has gone silent; one that is there answers by itself.
        connect_args["command_timeout"] = settings.statement_timeout_seconds + ANSWER_SECONDS
    try:
        engine = create_async_engine(url, connect_args=connect_args, json_deserializer=_parse_json, **arguments)
    except ModuleNotFoundError as exc:
        raise MissingExtraError(extra="postgres", feature="PostgreSQL") from exc
    event.listen(engine.sync_engine, "do_connect", _connect_or_tell)
    event.listen(engine.sync_engine, "begin", _limit_idleness)
    event.listen(engine.sync_engine, "handle_error", _notice_farewell)
    _mark_errors_of_commit(engine.dialect)
    return engine


def _parse_json(text: str) -> Any:
    # Most of what is parsed is an empty object.
    return {} if text == "{}" else _parse(text)


def _limit_idleness(connection: Connection) -> None:
    seconds = connection.get_execution_options().get(IDLE_LIMIT)
    if seconds is not None:
        # The server keeps the time, so that a program that has stopped altogether frees its locks too.
        limit = text("SELECT set_config('idle_in_transaction_session_timeout', :milliseconds, true)")
        connection.execute(limit, {"milliseconds": _milliseconds(seconds)})


def _notice_farewell(context: ExceptionContext) -> None:
    # A server that is killed says so before the connection ends. asyncpg refuses a statement that comes in between by
    # an error about its own states, which SQLAlchemy does not know for the end of a connection.
    dbapi: Any = context.dialect.dbapi
    if isinstance(context.original_exception, dbapi.InternalClientError):
        context.is_disconnect = True


def _milliseconds(seconds: float) -> str:
    # 0 would be no limit at all.
    return str(max(1, round(seconds * 1000)))


def _connect_or_tell(dialect: Dialect, _record: Any, arguments: tuple[Any, ...], parameters: dict[str, Any]) -> Any:
    # What the network raises is no error of the driver, so `handle_error` never sees it.
    try:
        return dialect.connect(*arguments, **parameters)
    except OSError as exc:
        raise translate(exc) from exc


def _mark_errors_of_commit(dialect: Any) -> None:
    """Let `raise_ours` know which errors come from COMMIT; SQLAlchemy does not tell."""
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        try:
            commit(connection)
        except Exception as exc:
            setattr(exc, IN_COMMIT, True)
            raise

    dialect.do_commit = do_commit


def raise_ours(context: ExceptionContext) -> None:
    """Raise our error for the one that an engine meets; its listener for `handle_error`."""
    if context.is_pre_ping:
        return  # the pool only asks whether the connection is still alive
    error = context.sqlalchemy_exception or context.original_exception
    ours = translate(error)
    if context.is_disconnect and getattr(context.original_exception, IN_COMMIT, False):
        ours = OutcomeUnknownError()
    elif context.is_disconnect and type(ours) is DatabaseError:
        ours = DatabaseUnavailableError()
    if ours is not error:
        raise ours from None if ours is context.original_exception else context.original_exception
