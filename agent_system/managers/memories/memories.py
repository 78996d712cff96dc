"""Memories: what agents remember about people, places and projects."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from sqlalchemy import Integer, bindparam, delete, update

from agent_system.database.plans import compile_plan
from agent_system.errors import DuplicateKeyError, ValidationError
from agent_system.managers.core.json_edits import with_items, without_items
from agent_system.managers.core.store import differing
from agent_system.managers.memories.consolidation import Consolidation
from agent_system.managers.memories.recall import MONTH, MemoryRecall
from agent_system.managers.memories.upkeep import fade_some, sweep_some
from agent_system.managers.memories.writing import MemoryWriter, clean_tags, normalise
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.managers.users.persons import identity_id
from agent_system.models.columns import UtcDateTime
from agent_system.types import MemoryKind, MemoryLinkType, MemoryStatus

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from agent_system.database.executor import Executor, Work
    from agent_system.database.plans import Plan
    from agent_system.managers.memories.filters import MemoryFilters
    from agent_system.models import Memory, MemoryLink

__all__ = ["MemoryManager"]

T = TypeVar("T")

# What seed 004 promotes, whose importance goes from 0 to 1, at 0.8.
WORTH_KEEPING = 8
# How many rows one transaction of the upkeep writes, so that others have their turn in between.
BATCH = 1_000


class MemoryManager(MemoryRecall):
    """Memories: what agents remember about people, places and projects.

    Within one scope (user, guild, channel, agent, project; of a short-term memory also the session) one content is
    remembered once. Somebody who was not seen before gets an identity in the same transaction.

    Example:
        >>> memory = await em.memories.remember("discord:7", "Likes pizza with olives", tags=["food"], importance=7)
        >>> await em.memories.recalled([memory.id])
        >>> await em.memories.recent(user_id="discord:7", tags=["food"])
    """

    kept = frozenset({"content_hash", "scope_key", "extra_terms"})
    made_along = frozenset({"user_id"})

    # What every write goes through.

    def normalise(self, values: dict[str, Any]) -> None:
        """Take blanks and repetitions out of the tags."""
        normalise(values)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Fill in the digests."""
        self._writer.digest(values)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """Write the memory, and before it the identity whose it is."""
        return self._writer.owned(values, super().insertion(values, audit=audit))

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let the digests follow the change."""
        self._writer.follow(executor, before, changes)

    async def run(self, work: Work[T], values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()) -> T:
        """See `Manager.run`."""
        try:
            return await self.index.vectors.run(super().run, work, values, self.embedder)
        except DuplicateKeyError as exc:
            if "content_hash" not in exc.fields:
                raise
            message = "memories.content: an active memory of this scope says the same; nothing was written"
            raise DuplicateKeyError(
                message, table=exc.table, constraint="uq_memories_content", fields=("content",)
            ) from exc

    # Remembering.

    async def remember(self, user_id: str | UUID | None, content: str, **values: Any) -> Memory:
        """Write a memory, or strengthen the active one that says the same in the same scope, and return it.

        Strengthened, it has the tags of both, the higher importance, and the longer time to live.

        Args:
            user_id: Whose memory: the id of an identity, or the key of a user; None: nobody's own.
            content: What is remembered.
            values: Other columns, such as importance (1 to 10), tags, context, guild_id, agent_id, kind, expires_at.

        Raises:
            ValidationError: A value was refused; the error names the field.
            IntegrityError: Something that it refers to is not there.
        """
        owner = None if user_id is None else identity_id(user_id)
        data = {**values, "user_id": owner, "content": content}
        # A scope has its say about every column.
        work = None if self._db.is_scoped else self._writer.remember_plain(data)
        work = work or self._writer.remember(self.new_values({"timestamp": self._clock(), **data}))
        await self._writer.write(work, self.run_racing)
        return self.plans.hydrate.adopt(work.row)

    async def recalled(self, ids: Iterable[int]) -> int:
        """Count that these memories were recalled just now; returns how many there were of them.

        Being recalled changes neither `updated_at` nor `version`.
        """
        now = self._clock()
        # In the order of the keys, so that two who recall the same ones do not wait for each other.
        keys = sorted({key["id"] for one in ids if (key := self.store.keys.possible(one)) is not None})
        plan = self._recalled_plan
        rows = [plan.encode({"id": key, "now": now}) for key in keys]
        return await self.run(lambda executor: sum(executor.change(plan, row) for row in rows)) if rows else 0

    async def add_tags(self, id: int, *tags: str) -> Memory:  # noqa: A002
        """Give a memory tags; one that it has already stays as it is.

        Raises:
            NotFoundError: There is no such memory.
        """
        new = clean_tags(_texts(tags))
        return await self.revise(id, lambda row: differing(row, tags=with_items(row, "tags", new)))

    async def remove_tags(self, id: int, *tags: str) -> Memory:  # noqa: A002
        """Take tags from a memory; one that it does not have is no error.

        Raises:
            NotFoundError: There is no such memory.
        """
        old = clean_tags(_texts(tags))
        return await self.revise(id, lambda row: differing(row, tags=without_items(row, "tags", old)))

    async def pin(self, id: int) -> Memory:  # noqa: A002
        """Keep a memory from fading, and from expiring if it was to expire.

        Raises:
            NotFoundError: There is no such memory.
        """
        return await self.revise(id, lambda row: differing(row, pinned=True, expires_at=None))

    async def unpin(self, id: int) -> Memory:  # noqa: A002
        """Let a memory fade like others.

        Raises:
            NotFoundError: There is no such memory.
        """
        return await self.revise(id, lambda row: differing(row, pinned=False))

    async def archive(self, id: int) -> Memory:  # noqa: A002
        """Put a memory away; no verb recalls it unless it is asked for the status.

        Raises:
            NotFoundError: There is no such memory.
        """
        return await self.revise(id, lambda row: differing(row, status=MemoryStatus.ARCHIVED))

    async def restore(self, id: int) -> Memory:  # noqa: A002
        """Make a memory active again that was archived, or consolidated into another one.

        Raises:
            NotFoundError: There is no such memory.
            DuplicateKeyError: Another active memory says the same by now.
        """
        active = {"status": MemoryStatus.ACTIVE, "consolidated_into": None}
        return await self.revise(id, lambda row: differing(row, **active))

    # Consolidating.

    async def merge(self, ids: Iterable[int], content: str | None = None, **values: Any) -> Memory:
        """Make one long-term memory of several of one scope and return it; nothing of them gets lost.

        It has all their texts, tags, contexts and links, the highest importance and the sum of their recalls. They stay
        as rows, marked as consolidated into it.

        Args:
            ids: The memories.
            content: What it says; None joins their texts, without repeating one that another one contains.
            values: Columns that it is to have instead of what follows from them.

        Raises:
            NotFoundError: One of them is not there; nothing was changed.
            ConflictError: One of them is not active; nothing was changed.
            ValidationError: They belong to different scopes, or a value was refused; nothing was changed.
        """
        return self.plans.hydrate.build(await self.run_racing(self._consolidation.fold(ids, content, values)))

    async def summarise(self, ids: Iterable[int], summary: str, **values: Any) -> Memory:
        """Make one long-term memory of several that says what a summary says; see `merge`."""
        return await self.merge(ids, summary, **{"category": "summary", **values})

    async def promote(
        self, least_importance: int = WORTH_KEEPING, limit: int = BATCH, **filters: Unpack[MemoryFilters]
    ) -> builtins.list[Memory]:
        """Make the short-term memories that matter long-term ones and return those; they expire no more.

        One that says what a long-term memory says already becomes a part of it.

        Args:
            least_importance: From this importance on, 1 to 10.
            limit: At most so many.
            filters: Which short-term memories.
        """
        given: MemoryFilters = {**filters, "kind": MemoryKind.SHORT_TERM, "min_importance": least_importance}
        rows = await self.candidates(limit, **given)
        wanted = self._filter(given)

        def work(executor: Executor) -> builtins.list[dict[str, Any]]:
            column = self.plans.columns["id"]
            ids = column.in_([row.id for row in rows])
            still = self.query().with_only_columns(column).where(ids, wanted.conditions(executor)).order_by(column)
            keys = executor.execute(still.with_for_update()).scalars().all()
            found = [self.store.get(executor, {"id": key}, lock=True) for key in keys]
            made = [self._consolidation.promote(executor, row, self.check_change) for row in found if row is not None]
            return list({row["id"]: row for row in made}.values())

        if not rows:
            return []
        return [self.plans.hydrate.build(row) for row in await self.run_racing(work)]

    async def sweep(self, batch: int = BATCH) -> int:
        """Delete all expired memories with their vectors, tags, links and places in the index; returns how many.

        Args:
            batch: How many are deleted in one transaction.
        """
        total = 0
        while True:
            now = self._clock()
            swept = await self.run(lambda executor: sweep_some(executor, self.plans.table, now, batch))  # noqa: B023
            total += swept
            if swept < batch:
                return total

    async def fade(self, idle: timedelta = MONTH, batch: int = BATCH, **filters: Unpack[MemoryFilters]) -> int:
        """Lower the importance of memories that nobody recalled for long by one, never below 1; returns how many.

        A pinned memory does not fade, and none fades twice in the same time.

        Args:
            idle: Neither made, recalled nor faded in this time.
            batch: How many are changed in one transaction.
            filters: Which memories.
        """
        now = self._clock()
        wanted = self._filter(filters)
        total = 0
        while True:
            faded = await self.run(
                lambda executor: fade_some(
                    executor, self.plans.table, wanted.conditions(executor), now, now - idle, batch
                )
            )
            total += faded
            if faded < batch:
                return total

    # Linking.

    async def link(
        self,
        source_id: int,
        target_id: int,
        link_type: MemoryLinkType | str = MemoryLinkType.RELATED,
        weight: float = 1.0,
        **values: Any,
    ) -> MemoryLink:
        """Link two memories, or change the link of this type that they have.

        Args:
            source_id: Where the link begins.
            target_id: Where it ends.
            link_type: What the one is to the other.
            weight: How close they are, 0 to 1.
            values: Other columns of the link.

        Raises:
            ValidationError: A value was refused.
            ForeignKeyError: One of the memories is not there.
        """
        ends = {"source_id": source_id, "target_id": target_id, "link_type": link_type}
        return await self._links.upsert({**values, **ends, "weight": weight}, on=tuple(ends))

    async def unlink(self, one_id: int, other_id: int, link_type: MemoryLinkType | str | None = None) -> int:
        """Remove the links between two memories, in both directions; returns how many there were.

        Args:
            one_id: One memory.
            other_id: The other one.
            link_type: Only links of this type.
        """
        between = self._links.between(one_id, other_id, link_type)
        statement = delete(self._links.plans.table).where(between)
        return await self.run(lambda executor: executor.execute(statement).rowcount)

    async def link_by_tags(self, least_shared: int = 2, **filters: Unpack[MemoryFilters]) -> int:
        """Link memories that share tags, anew; returns how many such links there are then.

        A link's weight is the share of their tags that both have. A tag of more than 200 of these memories tells
        nothing and is passed over.

        Args:
            least_shared: How many tags two must have in common.
            filters: Among which memories; name a user, or those of different people are linked.
        """
        wanted = self._filter(filters)
        return await self.run(lambda executor: self._links.by_tags(executor, wanted.conditions(executor), least_shared))

    @cached_property
    def _writer(self) -> MemoryWriter:
        return MemoryWriter(self.store, identity_writer(self._db.dialect, self._clock), self._clock)

    @cached_property
    def _consolidation(self) -> Consolidation:
        return Consolidation(self.store, self._writer, self._links, self.new_values, self._clock)

    @cached_property
    def _recalled_plan(self) -> Plan:
        columns = self.plans.columns
        statement = update(self.plans.table).where(columns["id"] == bindparam("id", type_=Integer()))
        moment = bindparam("now", type_=UtcDateTime())
        statement = statement.values(
            recall_count=columns["recall_count"] + 1, last_recalled_at=moment, updated_at=columns["updated_at"]
        )
        plan = compile_plan(statement, self.plans.dialect)
        return replace(plan, key_position=plan.parameters.index("id"))


def _texts(tags: Iterable[Any]) -> Iterable[str]:
    for tag in tags:
        if not isinstance(tag, str):
            message = f"memories.tags: {tag!r} is no text"
            raise ValidationError(message, field="tags", entity="Memory")
        yield tag
