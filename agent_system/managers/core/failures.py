"""Making an integrity error say what a caller can act on: the field that they wrote and, for a reference, its value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent_system.errors import CheckError, DuplicateKeyError, ForeignKeyError, IntegrityError, NotNullError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Select

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans

__all__ = ["explained", "may_be_missing"]

# SQLite allows 32,766 parameters in a statement, PostgreSQL's protocol 32,767.
CHUNK = 10_000


async def explained(
    db: DatabaseManager,
    plans: TablePlans[Any],
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    exc: IntegrityError,
    made_along: Collection[str] = (),
) -> IntegrityError:
    """The same error with the caller's field names, and with the reference that is missing in one of the rows.

    Args:
        db: Where to look.
        plans: Of the table that was written to.
        values: What was to be written.
        exc: The error.
        made_along: Columns whose references are never missing, because what they refer to is made with the row.
    """
    if isinstance(exc, ForeignKeyError):
        rows = [values] if isinstance(values, Mapping) else values
        columns = [key for key, column in plans.columns.items() if column.foreign_keys and key not in made_along]
        return await _dangling(db, plans, columns, rows, exc)
    return _renamed(plans, exc)


def may_be_missing(column: str, exc: ForeignKeyError) -> bool:
    """Whether it may be the reference of a column, as far as the error tells, to which there is no row."""
    return not exc.fields or column in exc.fields


def _renamed(plans: TablePlans[Any], exc: IntegrityError) -> IntegrityError:
    """`name_key`, by which names are unique without regard to case, is `name` to the caller; `metadata` is `meta`."""
    if exc.table not in {None, plans.table.name}:
        return exc
    fields = tuple(dict.fromkeys(_field(plans, column) for column in exc.fields)) or _indexed(plans, exc.constraint)
    if isinstance(exc, CheckError) and not fields and exc.constraint:
        name = exc.constraint.removeprefix(f"ck_{plans.table.name}_")
        fields = (name,) if name in plans.columns else ()
    kind = type(exc)
    rule = {DuplicateKeyError: "exists already", NotNullError: "is required"}.get(kind, "breaks a rule of the schema")
    where = ", ".join(fields) or exc.constraint or "a value"
    message = f"{plans.table.name}.{where} {rule}"
    if exc.constraint:
        message += f" ({exc.constraint})"
    return kind(f"{message}; nothing was written", table=plans.table.name, constraint=exc.constraint, fields=fields)


def _field(plans: TablePlans[Any], column: str) -> str:
    key = plans.attributes.get(column, column)
    base = key.removesuffix("_key")
    return base if key != base and base in plans.columns else key


def _indexed(plans: TablePlans[Any], constraint: str | None) -> tuple[str, ...]:
    for index in plans.table.indexes:
        if index.name == constraint:
            return tuple(dict.fromkeys(_field(plans, column.name) for column in index.columns))
    return ()


async def _dangling(
    db: DatabaseManager,
    plans: TablePlans[Any],
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    exc: ForeignKeyError,
) -> ForeignKeyError:
    """SQLite does not say which reference is missing; look the written ones up."""
    for key in columns:
        target = next(iter(plans.columns[key].foreign_keys)).column
        wanted = list(dict.fromkeys(row[key] for row in rows if row.get(key) is not None))
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            there = await db.read(partial(_found, select(target).where(target.in_(part))))
            missing = next((value for value in part if value not in there), None)
            if missing is not None:
                message = f"{plans.table.name}.{key}: there is no {target.table.name} row {missing!s}"
                return ForeignKeyError(
                    f"{message}; nothing was written",
                    table=plans.table.name,
                    constraint=exc.constraint,
                    fields=(key,),
                )
    return exc


def _found(statement: Select[Any], executor: Executor) -> set[Any]:
    return set(executor.execute(statement).scalars())
