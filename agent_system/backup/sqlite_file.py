"""Copying, verifying and restoring a SQLite file; everything here runs in a child process (`program.py`)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agent_system.backup.files import compress, decompress, finish, fresh, move_into_place, refuse_other, sync
from agent_system.database.driver import is_busy, sqlite
from agent_system.errors import BackupError, DatabaseBusyError

if TYPE_CHECKING:
    import sqlite3  # noqa: TID251 (its name, for annotations)

__all__ = ["copy", "inspect", "restore", "verify"]

COMPANIONS = ("-wal", "-shm", "-journal")
FAULTS_SHOWN = 5
LOCK_SECONDS = 30.0
COUNT = "SELECT count(*) FROM"
INSERT = "INSERT INTO"


def copy(source: str, target: str, *, created_at: str, gzip: bool, whole: bool) -> dict[str, Any]:
    """Copy a database that may be in use, verify the copy, and give it its name and its manifest.

    Args:
        source: The database.
        target: The backup; it appears when everything is done.
        created_at: The moment for the manifest.
        gzip: Whether the backup is packed.
        whole: Whether every reference has to lead to a row; what is copied before a migration may need mending.

    Returns:
        What the manifest holds.

    Raises:
        BackupError: The copy is not sound; none is left.
    """
    path = Path(target)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with fresh(path.with_name(f"{path.name}.partial")) as partial:
        _copy_pages(source, partial)
        described = inspect(partial, whole=whole) | {"created_at": created_at, "engine": "sqlite"}
        if not gzip:
            return finish(partial, path, described)
        with fresh(path.with_name(f"{path.name}.packed")) as packed:
            compress(partial, packed)
            return finish(packed, path, described)


def inspect(path: Path, *, whole: bool = True) -> dict[str, Any]:
    """Check a file that nobody has open and count its rows.

    Args:
        path: The file.
        whole: Whether every reference has to lead to a row.

    Raises:
        BackupError: It is damaged, or is no database of ours.
    """
    connection = _open(path, "mode=ro&immutable=1")
    try:
        _refuse_damage(connection, path, whole=whole)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            message = f"{path.name} is no database of agent_system: it has no revision"
            raise BackupError(message, path=str(path))
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        shadows = {name for name in tables if _is_shadow(name, tables)}
        counted = sorted(name for name in tables - shadows if not name.startswith("sqlite_"))
        return {"revision": revision[0] if revision else None, "tables": {n: _count(connection, n) for n in counted}}
    except sqlite.DatabaseError as exc:
        message = f"{path.name} is damaged or is no database: {exc}"
        raise BackupError(message, path=str(path)) from exc
    finally:
        connection.close()


def verify(backup: str, sha256: str | None) -> dict[str, Any]:
    """Compare a backup's hash and check its content.

    Raises:
        BackupError: It is not what was written.
    """
    path = Path(backup)
    refuse_other(path, sha256)
    if path.suffix != ".gz":
        return inspect(path)
    with fresh(path.with_name(path.name + ".unpacked")) as unpacked:
        _unpack(path, unpacked)
        return inspect(unpacked)


def restore(backup: str, target: str, sha256: str | None, kept_as: str) -> dict[str, Any]:
    """Put a verified backup in the place of a database that nobody has open.

    Args:
        backup: The backup.
        target: The database file; it need not be there.
        sha256: What the manifest says; None: there is none to compare with.
        kept_as: The name that the database gets that was there.

    Raises:
        BackupError: The backup is not sound; the database was not touched.
        DatabaseBusyError: Somebody has the database open; it was not touched.
    """
    path, place = Path(backup), Path(target)
    refuse_other(path, sha256)
    with fresh(place.with_name(place.name + ".restoring")) as new:
        _unpack(path, new)
        described = inspect(new)
        sync(new)
        if place.exists():
            _set_aside(place, Path(kept_as))
        for end in COMPANIONS:
            place.with_name(place.name + end).unlink(missing_ok=True)
        move_into_place(new, place)
    return described


def _copy_pages(source: str, target: Path) -> None:
    # Not read-only: a reader of a database in WAL mode may have to make its shared memory.
    read = _open(Path(source), "mode=rw")
    write = _open(target, "mode=rw")
    try:
        read.execute("PRAGMA wal_autocheckpoint = 0")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                # In one step: one snapshot, however many commits come meanwhile; writers are not kept waiting.
                read.backup(write, pages=-1)
                break
            except sqlite.OperationalError as exc:
                if not is_busy(exc) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        # One file by itself, without a write-ahead log beside it.
        write.execute("PRAGMA journal_mode = DELETE")
        _refuse_broken_index(write, target)
    except sqlite.Error as exc:
        if is_busy(exc):
            raise DatabaseBusyError from exc
        message = f"{source} cannot be copied: {exc}"
        raise BackupError(message, path=source) from exc
    finally:
        write.close()
        read.close()


def _open(path: Path, options: str) -> sqlite3.Connection:
    try:
        connection: sqlite3.Connection = sqlite.connect(
            f"file:{quote(str(path.absolute()))}?{options}", uri=True, isolation_level=None, timeout=LOCK_SECONDS
        )
    except sqlite.Error as exc:
        message = f"{path} cannot be opened: {exc}"
        raise BackupError(message, path=str(path)) from exc
    return connection


def _refuse_damage(connection: sqlite3.Connection, path: Path, *, whole: bool) -> None:
    faults = [row[0] for row in connection.execute(f"PRAGMA integrity_check({FAULTS_SHOWN})") if row[0] != "ok"]
    orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(FAULTS_SHOWN) if whole else []
    faults += [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in orphans]
    if faults:
        message = f"{path.name} is damaged: {'; '.join(faults)}"
        raise BackupError(message, path=str(path))


def _refuse_broken_index(connection: sqlite3.Connection, path: Path) -> None:
    """Check the full-text indexes, which integrity_check does not compare with their tables."""
    indexes = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
    ).fetchall()
    for (name,) in indexes:
        # The column that is called as the table takes commands.
        columns = f"({_quoted(name)}, rank)"
        try:
            connection.execute(" ".join((INSERT, _quoted(name), columns, "VALUES ('integrity-check', 1)")))
        except sqlite.DatabaseError as exc:
            message = f"the full-text index {name} does not agree with its table: run `agent-system doctor --fix`"
            raise BackupError(message, path=str(path)) from exc


def _count(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(" ".join((COUNT, _quoted(name)))).fetchone()[0])


def _is_shadow(name: str, tables: set[str]) -> bool:
    """Whether a table is a part of a full-text index, or one."""
    parts = ("_data", "_idx", "_docsize", "_config", "_content")
    return any(name.endswith(part) and name.removesuffix(part) in tables for part in parts) or f"{name}_data" in tables


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unpack(backup: Path, target: Path) -> None:
    try:
        decompress(backup, target)
    except (OSError, EOFError) as exc:
        message = f"{backup.name} cannot be read to its end: {exc}"
        raise BackupError(message, path=str(backup)) from exc


def _set_aside(place: Path, kept_as: Path) -> None:
    """Keep the database that is there under another name, once it is sure that nobody has it open."""
    connection = _open(place, "mode=rw")
    try:
        connection.execute("PRAGMA busy_timeout = 2000")
        # Leaving WAL mode needs the database alone, and takes what the log holds into the file.
        mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        if mode != "delete":
            raise DatabaseBusyError
    except sqlite.DatabaseError as exc:
        if is_busy(exc):
            message = f"{place} is in use: close every program that has it open, then restore"
            raise DatabaseBusyError(message) from exc
        # It is damaged, which may be why it is to be replaced: what is left of it is kept with its log.
    finally:
        connection.close()
    # A second name, so that there is a database under the first one at every moment.
    os.link(place, kept_as)
    for end in COMPANIONS:
        left = place.with_name(place.name + end)
        if left.exists():
            left.replace(kept_as.with_name(kept_as.name + end))
