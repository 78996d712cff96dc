"""Free SQL: what it may ask, and that it can do nothing but ask."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from agent_system.errors import DatabaseError, ScopeError, StatementTimeoutError, ValidationError
from tests.planted import read_all

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT max(i) FROM n"


async def rows_of(database: DatabaseManager) -> dict[str, Any]:
    async with database.session(read_only=True) as session:
        connection = await session.connection()
        return await connection.run_sync(read_all)


async def test_a_query_returns_rows_by_column(em: EntityManager) -> None:
    made = await em.agents.create_many([{"name": "a\0ü"}, {"name": "b"}])
    found = await em.query("SELECT name, id, created_at, user_id, version FROM agents ORDER BY name")
    assert found.columns == ("name", "id", "created_at", "user_id", "version")
    assert len(found) == 2
    assert not found.truncated
    first = next(iter(found))
    assert (first["name"], first["id"], first["user_id"], first["version"]) == ("a\0ü", str(made[0].id), None, 1)
    assert first["created_at"] == made[0].created_at.strftime("%Y-%m-%d %H:%M:%S.%f")
    assert (await em.query("SELECT name FROM agents WHERE name = 'nobody'")).rows == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM agents WHERE created_at IS NOT NULL AND updated_at IS NOT NULL",
        "select count(*) as n from agents;",
        "  \n-- a comment; with a semicolon\nSELECT count(*) AS n FROM agents -- and one behind",
        "/* UPDATE */ WITH few AS (SELECT id FROM agents) SELECT count(*) AS n FROM few",
        "SELECT count(*) AS n FROM agents WHERE instruction <> 'DROP TABLE agents; DELETE'",
        "SELECT count(*) AS n FROM agents WHERE instruction <> 'at 12:30 :name ?'",
        "SELECT n FROM (SELECT count(*) AS n FROM agents) AS counted LIMIT 5",
    ],
)
async def test_words_do_not_make_a_query_dangerous(em: EntityManager, sql: str) -> None:
    """Bug 2.4 #10: a query that mentions created_at is none that creates."""
    await em.agents.create({"name": "a"})
    assert (await em.query(sql)).rows == [{"n": 1}]


async def test_values_are_bound(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "it's :x ? \ud800", "user_id": user.id})
    by_name = "SELECT id FROM agents WHERE name = :name"
    assert (await em.query(by_name, {"name": agent.name})).rows == [{"id": str(agent.id)}]
    assert (await em.query(by_name, {"name": "' OR 1=1 --"})).rows == []
    found = await em.query("SELECT name FROM agents WHERE id = ? AND created_at <= ?", [agent.id, agent.created_at])
    assert found.rows == [{"name": agent.name}]
    later = {"since": datetime(2100, 1, 1, tzinfo=UTC), "user": user.id, "version": 1}
    some = "SELECT id FROM agents WHERE user_id = :user AND version = :version AND created_at < :since"
    assert len(await em.query(some, later)) == 1
    assert (await em.query("SELECT count(*) AS n FROM agents WHERE name = '?' OR name = ?", ["x"])).rows == [{"n": 0}]


async def test_rows_are_capped(em: EntityManager) -> None:
    await em.agents.create_many({"name": f"agent-{n}"} for n in range(20))
    found = await em.query("SELECT name FROM agents ORDER BY name", limit=5)
    assert (len(found), found.truncated) == (5, True)
    assert not (await em.query("SELECT name FROM agents", limit=20)).truncated
    for limit in (0, -1, 100_001):
        with pytest.raises(ValidationError) as caught:
            await em.query("SELECT 1", limit=limit)
        assert caught.value.field == "limit"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO hosts (name, name_key) VALUES ('x', 'x')",
        "UPDATE agents SET name = 'x'",
        "DELETE FROM agents",
        "DROP TABLE agents",
        "CREATE TABLE x (id INTEGER)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "ALTER TABLE agents ADD COLUMN x TEXT",
        "WITH gone AS (DELETE FROM agents RETURNING id) SELECT * FROM gone",
        "SELECT 1; DELETE FROM agents",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "COMMIT",
        "VACUUM",
        "ANALYZE",
        "PRAGMA query_only = OFF",
        "ATTACH DATABASE '/tmp/x.db' AS other",
        "EXPLAIN ANALYZE DELETE FROM agents",
        "COPY (SELECT 1) TO '/tmp/x'",
        "DO $$ BEGIN DELETE FROM agents; END $$",
        "SET ROLE nobody",
        "SELECT * INTO copies FROM agents",
        "SELECT load_extension('x')",
        "SELECT pg_terminate_backend(1)",
        'SELECT "pg_advisory_lock"(1)',
        "SELECT query_to_xml('DELETE FROM agents', true, true, '')",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT nextval('hosts_id_seq')",
        "",
        "   ",
        "nonsense",
        "SELECT",
        "SELECT nothing FROM nowhere",
        "SELECT name FROM agents WHERE",
    ],
)
async def test_a_query_can_only_read(database: DatabaseManager, em: EntityManager, sql: str) -> None:
    await em.agents.create({"name": "a"})
    before = await rows_of(database)
    with pytest.raises(ValidationError) as caught:
        await em.query(sql)
    assert caught.value.field == "sql"
    assert await rows_of(database) == before
    # The connection is one like any other again.
    await em.agents.create({"name": "b"})
    async with database.session() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("UPDATE agents SET name = 'c' WHERE name = 'b'")
        await session.commit()
    assert (await em.query("SELECT count(*) AS n FROM agents")).rows == [{"n": 2}]


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT :a", {}),
        ("SELECT :a", {"a": 1, "b": 2}),
        ("SELECT ?", []),
        ("SELECT ?", [1, 2]),
        ("SELECT :a", {"a": object()}),
        ("SELECT :a", {"a": {"x": 1}}),
        ("SELECT :a", {"a": datetime(2025, 1, 1)}),  # noqa: DTZ001 (it is refused)
        ("SELECT :a", {"a": 2**70}),
    ],
)
async def test_parameters_have_to_fit(em: EntityManager, sql: str, params: Any) -> None:
    with pytest.raises(ValidationError):
        await em.query(sql, params)


async def test_what_takes_too_long_is_stopped(em: EntityManager) -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(StatementTimeoutError):
        await em.query(LONG, timeout_seconds=0.2)
    assert asyncio.get_running_loop().time() - started < 5
    assert (await em.query("SELECT 1 AS n")).rows == [{"n": 1}]
    # Others were not held up by it.
    slow = asyncio.create_task(em.query(LONG, timeout_seconds=1))
    await em.agents.create({"name": "a"})
    assert await em.agents.count() == 1
    with pytest.raises(DatabaseError):
        await slow


async def test_a_query_is_not_there_in_a_scope(em: EntityManager) -> None:
    with pytest.raises(ScopeError):
        await em.scoped(user_id=uuid7()).query("SELECT 1")
