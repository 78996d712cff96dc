"""The index that PostgreSQL keeps of vectors where it has the extension pgvector: HNSW, one for each table and model.

What is indexed is an expression over the stored bytes, as half-precision numbers. So there is no second copy to fill
or to clear: the server keeps the index with the rows, whoever writes them, and in their transactions. It finds
candidates, whose likeness is then computed exactly from the bytes.

pgvector 0.8 is the oldest version that goes on looking when what it has found is gone by now
(https://github.com/pgvector/pgvector#iterative-index-scans). Half precision takes half the memory and has an index for
up to 4,000 numbers (https://github.com/pgvector/pgvector#half-precision-vectors).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, LargeBinary, column, func, literal, select, text
from sqlalchemy.types import Text

from agent_system.errors import ConfigurationError, ConflictError, DatabaseError, DiskFullError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.database.executor import Executor

__all__ = ["HnswIndexes", "StoredIndex"]

OLDEST = (0, 8)
PREFIX = "idx_embeddings_hnsw_"
# pgvector's default of links; twice its default of candidates while building, which finds more for little time.
BUILT_WITH = "m = 16, ef_construction = 128"
# "agsyvect"
ADVISORY_LOCK = 0x6167737976656374

# Whether the numbers of rows are asked for that an index has found already: see NEAREST.
FOUND = "agent_system.is_found"
# What has another length, or a number from 2 ** 15 or none, is in no index; what half precision takes for 0, up to
# 2 ** -25, is 0.
FLOATS = f"""
CREATE OR REPLACE FUNCTION agent_system_floats(value bytea, dimensions integer) RETURNS real[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 20000 AS $$
DECLARE
  numbers real[];
  bits integer;
  exponent integer;
  behind integer := 0;
BEGIN
  IF length(value) <> 4 * dimensions OR current_setting('{FOUND}', true) = 'on' THEN
    RETURN NULL;
  END IF;
  numbers := array_fill(0::real, ARRAY[dimensions]);
  FOR place IN 1 .. dimensions LOOP
    bits := (get_byte(value, behind + 3) << 24) | (get_byte(value, behind + 2) << 16)
      | (get_byte(value, behind + 1) << 8) | get_byte(value, behind);
    behind := behind + 4;
    exponent := (bits >> 23) & 255;
    IF exponent > 141 THEN
      RETURN NULL;
    ELSIF exponent > 101 THEN
      numbers[place] := CASE WHEN bits < 0 THEN -((bits & 8388607) | 8388608) ELSE (bits & 8388607) | 8388608 END
        * power(2::float8, exponent - 150);
    END IF;
  END LOOP;
  RETURN numbers;
END $$
"""
SOUND = """
CREATE OR REPLACE FUNCTION agent_system_is_sound(index_name text, least_rows bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
  SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.oid = to_regclass(index_name) AND i.indisvalid AND c.reltuples > least_rows
  )
$$
"""
# A row of nothing says that there is no sound index, or that it is of so few that all are compared.
#
# PostgreSQL computes what rows are ordered by for each row that it returns, also when an index has ordered them: for
# 125 rows that would take 20 ms and be thrown away. So the function is told that nobody asks for it, while no other way
# than the index is open; whether that was there all the time is asked again at the end.
NEAREST = f"""
CREATE OR REPLACE FUNCTION agent_system_nearest(
  index_name text, owner text, model bigint, dimensions integer, query bytea, most integer, least_rows bigint
) RETURNS TABLE (id bigint, vector bytea)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = 'off' SET enable_bitmapscan = 'off' SET enable_sort = 'off' AS $$
DECLARE
  -- Loads the extension, or what it is set to would not be known to it.
  wanted halfvec := agent_system_floats(query, dimensions)::halfvec;
  scan text := current_setting('hnsw.iterative_scan', true);
  width text := current_setting('hnsw.ef_search', true);
BEGIN
  IF NOT agent_system_is_sound(index_name, least_rows) THEN
    RETURN QUERY SELECT NULL::bigint, NULL::bytea;
    RETURN;
  END IF;
  -- Not as SET of the function: only a superuser may give it settings of an extension, or of our own.
  PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', least(1000, greatest(200, most))::text, true), set_config('{FOUND}', 'on', true);
  RETURN QUERY EXECUTE format(
    'SELECT e.id, e.vector FROM embeddings e WHERE e.model_id = %1$s AND e.%2$I IS NOT NULL'
    ' ORDER BY agent_system_floats(e.vector, %3$s)::halfvec(%3$s) <#> $1 LIMIT %4$s', model, owner, dimensions, most
  ) USING wanted;
  PERFORM set_config('hnsw.iterative_scan', coalesce(scan, 'off'), true),
    set_config('hnsw.ef_search', coalesce(width, '40'), true), set_config('{FOUND}', 'off', true);
  IF NOT agent_system_is_sound(index_name, least_rows) THEN
    RETURN QUERY SELECT NULL::bigint, NULL::bytea;
  END IF;
END $$
"""
VERSIONS = text("SELECT installed_version, default_version FROM pg_available_extensions WHERE name = 'vector'")
INDEXES = text(
    "SELECT c.relname, i.indisvalid, c.reltuples FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE i.indrelid = to_regclass('embeddings') AND c.relname ~ '^idx_embeddings_hnsw_[a-z_]+_[0-9]+$'"
    " ORDER BY c.relname"
)
MORE_MEMORY = text(
    "SELECT set_config('maintenance_work_mem', :kibibytes || 'kB', false)"
    " WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < 1024 * CAST(:kibibytes AS bigint)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredIndex:
    """An index of vectors in the database."""

    name: str
    owner: str
    """The column of `embeddings` that leads to the table."""
    model_id: int
    """Key of the model."""
    rows: int
    """About how many vectors it has."""
    is_sound: bool
    """Whether it is complete; one that is being built, or was left half done, is not."""


class HnswIndexes:
    """The indexes of a PostgreSQL database."""

    most_dimensions = 4_000

    def is_offered(self, executor: Executor) -> bool:
        """Whether the server has a version of pgvector that is new enough."""
        rows: Any = executor.execute(VERSIONS).all()
        return any(_is_new_enough(installed or offered) for installed, offered in rows)

    def listed(self, executor: Executor) -> list[StoredIndex]:
        """Those that are there, by name."""
        rows: Any = executor.execute(INDEXES).all()
        return [_stored(*row) for row in rows]

    def nearest(
        self, executor: Executor, of: StoredIndex, dimensions: int, query: bytes, count: int, least_rows: int
    ) -> list[tuple[int, bytes]] | None:
        """Numbers and bytes of the vectors that are most like one, at most so many.

        Args:
            executor: The unit of work's.
            of: The index.
            dimensions: How many numbers a vector has.
            query: The vector as it is stored.
            count: At most so many.
            least_rows: How many vectors an index must have more than to be used.

        Returns:
            None when there is no such index any more, or it is of too few vectors.
        """
        found = func.agent_system_nearest(
            literal(of.name, Text()),
            literal(of.owner, Text()),
            literal(of.model_id, BigInteger()),
            literal(dimensions, Integer()),
            literal(query, LargeBinary()),
            literal(count, Integer()),
            literal(least_rows, BigInteger()),
        ).table_valued(column("id", BigInteger()), column("vector", LargeBinary()))
        rows: Any = executor.execute(select(found.c.id, found.c.vector)).all()
        return None if rows and rows[-1][0] is None else [(row[0], row[1]) for row in rows]

    async def prepare(self, connection: AsyncConnection, memory_mib: int) -> None:
        """Make everything that indexes need.

        Args:
            connection: Outside of any transaction, and nobody else's afterwards.
            memory_mib: So much memory building an index may take, if the server's own setting is less.

        Raises:
            ConfigurationError: The server has no pgvector, an old one, or the role may not install it.
            ConflictError: Somebody else is at it.
        """
        found: Any = (await connection.execute(VERSIONS)).first()
        if found is None:
            message = "this PostgreSQL server has no pgvector (https://github.com/pgvector/pgvector#installation)"
            raise ConfigurationError(message)
        installed, offered = found
        version = installed or offered
        if not _is_new_enough(version):
            message = f"pgvector is {version}; 0.8 or newer is needed: ALTER EXTENSION vector UPDATE"
            raise ConfigurationError(message)
        if installed is None:
            await _install(connection)
        # Who waited for a lock in a statement would be waited for by CREATE INDEX CONCURRENTLY.
        locked = await connection.execute(select(func.pg_try_advisory_lock(literal(ADVISORY_LOCK, BigInteger()))))
        if not locked.scalar_one():
            message = "somebody else is building or dropping indexes of vectors"
            raise ConflictError(message)
        for statement in ("SET lock_timeout = 0", "SET statement_timeout = 0", FLOATS, SOUND, NEAREST):
            await connection.exec_driver_sql(statement)
        await connection.execute(MORE_MEMORY, {"kibibytes": str(memory_mib * 1024)})

    async def build(self, connection: AsyncConnection, model_id: int, dimensions: int, owner: str) -> str:
        """Build the index of a model and a table beside those who read and write; returns its name.

        One that is sound stays as it is.

        Args:
            connection: A prepared one.
            model_id: Key of the model.
            dimensions: How many numbers its vectors have.
            owner: The column of `embeddings` that leads to the table.
        """
        name = _name(owner, model_id)
        if any(row[0] == name and row[1] for row in (await connection.execute(INDEXES)).all()):
            return name
        create = (
            f"CREATE INDEX CONCURRENTLY {name} ON embeddings USING hnsw"
            f" ((agent_system_floats(vector, {int(dimensions)})::halfvec({int(dimensions)})) halfvec_ip_ops)"
            f" WITH ({BUILT_WITH}) WHERE model_id = {int(model_id)} AND {owner} IS NOT NULL"
        )
        # One that was left half done.
        await self.drop(connection, name)
        try:
            await connection.exec_driver_sql(create)
        except DiskFullError:
            # Several processes build in shared memory, of which containers have little: /dev/shm has 64 MiB there.
            await self.drop(connection, name)
            await connection.exec_driver_sql("SET max_parallel_maintenance_workers = 0")
            await connection.exec_driver_sql(create)
        return name

    async def drop(self, connection: AsyncConnection, name: str) -> None:
        """Drop an index, if there is one of this name; the functions stay, in case somebody is about to use them."""
        await connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _name(owner: str, model_id: int) -> str:
    return f"{PREFIX}{owner.removesuffix('_id')}_{int(model_id)}"


def _stored(name: str, is_valid: bool, rows: float) -> StoredIndex:  # noqa: FBT001 (a row of the catalog)
    owner, _, model_id = name.removeprefix(PREFIX).rpartition("_")
    return StoredIndex(name=name, owner=f"{owner}_id", model_id=int(model_id), rows=int(rows), is_sound=is_valid)


def _is_new_enough(version: str) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= OLDEST


async def _install(connection: AsyncConnection) -> None:
    try:
        await connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
    except DatabaseError as exc:
        message = f"the extension is not installed; somebody who may do so runs CREATE EXTENSION vector ({exc})"
        raise ConfigurationError(message) from exc
