"""Merging what a person has one of and two identities have one each: an opinion, an active game, a list of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, func, select, update

from agent_system.models import metadata
from agent_system.types import GameStatus

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from agent_system.database.executor import Executor

__all__ = ["settle_clashes"]

_feedback, _games = metadata.tables["message_feedback"], metadata.tables["games"]
_lists, _items = metadata.tables["todos"], metadata.tables["todo_items"]


def settle_clashes(executor: Executor, from_id: str, into_id: str) -> None:
    """Leave one of what a person may have only one of, so that the rows of the first identity can be moved.

    Of two opinions on a message and of two active games of a type the one that was changed last stays: the older
    opinion is deleted, the older game abandoned. Lists of one name become one list, the entries that move behind the
    others.
    """
    for before in _older(_feedback, "message_id", from_id, into_id):
        executor.execute(delete(_feedback).where(before))
    is_active = _games.c.status == GameStatus.ACTIVE
    for before in _older(_games, "game_type", from_id, into_id, status=GameStatus.ACTIVE):
        over = {"status": GameStatus.ABANDONED, "ended_at": _games.c.updated_at}
        executor.execute(update(_games).where(is_active, before).values(over))
    _join_lists(executor, from_id, into_id)


def _older(table: Table, key: str, from_id: str, into_id: str, **values: Any) -> list[ColumnElement[bool]]:
    """Which rows of the one identity are as old as their like of the other one, and then which of the other one are."""
    return [
        _has_newer(table, key, from_id, into_id, values),
        _has_newer(table, key, into_id, from_id, values),
    ]


def _has_newer(table: Table, key: str, whose: str, other_id: str, values: dict[str, Any]) -> ColumnElement[bool]:
    other = table.alias("other")
    same = [other.c[key] == table.c[key], *(other.c[name] == value for name, value in values.items())]
    newer = exists().where(other.c.user_id == other_id, other.c.updated_at >= table.c.updated_at, *same)
    return and_(table.c.user_id == whose, newer)


def _join_lists(executor: Executor, from_id: str, into_id: str) -> None:
    other = _lists.alias("other")
    pairs = (
        select(_lists.c.id.label("source"), other.c.id.label("target"))
        .join(other, other.c.name_key == _lists.c.name_key)
        .where(_lists.c.user_id == from_id, other.c.user_id == into_id)
    )
    for pair in executor.execute(pairs).mappings().all():
        source, target = pair["source"], pair["target"]
        last = executor.execute(select(func.max(_items.c.position)).where(_items.c.todo_id == target)).scalar() or 0
        behind = {"todo_id": target, "position": _items.c.position + last}
        executor.execute(update(_items).where(_items.c.todo_id == source).values(behind))
        executor.execute(delete(_lists).where(_lists.c.id == source))
