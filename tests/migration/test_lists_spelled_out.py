"""Revision 0025: lists in CHECK constraints are spelled out on SQLite, and mean what they meant."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.database.migrations import current_revision, head_revision, run_migrations
from tests import requirements as requires
from tests.migration.schema import connected, schema_of

if TYPE_CHECKING:
    from pathlib import Path

SPELLED_OUT = "role = 'user' OR role = 'assistant'"
LISTED = "role IN ('user', 'assistant'"


async def texts_of_messages(url: str) -> str:
    return next(line for line in await schema_of(url) if line.startswith("table messages "))


def write_message(connection: sqlite3.Connection, role: str) -> None:
    connection.execute("INSERT INTO messages (uid, role, content) VALUES (?, ?, 'x')", (f"uid of {role}", role))


@requires.database_file
async def test_connections_that_are_open_know_the_new_rule(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    await run_migrations(path, "0024")
    other = sqlite3.connect(path, isolation_level=None)
    try:
        write_message(other, "user")
        await run_migrations(path)
        write_message(other, "tool")
        with pytest.raises(sqlite3.IntegrityError, match="ck_messages_role"):
            write_message(other, "nobody")
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        steps = other.execute("EXPLAIN INSERT INTO messages (uid, role, content) VALUES ('y', 'user', 'x')").fetchall()
    finally:
        other.close()
    assert "OpenEphemeral" not in {step[1] for step in steps}


@requires.database_file
async def test_constraints_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    await run_migrations(path, "0024")
    own = "CREATE TABLE notes (role TEXT CONSTRAINT ck_messages_role CHECK (role IN ('user', 'tool')))"
    with sqlite3.connect(path) as connection:
        connection.execute(own)
    connection.close()
    await run_migrations(path)
    async with connected(str(path)) as found:
        query = "SELECT sql FROM sqlite_master WHERE name = 'notes'"
        assert (await found.exec_driver_sql(query)).scalar() == own


@requires.database_file
@pytest.mark.skipif(not hasattr(sqlite3.Connection, "setconfig"), reason="Python 3.12 and later can forbid it")
async def test_a_library_that_lets_nobody_write_there_keeps_the_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect: Any = sqlite3.connect

    def defensive(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        connection.setconfig(1010, True)  # noqa: FBT003 (SQLITE_DBCONFIG_DEFENSIVE)
        return connection

    path = tmp_path / "app.db"
    monkeypatch.setattr(sqlite3, "connect", defensive)
    await run_migrations(path)
    async with connected(str(path)) as connection:
        assert await current_revision(connection) == head_revision()
    assert LISTED in await texts_of_messages(str(path))
    monkeypatch.undo()
    await run_migrations(path, "0024")
    await run_migrations(path)
    assert SPELLED_OUT in await texts_of_messages(str(path))
