"""Every error of a driver or of SQLAlchemy becomes one of ours, by its name or SQLSTATE and not by its text."""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from typing import Any

import asyncpg
import pytest
from sqlalchemy import exc as sa_exc

from agent_system import errors
from agent_system.database.translate import is_serialization_failure, translate, translated

BY_SQLITE_NAME = {
    "SQLITE_BUSY": errors.DatabaseBusyError,
    "SQLITE_BUSY_SNAPSHOT": errors.DatabaseBusyError,
    "SQLITE_BUSY_RECOVERY": errors.DatabaseBusyError,
    "SQLITE_LOCKED": errors.DatabaseBusyError,
    "SQLITE_LOCKED_SHAREDCACHE": errors.DatabaseBusyError,
    "SQLITE_FULL": errors.DiskFullError,
    "SQLITE_READONLY": errors.DatabaseReadOnlyError,
    "SQLITE_READONLY_DBMOVED": errors.DatabaseReadOnlyError,
    "SQLITE_READONLY_DIRECTORY": errors.DatabaseReadOnlyError,
    "SQLITE_CORRUPT": errors.DatabaseCorruptError,
    "SQLITE_CORRUPT_VTAB": errors.DatabaseCorruptError,
    "SQLITE_NOTADB": errors.DatabaseCorruptError,
    "SQLITE_CANTOPEN": errors.DatabaseUnavailableError,
    "SQLITE_CANTOPEN_ISDIR": errors.DatabaseUnavailableError,
    "SQLITE_PERM": errors.DatabaseUnavailableError,
    "SQLITE_TOOBIG": errors.ValidationError,
    "SQLITE_IOERR_READ": errors.DatabaseError,
    "SQLITE_INTERRUPT": errors.DatabaseError,
    "SQLITE_ERROR": errors.DatabaseError,
    "SQLITE_CONSTRAINT_UNIQUE": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_PRIMARYKEY": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_ROWID": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_FOREIGNKEY": errors.ForeignKeyError,
    "SQLITE_CONSTRAINT_NOTNULL": errors.NotNullError,
    "SQLITE_CONSTRAINT_CHECK": errors.CheckError,
    "SQLITE_CONSTRAINT_TRIGGER": errors.IntegrityError,
    "SQLITE_CONSTRAINT_DATATYPE": errors.IntegrityError,
}
BY_SQLSTATE = {
    "23505": errors.DuplicateKeyError,
    "23P01": errors.DuplicateKeyError,
    "23503": errors.ForeignKeyError,
    "23502": errors.NotNullError,
    "23514": errors.CheckError,
    "23001": errors.IntegrityError,
    "40001": errors.DatabaseBusyError,
    "40P01": errors.DatabaseBusyError,
    "55P03": errors.DatabaseBusyError,
    "57014": errors.StatementTimeoutError,
    "53100": errors.DiskFullError,
    "53300": errors.DatabaseUnavailableError,
    "57P01": errors.DatabaseUnavailableError,
    "57P03": errors.DatabaseUnavailableError,
    "08006": errors.DatabaseUnavailableError,
    "3D000": errors.DatabaseUnavailableError,
    "28P01": errors.DatabaseUnavailableError,
    "28000": errors.DatabaseUnavailableError,
    "25006": errors.DatabaseReadOnlyError,
    "XX001": errors.DatabaseCorruptError,
    "XX002": errors.DatabaseCorruptError,
    "22003": errors.ValidationError,
    "22021": errors.ValidationError,
    "22P02": errors.ValidationError,
    "42P01": errors.DatabaseError,
    "42601": errors.DatabaseError,
    "XX000": errors.DatabaseError,
}


def sqlite_error(name: str, text: str = "some text", kind: type[sqlite3.Error] = sqlite3.OperationalError) -> Any:
    error = kind(text)
    error.sqlite_errorname = name
    return error


def postgres_error(sqlstate: str, text: str = "some text", **details: str) -> Any:
    """Make the error that asyncpg would make, wrapped as SQLAlchemy's adapter wraps it."""
    error: Any = asyncpg.PostgresError.new({"C": sqlstate, "M": text, **details})
    wrapped: Any = Exception(f"{type(error)}: {text}")
    wrapped.sqlstate = sqlstate
    wrapped.__cause__ = error
    return wrapped


def wrapped_by_sqlalchemy(error: BaseException) -> sa_exc.DBAPIError:
    return sa_exc.DBAPIError("INSERT INTO secrets VALUES (?)", ("password",), error)


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped_by_sqlalchemy], ids=["plain", "wrapped"])
@pytest.mark.parametrize(("name", "expected"), BY_SQLITE_NAME.items())
def test_the_name_of_a_sqlite_error_decides(name: str, expected: type[Exception], wrap: Any) -> None:
    original = wrap(sqlite_error(name))
    ours = translate(original)

    assert type(ours) is expected
    assert ours.__cause__ is original


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped_by_sqlalchemy], ids=["plain", "wrapped"])
@pytest.mark.parametrize(("sqlstate", "expected"), BY_SQLSTATE.items())
def test_the_sqlstate_of_a_postgresql_error_decides(sqlstate: str, expected: type[Exception], wrap: Any) -> None:
    original = wrap(postgres_error(sqlstate))
    ours = translate(original)

    assert type(ours) is expected
    assert ours.__cause__ is original


@pytest.mark.parametrize(
    ("text", "fields", "table"),
    [
        ("UNIQUE constraint failed: notes.title", ("title",), "notes"),
        ("UNIQUE constraint failed: notes.owner_id, notes.name_key", ("owner_id", "name_key"), "notes"),
        ("NOT NULL constraint failed: notes.title", ("title",), "notes"),
    ],
)
def test_sqlite_tells_the_columns_of_a_broken_rule(text: str, fields: tuple[str, ...], table: str) -> None:
    ours = translate(sqlite_error("SQLITE_CONSTRAINT_UNIQUE", text, sqlite3.IntegrityError))

    assert isinstance(ours, errors.IntegrityError)
    assert (ours.fields, ours.field, ours.table) == (fields, fields[0], table)
    assert all(field in str(ours) for field in fields)


@pytest.mark.parametrize(
    ("name", "text", "constraint"),
    [
        ("SQLITE_CONSTRAINT_CHECK", "CHECK constraint failed: ck_notes_amount", "ck_notes_amount"),
        ("SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed: index 'idx_notes_default'", "idx_notes_default"),
        ("SQLITE_CONSTRAINT_FOREIGNKEY", "FOREIGN KEY constraint failed", None),
    ],
)
def test_sqlite_tells_the_name_of_a_broken_rule(name: str, text: str, constraint: str | None) -> None:
    ours = translate(sqlite_error(name, text, sqlite3.IntegrityError))

    assert isinstance(ours, errors.IntegrityError)
    assert (ours.constraint, ours.fields) == (constraint, ())


def test_postgresql_tells_table_constraint_and_columns() -> None:
    details = {"t": "notes", "n": "uq_notes_title", "D": "Key (owner_id, title)=(1, x) already exists."}
    ours = translate(postgres_error("23505", **details))

    assert isinstance(ours, errors.DuplicateKeyError)
    assert (ours.table, ours.constraint, ours.fields) == ("notes", "uq_notes_title", ("owner_id", "title"))


def test_postgresql_tells_the_column_of_a_missing_value() -> None:
    ours = translate(postgres_error("23502", t="notes", c="title"))

    assert isinstance(ours, errors.NotNullError)
    assert (ours.table, ours.constraint, ours.field) == ("notes", None, "title")


def test_a_broken_rule_of_which_nothing_is_known_has_no_attributes() -> None:
    ours = translate(sqlite_error("SQLITE_CONSTRAINT_TRIGGER", "the trigger's own words", sqlite3.IntegrityError))

    assert isinstance(ours, errors.IntegrityError)
    assert (ours.table, ours.constraint, ours.fields, ours.field) == (None, None, (), None)


@pytest.mark.parametrize(
    ("original", "expected", "words"),
    [
        (OverflowError("Python int too large"), errors.ValidationError, "64 bits"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), errors.ValidationError, "surrogate"),
        (ConnectionRefusedError("refused"), errors.DatabaseUnavailableError, "refused"),
        (TimeoutError(), errors.DatabaseUnavailableError, "in time"),
        (sa_exc.TimeoutError(), errors.DatabaseBusyError, "pool"),
        (sa_exc.StatementError("x", "x", {}, ValueError("a naive datetime")), errors.ValidationError, "naive datetime"),
        (sa_exc.StatementError("x", "x", {}, TypeError("not text")), errors.ValidationError, "not text"),
        (sa_exc.NoResultFound("No row was found"), errors.DatabaseError, "No row was found"),
        (sa_exc.PendingRollbackError("rollback first"), errors.DatabaseError, "rollback first"),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), errors.NotConnectedError, "connect"),
        (sqlite3.ProgrammingError("Error binding parameter 1"), errors.DatabaseError, "binding parameter"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_has_neither_name_nor_sqlstate_is_told_by_its_kind(
    original: Exception, expected: type[Exception], words: str
) -> None:
    ours = translate(original)

    assert type(ours) is expected
    assert words in str(ours)


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("x"), asyncio.CancelledError(), KeyboardInterrupt(), errors.ConflictError("x")]
)
def test_everything_else_is_left_alone(error: BaseException) -> None:
    assert translate(error) is error


def test_our_error_that_sqlalchemy_has_wrapped_comes_out_again() -> None:
    ours = errors.ValidationError("naive", field="created_at")
    wrapped = sa_exc.StatementError("x", "INSERT", {}, ours)
    wrapped.__cause__ = ours

    assert translate(wrapped) is ours


def test_no_error_is_its_own_cause() -> None:
    ours = errors.ValidationError("naive")
    wrapped = sa_exc.StatementError("x", "INSERT", {}, ours)
    wrapped.__cause__ = ours
    with pytest.raises(errors.ValidationError) as caught, translated():
        raise wrapped

    assert not is_serialization_failure(caught.value)
    assert len(traceback.format_exception(caught.value)) < 50


@pytest.mark.parametrize(("sqlstate", "repeat"), [("40001", True), ("40P01", True), ("23505", False), ("57014", False)])
def test_a_conflict_that_may_be_repeated_is_known_through_every_wrapping(sqlstate: str, repeat: bool) -> None:  # noqa: FBT001
    original = postgres_error(sqlstate)
    for error in (original, wrapped_by_sqlalchemy(original), translate(wrapped_by_sqlalchemy(original))):
        assert is_serialization_failure(error) is repeat


def test_messages_show_neither_statement_nor_parameters() -> None:
    for original in (sqlite_error("SQLITE_ERROR"), postgres_error("42P01"), sqlite_error("SQLITE_CONSTRAINT_UNIQUE")):
        message = str(translate(wrapped_by_sqlalchemy(original)))
        assert "password" not in message
        assert "INSERT" not in message


def test_a_block_translates_what_it_is_told_to() -> None:
    with pytest.raises(errors.DatabaseBusyError), translated():
        raise sqlite_error("SQLITE_BUSY")
    with pytest.raises(FileNotFoundError), translated((sa_exc.SQLAlchemyError,)):
        raise FileNotFoundError
    with pytest.raises(errors.DatabaseError), translated((sa_exc.SQLAlchemyError,)):
        raise sa_exc.NoResultFound


def test_every_message_says_what_to_do_or_what_happened() -> None:
    for name in BY_SQLITE_NAME:
        assert len(str(translate(sqlite_error(name, "")))) > 10, name
