"""`RowSearch`: full-text search over the rows of one table, and the care of its index."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import select

from agent_system.errors import ValidationError
from agent_system.search.hits import Hit, Hits, Place, digest_of
from agent_system.search.snippets import snippet_of
from agent_system.search.text import extra_terms
from agent_system.search.text_search import TextSearch, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.base import Manager
    from agent_system.search.index import TextIndex
    from agent_system.search.text_search import Found

__all__ = ["DEFAULT_HITS", "RowSearch"]

Row = TypeVar("Row")

# Seed 003 recalls five to ten at a time.
DEFAULT_HITS = 10
MODES = ("auto", "text")
BATCH = 1_000


class RowSearch(Generic[Row]):
    """Searches the rows of a manager.

    Args:
        manager: Whose rows.
        db: Its database.
        index: Their full-text index.
    """

    def __init__(self, manager: Manager[Any], db: DatabaseManager, index: TextIndex) -> None:
        self._manager = manager
        self._db = db
        self._index = index

    @cached_property
    def _search(self) -> TextSearch:
        return TextSearch(self._index, self._manager.plans.dialect.name)

    async def hits(
        self,
        text: str,
        condition: Callable[[Executor], ColumnElement[bool]],
        *,
        is_scoped: bool,
        limit: int,
        after: str | None,
        mode: str,
        about: Mapping[str, Any],
    ) -> Hits[Row]:
        """Find one page of rows, the best first.

        Args:
            text: What somebody typed; every text is a query.
            condition: Makes the condition that must hold for a row, in the unit of work.
            is_scoped: Whether an index leads to the rows for which it holds.
            limit: At most so many.
            after: The `next_cursor` of the page before.
            mode: How to search.
            about: The filters, so that a cursor cannot be used with other ones.

        Raises:
            ValidationError: The limit is below 1, the text is none, or the mode is unknown.
            CursorError: The cursor belongs to another search.
        """
        self._check(text, limit, mode)
        digest = digest_of(self._index.name, text, sorted((key, _shown(value)) for key, value in about.items()))
        place = None if after is None else Place.decoded(after, digest, self._index.key.type.python_type)
        manager = self._manager

        def work(executor: Executor) -> tuple[list[Found], Any, bool, list[Any]]:
            wanted = condition(executor)
            found, query, has_more = self._search.page(
                executor, text, wanted, is_scoped=is_scoped, limit=limit, after=place
            )
            keys = [one.key for one in found]
            rows = executor.execute(manager.query().where(self._index.key.in_(keys))).all() if keys else []
            return found, query, has_more, list(rows)

        found, query, has_more, rows = await self._db.read(work)
        names, build = manager.plans.hydrate.keys, manager.plans.hydrate.build
        items = {row.id: row for row in (build(dict(zip(names, row, strict=True))) for row in rows)}
        hits = [self._hit(one, items[one.key], query.terms) for one in found if one.key in items]
        last = Place(found[-1].score, found[-1].key) if has_more else None
        return Hits(hits, None if last is None else last.encoded(digest))

    def _hit(self, found: Found, item: Any, terms: Any) -> Hit[Row]:
        texts = [plain_text(getattr(item, name)) for name in self._index.weights]
        return Hit(
            item=item,
            score=found.score,
            parts={found.side: found.score},
            found_by=(found.side,),
            snippet=snippet_of(texts, terms),
        )

    def _check(self, text: Any, limit: int, mode: str) -> None:
        name = self._manager.store.name
        if not isinstance(text, str):
            message = f"{name}: the text to search for is no text but {type(text).__name__}"
            raise ValidationError(message, field="text", entity=name)
        if limit < 1:
            message = f"limit must be at least 1, not {limit}"
            raise ValidationError(message, field="limit", entity=name)
        if mode not in MODES:
            message = f"mode is one of {', '.join(MODES)}, not {mode!r}"
            raise ValidationError(message, field="mode", entity=name)

    # The index.

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
