"""Loading of relations for rows that are there already: one statement per relation, never one per row."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, select
from sqlalchemy.orm.attributes import set_committed_value

from agent_system.database.hydration import Hydrator
from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Dialect, Select
    from sqlalchemy.orm import RelationshipProperty

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["load_relations"]

# SQLite allows 32,766 parameters in a statement, PostgreSQL's protocol 32,767.
CHUNK = 10_000


async def load_relations(db: DatabaseManager, entity: type[Any], rows: Sequence[Any], include: Iterable[str]) -> None:
    """Fill the named relations of these rows.

    Raises:
        ValidationError: The table class has no such relation.
    """
    mapper: Any = inspect(entity)
    for name in include:
        relation = mapper.relationships.get(name)
        if relation is None:
            known = ", ".join(sorted(mapper.relationships.keys())) or "none"
            message = f"{entity.__name__} has no relation {name!r}; it has: {known}"
            raise ValidationError(message, field="include", entity=entity.__name__)
        if rows:
            await _load(db, relation, rows)


async def _load(db: DatabaseManager, relation: RelationshipProperty[Any], rows: Sequence[Any]) -> None:
    (local, remote), *more = relation.local_remote_pairs or []
    if more and relation.secondary is None:
        message = f"{relation.key}: relations over several columns are not supported"
        raise ValidationError(message, field="include")
    local_key = relation.parent.get_property_by_column(local).key
    wanted = {getattr(row, local_key) for row in rows} - {None}
    found = await _fetch(db, relation, remote, sorted(wanted, key=str))
    for row in rows:
        related = found.get(getattr(row, local_key), [])
        value = related if relation.uselist else (related[0] if related else None)
        set_committed_value(row, relation.key, value)


async def _fetch(
    db: DatabaseManager, relation: RelationshipProperty[Any], remote: Any, wanted: list[Any]
) -> dict[Any, list[Any]]:
    target = relation.mapper
    table: Any = target.local_table
    hydrate = _hydrator(target.class_, db.dialect)
    statement = select(remote.label("owner_key"), *table.columns)
    if relation.secondary is not None:
        statement = statement.select_from(table.join(relation.secondary, relation.secondaryjoin))
    statement = statement.order_by(*(relation.order_by or table.primary_key.columns))
    grouped: dict[Any, list[Any]] = defaultdict(list)
    for start in range(0, len(wanted), CHUNK):
        part = statement.where(remote.in_(wanted[start : start + CHUNK]))
        for owner, *values in await db.read(partial(_rows, part)):
            grouped[owner].append(hydrate.build(dict(zip(hydrate.keys, values, strict=True))))
    return grouped


def _rows(statement: Select[Any], executor: Executor) -> Sequence[Any]:
    return executor.execute(statement).all()


def _hydrator(entity: type[Any], dialect: Dialect) -> Hydrator[Any]:
    return Hydrator(entity, dialect)
