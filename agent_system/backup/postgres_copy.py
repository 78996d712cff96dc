"""A consistent copy of a PostgreSQL database without PostgreSQL's own programs.

One REPEATABLE READ snapshot is read by COPY, table by table, into a zip file; the schema is not in it, because the
revision tells it. Restoring brings the database to that revision and puts the rows in, in one transaction without
triggers and foreign keys, which are made and checked again at its end.
"""

from __future__ import annotations

import asyncio
import json
import zipfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from agent_system.backup.files import BLOCK, finish, fresh, refuse_other
from agent_system.database.engine import create_engine
from agent_system.database.lanes import uncancelled
from agent_system.database.migrations import run_migrations
from agent_system.errors import BackupError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

    from agent_system.backup.archive import Backup

__all__ = ["copy", "restore", "verify"]

CONTENTS = "contents.json"
VERSION_TABLE = "alembic_version"
BASE = "base"

_TABLES = text(
    """
    SELECT relation.relname, array_agg(field.attname ORDER BY field.attnum)
    FROM pg_class AS relation JOIN pg_attribute AS field ON field.attrelid = relation.oid
    WHERE relation.relkind = 'r' AND relation.relnamespace = current_schema()::regnamespace
        AND field.attnum > 0 AND NOT field.attisdropped AND field.attgenerated = ''
    GROUP BY relation.relname ORDER BY relation.relname
    """
)
_SEQUENCES = text(
    "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema() ORDER BY sequencename"
)
_KEYS = text(
    """
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
    """
)
_SET_SEQUENCE = text("SELECT setval(to_regclass(:name), :value)")
_IS_MIGRATED = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_REVISION = text("SELECT version_num FROM alembic_version")


async def copy(url: URL, path: Path, moment: datetime, *, compress: bool) -> None:
    """Write a copy of one snapshot, verify that it can be read, and give it its name.

    Raises:
        BackupError: The database is none of ours; nothing is left.
    """
    with fresh(path.with_name(path.name + ".partial")) as partial:
        async with _connected(url, isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
            revision = await _revision(connection)
            if revision is None:
                message = f"the database {url.database} is none of agent_system: it has no revision"
                raise BackupError(message)
            counts = await _write(connection, partial, revision, compress=compress)
        await asyncio.to_thread(_check, partial, counts)
        described = {"created_at": moment.isoformat(), "revision": revision, "tables": counts, "engine": "postgresql"}
        await asyncio.to_thread(finish, partial, path, described)


async def verify(backup: Backup) -> None:
    """Compare a copy's hash, read it to its end and count its rows.

    Raises:
        BackupError: It is not what was written.
    """
    await asyncio.to_thread(refuse_other, backup.path, backup.sha256)
    await asyncio.to_thread(_check, backup.path, dict(backup.tables))


async def restore(url: URL, backup: Backup) -> None:
    """Replace the rows of a database by those of a copy.

    Raises:
        BackupError: The tables are not those of the copy; the database is as it was.
        DatabaseError: The database cannot be reached, locked or written; the transaction was rolled back.
    """
    settings = DatabaseSettings()
    address = url.render_as_string(hide_password=False)
    async with _connected(url) as connection:
        there = await _revision(connection)
    if there != backup.revision:
        if there is not None:
            await run_migrations(address, BASE, settings=settings)
        await run_migrations(address, int(str(backup.revision)), settings=settings)
    async with _connected(url) as connection:
        with zipfile.ZipFile(backup.path) as archive:
            await _read(connection, archive, str(url.database))
        await connection.commit()


async def _write(connection: AsyncConnection, partial: Path, revision: str, *, compress: bool) -> dict[str, int]:
    tables = {name: list(columns) for name, columns in await connection.execute(_TABLES)}
    sequences = {name: value for name, value in await connection.execute(_SEQUENCES) if value is not None}
    driver = await _driver(connection)
    counts: dict[str, int] = {}
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(partial, "w", kind) as archive:
        for name, columns in tables.items():
            with archive.open(name, "w", force_zip64=True) as member:

                async def write(data: bytes, member: Any = member) -> None:
                    # Packing takes its time, and others want the event loop.
                    await asyncio.to_thread(member.write, data)

                status = await driver.copy_from_table(name, columns=columns, output=write, format="text")
            counts[name] = int(status.split()[-1])
        contents = {"revision": revision, "tables": tables, "sequences": sequences}
        archive.writestr(CONTENTS, json.dumps(contents))
    return counts


async def _read(connection: AsyncConnection, archive: zipfile.ZipFile, database: str) -> None:
    contents: dict[str, Any] = json.loads(archive.read(CONTENTS))
    there = {name: list(columns) for name, columns in await connection.execute(_TABLES)}
    wanted: dict[str, list[str]] = contents["tables"]
    if any(sorted(there.get(name, ())) != sorted(columns) for name, columns in wanted.items()):
        names = ", ".join(name for name in wanted if sorted(there.get(name, ())) != sorted(wanted[name]))
        message = f"the tables of {database} are not those of the copy: {names}"
        raise BackupError(message)
    keys = [tuple(row) for row in await connection.execute(_KEYS)]
    names = ", ".join(_quoted(name) for name in wanted)
    for table, key, _ in keys:
        await connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {key}")
    await connection.exec_driver_sql(f"TRUNCATE {names}")
    driver = await _driver(connection)
    for name, columns in wanted.items():
        # Histories, search tables and times are in the copy; triggers would make them again.
        await connection.exec_driver_sql(f"ALTER TABLE {_quoted(name)} DISABLE TRIGGER USER")
        with archive.open(name) as member:
            await driver.copy_to_table(name, columns=columns, source=_chunks(member), format="text")
        await connection.exec_driver_sql(f"ALTER TABLE {_quoted(name)} ENABLE TRIGGER USER")
    for name, value in contents["sequences"].items():
        await connection.execute(_SET_SEQUENCE, {"name": name, "value": value})
    for table, key, definition in keys:
        await connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {key} {definition}")


async def _chunks(member: Any) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(member.read, BLOCK):
        yield data


def _check(path: Path, counts: dict[str, int]) -> None:
    """Read a copy to its end; zip has a checksum of each table, and each row of COPY's text is one line."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name, count in counts.items():
                with archive.open(name) as member:
                    lines = _count_lines(member)
                if lines != count:
                    message = f"{path.name}: {name} has {lines} rows instead of {count}"
                    raise BackupError(message, path=str(path))
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as exc:
        message = f"{path.name} cannot be read to its end: {exc}"
        raise BackupError(message, path=str(path)) from exc


def _count_lines(member: Any) -> int:
    lines = 0
    while data := member.read(BLOCK):
        lines += data.count(b"\n")
    return lines


async def _revision(connection: AsyncConnection) -> str | None:
    if not await connection.scalar(_IS_MIGRATED):
        return None
    revision: str | None = await connection.scalar(_REVISION)
    return revision


async def _driver(connection: AsyncConnection) -> Any:
    """Asyncpg's own connection, in the transaction that SQLAlchemy has begun with its first statement."""
    return (await connection.get_raw_connection()).driver_connection


@asynccontextmanager
async def _connected(url: URL, **options: Any) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(url, DatabaseSettings())
    try:
        async with engine.execution_options(**options).connect() as connection:
            yield connection
    finally:
        await uncancelled(engine.dispose())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
