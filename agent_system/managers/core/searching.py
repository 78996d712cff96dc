"""`RowSearch`: search over the rows of one table, by words, by vectors or by both, and the care of its index."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property, partial
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sqlalchemy import select

from agent_system.errors import EmbeddingError, ValidationError
from agent_system.managers.core.allowing import MOST_FOUND
from agent_system.managers.core.row_vectors import RowVectors
from agent_system.managers.core.word_search import WordSearch
from agent_system.search.fusion import fused
from agent_system.search.hits import Hit, Hits, Place, digest_of
from agent_system.search.query import parse
from agent_system.search.snippets import snippet_of
from agent_system.search.text import extra_terms
from agent_system.search.text_search import Found, TextSearch, is_plain, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.base import Manager
    from agent_system.search.embedding.embedder import Embedder
    from agent_system.search.index import TextIndex

__all__ = ["DEFAULT_HITS", "Asked", "RowSearch", "Wanted"]

logger = logging.getLogger(__name__)

Row = TypeVar("Row")

# Seed 003 recalls five to ten at a time.
DEFAULT_HITS = 10
MODES = ("auto", "text", "vector", "hybrid")
BATCH = 1_000
# Of the sides whose ranks are fused. Words decide where they find something, and vectors break ties and fill up: with
# 1.0 for both, recall@10 of `scripts/bench search` falls from 0.88 to 0.77, with 0.2 it rises to 0.89.
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType({"text": 1.0, "vector": 0.2})


class Wanted(Protocol):
    """Among which rows somebody searches."""

    @property
    def names_a_scope(self) -> bool:
        """Whether an index leads to the rows that are asked for."""

    def conditions(self, executor: Executor) -> ColumnElement[bool]:
        """What must hold for a row, as a condition on its table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What to look for, and how."""

    text: Any
    """What somebody typed; every text is a query, and anything else is refused."""
    limit: int = DEFAULT_HITS
    """At most so many hits."""
    after: str | None = None
    """The `next_cursor` of the page before."""
    mode: str = "auto"
    """How to search: `text`, `vector`, `hybrid`, or `auto`."""
    weights: Mapping[str, Any] | None = None
    """How much each side counts when their ranks are fused."""
    embedder: Embedder | None = None
    """What makes the vector of the text; None: there are no vectors."""


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
        return TextSearch(self._index, self._manager.plans.dialect.name)

    @cached_property
    def _words(self) -> WordSearch | None:
        return WordSearch(self._search, self._manager.plans.dialect.name) if self._index.has_postings else None

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
        self._check(asked)
        digest = self._digest(asked, about)
        place = None if asked.after is None else Place.decoded(asked.after, digest, self._index.key.type.python_type)
        alike = await self._alike(asked, wanted)
        said = None if self._is_scoped(wanted) else await self._said(asked, wanted)
        manager, key = self._manager, self._index.key

        def work(executor: Executor, *, only_few: bool) -> tuple[list[Found], list[Any], Place | None] | None:
            condition = wanted.conditions(executor)
            found = self._found(executor, asked, (condition, wanted.names_a_scope, only_few), said, alike)
            if found is None:
                return None
            behind = [one for one in found if place is None or place.is_before(one.score, one.key)]
            page = behind[: asked.limit]
            keys = [one.key for one in page]
            # With the condition once more: vectors were looked for a moment ago.
            rows = executor.execute(manager.query().where(key.in_(keys), condition)).all() if keys else []
            return page, list(rows), Place(page[-1].score, page[-1].key) if len(behind) > asked.limit else None

        began = monotonic()
        # Words in memory are asked about a scope when it turns out to be a large one.
        only_few = said is None and self._is_scoped(wanted) and self._can_say(asked)
        outcome = await self._db.read(partial(work, only_few=only_few))
        if outcome is None:
            said = await self._said(asked, wanted)
            outcome = await self._db.read(partial(work, only_few=False)) or ([], [], None)
        found, rows, last = outcome
        if said is None and asked.mode != "vector" and not wanted.names_a_scope and self._words is not None:
            self._words.note(monotonic() - began)
        names, build = manager.plans.hydrate.keys, manager.plans.hydrate.build
        items = {row.id: row for row in (build(dict(zip(names, row, strict=True))) for row in rows)}
        terms = parse(asked.text).terms
        hits = [self._hit(one, items[one.key], terms) for one in found if one.key in items]
        return Hits(hits, None if last is None else last.encoded(digest))

    async def _alike(self, asked: Asked, wanted: Wanted) -> list[tuple[Any, float]] | None:
        """What the vectors find; None when they are not asked."""
        embedder = asked.embedder
        if embedder is None or asked.mode == "text":
            return None
        # Who wants a phrase or leaves out a word wants what has it, not what is like it.
        if asked.mode == "auto" and not is_plain(asked.text, parse(asked.text)):
            return None
        try:
            return await self.vectors.find(embedder, asked.text, wanted.conditions, is_scoped=wanted.names_a_scope)
        except EmbeddingError as exc:
            if asked.mode != "auto":
                raise
            logger.warning("searched %s by words alone: %s", self._index.table_name, exc)
            return None

    def _is_scoped(self, wanted: Wanted) -> bool:
        return wanted.names_a_scope or self._db.is_scoped

    def _can_say(self, asked: Asked) -> bool:
        """Whether words in memory are there to be asked, or it is time to read them."""
        return asked.mode != "vector" and self._words is not None and self._words.can_find(self._db, parse(asked.text))

    async def _said(self, asked: Asked, wanted: Wanted) -> list[Found] | None:
        """What the words find that are in memory; None when the database is to be asked."""
        if self._words is None or not self._can_say(asked):
            return None
        found = await self._words.find(
            self._db, parse(asked.text), wanted.conditions, is_scoped=self._is_scoped(wanted)
        )
        # Of what has no word as it was typed, the database finds the parts of words.
        return found or None

    def _found(
        self,
        executor: Executor,
        asked: Asked,
        wanted: tuple[ColumnElement[bool], bool, bool],
        said: list[Found] | None,
        alike: list[tuple[Any, float]] | None,
    ) -> list[Found] | None:
        if asked.mode == "vector":
            return [Found.by("vector", key, likeness) for key, likeness in alike or ()]
        found = said
        if found is None:
            condition, is_scoped, only_few = wanted
            found = self._search.find(
                executor, asked.text, condition, is_scoped=is_scoped, finds_parts=not alike, only_few=only_few
            )
        if found is None or not alike:
            return found
        sides = {"text": [one.key for one in found], "vector": [key for key, _ in alike]}
        both = fused(sides, asked.weights or DEFAULT_WEIGHTS)
        merged = [Found(key, sum(parts.values()), parts) for key, parts in both.items()]
        return sorted(merged, key=lambda one: (one.score, one.key), reverse=True)[:MOST_FOUND]

    def _hit(self, found: Found, item: Any, terms: Any) -> Hit[Row]:
        texts = [plain_text(getattr(item, name)) for name in self._index.weights]
        return Hit(
            item=item,
            score=found.score,
            parts=found.parts,
            found_by=tuple(found.parts),
            snippet=snippet_of(texts, terms),
        )

    def _digest(self, asked: Asked, about: Mapping[str, Any]) -> str:
        filters = sorted((key, _shown(value)) for key, value in about.items())
        how = [asked.mode, sorted((asked.weights or {}).items()), asked.embedder and asked.embedder.name]
        return digest_of(self._index.name, asked.text, filters, how)

    def _check(self, asked: Asked) -> None:
        name = self._manager.store.name
        if not isinstance(asked.text, str):
            message = f"{name}: the text to search for is no text but {type(asked.text).__name__}"
            raise ValidationError(message, field="text", entity=name)
        if asked.limit < 1:
            message = f"limit must be at least 1, not {asked.limit}"
            raise ValidationError(message, field="limit", entity=name)
        if asked.mode not in MODES:
            message = f"mode is one of {', '.join(MODES)}, not {asked.mode!r}"
            raise ValidationError(message, field="mode", entity=name)
        if asked.mode in {"vector", "hybrid"} and asked.embedder is None:
            message = f"mode {asked.mode} needs an embedder: EntityManager(db, embedder=...), or embedder=... here"
            raise ValidationError(message, field="mode", entity=name)
        for side, weight in (asked.weights or {}).items():
            if side not in DEFAULT_WEIGHTS or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
                message = f"weights are numbers from 0 by side ({', '.join(DEFAULT_WEIGHTS)}), not {side!r}: {weight!r}"
                raise ValidationError(message, field="weights", entity=name)

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


def _shown(value: Any) -> str:
    return repr(list(value) if isinstance(value, (set, frozenset, tuple)) else value)
