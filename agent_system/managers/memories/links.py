"""How memories hang together: links that somebody makes, and links between those that share tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, and_, cast, delete, func, insert, literal, or_, select, union_all

from agent_system.database.statements import UnlessThere
from agent_system.managers.core.base import Manager
from agent_system.models import MemoryLink, metadata
from agent_system.types import MemoryLinkType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor

__all__ = ["MemoryLinkManager"]

# A tag that so many memories have tells nothing about two of them, and pairs of them grow with the square.
MOST_WITH_A_TAG = 200


class MemoryLinkManager(Manager[MemoryLink]):
    """The links of memories, as the manager of the memories writes and reads them."""

    entity = MemoryLink

    def by_tags(self, executor: Executor, wanted: ColumnElement[bool], least_shared: int) -> int:
        """Link the memories that share so many tags, and no others, by links of that type; returns how many there are.

        Args:
            wanted: Which memories, as a condition on their table.
        """
        links, memories = self.plans.table, metadata.tables["memories"]
        chosen = select(memories.c.id).where(wanted)
        of_tags = links.c.link_type == MemoryLinkType.SHARED_TAGS
        executor.execute(delete(links).where(of_tags, links.c.source_id.in_(chosen)))
        pairs = self._pairs(chosen, least_shared)
        columns = ["source_id", "target_id", "link_type", "weight"]
        executor.execute(insert(links).from_select(columns, pairs, include_defaults=False).ext(UnlessThere()))
        found = select(func.count()).where(of_tags, links.c.source_id.in_(chosen))
        return int(executor.execute(found).scalar_one())

    def _pairs(self, chosen: Select[Any], least_shared: int) -> Select[Any]:
        """Pairs of memories with the share of their tags that both have; the older one is the source."""
        tags = metadata.tables["memory_tags"]
        ids = chosen.cte("chosen")
        own = select(tags.c.memory_id, tags.c.tag).where(tags.c.memory_id.in_(select(ids.c.id))).cte("own")
        telling = select(own.c.tag).group_by(own.c.tag).having(func.count().between(2, MOST_WITH_A_TAG)).cte("telling")
        sizes = select(own.c.memory_id, func.count().label("size")).group_by(own.c.memory_id).cte("sizes")
        one, other, size, other_size = own.alias("one"), own.alias("other"), sizes.alias(), sizes.alias()
        shared = func.count()
        weight = cast(shared, Float) / (size.c.size + other_size.c.size - shared)
        return (
            select(one.c.memory_id, other.c.memory_id, literal(MemoryLinkType.SHARED_TAGS.value), weight)
            .join_from(one, other, and_(one.c.tag == other.c.tag, one.c.memory_id < other.c.memory_id))
            .join(size, size.c.memory_id == one.c.memory_id)
            .join(other_size, other_size.c.memory_id == other.c.memory_id)
            .where(one.c.tag.in_(select(telling.c.tag)))
            .group_by(one.c.memory_id, other.c.memory_id, size.c.size, other_size.c.size)
            .having(shared >= least_shared)
        )

    def take_over(self, executor: Executor, sources: Sequence[int], successor: int) -> None:
        """Give a memory the links that others have, but for those among them."""
        links = self.plans.table
        ends = ((links.c.source_id, links.c.target_id), (links.c.target_id, links.c.source_id))
        for own, other in ends:
            new = {own.name: literal(successor), other.name: other}
            taken = (
                select(new["source_id"], new["target_id"], links.c.link_type, func.max(links.c.weight))
                .where(own.in_(sources), other.not_in([*sources, successor]))
                .group_by(other, links.c.link_type)
            )
            columns = ["source_id", "target_id", "link_type", "weight"]
            executor.execute(insert(links).from_select(columns, taken, include_defaults=False).ext(UnlessThere()))

    def neighbours(self, id_: int, link_type: MemoryLinkType | str | None) -> Any:
        """The memories at the other ends of one's links, each with the weight of the closest link, as a subquery."""
        links = self.plans.table
        of_type = [] if link_type is None else [links.c.link_type == link_type]
        ends = union_all(
            select(links.c.target_id.label("id"), links.c.weight).where(links.c.source_id == id_, *of_type),
            select(links.c.source_id.label("id"), links.c.weight).where(links.c.target_id == id_, *of_type),
        ).subquery()
        return select(ends.c.id, func.max(ends.c.weight).label("weight")).group_by(ends.c.id).subquery()

    def between(self, one: int, other: int, link_type: MemoryLinkType | str | None) -> ColumnElement[bool]:
        """The condition on links that they are between two memories, in either direction."""
        links = self.plans.table
        ends = or_(
            and_(links.c.source_id == one, links.c.target_id == other),
            and_(links.c.source_id == other, links.c.target_id == one),
        )
        return ends if link_type is None else and_(ends, links.c.link_type == link_type)
