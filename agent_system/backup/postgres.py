"""Backups of PostgreSQL by its own programs, `pg_dump` and `pg_restore`, or by a copy of ours where there are none."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from agent_system.backup import postgres_copy
from agent_system.backup.archive import name_backup
from agent_system.backup.files import finish, fresh, refuse_other
from agent_system.database.engine import create_engine
from agent_system.database.lanes import uncancelled
from agent_system.errors import BackupError
from agent_system.settings import ENV_PREFIX, DatabaseSettings, PostgresBackup

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import URL

    from agent_system.backup.archive import Backup

__all__ = ["PostgresBackups"]

FOLDER_VARIABLE = f"{ENV_PREFIX}PG_BIN"
WAY_VARIABLE = f"{ENV_PREFIX}PG_BACKUP"
DUMP, COPY = ".dump", ".copy"


class PostgresBackups:
    """PostgreSQL: its own programs make and read dumps, or a copy of ours does without them.

    Args:
        folder: The name of the folder where the backups are, in the working folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def folder(self, url: URL) -> Path:  # noqa: ARG002 (a server's files are none of ours)
        """In the working folder."""
        return Path(self._folder).absolute()

    def file_name(self, stem: str, moment: datetime, *, compress: bool) -> str:  # noqa: ARG002 (the format packs itself)
        """A dump in PostgreSQL's custom format, or a copy of ours."""
        return name_backup(stem, moment, _suffix())

    async def copy(self, url: URL, path: Path, moment: datetime, *, compress: bool) -> None:
        """Write a dump of one snapshot, verify that it can be read, and give it its name.

        Raises:
            BackupError: `pg_dump` is not there, or it failed; nothing is left.
        """
        if path.suffix == COPY:
            await postgres_copy.copy(url, path, moment, compress=compress)
            return
        revision = await _revision(url)
        if revision is None:
            message = f"the database {url.database} is none of agent_system: it has no revision"
            raise BackupError(message)
        with fresh(path.with_name(path.name + ".partial")) as partial:
            level = "6" if compress else "0"
            await _run("pg_dump", url, "--format=custom", f"--compress={level}", "--no-owner", f"--file={partial}")
            await _run("pg_restore", None, "--list", str(partial))
            described: dict[str, Any] = {"created_at": moment.isoformat(), "revision": revision, "tables": {}}
            described["engine"] = "postgresql"
            await asyncio.to_thread(finish, partial, path, described)

    async def verify(self, backup: Backup) -> None:
        """Compare a dump's hash and read its list of contents.

        Raises:
            BackupError: It is not what was written.
        """
        if backup.path.suffix == COPY:
            await postgres_copy.verify(backup)
            return
        await asyncio.to_thread(refuse_other, backup.path, backup.sha256)
        await _run("pg_restore", None, "--list", str(backup.path))

    async def restore(self, url: URL, backup: Backup, moment: datetime) -> Path | None:
        """Replace what a database holds by a backup, in one transaction; a backup of what was there is kept beside it.

        A copy of ours of another revision is put in after the schema was brought to that revision, in two steps.

        Raises:
            BackupError: `pg_restore` is not there, or it failed; the database is as it was.
        """
        kept: Path | None = backup.path.with_name(name_backup(f"{url.database}.before-restore", moment, _suffix()))
        if kept is not None and await _revision(url) is not None:
            await self.copy(url, kept, moment, compress=True)
        else:
            kept = None
        if backup.path.suffix == COPY:
            await postgres_copy.restore(url, backup)
            return kept
        options = ("--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction")
        await _run("pg_restore", url, *options, str(backup.path))
        return kept


def _suffix() -> str:
    settings = DatabaseSettings()
    if settings.pg_backup is PostgresBackup.AUTO:
        found = all(shutil.which(program, path=settings.pg_bin) for program in ("pg_dump", "pg_restore"))
        return DUMP if found else COPY
    return DUMP if settings.pg_backup is PostgresBackup.DUMP else COPY


async def _run(program: str, url: URL | None, *arguments: str) -> None:
    found = shutil.which(program, path=DatabaseSettings().pg_bin)
    if found is None:
        message = (
            f"{program} was not found: install PostgreSQL's client programs, name their folder in {FOLDER_VARIABLE}, "
            f"or set {WAY_VARIABLE}=copy"
        )
        raise BackupError(message)
    process = await asyncio.create_subprocess_exec(
        found,
        *(() if url is None else (f"--dbname={url.database}",)),
        *arguments,
        env=os.environ | ({} if url is None else _environment(url)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await uncancelled(process.wait())
    if process.returncode:
        message = f"{program} failed: {problems.decode(errors='replace').strip()} ({WAY_VARIABLE}=copy does without it)"
        raise BackupError(message)


def _environment(url: URL) -> dict[str, str]:
    """How libpq is told; never by arguments, which everybody on the machine can read."""
    host = url.host or url.query.get("host")
    given = {"PGHOST": host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password}
    return {name: str(value) for name, value in given.items() if value is not None}


async def _revision(url: URL) -> str | None:
    engine = create_engine(url, DatabaseSettings())
    try:
        async with engine.connect() as connection:
            if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
                return None
            found: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    finally:
        await uncancelled(engine.dispose())
