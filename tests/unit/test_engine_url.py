"""Which database a path or URL means, how a wrong one is told, and what becomes of a connection that nobody wants."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database.driver import open_connection
from agent_system.database.engine import create_engine, resolve_url, sqlite_connection_arguments
from agent_system.errors import ConfigurationError, MissingExtraError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy.ext.asyncio import AsyncEngine

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
# Far longer than anything here takes.
SECONDS = 10


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("./data/system.db", f"{SQLITE}:///./data/system.db"),
        ("system.db", f"{SQLITE}:///system.db"),
        ("/absolute/system.db", f"{SQLITE}:////absolute/system.db"),
        (Path("/absolute/system.db"), f"{SQLITE}:////absolute/system.db"),
        (":memory:", f"{SQLITE}:///%3Amemory%3A"),
        ("sqlite://", f"{SQLITE}:///%3Amemory%3A"),
        ("sqlite:///", f"{SQLITE}:///%3Amemory%3A"),
        ("sqlite:///:memory:", f"{SQLITE}:///%3Amemory%3A"),
        ("sqlite:///./data/system.db", f"{SQLITE}:///./data/system.db"),
        ("sqlite:////absolute/system.db", f"{SQLITE}:////absolute/system.db"),
        ("sqlite+aiosqlite:///system.db", f"{SQLITE}:///system.db"),
        ("sqlite+pysqlite:///system.db", f"{SQLITE}:///system.db"),
        ("sqlite:///50%25.db", f"{SQLITE}:///50%25.db"),
        ("sqlite:///system.db?mode=ro", f"{SQLITE}:///system.db?mode=ro"),
        ("postgresql://host/name", f"{POSTGRESQL}://host/name"),
        ("postgres://host/name", f"{POSTGRESQL}://host/name"),
        ("postgresql+psycopg://user@host:1234/name", f"{POSTGRESQL}://user@host:1234/name"),
        ("postgresql+asyncpg:///name?host=/run/sockets", f"{POSTGRESQL}:///name?host=%2Frun%2Fsockets"),
        ("postgresql://user:p%40ss@host/name", f"{POSTGRESQL}://user:p%40ss@host/name"),
    ],
    ids=str,
)
def test_a_path_or_url_means_one_database_and_its_async_driver(given: str | Path, expected: str) -> None:
    assert resolve_url(given).render_as_string(hide_password=False) == expected


@pytest.mark.parametrize("path", ["with space.db", "50%.db", "what?.db", "a#b.db", "ünïcode.db", "it's.db", "a&b=c.db"])
def test_a_path_may_hold_any_character(path: str) -> None:
    assert resolve_url(path).database == path


def test_nothing_given_means_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_url(None).database == "./data/system.db"
    assert resolve_url(None, DatabaseSettings(database_url="./own.db")).database == "./own.db"
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", "postgresql://host/name")
    assert resolve_url(None).drivername == POSTGRESQL
    monkeypatch.delenv("AGENT_SYSTEM_DATABASE_URL")
    for name, value in {"HOST": "host", "PORT": "6543", "USERNAME": "user", "PASSWORD": "a/b", "NAME": "name"}.items():
        monkeypatch.setenv(f"DB_{name}", value)
    assert resolve_url(None).render_as_string(hide_password=False) == f"{POSTGRESQL}://user:a%2Fb@host:6543/name"


def test_what_is_given_wins_over_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", "postgresql://host/name")
    assert resolve_url("own.db").database == "own.db"


@pytest.mark.parametrize(
    "given",
    [
        "mysql://user:secret@host/name",
        "oracle://user:secret@host/name",
        "http://user:secret@host",
        "://user:secret@host",
    ],
)
def test_what_is_no_database_of_ours_is_told_without_its_password(given: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_url(given)

    assert caught.value.variable == "AGENT_SYSTEM_DATABASE_URL"
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_an_empty_path_is_no_database() -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        resolve_url("")


@pytest.mark.parametrize("folder", ["plain", "with space", "50%", "what?", "a#b", "ünïcode"])
@pytest.mark.parametrize("query", ["", "?mode=rwc", "?mode=rwc&uri=true", "?uri=true"])
def test_sqlite_opens_the_file_that_the_url_names(tmp_path: Path, folder: str, query: str) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "system.db"
    url = resolve_url(str(path)).update_query_string(query.removeprefix("?"))
    database, options = sqlite_connection_arguments(url, DatabaseSettings())
    open_connection(database, options).close()

    assert path.is_file()
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_parameters_of_sqlite_reach_it(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    open_connection(*sqlite_connection_arguments(resolve_url(path), DatabaseSettings())).close()
    url = resolve_url(f"sqlite:///{path}?mode=ro")
    connection = open_connection(*sqlite_connection_arguments(url, DatabaseSettings()))
    with closing_and_refused(connection):
        connection.execute("CREATE TABLE notes (id)")


def closing_and_refused(connection: sqlite3.Connection) -> AbstractContextManager[object]:
    """Expect that a write is refused, and close the connection."""
    stack = ExitStack()
    stack.callback(connection.close)
    stack.enter_context(pytest.raises(sqlite3.OperationalError, match="readonly"))
    return stack


def test_settings_become_options_of_the_connection() -> None:
    settings = DatabaseSettings(
        durability="normal", busy_timeout_ms=7, lock_timeout_seconds=3, sqlite_cache_pages=11, checkpoint_pages=13
    )
    _, options = sqlite_connection_arguments(resolve_url("a.db"), settings, foreign_keys=False)

    assert (options.synchronous, options.busy_timeout_ms, options.lock_timeout_seconds) == ("NORMAL", 7, 3)
    assert (options.cache_pages, options.wal_pages, options.foreign_keys) == (11, 13, False)


async def test_an_engine_opens_nothing_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "system.db"
    engine = create_engine(resolve_url(path), DatabaseSettings())
    await engine.dispose()

    assert not path.exists()


async def test_the_pools_have_the_sizes_of_the_settings() -> None:
    settings = DatabaseSettings(pool_size=4, pool_max_overflow=5, sqlite_session_connections=6)
    postgres = create_engine(resolve_url("postgresql://host/name"), settings)
    sqlite = create_engine(resolve_url("a.db"), settings)

    assert postgres.pool.size() == 4
    assert sqlite.pool.size() >= 6
    for engine in (postgres, sqlite):
        await engine.dispose()


def test_without_its_driver_postgresql_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*postgres"):
        create_engine(resolve_url("postgresql://host/name"), DatabaseSettings())


class Gate:
    """A driver's connection that opens when it may, and tells what becomes of it."""

    def __init__(self) -> None:
        self.opening, self.may_open, self.closing = threading.Event(), threading.Event(), threading.Event()
        gate = self

        class Slow(sqlite3.Connection):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                gate.opening.set()
                gate.may_open.wait(SECONDS)
                super().__init__(*arguments, **options)

            def close(self) -> None:
                gate.closing.set()
                super().close()

        self.connection_class = Slow

    async def cancel_a_connect(self, path: Path) -> AsyncEngine:
        """Cancel a connect while its connection opens."""
        engine = create_engine(resolve_url(path), DatabaseSettings(), connection_class=self.connection_class)
        connecting = asyncio.ensure_future(engine.connect().start())
        assert await asyncio.to_thread(self.opening.wait, SECONDS)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        return engine


async def test_what_a_cancelled_connect_has_opened_is_closed(tmp_path: Path) -> None:
    gate = Gate()
    engine = await gate.cancel_a_connect(tmp_path / "slow.db")
    gate.may_open.set()

    assert await asyncio.to_thread(gate.closing.wait, SECONDS)
    await engine.dispose()


def test_a_connection_that_opens_after_its_loop_has_closed_is_closed_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    complaints: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    before = set(threading.enumerate())
    asyncio.run(gate.cancel_a_connect(tmp_path / "slow.db"))
    (thread,) = set(threading.enumerate()) - before
    gate.may_open.set()
    thread.join(SECONDS)

    assert not thread.is_alive()
    assert gate.closing.is_set()
    assert complaints == []
