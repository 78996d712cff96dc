"""What alembic's env.py does: the same for the command line and for `run_migrations`.

`run_migrations` hands over a connection that holds the lock, in `config.attributes["connection"]`. The command
`alembic` hands over nothing; then the database of the settings is opened and locked here.
"""

from __future__ import annotations

import asyncio
import logging.config
import re
from typing import TYPE_CHECKING, Any, Literal

from alembic import context
from alembic.autogenerate import compare_metadata
from alembic.util import CommandError
from sqlalchemy import Connection

from agent_system.database.dialects.migration import exclusively, guard_for, migration_engine
from agent_system.database.dialects.sqlite_files import prepare_sqlite_url
from agent_system.database.engine import resolve_url
from agent_system.database.lanes import uncancelled
from agent_system.database.refusals import refuse_broken_keys, refuse_drift, refuse_unusable
from agent_system.database.revisions import revision_history
from agent_system.errors import AgentSystemError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import MetaData
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["find_drift", "run_environment"]

# Keys of config.attributes.
CONNECTION = "connection"
READ_ONLY = "agent_system_read_only"

# The commands of `alembic` that change the schema; the others only look at it.
CHANGING_COMMANDS = frozenset({"upgrade", "downgrade"})

# What an operator may add beside ours without being in the way of an upgrade.
HARMLESS_DIFFERENCES = frozenset({"remove_table", "remove_index"})

# A full-text index with, on SQLite, the tables that FTS5 keeps behind it, and the logs that indexes in memory follow;
# they are made beside the metadata's tables.
SEARCH_TABLES = re.compile(r"\w+_(fts(_data|_idx|_docsize|_config)?|changes)")
# The indexes of vectors that `em.embeddings.build_index()` builds where PostgreSQL has pgvector.
VECTOR_INDEXES = re.compile(r"idx_embeddings_hnsw_\w+")
# How `alembic revision --autogenerate` writes the types of our columns.
TYPES_IN_REVISIONS: dict[str, str] = {
    "BigInteger": "INTEGER",
    "Enumerated": "TEXT",
    "Json": "JSON",
    "Real": "REAL",
    "Text": "TEXT",
    "UtcDateTime": "MOMENT",
    "Uuid": "UUID",
    "Vector": "VECTOR",
}


def run_environment(metadata: MetaData) -> None:
    """Do what the running alembic command asks for.

    Args:
        metadata: What the schema at the newest revision has to be.

    Raises:
        MigrationError: The schema or its rows are not what they have to be, before or after.
    """
    config = context.config
    supplied = config.attributes.get(CONNECTION)
    if isinstance(supplied, Connection):
        _run(supplied, metadata)
        return
    if config.config_file_name is not None and supplied is None:
        logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)
    try:
        if context.is_offline_mode():
            _print_sql(metadata)
        else:
            asyncio.run(_run_alone(metadata, supplied))
    except AgentSystemError as exc:
        # What the command `alembic` shows as one line.
        raise CommandError(str(exc)) from exc


def find_drift(migration: MigrationContext, metadata: MetaData, *, ignored: frozenset[str] = frozenset()) -> list[str]:
    """Tell how the schema differs from the metadata, one line each; `ignored` names alembic operations."""
    operations = [
        operation
        for difference in compare_metadata(migration, metadata)
        for operation in (difference if isinstance(difference, list) else [difference])
    ]
    return [_describe(operation) for operation in operations if operation[0] not in ignored]


async def _run_alone(metadata: MetaData, engine: AsyncEngine | None) -> None:
    own: AsyncEngine | None = None
    if engine is None:
        url, settings = _configured_database()
        guard = guard_for(url.get_backend_name())
        refuse_unusable(await guard.peek(url, settings), revision_history())
        engine = own = migration_engine(url, settings)
    try:
        async with exclusively(engine) as connection:
            await guard_for(engine.dialect.name).run(connection, _run, metadata)
    finally:
        if own is not None:
            await uncancelled(own.dispose())


def _configured_database() -> tuple[URL, DatabaseSettings]:
    settings = DatabaseSettings()
    url = resolve_url(None, settings)
    if guard_for(url.get_backend_name()).rebuilds_tables:
        url, _ = prepare_sqlite_url(url, settings)
    return url, settings


def _run(connection: Connection, metadata: MetaData) -> None:
    guard = guard_for(connection.dialect.name)
    context.configure(connection=connection, **_options(metadata, rebuilds_tables=guard.rebuilds_tables))
    changing = _is_changing()
    if changing:
        refuse_broken_keys(guard.violations(connection), "before")
    guard.watch(connection)
    context.run_migrations()
    if changing:
        refuse_broken_keys(guard.violations(connection), "after")
        migration = context.get_context()
        if migration.get_current_heads() == (context.get_head_revision(),):
            refuse_drift(find_drift(migration, metadata, ignored=HARMLESS_DIFFERENCES))


def _print_sql(metadata: MetaData) -> None:
    url, _ = _configured_database()
    name = url.get_backend_name()
    context.configure(
        dialect_name=name, literal_binds=True, **_options(metadata, rebuilds_tables=guard_for(name).rebuilds_tables)
    )
    with context.begin_transaction():
        context.run_migrations()


def _options(metadata: MetaData, *, rebuilds_tables: bool) -> dict[str, Any]:
    return {
        "target_metadata": metadata,
        # One transaction around all revisions, which is the caller's.
        "transactional_ddl": True,
        "transaction_per_migration": False,
        "render_as_batch": rebuilds_tables,
        "compare_type": True,
        "compare_server_default": _default_differs,
        "include_object": _is_compared,
        "render_item": _render,
    }


def _is_changing() -> bool:
    config = context.config
    command = getattr(config.cmd_opts, "cmd", None)
    if command is not None:
        return command[0].__name__ in CHANGING_COMMANDS
    return not config.attributes.get(READ_ONLY, False)


def _is_compared(compared: Any, name: str | None, kind: str, reflected: bool, counterpart: Any) -> bool:  # noqa: FBT001
    if kind == "table" and reflected and counterpart is None and SEARCH_TABLES.fullmatch(name or ""):
        return False
    if kind == "index" and reflected and VECTOR_INDEXES.fullmatch(name or ""):
        return False
    # How a column is computed cannot be changed in place, and alembic's comparison of defaults fails on such a column
    # that is on both sides; tests/migration compares the expressions.
    return kind != "column" or counterpart is None or compared.computed is None


def _default_differs(
    _context: MigrationContext,
    _inspected_column: Any,
    _metadata_column: Any,
    inspected_default: str | None,
    _metadata_default: Any,
    rendered_metadata_default: str | None,
) -> bool:
    # Alembic's own comparison asks PostgreSQL whether two values are equal, which `json` does not know.
    return _plain_default(inspected_default) != _plain_default(rendered_metadata_default)


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    # A revision must not import our types, which may change: it declares what they were (alembic/script.py.mako).
    return TYPES_IN_REVISIONS.get(type(item).__name__, False) if kind == "type" else False


def _plain_default(default: str | None) -> str | None:
    """Strip what an engine adds when it repeats a default: casts, brackets, quotes, spaces."""
    return None if default is None else re.sub(r"::[a-z ]+|[()'\"\s]", "", default)


def _describe(operation: tuple[Any, ...]) -> str:
    kind, *rest = operation
    names = [getattr(part, "name", part) for part in rest]
    return f"{kind}: {'.'.join(dict.fromkeys(name for name in names if isinstance(name, str)))}"
