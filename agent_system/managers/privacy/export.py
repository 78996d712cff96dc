"""All that is somebody's as one JSON document, a page at a time."""

from __future__ import annotations

import json
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, tuple_

from agent_system.errors import NotFoundError
from agent_system.managers.privacy.person import Person
from agent_system.managers.privacy.registry import PRIVACY
from agent_system.managers.privacy.rules import Action
from agent_system.models import User, metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Table

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager

__all__ = ["export"]

PAGE = 200
# Secrets of the system and what is only another form of what stands beside it.
LEFT_OUT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "users": frozenset({"password_hash"}),
        "embeddings": frozenset({"vector", "text_hash"}),
        "memories": frozenset({"content_hash", "scope_key"}),
    }
)


async def export(db: DatabaseManager, user_id: UUID, moment: datetime) -> AsyncIterator[str]:
    """Yield pieces of one JSON document with every row that is the person's, or that they wrote, by table.

    Raises:
        NotFoundError: There is no such user.
    """
    person = await db.read(lambda executor: Person.find(executor, user_id))
    if person is None:
        raise NotFoundError(User.__name__, user_id)
    head = {"format": "agent_system.export", "version": 1, "user_id": str(user_id), "exported_at": moment.isoformat()}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "tables": {'
    is_first_table = True
    for table in metadata.sorted_tables:
        if PRIVACY[table.name].action is Action.KEEP:
            continue
        is_first_row = True
        async for rows in _pages(db, table, person):
            for row in rows:
                if is_first_row:
                    yield ("" if is_first_table else ", ") + f"{json.dumps(table.name)}: ["
                yield ("" if is_first_row else ", ") + json.dumps(row, ensure_ascii=False, default=str)
                is_first_row = is_first_table = False
        if not is_first_row:
            yield "]"
    yield "}}\n"


async def _pages(db: DatabaseManager, table: Table, person: Person) -> AsyncIterator[list[dict[str, Any]]]:
    left_out = LEFT_OUT.get(table.name, frozenset())
    columns = [
        column for column in table.columns if column.name not in left_out and not _is_derived(table, column.name)
    ]
    keys = list(table.primary_key.columns)
    wanted = select(*keys, *columns).where(or_(person.concerns(table), person.wrote(table))).order_by(*keys).limit(PAGE)
    after: tuple[Any, ...] | None = None
    while True:
        page = wanted
        if after is not None:
            place = tuple_(*after, types=[key.type for key in keys])
            page = wanted.where(tuple_(*keys) > place)
        rows: Sequence[Any] = await db.read(partial(_rows, page))
        if rows:
            names = [column.name for column in columns]
            yield [dict(zip(names, row[len(keys) :], strict=True)) for row in rows]
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1][: len(keys)])


def _rows(statement: Any, executor: Executor) -> Sequence[Any]:
    return executor.execute(statement).all()


def _is_derived(table: Table, name: str) -> bool:
    """Whether a column is a name as it is compared, or words made for a search."""
    return name == "extra_terms" or (name.endswith("_key") and name.removesuffix("_key") in table.columns)
