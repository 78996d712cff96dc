"""Migrated PostgreSQL databases that are used again: to make one and to drop it costs more than most tests do in it.

What a test did is told by the server's own counts of rows that were written, of the catalogues too. Rows that are in
the tables of the schema are deleted and their sequences begin anew; after anything else (a changed schema, statistics,
settings, a table that has grown) the database is dropped, and the next test gets a new copy of the template, where
every table but `alembic_version` is empty. Other databases of a test, empty ones above all, are never used again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

# The planner takes a table that was never analysed for one of ten pages, so up to here a used one gets the same plans.
PAGES = 10
LEAVE_SECONDS = 1.0
LEAVE_PAUSE_SECONDS = 0.005

# A backend hands its counts over before it leaves the list of those that are there.
STILL_THERE = "SELECT pg_stat_get_db_numbackends(oid) - 1 FROM pg_database WHERE datname = current_database()"
IS_TOLD = "SELECT current_setting('track_counts') = 'on' AND current_setting('server_version_num')::int >= 150000"
# Statistics and settings leave no row that is counted, or one in a table that all databases share.
IS_SET = """
    SELECT EXISTS (SELECT 1 FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase
                   WHERE d.datname = current_database())
        OR EXISTS (SELECT 1 FROM pg_prepared_xacts WHERE database = current_database())
"""
WRITTEN = f"""
    SELECT c.oid::regclass::text AS name, is_analysed
        OR c.oid < 16384 -- FirstNormalObjectId: a catalogue
        OR c.relname = 'alembic_version'
        OR pg_relation_size(c.oid) > {PAGES} * current_setting('block_size')::int AS is_lasting
    FROM pg_class AS c, LATERAL (
        SELECT pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
             + pg_stat_get_tuples_deleted(c.oid) > 0 AS is_written,
               pg_stat_get_analyze_count(c.oid) + pg_stat_get_autoanalyze_count(c.oid)
             + pg_stat_get_vacuum_count(c.oid) + pg_stat_get_autovacuum_count(c.oid) > 0 AS is_analysed
    ) AS counts
    WHERE c.relkind IN ('r', 'm') AND NOT c.relisshared AND (is_written OR is_analysed)
"""
BEGIN_ANEW = "SELECT setval(seqrelid, 1, false) FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL"


@dataclass
class Copies:
    """Copies of one template, lent to one test after another."""

    server: PostgresServer
    template: str
    _clean: list[str] = field(default_factory=list)
    _is_told: bool | None = None

    async def lend(self) -> str:
        """Return the name of a database that is as the template is."""
        return self._clean.pop() if self._clean else await self.server.create(template=self.template)

    async def take_back(self, name: str) -> None:
        """Undo what was done to a database, or drop it; a connection that was left open is its borrower's error."""
        try:
            is_clean = await self._clean_up(name)
        except asyncpg.InvalidCatalogNameError:
            return
        if is_clean:
            self._clean.append(name)
        else:
            await self.server.drop(name)

    async def drop(self) -> None:
        """Drop those that nobody has borrowed."""
        while self._clean:
            await self.server.drop(self._clean.pop())

    async def _clean_up(self, name: str) -> bool:
        connection = await asyncpg.connect(self.server.dsn_of(name))
        try:
            if self._is_told is None:
                self._is_told = await connection.fetchval(IS_TOLD)
            if not self._is_told or not await _alone(connection):
                return False
            written = await connection.fetch(WRITTEN)
            if any(each["is_lasting"] for each in written) or await connection.fetchval(IS_SET):
                return False
            if written:
                deletions = "; ".join(f"DELETE FROM {each['name']}" for each in written)
                # Neither triggers nor foreign keys are asked.
                await connection.execute(f"SET session_replication_role = replica; {deletions}")
            # The counts of the deletions are handed over before they are set to zero.
            await connection.execute(f"{BEGIN_ANEW}; SELECT pg_stat_force_next_flush()")
            await connection.execute("SELECT pg_stat_reset()")
            return True
        finally:
            await connection.close()


async def _alone(connection: asyncpg.Connection) -> bool:
    deadline = asyncio.get_running_loop().time() + LEAVE_SECONDS
    while await connection.fetchval(STILL_THERE):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(LEAVE_PAUSE_SECONDS)
    return True
