"""Making an integrity error say what a caller can act on: the field that they wrote and, for a reference, its value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from agent_system.errors import CheckError, DuplicateKeyError, ForeignKeyError, IntegrityError, NotNullError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans

__all__ = ["explained"]

# SQLite allows 32,766 parameters in a statement, PostgreSQL's protocol 32,767.
CHUNK = 10_000


async def explained(
    db: DatabaseManager,
    plans: TablePlans[Any],
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    exc: IntegrityError,
) -> IntegrityError:
    """The same error with the caller's field names, and with the reference that is missing in one of the rows."""
    if isinstance(exc, ForeignKeyError):
        return await _dangling(db, plans, [values] if isinstance(values, Mapping) else values, exc)
    return _renamed(plans, exc)


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
    db: DatabaseManager, plans: TablePlans[Any], rows: Sequence[Mapping[str, Any]], exc: ForeignKeyError
) -> ForeignKeyError:
    """SQLite does not say which reference is missing; look the written ones up."""
    for key, column in plans.columns.items():
        if not column.foreign_keys:
            continue
        target = next(iter(column.foreign_keys)).column
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
