"""The one door to the SQLite library: connections, exceptions and what is known about the version.

Every other module takes the driver from here. Two SQLite libraries in one process that open the same file lose each
other's POSIX locks, so a process uses one: the standard library's by default, `pysqlite3` when
`AGENT_SYSTEM_SQLITE_DRIVER=pysqlite3` says so and nothing else in the process uses the standard one.
"""

from __future__ import annotations

import importlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.errors import ConfigurationError, OutcomeUnknownError, TransactionError

if TYPE_CHECKING:
    import sqlite3
    from types import ModuleType

__all__ = [
    "ConnectionOptions",
    "LibraryVerdict",
    "commit",
    "is_broken",
    "is_busy",
    "library_verdict",
    "open_connection",
    "require_transaction",
    "sqlite",
]

DRIVER_VARIABLE = "AGENT_SYSTEM_SQLITE_DRIVER"

# https://sqlite.org/wal.html#walresetbug: the releases that carry the fix; later ones of their branches do too.
WAL_RESET_FIRST_AFFECTED = (3, 7, 0)
WAL_RESET_FIXED_BRANCHES = ((3, 44, 6), (3, 50, 7))
WAL_RESET_FIXED = (3, 51, 3)

# How long one attempt on a locked database may block the connection's thread. Waiting longer is done by async back-off,
# so that a timeout of the caller is honoured within a tenth of a second.
BUSY_TIMEOUT_MS_LIMIT = 100

TRANSACTION_GONE = "the database has rolled this transaction back; nothing of it was written"


def _load_driver() -> ModuleType:
    name = os.environ.get(DRIVER_VARIABLE, "sqlite3")
    if name not in {"sqlite3", "pysqlite3"}:
        message = f"{DRIVER_VARIABLE} must be sqlite3 or pysqlite3, not {name!r}"
        raise ConfigurationError(message, variable=DRIVER_VARIABLE)
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        message = f'{DRIVER_VARIABLE}={name}: the package is not installed (pip install "agent_system[sqlite]")'
        raise ConfigurationError(message, variable=DRIVER_VARIABLE) from exc


sqlite: Any = _load_driver()


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryVerdict:
    """What is known about the SQLite library of this process."""

    version: str
    has_wal_reset_bug: bool

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.has_wal_reset_bug:
            return (
                f"SQLite {self.version} has the WAL-reset bug (fixed in 3.51.3, 3.50.7, 3.44.6): "
                "checkpoints run only under the write lock, memory mapping is off"
            )
        return f"SQLite {self.version} is not affected by the WAL-reset bug"


def library_verdict(version: tuple[int, int, int] | None = None) -> LibraryVerdict:
    """Tell whether a library version (default: the loaded one) can corrupt a file by a checkpoint beside a commit."""
    found = version if version is not None else tuple(sqlite.sqlite_version_info)
    fixed = found >= WAL_RESET_FIXED or any(
        found[:2] == branch[:2] and found >= branch for branch in WAL_RESET_FIXED_BRANCHES
    )
    affected = found >= WAL_RESET_FIRST_AFFECTED and not fixed
    return LibraryVerdict(version=".".join(map(str, found)), has_wal_reset_bug=affected)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOptions:
    """How a connection to a SQLite file is set up."""

    synchronous: str = "FULL"
    busy_timeout_ms: int = BUSY_TIMEOUT_MS_LIMIT
    lock_timeout_seconds: float = 30.0
    cache_pages: int = 10_000
    wal_pages: int = 4_000
    max_page_count: int | None = None
    foreign_keys: bool = True
    connection_class: type[Any] | None = None
    """Another class of connections than the driver's own, such as one that notes what is slow."""

    def pragmas(self) -> tuple[str, ...]:
        """The PRAGMAs of seed 003, less `mmap_size` on a library where a checkpoint may corrupt the file."""
        affected = library_verdict().has_wal_reset_bug
        statements = [
            f"PRAGMA busy_timeout = {min(self.busy_timeout_ms, BUSY_TIMEOUT_MS_LIMIT)}",
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {self.synchronous}",
            f"PRAGMA foreign_keys = {'ON' if self.foreign_keys else 'OFF'}",
            f"PRAGMA cache_size = {self.cache_pages}",
            "PRAGMA temp_store = MEMORY",
            # A reset log is cut back to this size: one large transaction does not occupy the disk for ever, and
            # `checkpoints.py` can read off the file's size how much has been written.
            f"PRAGMA journal_size_limit = {self.wal_pages * 4096}",
            f"PRAGMA mmap_size = {0 if affected else 268435456}",
            # The automatic checkpoint runs beside other connections' commits: exactly what triggers the bug.
            f"PRAGMA wal_autocheckpoint = {0 if affected else self.wal_pages}",
        ]
        if self.max_page_count is not None:
            statements.append(f"PRAGMA max_page_count = {self.max_page_count}")
        return tuple(statements)


def is_busy(error: BaseException) -> bool:
    """Tell whether an error, also in SQLAlchemy's wrapping, means that somebody else holds a lock."""
    error = getattr(error, "orig", None) or error
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def require_transaction(connection: sqlite3.Connection) -> None:
    """Raise TransactionError when SQLite has ended a transaction by itself.

    RAISE(ROLLBACK) does it, a full disk and an interrupted write. What was written before is gone then, and without
    this check what comes after would be committed at once.
    """
    if not connection.in_transaction:
        raise TransactionError(TRANSACTION_GONE)


def commit(connection: sqlite3.Connection) -> None:
    """Commit; what fails is rolled back and was not committed, unless the error says that nobody knows.

    A full disk has ended the transaction, but is no riddle: the log is written from front to back, the mark of the
    commit comes last (https://sqlite.org/walformat.html), and the write that failed is this mark or comes before it.

    Raises:
        OutcomeUnknownError: An I/O error, or another error after which the transaction is over.
    """
    try:
        connection.commit()
    except sqlite.Error as exc:
        still_open = connection.in_transaction
        if still_open:
            connection.rollback()
        name = exc.sqlite_errorname or ""
        if name.startswith("SQLITE_IOERR") or not (still_open or name == "SQLITE_FULL"):
            raise OutcomeUnknownError from exc
        raise


def is_broken(error: BaseException) -> bool:
    """Tell whether an error, also in SQLAlchemy's wrapping, means that the connection is of no more use.

    That is: somebody closed it under us, or it met an I/O error, at COMMIT too.
    """
    error = getattr(error, "orig", None) or error
    if isinstance(error, OutcomeUnknownError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, (sqlite.ProgrammingError, ValueError)):
        # The driver's and aiosqlite's words for a connection that somebody has closed; there is no code for it.
        return any(words in str(error) for words in ("closed database", "no active connection", "Connection closed"))
    return (getattr(error, "sqlite_errorname", None) or "").startswith("SQLITE_IOERR")


def open_connection(database: str, options: ConnectionOptions) -> sqlite3.Connection:
    """Open a path or `file:` URI in the driver's autocommit mode and set it up; runs on the connection's own thread.

    Several processes that open a new file at once race for the switch to WAL, which fails at once with "locked"
    whatever the busy timeout says; so the set-up is repeated until `lock_timeout_seconds` have passed.
    """
    deadline = time.monotonic() + options.lock_timeout_seconds
    connection: sqlite3.Connection = sqlite.connect(
        database,
        isolation_level=None,
        timeout=0.1,
        cached_statements=512,
        check_same_thread=False,
        uri=database.startswith("file:"),
        factory=options.connection_class or sqlite.Connection,
    )
    try:
        if _execute_when_free(connection, "PRAGMA page_count", deadline) == [(0,)]:
            # Of a new file, which alone can be made so: free pages can be given back a few at a time later on. It is a
            # write, so that nobody shall say it to a file that is in use.
            _execute_when_free(connection, "PRAGMA auto_vacuum = INCREMENTAL", deadline)
        for statement in options.pragmas():
            _execute_when_free(connection, statement, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _execute_when_free(connection: sqlite3.Connection, statement: str, deadline: float) -> list[Any]:
    while True:
        try:
            return connection.execute(statement).fetchall()
        except sqlite.OperationalError as exc:
            if not is_busy(exc) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
