"""Finding rows by a piece of their text: seed 001's search over all of an entity's texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import or_
from sqlmodel import SQLModel

from agent_system.database.dialects.substrings import contains_text
from agent_system.errors import ValidationError
from agent_system.managers.core.where import attribute
from agent_system.models.codec import encode_text
from agent_system.models.columns import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement

    from agent_system.managers.core.base import Manager

__all__ = ["find_containing"]

Row = TypeVar("Row", bound=SQLModel)

# SQLite refuses patterns of more than 50,000 bytes (SQLITE_MAX_LIKE_PATTERN_LENGTH); a letter becomes up to 18.
LONGEST_TERM = 1_000


async def find_containing(
    manager: Manager[Row],
    term: str,
    fields: Iterable[str] | None = None,
    limit: int = 50,
    where: Sequence[ColumnElement[bool]] = (),
) -> list[Row]:
    """Return rows with `term` in one of their texts, the newest first; an empty term finds nothing.

    Args:
        manager: Whose rows.
        term: What to look for, as it stands there; only the case of letters does not matter.
        fields: The columns to look in; None is every text column.
        limit: At most so many rows.
        where: What the rows have to fulfil besides.

    Raises:
        ValidationError: A field is no text column, or the term is too long.
    """
    if len(term) > LONGEST_TERM:
        message = f"the search term has {len(term)} characters; at most {LONGEST_TERM} can be looked for"
        raise ValidationError(message, field="term", entity=manager.store.name)
    columns = _text_columns(manager, fields)
    if not term or not columns:
        return []
    wanted = or_(*(contains_text(column, encode_text(term)) for column in columns))
    newest_first = [manager.plans.columns[key].desc() for key in manager.plans.primary_key]
    return await manager.select(manager.query().where(wanted, *where).order_by(*newest_first).limit(limit))


def _text_columns(manager: Manager[Any], fields: Iterable[str] | None) -> list[Any]:
    columns = manager.plans.columns
    if fields is None:
        derived = manager.store.validator.derived
        return [
            column
            for key, column in columns.items()
            if isinstance(column.type, Text) and key not in derived and not column.foreign_keys
        ]
    wanted = [attribute(manager.plans, field) for field in fields]
    for key in wanted:
        if not isinstance(columns[key].type, Text):
            message = f"{manager.plans.table.name}.{key} is no text column"
            raise ValidationError(message, field="fields", entity=manager.store.name)
    return [columns[key] for key in wanted]
