"""Free SQL and secrets: no way of asking shows a hidden column, and what is not hidden can be asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import ValidationError
from agent_system.managers.privacy.secret_columns import SECRET_COLUMNS
from agent_system.managers.telemetry.secret_patterns import is_secret_name
from agent_system.models import User

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

HASH = "planted-hash"

# Names of columns that sound like a secret's and hold none.
HARMLESS: frozenset[tuple[str, str]] = frozenset(
    {
        ("queue", "lease_token"),  # a number that fences off late workers
        ("users", "must_reset_password"),
    }
)

ON_BOTH = [
    "SELECT password_hash FROM users",
    "SELECT * FROM users",
    "SELECT u.password_hash AS name FROM users AS u",
    'SELECT "password_hash" FROM "users"',
    "SELECT USERS.PASSWORD_HASH FROM USERS",
    "SELECT preferences FROM users",
    "SELECT name FROM (SELECT password_hash AS name FROM users) AS inner_one",
    "SELECT name FROM (SELECT * FROM users) AS u(a, b, c, d, e, name)",
    "WITH u(a, b, c, d, e, name) AS (SELECT * FROM users) SELECT name FROM u",
    "WITH RECURSIVE u AS (SELECT * FROM users UNION ALL SELECT * FROM u WHERE false) SELECT * FROM u",
    "SELECT username FROM users WHERE password_hash LIKE 'p%'",
    "SELECT username FROM users ORDER BY password_hash",
    "SELECT count(*) FROM users GROUP BY password_hash",
    "SELECT max(password_hash) FROM users",
    "SELECT count(*) FROM users HAVING max(password_hash) > 'a'",
    "SELECT EXISTS (SELECT 1 FROM users WHERE password_hash = 'planted-hash')",
    "SELECT a.name FROM agents a JOIN users u ON u.password_hash = 'planted-hash'",
    "SELECT count(*) FROM users NATURAL JOIN (SELECT 'planted-hash' AS password_hash) AS guess",
    "SELECT count(*) FROM users JOIN (SELECT 'planted-hash' AS password_hash) AS guess USING (password_hash)",
    "SELECT 'x' AS a UNION ALL SELECT password_hash FROM users",
    "SELECT username FROM users UNION SELECT password_hash FROM users",
    "SELECT (SELECT password_hash FROM users LIMIT 1) AS hash",
    "SELECT last_value(password_hash) OVER () FROM users",
    "SELECT username FROM users EXCEPT SELECT password_hash FROM users",
]
ON_SQLITE = [
    "SELECT * FROM pragma_table_info('users')",
    "SELECT * FROM main.users",
    "SELECT password_hash FROM main.users INDEXED BY sqlite_autoindex_users_1",
    "SELECT [password_hash] FROM `users`",
    "SELECT * FROM (VALUES (1)) LEFT JOIN users",
    "SELECT name FROM (SELECT 1 AS id, 2 AS name) FULL JOIN users USING (id)",
    "SELECT * FROM seen",
    "SELECT name FROM seen",
    "SELECT data FROM sqlite_dbpage",
    "SELECT sample FROM sqlite_stat4",
]
ON_POSTGRESQL = [
    "TABLE users",
    "SELECT u FROM users u",
    "SELECT users FROM users",
    "SELECT (u).password_hash FROM users u",
    "SELECT u::text FROM users u",
    "SELECT to_jsonb(u) FROM users AS u",
    "SELECT u.to_jsonb FROM users AS u",
    "SELECT u.row_to_json FROM users AS u",
    "SELECT json_agg(users) FROM users",
    "SELECT u.d FROM users AS u(a, b, c, d, e, f)",
    "SELECT x.* FROM users AS x",
    "SELECT j FROM (agents a RIGHT JOIN users u ON true) AS j",
    "SELECT row_to_json(j) FROM ((SELECT 1 AS one) a JOIN users u ON true) AS j",
    "SELECT y FROM users TABLESAMPLE SYSTEM (100) y",
    "SELECT 1 FROM agents, users",
    "SELECT trim(FROM users::text) FROM users",
    "SELECT u IS DISTINCT FROM users FROM users u",
    "SELECT x FROM ONLY users AS x",
    "SELECT each.value FROM users u CROSS JOIN LATERAL jsonb_each(to_jsonb(u)) AS each",
    "SELECT json_populate_record(NULL::users, '{}')",
    "SELECT u.username FROM users u ORDER BY u",
    'SELECT "U&" FROM users "U&"',
    'SELECT U&"\\0075sername" FROM users',
    "SELECT E'\\'' || u.username FROM users u",
    "SELECT $$x$$ FROM users u",
    "SELECT /* /* nested */ u */ u.username FROM users u",
    "SELECT * FROM seen",
    "SELECT seen_too.a FROM seen_too",
    "SELECT all_of_it()",
    "SELECT * FROM pg_stats",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM ts_stat('SELECT to_tsvector(password' || '_hash) FROM us' || 'ers')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')",
    f"SELECT {'u' * 63} FROM users {'u' * 64}",
    "SELECT users.username FROM public.users, agents WHERE users = users",
]
MORE = {"sqlite": ON_SQLITE, "postgresql": ON_POSTGRESQL}

ANSWERED = [
    "SELECT count(*) AS n FROM users",
    "SELECT u.username FROM users AS u WHERE u.role = 'user' ORDER BY u.username",
    "SELECT username, email FROM users",
    "SELECT a.name, u.username FROM agents AS a LEFT JOIN users AS u ON u.id = a.user_id",
    "SELECT n.username FROM (SELECT users.username FROM users WHERE users.is_active) AS n",
    "WITH named AS (SELECT u.id, u.username FROM users u) SELECT named.username FROM named",
    "SELECT count(*) AS n FROM agents WHERE name = 'users' OR name = 'password_hash'",
    "SELECT a.* FROM agents AS a WHERE a.user_id IN (SELECT u.id FROM users u)",
    "SELECT * FROM agents",
]


async def views(em: EntityManager) -> None:
    async with em.db.session() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("CREATE VIEW seen AS SELECT username AS name, password_hash AS a FROM users")
        await connection.exec_driver_sql("CREATE VIEW seen_too AS SELECT * FROM seen")
        if MORE[connection.dialect.name] is ON_POSTGRESQL:
            await connection.exec_driver_sql(
                "CREATE FUNCTION all_of_it() RETURNS SETOF users LANGUAGE sql STABLE AS 'SELECT * FROM users'"
            )
        await session.commit()


async def test_no_way_of_asking_shows_a_secret(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada", "preferences": {"a": "b"}})
    async with em.db.session() as session:
        connection = await session.connection()
        await connection.exec_driver_sql(f"UPDATE users SET password_hash = '{HASH}'")
        # What a connection has compiled once, it remembers.
        await connection.exec_driver_sql(ON_BOTH[0])
        await session.commit()
    await views(em)
    answered: dict[str, Any] = {}
    for sql in [*ON_BOTH, *MORE[em.db.dialect.name]]:
        with suppress(ValidationError):
            answered[sql] = (await em.query(sql)).rows
    assert not answered
    assert (await em.users.require(user.id)).username == "ada"


async def test_the_refusal_names_the_column(em: EntityManager) -> None:
    for sql in ("SELECT password_hash FROM users", "SELECT * FROM users"):
        with pytest.raises(ValidationError, match="password_hash"):
            await em.query(sql)


async def test_what_is_not_hidden_is_answered(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    await em.agents.create({"name": "a", "user_id": user.id})
    for sql in ANSWERED:
        assert len((await em.query(sql)).columns) > 0
    assert (await em.query(ANSWERED[1])).rows == [{"username": "ada"}]


def test_every_column_that_sounds_like_a_secret_is_listed() -> None:
    tables = User.metadata.tables
    sounding = {
        (table.name, column.name)
        for table in tables.values()
        for column in table.columns
        if is_secret_name(column.name)
    }
    listed = {(table, column) for table, columns in SECRET_COLUMNS.items() for column in columns}
    assert sounding - HARMLESS - listed == set()
    assert all(column in tables[table].columns for table, column in listed)
