"""Bringing a database to a revision: all of it or nothing, also when several processes try at once or one is killed."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from agent_system.database.dialects.migration import exclusively, guard_for, migration_engine, read_state
from agent_system.database.dialects.sqlite_files import prepare_sqlite_url
from agent_system.database.engine import resolve_url
from agent_system.database.environment import CONNECTION, READ_ONLY, find_drift
from agent_system.database.lanes import uncancelled
from agent_system.database.refusals import refuse_unusable, refuse_waiting
from agent_system.database.revisions import BASE, alembic_config, head_revision, resolve_target, revision_history
from agent_system.errors import DatabaseError, IntegrityError, MigrationError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from agent_system.database.dialects.migration import SchemaState

__all__ = ["check_schema", "current_revision", "head_revision", "prepare_schema", "run_migrations"]

TURN_PAUSE_SECONDS = 0.01

# Alembic keeps the environment that runs in module globals: two at once in one process would mix their databases up.
# Held across awaits by tasks of any loop, hence neither an asyncio.Lock nor a blocking acquire.
_alembic_turn = threading.Lock()


async def run_migrations(
    path_or_url: str | os.PathLike[str] | None = None,
    target_version: str | int | None = None,
    *,
    settings: DatabaseSettings | None = None,
) -> None:
    """Bring a database to a revision, up or down, in one transaction.

    Args:
        path_or_url: Path of a SQLite file or a URL; None takes what the settings say.
        target_version: None or "head" for the newest revision, "base" or 0 for none, n for revision 000n; a lower one
            than the current downgrades.
        settings: All other settings; None reads the AGENT_SYSTEM_* variables.

    Raises:
        MigrationError: There is no such revision, the database is somebody else's, its schema or its foreign keys are
            not what they have to be, or a revision failed; the database is as it was before.
        SchemaMismatchError: The database was written by a newer version.
        DatabaseError: It cannot be reached, read, written or locked.

    Example:
        >>> await run_migrations("./data/system.db")
        >>> await run_migrations("./data/system.db", target_version=3)
    """
    settings = settings if settings is not None else DatabaseSettings()
    url = resolve_url(path_or_url, settings)
    guard = guard_for(url.get_backend_name())
    history = revision_history()
    target = resolve_target(target_version, history)
    if guard.rebuilds_tables:
        url, _ = prepare_sqlite_url(url, settings)
    state = await guard.peek(url, settings)
    refuse_unusable(state, history)
    await _migrate(url, settings, target, state)


async def prepare_schema(
    url: URL, settings: DatabaseSettings, *, auto_migrate: bool, engine: AsyncEngine | None = None
) -> None:
    """Make sure that a database is at the newest revision; what `DatabaseManager.connect` calls.

    A database that is there already is only asked for its revision; `run_migrations` and `check_schema` look closer.
    A server is asked on a connection of `engine`, where there is one.

    Raises:
        SchemaMismatchError: It is not, and may not be migrated; or it was written by a newer version.
        MigrationError: As for `run_migrations`.
    """
    history = revision_history()
    state = await guard_for(url.get_backend_name()).peek(url, settings, engine)
    refuse_unusable(state, history)
    if not auto_migrate:
        refuse_waiting(state, history[-1])
    if state.revision != history[-1]:
        await _migrate(url, settings, history[-1], state)


async def current_revision(connection: AsyncConnection) -> str | None:
    """Return the revision that a database is at, or None for an empty one."""
    return (await connection.run_sync(read_state)).revision


async def check_schema(connection: AsyncConnection) -> list[str]:
    """Tell how the schema differs from that of the newest revision, one line for each difference."""
    async with _alone_with_alembic():
        return await guard_for(connection.dialect.name).run(connection, _compare)


async def _migrate(url: URL, settings: DatabaseSettings, target: str, state: SchemaState) -> None:
    guard = guard_for(url.get_backend_name())
    if settings.backup_before_migration and state.revision not in {None, target}:
        await guard.save(url, str(state.revision))
    engine = migration_engine(url, settings)
    try:
        async with _alone_with_alembic():
            with _failures_explained(target):
                async with exclusively(engine) as connection:
                    await guard.run(connection, _move, target)
    finally:
        await uncancelled(engine.dispose())


def _move(connection: Connection, target: str) -> None:
    # The state is read under the lock: another process may have come first.
    state = read_state(connection)
    history = revision_history()
    refuse_unusable(state, history)
    config = alembic_config(**{CONNECTION: connection})
    positions = {revision: position for position, revision in enumerate([BASE, *history])}
    if positions[target] < positions[state.revision or BASE]:
        command.downgrade(config, target)
    elif target != BASE:
        command.upgrade(config, target)


def _compare(connection: Connection) -> list[str]:
    found: list[str] = []

    def compare(_revision: Any, migration: Any) -> list[Any]:
        found.extend(find_drift(migration, migration.opts["target_metadata"]))
        return []

    config = alembic_config(**{CONNECTION: connection, READ_ONLY: True})
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=compare, dont_mutate=True):
        script.run_env()
    return found


@asynccontextmanager
async def _alone_with_alembic() -> AsyncIterator[None]:
    while not _alembic_turn.acquire(blocking=False):  # noqa: ASYNC110 (an asyncio.Event belongs to one loop)
        await asyncio.sleep(TURN_PAUSE_SECONDS)
    try:
        yield
    finally:
        _alembic_turn.release()


@contextmanager
def _failures_explained(target: str) -> Iterator[None]:
    try:
        yield
    except MigrationError:
        raise
    except Exception as exc:
        # That the database is busy, full or out of reach has an error of its own; everything else is the revision's
        # fault, whatever its code raised.
        if isinstance(exc, DatabaseError) and not isinstance(exc, IntegrityError) and type(exc) is not DatabaseError:
            raise
        message = f"the migration to {target} failed and was rolled back, the schema is as it was before: {exc}"
        raise MigrationError(message) from exc
