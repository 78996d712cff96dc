"""A migration that is stopped at any statement, by an error or by a kill, leaves schema and rows as they were."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url

from agent_system.database.migrations import current_revision, head_revision, run_migrations
from agent_system.errors import MigrationError
from tests.faults.migrating import fail, migrate_and_die, stopping
from tests.migration.rows import insert_rows
from tests.migration.schema import connected, schema_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from multiprocessing.context import ForkServerContext

    from sqlalchemy import Connection

    from tests.faults.report import Teller

    Copy = Callable[[str], Awaitable[str]]

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

# A few steps are enough to meet new tables, rebuilt ones, triggers and full-text indexes.
OLD = f"{int(head_revision()) - 5:04}"
TRIALS = 3
# From the first revision on, at every statement.
OLDEST = "base"
EVERY = 100_000


@pytest.fixture
async def copy(engine_name: str, request: pytest.FixtureRequest) -> AsyncIterator[Copy]:
    """Return a function that copies a database nobody has open and returns the URL of the copy."""
    copied: list[str] = []

    async def copy_file(url: str) -> str:
        copied.append(f"{url}.{len(copied)}")
        shutil.copyfile(str(make_url(url).database), str(make_url(copied[-1]).database))
        return copied[-1]

    async def copy_database(url: str) -> str:
        server = request.getfixturevalue("postgres_server")
        copied.append(await server.create(template=make_url(url).database))
        return str(server.url_of(copied[-1]))

    yield {"sqlite": copy_file, "postgresql": copy_database}[engine_name]
    if engine_name == "postgresql":
        for name in copied:
            # A backend of a killed process may still have to notice.
            await request.getfixturevalue("postgres_server").drop(name, force=True)


async def everything_in(url: str) -> list[Any]:
    """Read the schema, the revision and all rows."""

    def read(connection: Connection) -> list[Any]:
        names = sorted(inspect(connection).get_table_names())
        quote = connection.dialect.identifier_preparer.quote
        return [
            (name, sorted(map(repr, connection.execute(text(f"SELECT * FROM {quote(name)}")).all()))) for name in names
        ]

    async with connected(url) as connection:
        rows = await connection.run_sync(read)
    return [*await schema_of(url), *rows]


async def stop_and_compare(
    prepared: str, target: str, most: int, copy: Copy, processes: ForkServerContext
) -> tuple[int, int]:
    """Stop a migration at `most` statements by an error and by a kill; returns the trials and how many left a trace."""
    url = await copy(prepared)
    before = await everything_in(prepared)
    with stopping(0, fail) as statements:
        await run_migrations(await copy(prepared), target)
    step = max(1, statements.seen // most)
    spoilt = trials = 0
    for at in range(step, statements.seen + 1, step):
        with stopping(at, fail), pytest.raises(MigrationError, match="out of luck"):
            await run_migrations(url, target)
        spoilt += await everything_in(url) != before
        process = processes.Process(target=migrate_and_die, args=(url, target, at))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        spoilt += await everything_in(url) != before
        trials += 2
    await run_migrations(url, target)
    return trials, spoilt


async def try_both_directions(
    url: str, oldest: str, most: int, copy: Copy, processes: ForkServerContext, tell: Teller
) -> None:
    async with connected(url) as connection:
        await connection.run_sync(insert_rows)
    down = await stop_and_compare(url, oldest, most, copy, processes)
    old = await copy(url)
    await run_migrations(old, oldest)
    up = await stop_and_compare(old, "head", most, copy, processes)

    tell("migration raises or is killed at a statement, up and down", trials=down[0] + up[0], lost=down[1] + up[1])
    assert down[1] + up[1] == 0
    async with connected(url) as connection:
        assert await current_revision(connection) == head_revision()


async def test_a_migration_that_is_stopped_leaves_everything_as_it_was(
    migrated_url: str, copy: Copy, processes: ForkServerContext, tell: Teller
) -> None:
    await try_both_directions(migrated_url, OLD, TRIALS, copy, processes, tell)


@pytest.mark.full
@pytest.mark.timeout(7_200)
async def test_a_migration_that_is_stopped_at_any_statement_leaves_everything_as_it_was(
    migrated_url: str, copy: Copy, processes: ForkServerContext, tell: Teller
) -> None:
    await try_both_directions(migrated_url, OLDEST, EVERY, copy, processes, tell)
