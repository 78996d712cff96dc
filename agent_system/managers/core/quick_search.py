"""`QuickSearch`: a search by words in memory that reads nothing but the rows of a page, and those on the loop's thread.

Of a scope the keys are read first, and what of it fits best is looked up in memory. Of a whole table memory tells what
fits best whatever the filters say, and the rows are asked for from the best one on until the filters have let enough of
them through.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent_system.managers.core.allowing import GROWTH, MOST_FOUND, first_of
from agent_system.managers.core.search_reads import MOST_AT_ONCE, SearchReads
from agent_system.search.text_search import MOST_OF_SCOPE, Found

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import TablePlans
    from agent_system.managers.core.allowing import Best
    from agent_system.managers.core.asking import Wanted
    from agent_system.managers.core.condition_plans import Bound
    from agent_system.managers.core.vector_search import Owners
    from agent_system.managers.core.word_search import WordSearch
    from agent_system.search.query import Query

__all__ = ["QuickSearch"]

Row = TypeVar("Row")

# Of a whole table so many are looked for first.
LOOKED_AT = 16


class QuickSearch(Generic[Row]):
    """Searches one table whose words are in memory.

    Args:
        plans: The table's.
        words: Its words.
        vectors_by: The column of `embeddings` that leads to a row.
    """

    def __init__(self, plans: TablePlans[Row], words: WordSearch, vectors_by: str) -> None:
        self.reads: SearchReads[Row] = SearchReads(plans, vectors_by)
        self._words = words

    async def first_page(
        self, db: DatabaseManager, query: Query, wanted: Wanted, limit: int
    ) -> tuple[list[Found], dict[Any, Row]] | None:
        """The best rows, one more than the limit when there are more; None when memory cannot tell.

        Args:
            db: The database, which may be bound to a scope.
            query: What to look for.
            wanted: Among which rows.
            limit: At most so many, below 100.

        Returns:
            What was found, the best first, and the rows of the first so many by their keys.
        """
        words = self._words.words_of(db, query)
        if words and (wanted.names_a_scope or db.is_scoped):
            own = await self._of_scope(db, words, wanted, limit + 1)
            if own is None:
                return None
            its, found = own
            return found, await self.reads.rows(db, its, [one.key for one in found[:limit]])
        bound = await self.reads.bound(db, wanted) if words else None
        if bound is None:
            return None
        stored: dict[Any, Any] = {}

        async def read(keys: list[Any]) -> Collection[Any]:
            stored.update(await self.reads.stored(db, bound, keys))
            return stored

        best = await self._of_all(db, words, limit + 1, read)
        if best is None:
            return None
        hydrate = self.reads.hydrate
        return best, {one.key: hydrate(stored[one.key]) for one in best[:limit]}

    async def found(
        self, db: DatabaseManager, query: Query, wanted: Wanted, enough: int = MOST_FOUND
    ) -> list[Found] | None:
        """The best rows, the best first, so many at least where there are; None when memory cannot tell."""
        words = self._words.words_of(db, query)
        if words and (wanted.names_a_scope or db.is_scoped):
            own = await self._of_scope(db, words, wanted, enough)
            return None if own is None else own[1]
        bound = await self.reads.bound(db, wanted) if words else None
        if bound is None:
            return None
        return await self._of_all(db, words, enough, lambda keys: self.reads.allowed(db, bound, keys))

    async def rows(self, db: DatabaseManager, wanted: Wanted, keys: list[Any]) -> dict[Any, Row] | None:
        """The rows of some keys that are wanted, by key; None when there is no plan for it."""
        bound = await self.reads.bound(db, wanted)
        return None if bound is None else await self.reads.rows(db, bound, keys)

    async def owners(self, db: DatabaseManager, wanted: Wanted) -> Owners | None:
        """What finds the rows that are wanted by the numbers of vectors; None when there is no plan for it."""
        bound = await self.reads.bound(db, wanted)
        return None if bound is None else partial(self.reads.owners, db, bound)

    async def _of_scope(
        self, db: DatabaseManager, words: list[str], wanted: Wanted, count: int
    ) -> tuple[Bound, list[Found]] | None:
        """The condition for the rows of a scope, and the best of them, at most so many."""
        own = await self.reads.own(db, wanted, MOST_OF_SCOPE)
        if own is None:
            return None
        bound, keys = own
        best = await self._words.best_among(db, words, keys, count)
        return None if best is None else (bound, [Found.by("text", *one) for one in zip(*best, strict=True)])

    async def _of_all(
        self,
        db: DatabaseManager,
        words: list[str],
        enough: int,
        read: Callable[[list[Any]], Awaitable[Collection[Any]]],
    ) -> list[Found] | None:
        """The best rows that `read` lets through, so many of them."""
        found: dict[Any, float] = {}
        done, count = 0, max(LOOKED_AT, first_of(enough))
        while True:
            best: Best | None = await self._words.best(db, words, count)
            if best is None:
                return None
            keys, scores = best
            while done < len(keys) and len(found) < enough:
                missing = enough - len(found)
                # At first as many as are needed; whoever has filters that let few through needs many more.
                end = done + min(missing if done == 0 else missing + done, MOST_AT_ONCE)
                allowed = await read(keys[done:end])
                found |= {
                    key: score for key, score in zip(keys[done:end], scores[done:end], strict=True) if key in allowed
                }
                done = min(end, len(keys))
            if len(found) >= enough or len(keys) < count:
                return [Found.by("text", *one) for one in found.items()][:enough]
            count *= GROWTH
