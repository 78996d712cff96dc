"""Databases for the tests: every test gets its own, on both engines, from a template that is migrated once per run.

| fixture | what a test gets |
|---|---|
| `database_url` | a fresh empty database, once on each engine |
| `migrated_url` | a copy of the migrated template, once on each engine |
| `database` | a connected `DatabaseManager` on such a copy |
| `em` | an `EntityManager` on it |
| `sqlite_path`, `sqlite_url`, `postgres_url` | a fresh empty database on one engine (see requirements.py) |
| `migrated_sqlite_url`, `migrated_postgresql_url` | a migrated copy on one engine |
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from agent_system.database.manager import DatabaseManager
from agent_system.database.migrations import run_migrations
from agent_system.entity_manager import EntityManager
from agent_system.settings import DatabaseSettings
from tests.copies import Copies
from tests.postgres import URL_VARIABLE, folder_in_memory, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from multiprocessing.context import ForkServerContext

    from tests.postgres import PostgresServer

TESTS = Path(__file__).parent
# What is tried there is the engine itself: locks, kills, faults, cold pages, copies of files.
ON_DISK = {"acceptance", "faults", "integration"}
DISK = tempfile.gettempdir()
ENGINES = ("sqlite", "postgresql")
# What the tests themselves are told by; every other setting of the machine stays out of them.
KEPT_VARIABLES = {URL_VARIABLE, "AGENT_SYSTEM_SAMPLE_DATA", "AGENT_SYSTEM_LEGACY_DATA", "AGENT_SYSTEM_SQLITE_DRIVER"}


def pytest_configure(config: pytest.Config) -> None:
    """Make the run independent of the machine: its settings, its speed, its luck."""
    for name in [*os.environ]:
        if name.startswith(("AGENT_SYSTEM_", "DB_")) and name not in KEPT_VARIABLES:
            del os.environ[name]
    # Most tests of migrations are about the migration; tests/integration/backup tries what goes before.
    os.environ["AGENT_SYSTEM_BACKUP_BEFORE_MIGRATION"] = "false"
    # Most files of tests are gone before they reach a disk, which would have to write 8 GB; `tmp_path` has more.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder_in_memory() or tempfile.gettempdir()))
    # A deadline would measure the machine. CI repeats the same examples, --full looks for new ones.
    hypothesis.settings.register_profile("quick", deadline=None, derandomize=True, max_examples=50)
    hypothesis.settings.register_profile("full", deadline=None, max_examples=1_000)
    hypothesis.settings.load_profile("quick" if config.getoption("markexpr") else "full")


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays for the whole run: the tests and what they import."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for an engine on both, or on the one that tests/requirements.py names."""
    if "engine_name" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only_on")
        metafunc.parametrize("engine_name", only.args[:1] if only else ENGINES, indirect=True)


@pytest.fixture
def engine_name(request: pytest.FixtureRequest) -> str:
    """Name the engine of this run of the test; fixtures use it, tests do not."""
    return str(request.param)


@pytest.fixture
def database_url(engine_name: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh empty database."""
    return str(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[engine_name]))


@pytest.fixture
def migrated_url(engine_name: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh database at the newest revision."""
    return str(request.getfixturevalue(f"migrated_{engine_name}_url"))


@pytest.fixture(scope="session")
def settings() -> DatabaseSettings:
    """Return the settings where nothing is set; to read them from the environment takes longer than many a test."""
    return DatabaseSettings()


@pytest.fixture
async def database(migrated_url: str, settings: DatabaseSettings) -> AsyncIterator[DatabaseManager]:
    """Yield a connected manager on a fresh database at the newest revision."""
    async with DatabaseManager(migrated_url, settings=settings, auto_migrate=False) as manager:
        yield manager


@pytest.fixture
def entity_manager(database: DatabaseManager) -> EntityManager:
    """Return the facade over `database`."""
    return EntityManager(database)


@pytest.fixture
def em(entity_manager: EntityManager) -> EntityManager:
    """Return the facade under the name that the documents give it."""
    return entity_manager


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Yield a folder of the test's own: on a disk where the engine itself is tried, in memory for the others."""
    if not ON_DISK.intersection(request.path.relative_to(TESTS).parts):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="agent_system_test_", dir=DISK) as folder:
        yield Path(folder).resolve()


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Return a path in a folder of its own at which no file is yet."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder / "system.db"


@pytest.fixture
def sqlite_url(sqlite_path: Path) -> str:
    """Return the URL of a SQLite file that is not there yet."""
    return _sqlite_url(sqlite_path)


@pytest.fixture
def migrated_sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the URL of a copy of the migrated SQLite file."""
    folder = tmp_path / "migrated"
    folder.mkdir()
    return _sqlite_url(shutil.copyfile(sqlite_template, folder / "system.db"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated SQLite file that nobody has open, so that copying it is safe."""
    path = tmp_path_factory.mktemp("template") / "system.db"
    asyncio.run(run_migrations(_sqlite_url(path)))
    assert [file.name for file in path.parent.iterdir()] == [path.name], "the migration left more than the database"
    return path


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Yield the URL of an empty PostgreSQL database; a connection that the test leaves open is its error."""
    name = await postgres_server.create()
    yield postgres_server.url_of(name)
    await postgres_server.drop(name)


@pytest.fixture
async def migrated_postgresql_url(postgres_copies: Copies) -> AsyncIterator[str]:
    """Yield the URL of a copy of the migrated PostgreSQL database; a connection that is left open is an error."""
    name = await postgres_copies.lend()
    yield postgres_copies.server.url_of(name)
    await postgres_copies.take_back(name)


@pytest.fixture(scope="session")
def postgres_copies(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Copies]:
    """Yield the copies of the migrated PostgreSQL database that tests borrow."""
    copies = Copies(postgres_server, postgres_template)
    yield copies
    asyncio.run(copies.drop())


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """Yield the name of a migrated PostgreSQL database that nobody has open, as copying it demands."""
    name = asyncio.run(postgres_server.create())
    asyncio.run(run_migrations(postgres_server.url_of(name)))
    yield name
    asyncio.run(postgres_server.drop(name))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Yield the PostgreSQL of this run, started when the first test asks for it."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Return what starts processes: forked off one that has imported everything, a start takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.warm"])
    return context


def _sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"
