"""The one seam where errors of drivers and of SQLAlchemy become errors of ours.

The class comes from SQLite's error name and PostgreSQL's SQLSTATE; the text of a message is read only for details that
SQLite tells nowhere else (which columns a UNIQUE constraint has).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc as sa_exc

from agent_system import errors
from agent_system.database.driver import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FAILURES", "is_serialization_failure", "translate", "translated"]

_INTEGRITY_BY_SQLITE_NAME: dict[str, type[errors.IntegrityError]] = {
    "SQLITE_CONSTRAINT_UNIQUE": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_PRIMARYKEY": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_ROWID": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_FOREIGNKEY": errors.ForeignKeyError,
    "SQLITE_CONSTRAINT_NOTNULL": errors.NotNullError,
    "SQLITE_CONSTRAINT_CHECK": errors.CheckError,
}
_BY_SQLITE_NAME: tuple[tuple[str, type[errors.AgentSystemError]], ...] = (
    ("SQLITE_BUSY", errors.DatabaseBusyError),
    ("SQLITE_LOCKED", errors.DatabaseBusyError),
    ("SQLITE_FULL", errors.DiskFullError),
    ("SQLITE_READONLY", errors.DatabaseReadOnlyError),
    ("SQLITE_CORRUPT", errors.DatabaseCorruptError),
    ("SQLITE_NOTADB", errors.DatabaseCorruptError),
    ("SQLITE_CANTOPEN", errors.DatabaseUnavailableError),
    ("SQLITE_PERM", errors.DatabaseUnavailableError),
    ("SQLITE_TOOBIG", errors.ValidationError),
)
# https://www.postgresql.org/docs/current/errcodes-appendix.html; the first prefix that fits decides.
_INTEGRITY_BY_SQLSTATE: dict[str, type[errors.IntegrityError]] = {
    "23505": errors.DuplicateKeyError,
    "23P01": errors.DuplicateKeyError,
    "23503": errors.ForeignKeyError,
    "23502": errors.NotNullError,
    "23514": errors.CheckError,
}
_BY_SQLSTATE: tuple[tuple[str, type[errors.AgentSystemError]], ...] = (
    ("40", errors.DatabaseBusyError),
    ("55P03", errors.DatabaseBusyError),
    ("57014", errors.StatementTimeoutError),
    ("53100", errors.DiskFullError),
    ("53", errors.DatabaseUnavailableError),
    ("57P", errors.DatabaseUnavailableError),
    ("08", errors.DatabaseUnavailableError),
    ("3D000", errors.DatabaseUnavailableError),
    ("28", errors.DatabaseUnavailableError),
    ("25006", errors.DatabaseReadOnlyError),
    ("XX001", errors.DatabaseCorruptError),
    ("XX002", errors.DatabaseCorruptError),
    ("22", errors.ValidationError),
)
FAILURES: tuple[type[BaseException], ...] = (
    sa_exc.SQLAlchemyError,
    sqlite.Error,
    OverflowError,
    UnicodeEncodeError,
    OSError,
)
"""What drivers and SQLAlchemy raise."""
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})


def translate(error: BaseException) -> BaseException:
    """Return our error for a driver's or SQLAlchemy's, with the original as its cause; anything else unchanged."""
    if isinstance(error, errors.AgentSystemError):
        return error
    translated_error = _translate(error)
    if translated_error is None:
        return error
    # One of ours that SQLAlchemy has wrapped must not be caused by its own wrapping: nobody would find the end.
    wrapped: Any = getattr(error, "orig", None)
    if wrapped is not translated_error:
        translated_error.__cause__ = error
    return translated_error


@contextmanager
def translated(kinds: tuple[type[BaseException], ...] = FAILURES) -> Iterator[None]:
    """Raise our errors for those of the drivers and of SQLAlchemy in the block.

    Args:
        kinds: What is translated; a block that runs a caller's own code must leave the errors of that code alone.
    """
    try:
        yield
    except kinds as exc:
        ours = translate(exc)
        if ours is exc:
            raise
        raise ours from ours.__cause__


def is_serialization_failure(error: BaseException) -> bool:
    """Tell whether PostgreSQL broke a deadlock or a serialisation conflict: the same work may succeed when repeated."""
    seen: BaseException | None = error
    while seen is not None:
        if sqlstate_of(seen) in _RETRYABLE_SQLSTATES:
            return True
        seen = seen.__cause__
    return False


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE of a PostgreSQL driver's error, or None."""
    return getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)


def _translate(error: BaseException) -> errors.AgentSystemError | None:
    original = error.orig if isinstance(error, sa_exc.StatementError) and error.orig is not None else error
    if isinstance(original, errors.AgentSystemError):
        return original
    if isinstance(original, sqlite.Error):
        return _from_sqlite(original)
    sqlstate = sqlstate_of(original)
    return _from_sqlstate(sqlstate, original) if sqlstate is not None else _from_python(error, original)


def _from_python(error: BaseException, original: BaseException) -> errors.AgentSystemError | None:
    """What is no error of a driver: bad values found while binding, the network, the pool."""
    if isinstance(error, sa_exc.TimeoutError):
        return errors.DatabaseBusyError("no pooled connection became free in time")
    if isinstance(original, OverflowError):
        return errors.ValidationError("an integer does not fit into 64 bits; nothing was written")
    if isinstance(original, UnicodeEncodeError):
        return errors.ValidationError("a text holds a lone surrogate, which is no character; nothing was written")
    if isinstance(error, sa_exc.StatementError) and isinstance(original, (ValueError, TypeError)):
        return errors.ValidationError(f"{original}; nothing was written")
    if isinstance(original, OSError):
        reason = "it did not answer in time" if isinstance(original, TimeoutError) else original
        return errors.DatabaseUnavailableError(f"the database cannot be reached: {reason}")
    return errors.DatabaseError(_first_line(error)) if isinstance(error, sa_exc.SQLAlchemyError) else None


def _from_sqlite(error: Any) -> errors.AgentSystemError:
    name = getattr(error, "sqlite_errorname", None) or ""
    text = str(error)
    if name.startswith("SQLITE_CONSTRAINT"):
        return _sqlite_integrity(name, text)
    for prefix, kind in _BY_SQLITE_NAME:
        if name.startswith(prefix):
            return kind(f"{(kind.__doc__ or '').strip()} ({text})")
    if isinstance(error, sqlite.ProgrammingError) and "closed" in text.lower():
        return errors.NotConnectedError()
    return errors.DatabaseError(f"SQLite: {text}" + (f" ({name})" if name else ""))


def _sqlite_integrity(name: str, text: str) -> errors.IntegrityError:
    kind = _INTEGRITY_BY_SQLITE_NAME.get(name, errors.IntegrityError)
    detail = text.partition(": ")[2]
    columns = re.findall(r"(\w+)\.(\w+)", detail)
    table = columns[0][0] if columns else None
    fields = tuple(column for _, column in columns)
    constraint = None
    if kind is errors.CheckError:
        constraint = detail or None
    elif not columns:
        constraint = detail.removeprefix("index ").strip("'") or None
    return kind(_integrity_message(kind, table, constraint, fields), table=table, constraint=constraint, fields=fields)


def _from_sqlstate(sqlstate: str, error: BaseException) -> errors.AgentSystemError:
    details: Any = error if hasattr(error, "constraint_name") else error.__cause__
    kind = _INTEGRITY_BY_SQLSTATE.get(sqlstate)
    if kind is not None or sqlstate.startswith("23"):
        return _postgres_integrity(kind or errors.IntegrityError, details)
    for prefix, other in _BY_SQLSTATE:
        if sqlstate.startswith(prefix):
            return other(f"{(other.__doc__ or '').strip()} ({_first_line(details or error)})")
    return errors.DatabaseError(f"PostgreSQL: {_first_line(details or error)} ({sqlstate})")


def _postgres_integrity(kind: type[errors.IntegrityError], details: Any) -> errors.IntegrityError:
    table = getattr(details, "table_name", None)
    constraint = getattr(details, "constraint_name", None)
    column = getattr(details, "column_name", None)
    keys = re.match(r"Key \((.+?)\)=", getattr(details, "detail", None) or "")
    fields = (column,) if column else tuple(re.findall(r"\w+", keys.group(1))) if keys else ()
    return kind(_integrity_message(kind, table, constraint, fields), table=table, constraint=constraint, fields=fields)


def _integrity_message(
    kind: type[errors.IntegrityError], table: str | None, constraint: str | None, fields: tuple[str, ...]
) -> str:
    where = ", ".join(f"{table}.{name}" if table else name for name in fields)
    parts = [part for part in (where, constraint and f"rule {constraint}") if part]
    text = (kind.__doc__ or "").strip()
    return f"{text} ({'; '.join(parts)})" if parts else text


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
