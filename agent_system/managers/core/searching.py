"""`RowSearch`: search over the rows of one table, by words, by vectors or by both, and the care of its index."""

from __future__ import annotations

import logging
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from sqlalchemy import select

from agent_system.errors import EmbeddingError
from agent_system.managers.core.allowing import MOST_FOUND
from agent_system.managers.core.quick_search import QuickSearch
from agent_system.managers.core.reranking import RERANKED, Reranking
from agent_system.managers.core.row_vectors import RowVectors
from agent_system.managers.core.word_search import WordSearch
from agent_system.search.fusion import fused
from agent_system.search.hits import Hit, Hits, Place, digest_of
from agent_system.search.text import extra_terms, plain_text
from agent_system.search.text_search import Found, TextSearch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.asking import Asked, Wanted
    from agent_system.managers.core.base import Manager
    from agent_system.search.index import TextIndex
    from agent_system.search.query import Term

__all__ = ["RowSearch"]

logger = logging.getLogger(__name__)

Row = TypeVar("Row")

Outcome: TypeAlias = "tuple[list[Found], dict[Any, Row]]"

BATCH = 1_000


class RowSearch(Generic[Row]):
    """Searches the rows of a manager.

    Args:
        manager: Whose rows.
        db: Its database.
        index: Their full-text index.
        clock: Where the time of new vectors comes from.
    """

    def __init__(
        self, manager: Manager[Any], db: DatabaseManager, index: TextIndex, clock: Callable[[], datetime]
    ) -> None:
        self._clock = clock
        self._manager = manager
        self._db = db
        self._index = index

    @cached_property
    def _search(self) -> TextSearch:
        name = self._manager.plans.dialect.name
        return self._db.shared.get(("text", self._index.name), lambda: TextSearch(self._index, name))

    @cached_property
    def _words(self) -> WordSearch | None:
        if not self._index.has_postings:
            return None
        name, search = self._manager.plans.dialect.name, self._search
        return self._db.shared.get(("words", self._index.name), lambda: WordSearch(search, name))

    @cached_property
    def _quick(self) -> QuickSearch[Row] | None:
        words, plans = self._words, self._manager.plans
        if words is None:
            return None
        return self._db.shared.get(
            ("quick", self._index.name), lambda: QuickSearch(plans, words, self._index.vectors_by)
        )

    @cached_property
    def _reranking(self) -> Reranking:
        rows, dialect = self.vectors.rows, self._manager.plans.dialect
        return self._db.shared.get(("reranking", self._index.name), lambda: Reranking(rows, dialect))

    @cached_property
    def vectors(self) -> RowVectors:
        """The vectors of the rows."""
        return RowVectors(self._manager, self._db, self._index, self._clock)

    async def hits(self, asked: Asked, wanted: Wanted, about: Mapping[str, Any]) -> Hits[Row]:
        """Find one page of rows, the best first.

        Args:
            asked: What to look for, and how.
            wanted: Among which rows.
            about: The filters, so that a cursor cannot be used with other ones.

        Raises:
            ValidationError: The limit is below 1, the text is none, the mode is unknown or there is no embedder for it.
            CursorError: The cursor belongs to another search.
            EmbeddingError: The embedder that the mode insists on failed.
        """
        asked.check(self._manager.store.name)
        shown = asked.shown(self._index.name, about)
        place: Place | None = None
        if asked.after is not None:
            place = Place.decoded(asked.after, digest_of(*shown), self._index.key.type.python_type)
        found, rows = await self._quickly(asked, wanted, place) or await self._slowly(asked, wanted, place)
        page = found[: asked.limit]
        terms, names = asked.query.terms, self._index.names
        hits = [_hit(one, rows[one.key], names, terms) for one in page if one.key in rows]
        if len(found) <= asked.limit:
            return Hits(hits)
        last = Place(page[-1].score, page[-1].key)
        return Hits(hits, lambda: last.encoded(digest_of(*shown)))

    # Both ways give what was found behind a place, and the rows of a page of it.

    async def _quickly(self, asked: Asked, wanted: Wanted, place: Place | None) -> Outcome[Row] | None:
        """Ask the words in memory; None when these find nothing, or cannot tell."""
        quick, query = self._quick, asked.query
        if quick is None:
            return None
        if asked.mode == "vector":
            best = await self._alike(asked, wanted, (), _enough(asked, place))
            alike = [Found.by("vector", *one) for one in best or ()]
            return await self._page(quick, wanted, asked.limit, _behind(place, alike))
        if place is None and asked.limit < MOST_FOUND and not asked.asks_vectors:
            outcome = await quick.first_page(self._db, query, wanted, asked.limit)
            # Of what has no word as it was typed, the database finds the parts of words.
            return outcome if outcome is not None and outcome[0] else None
        # What vectors decide among comes first, so that the first page needs no more.
        is_short = place is None and asked.limit < RERANKED and asked.words_lead(RERANKED)
        said = await quick.found(self._db, query, wanted, RERANKED if is_short else MOST_FOUND)
        if not said:
            return None
        found = self._fused(asked, said, await self._alike(asked, wanted, said))
        return await self._page(quick, wanted, asked.limit, _behind(place, found))

    async def _page(
        self, quick: QuickSearch[Row], wanted: Wanted, limit: int, found: list[Found]
    ) -> Outcome[Row] | None:
        rows = await quick.rows(self._db, wanted, [one.key for one in found[:limit]])
        return None if rows is None else (found, rows)

    async def _slowly(self, asked: Asked, wanted: Wanted, place: Place | None) -> Outcome[Row]:
        """Ask the database."""
        alike = await self._alike(asked, wanted, (), _enough(asked, place))
        manager, key = self._manager, self._index.key

        def work(executor: Executor) -> tuple[list[Found], list[Any]]:
            condition = wanted.conditions(executor)
            found = _behind(place, self._found(executor, asked, condition, alike, is_scoped=wanted.names_a_scope))
            keys = [one.key for one in found[: asked.limit]]
            # With the condition once more: vectors were looked for a moment ago.
            rows = executor.execute(manager.query().where(key.in_(keys), condition)).all() if keys else []
            return found, list(rows)

        began = monotonic()
        found, rows = await self._db.read(work)
        if asked.mode != "vector" and not wanted.names_a_scope and self._words is not None:
            self._words.note(monotonic() - began)
        names, build = manager.plans.hydrate.keys, manager.plans.hydrate.build
        items = (build(dict(zip(names, row, strict=True))) for row in rows)
        return found, {item.id: item for item in items}

    async def _alike(
        self, asked: Asked, wanted: Wanted, said: Sequence[Found], enough: int = MOST_FOUND
    ) -> list[tuple[Any, float]] | None:
        """What the vectors find, so many at least where there are; None when they are not asked."""
        embedder = asked.embedder
        if embedder is None or not asked.asks_vectors:
            return None
        try:
            if len(said) >= RERANKED and asked.words_lead(RERANKED):
                best = [one.key for one in said[:RERANKED]]
                return await self._reranking.alike(self._db, embedder, asked.text, best)
            owners = None if self._quick is None else await self._quick.owners(self._db, wanted)
            return await self.vectors.find(embedder, asked.text, wanted, owners, enough)
        except EmbeddingError as exc:
            if asked.mode != "auto":
                raise
            logger.warning("searched %s by words alone: %s", self._index.table_name, exc)
            return None

    def _found(
        self,
        executor: Executor,
        asked: Asked,
        condition: ColumnElement[bool],
        alike: list[tuple[Any, float]] | None,
        *,
        is_scoped: bool,
    ) -> list[Found]:
        if asked.mode == "vector":
            return [Found.by("vector", key, likeness) for key, likeness in alike or ()]
        found = self._search.find(executor, asked.text, condition, is_scoped=is_scoped, finds_parts=not alike)
        return self._fused(asked, found, alike)

    def _fused(self, asked: Asked, said: list[Found], alike: list[tuple[Any, float]] | None) -> list[Found]:
        if not alike:
            return said
        sides = {"text": [one.key for one in said], "vector": [key for key, _ in alike]}
        both = fused(sides, asked.used_weights)
        merged = [Found(key, sum(parts.values()), parts) for key, parts in both.items()]
        return sorted(merged, key=lambda one: (one.score, one.key), reverse=True)[:MOST_FOUND]

    # The index.

    async def warm(self) -> None:
        """Read the words of all rows into memory now, which a search otherwise does when it has become worth it.

        Where that takes more than the setting `search_memory_mib` allows, nothing is, and searches ask the database.
        """
        if self._words is not None:
            await self._words.warm(self._db)

    @property
    def used_bytes(self) -> int:
        """How much memory words and vectors take that are kept in it."""
        return self.vectors.size_bytes + (0 if self._words is None else self._words.used_bytes)

    async def rebuild(self) -> int:
        """Make the index anew from the texts, with the words that the database does not find in them by itself.

        Returns how many rows other programs had written without those words. Nobody else writes in the meantime.
        """
        completed = 0
        behind: Any = None
        while True:
            last, count = await self._manager.run(lambda executor: self._complete(executor, behind))  # noqa: B023
            completed += count
            if last is None:
                break
            behind = last
        await self._manager.run(self._search.backend.rebuild)
        return completed

    async def optimise(self) -> None:
        """Make the index small and fast, and let go of what is left in it of deleted texts."""
        await self._manager.run(self._search.backend.optimise)

    async def find_damage(self) -> str | None:
        """Compare the index with the texts; None when they agree, otherwise what is wrong."""
        return await self._manager.run(self._search.backend.find_damage)

    def _complete(self, executor: Executor, behind: Any) -> tuple[Any, int]:
        """Add the words that are missing to some rows; returns the last key, None at the end, and how many had none."""
        key, columns = self._index.key, self._index.columns
        statement = select(key, *columns).where(self._index.table.c.extra_terms.is_(None)).order_by(key).limit(BATCH)
        rows = executor.execute(statement if behind is None else statement.where(key > behind)).all()
        words = {row[0]: extra_terms(*map(plain_text, row[1:])) for row in rows}
        missing = {row_key: extra for row_key, extra in words.items() if extra is not None}
        table = self._index.table
        for row_key, extra in missing.items():
            # Not a change of the row: neither its version nor its date.
            kept = {"extra_terms": extra, "updated_at": table.c.updated_at}
            executor.execute(table.update().where(key == row_key).values(kept))
        return (rows[-1][0] if len(rows) == BATCH else None), len(missing)


def _hit(found: Found, item: Row, names: Sequence[str], terms: Sequence[Term]) -> Hit[Row]:
    by = tuple(found.parts)
    return Hit(item=item, score=found.score, parts=found.parts, found_by=by, searched=names, terms=terms)


def _enough(asked: Asked, place: Place | None) -> int:
    """How many of the rows that vectors find are needed: for a first page one more, which tells that there are more."""
    is_first_page = asked.mode == "vector" and place is None and asked.limit < MOST_FOUND
    return asked.limit + 1 if is_first_page else MOST_FOUND


def _behind(place: Place | None, found: list[Found]) -> list[Found]:
    return found if place is None else [one for one in found if place.is_before(one.score, one.key)]
