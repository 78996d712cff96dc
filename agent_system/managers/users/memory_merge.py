"""Merging the memories of two identities: whose a memory is, is a part of the digest by which it is written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select, update

from agent_system.managers.memories.digests import DIGESTED, scope_key
from agent_system.models import metadata
from agent_system.types import MemoryStatus

if TYPE_CHECKING:
    from agent_system.database.executor import Executor

__all__ = ["move_memories"]

_memories = metadata.tables["memories"]
_others = _memories.alias("others")
# All but the content, which does not say whose it is.
SCOPE = tuple(sorted(DIGESTED - {"content", "user_id"}))


def move_memories(executor: Executor, from_id: str, into_id: str) -> int:
    """Give the memories of one identity to another one; returns how many they were.

    What both remember stays once: the memory that moves becomes a part of the one that is there. It takes two
    statements for each place (guild, channel, agent, project, session) that the memories belong to.
    """
    columns = [_memories.c[name] for name in SCOPE]
    places = executor.execute(select(*columns).where(_memories.c.user_id == from_id).distinct()).all()
    moved = 0
    for place in places:
        values = dict(zip(SCOPE, place, strict=True))
        at = [column.is_(None) if values[column.name] is None else column == values[column.name] for column in columns]
        here = and_(_memories.c.user_id == from_id, *at)
        key = scope_key({**values, "user_id": into_id})
        _consolidate(executor, here, key, values["kind"])
        moved += executor.execute(update(_memories).where(here).values(user_id=into_id, scope_key=key)).rowcount
    return moved


def _consolidate(executor: Executor, here: Any, key: str, kind: Any) -> None:
    """Make those that say what an active memory of the other one says a part of it."""
    same = (
        select(_others.c.id)
        .where(
            _others.c.scope_key == key,
            _others.c.kind == kind,
            _others.c.status == MemoryStatus.ACTIVE,
            _others.c.content_hash == _memories.c.content_hash,
        )
        .correlate(_memories)
        .limit(1)
        .scalar_subquery()
    )
    said_twice = and_(here, _memories.c.status == MemoryStatus.ACTIVE, same.is_not(None))
    values = {"status": MemoryStatus.CONSOLIDATED, "consolidated_into": same}
    executor.execute(update(_memories).where(said_twice).values(values))
