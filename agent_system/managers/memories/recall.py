"""Reading memories: the newest, the most recalled, by tags, those worth recalling again, and what they add up to."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import func, select

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.asking import Asked
from agent_system.managers.core.base import Manager
from agent_system.managers.core.searching import RowSearch
from agent_system.managers.memories.duplicates import near_duplicates
from agent_system.managers.memories.filters import MemoryFilter
from agent_system.managers.memories.links import MemoryLinkManager
from agent_system.managers.memories.statistics import read_statistics, read_tags
from agent_system.managers.users.persons import PersonLookup
from agent_system.models import Memory
from agent_system.search.index import MEMORIES
from agent_system.types import MemoryKind

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Select

    from agent_system.database.executor import Executor
    from agent_system.managers.memories.filters import MemoryFilters
    from agent_system.managers.memories.statistics import MemoryStatistics
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.hits import Hits
    from agent_system.types import MemoryLinkType

__all__ = ["MemoryRecall"]

# Seed 003 recalls five to ten at a time.
DEFAULT_LIMIT = 10
MOST_TAGS = 100
MONTH = timedelta(days=30)
# Comparing 5,000 memories of 25 words takes 0.2 s on the reader's thread.
MOST_COMPARED = 5_000
LIKENESS = 0.8


class MemoryRecall(Manager[Memory]):
    """What can be asked of memories.

    Every verb takes the filters of `MemoryFilters`; without any it is about all active memories that have not expired.
    """

    entity = Memory
    embedder: Embedder | None = None
    """What makes the vectors of new texts, and of those that are searched for; None: nothing does."""

    async def recent(self, limit: int = DEFAULT_LIMIT, **filters: Unpack[MemoryFilters]) -> builtins.list[Memory]:
        """Return the newest memories, the newest first."""
        columns = self.plans.columns
        return await self._find(filters, limit, columns["timestamp"].desc(), columns["id"].desc())

    async def most_recalled(
        self, limit: int = DEFAULT_LIMIT, **filters: Unpack[MemoryFilters]
    ) -> builtins.list[Memory]:
        """Return the memories that were recalled most often; those never recalled are left out."""
        columns = self.plans.columns
        count = columns["recall_count"]
        return await self._find(filters, limit, count.desc(), columns["id"].desc(), also=count > 0)

    async def most_important(
        self, limit: int = DEFAULT_LIMIT, **filters: Unpack[MemoryFilters]
    ) -> builtins.list[Memory]:
        """Return the most important memories, of equal ones the newest first."""
        columns = self.plans.columns
        return await self._find(filters, limit, columns["importance"].desc(), columns["id"].desc())

    async def find_by_tags(
        self, tags: Iterable[str], match: str = "all", limit: int = DEFAULT_LIMIT, **filters: Any
    ) -> builtins.list[Memory]:
        """Return the newest memories that have these tags; without tags there are none.

        Args:
            tags: The tags.
            match: `all` of them, or `any`.
            limit: At most so many.
            filters: Which memories, as for the other verbs.

        Raises:
            ValidationError: A filter is unknown, or a tag is no text.
        """
        wanted = list(tags)
        return await self.recent(limit, **{**filters, "tags": wanted, "match_tags": match}) if wanted else []

    async def resurface(
        self, limit: int = DEFAULT_LIMIT, idle: timedelta = MONTH, **filters: Unpack[MemoryFilters]
    ) -> builtins.list[Memory]:
        """Return what matters most of what nobody recalled for long, the longest forgotten first of equal ones.

        Args:
            limit: At most so many.
            idle: Neither made nor recalled in this time.
            filters: Which memories.
        """
        columns = self.plans.columns
        last_used = func.coalesce(columns["last_recalled_at"], columns["timestamp"])
        order = (columns["importance"].desc(), last_used, columns["id"])
        return await self._find(filters, limit, *order, also=last_used < self._clock() - idle)

    async def candidates(self, limit: int = DEFAULT_LIMIT, **filters: Unpack[MemoryFilters]) -> builtins.list[Memory]:
        """Return short-term memories to consolidate: the most important first, then what expires first."""
        columns = self.plans.columns
        expiry = columns["expires_at"]
        order = (columns["importance"].desc(), expiry.is_(None), expiry, columns["id"])
        return await self._find({"kind": MemoryKind.SHORT_TERM, **filters}, limit, *order)

    async def statistics(self, **filters: Unpack[MemoryFilters]) -> MemoryStatistics:
        """Add memories up: how many, how many of the last seven days, how important, from when to when, by kind."""
        wanted, now = self._filter(filters), self._clock()
        return await self._db.read(
            lambda executor: read_statistics(executor, self.plans, wanted.conditions(executor), now)
        )

    async def tag_counts(self, limit: int = MOST_TAGS, **filters: Unpack[MemoryFilters]) -> dict[str, int]:
        """Count the memories of each tag, the most used first."""
        _check_limit(limit)
        wanted = self._filter(filters)
        return await self._db.read(lambda executor: read_tags(executor, self.plans, wanted.conditions(executor), limit))

    async def near_duplicates(
        self, likeness: float = LIKENESS, **filters: Unpack[MemoryFilters]
    ) -> builtins.list[builtins.list[Memory]]:
        """Return groups of memories that say nearly the same, for `merge`; the newest 5,000 memories are compared.

        Args:
            likeness: The share of their words that two have in common, above 0 and up to 1.
            filters: Which memories; name a user, or those of different people are compared.

        Raises:
            ValidationError: The likeness is out of range, or a filter is unknown.
        """
        if not 0 < likeness <= 1:
            message = f"likeness must be above 0 and at most 1, not {likeness!r}"
            raise ValidationError(message, field="likeness", entity="Memory")
        columns = self.plans.columns
        wanted = self._filter(filters)
        texts = select(columns["id"], columns["content"]).order_by(columns["id"].desc()).limit(MOST_COMPARED)

        def work(executor: Executor) -> builtins.list[builtins.list[int]]:
            rows = executor.execute(texts.where(wanted.conditions(executor))).all()
            return near_duplicates({row[0]: row[1] for row in reversed(rows)}, likeness)

        groups = await self._db.read(work)
        found = await self.get_many(id_ for group in groups for id_ in group)
        return [[found[id_] for id_ in group if id_ in found] for group in groups]

    async def linked(
        self,
        id: int,  # noqa: A002
        link_type: MemoryLinkType | str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> builtins.list[Memory]:
        """Return the active memories that are linked with one, in either direction, the closest first.

        Args:
            id: Key of the memory.
            link_type: Only along links of this type.
            limit: At most so many.

        Raises:
            NotFoundError: There is no such memory.
        """
        _check_limit(limit)
        key = self.store.keys.existing(id)["id"]
        near = self._links.neighbours(key, link_type)
        wanted = self._filter({})
        columns = self.plans.columns
        statement = self.query().join(near, near.c.id == columns["id"])
        statement = statement.order_by(near.c.weight.desc(), columns["id"].desc()).limit(limit)

        def work(executor: Executor) -> Any:
            if self.store.get(executor, {"id": key}) is None:
                raise NotFoundError(self.store.name, id)
            return executor.execute(statement.where(wanted.conditions(executor))).all()

        return self._built(await self._db.read(work))

    async def search(
        self,
        text: str,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
        mode: str = "auto",
        *,
        weights: Mapping[str, float] | None = None,
        embedder: Embedder | None = None,
        **filters: Unpack[MemoryFilters],
    ) -> Hits[Memory]:
        """Find memories by their words, their meaning or both, the best first; of equal ones the newest.

        The text may have "phrases", AND, OR, NOT and beginnings* of words (see `search/query.py`); anything else is
        literal, and no text is an error. Case and accents do not matter. When no word is found, parts of words are.

        Args:
            text: What to look for, in somebody's own words.
            limit: At most so many; there are at most 100 on all pages.
            after: The `next_cursor` of the page before.
            mode: `text` for words, `vector` for what is alike, `hybrid` for both, whose ranks are fused; `auto` is
                hybrid where there is an embedder and the text has no phrases and operators, and otherwise text.
            weights: How much `text` and `vector` count in a hybrid search; None: 1.0 and 0.2.
            embedder: In whose model to search; None: the facade's.
            filters: Among which memories; name a user, or those of all are searched.

        Raises:
            ValidationError: A filter or the mode is unknown, the limit is below 1, or there is no embedder.
            CursorError: The cursor belongs to another search.
            EmbeddingError: The embedder failed, and the mode insists on it.
        """
        wanted = self._filter(filters)
        used = embedder if embedder is not None else self.embedder
        asked = Asked(text=text, limit=limit, after=after, mode=mode, weights=weights, embedder=used)
        return await self.index.hits(asked, wanted, filters)

    @cached_property
    def index(self) -> RowSearch[Memory]:
        """The index, for its care: `rebuild`, `optimise`, `find_damage`."""
        return RowSearch(self, self._db, MEMORIES, self._clock)

    async def _find(
        self, filters: Mapping[str, Any], limit: int, *order: Any, also: Any = None
    ) -> builtins.list[Memory]:
        _check_limit(limit)
        wanted = self._filter(filters)
        statement: Select[Any] = self.query().order_by(*order).limit(limit)
        if also is not None:
            statement = statement.where(also)
        return self._built(
            await self._db.read(lambda executor: executor.execute(statement.where(wanted.conditions(executor))).all())
        )

    def _filter(self, filters: Mapping[str, Any]) -> MemoryFilter:
        return MemoryFilter(self.plans, self._persons, filters, self._clock())

    def _built(self, rows: Iterable[Any]) -> builtins.list[Memory]:
        keys, build = self.plans.hydrate.keys, self.plans.hydrate.build
        return [build(dict(zip(keys, row, strict=True))) for row in rows]

    @cached_property
    def _persons(self) -> PersonLookup:
        return PersonLookup(self._db.dialect)

    @cached_property
    def _links(self) -> MemoryLinkManager:
        return MemoryLinkManager(self._db, clock=self._clock)


def _check_limit(limit: int) -> None:
    if limit < 1:
        message = f"limit must be at least 1, not {limit}"
        raise ValidationError(message, field="limit", entity="Memory")
