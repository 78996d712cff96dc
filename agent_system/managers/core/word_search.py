"""`WordSearch`: the rows of a large table that fit words best, from postings in memory.

They are read when they are worth it: when searches have waited for the database about as long as reading all texts
takes, so that a program that searches once waits for nothing else, and one that goes on never pays more than twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.core.following import Follower
from agent_system.search.change_log import change_log
from agent_system.search.postings import Postings
from agent_system.search.text import plain_text
from agent_system.search.text_search import MOST_RANKED_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.allowing import Best
    from agent_system.search.index import TextIndex
    from agent_system.search.query import Query
    from agent_system.search.text_search import TextSearch

__all__ = ["WordSearch"]

# Reading a text of 50 words and cutting it up takes 25 µs.
SECONDS_OF_ROW = 25e-6
# Of fewer rows the database's own index finds as fast.
LEAST_ROWS = 2_000
# What a row of 60 different words takes; an estimate, before they are read.
BYTES_OF_ROW = 500
PART = 2_000
ON_LOOP = 20
# Adding up so many postings takes about a millisecond; so does looking up the words of so many rows.
QUICK = 100_000
QUICK_SCOPE = 5_000


class _Texts:
    """What postings are made of."""

    part, on_loop = PART, ON_LOOP

    def __init__(self, index: TextIndex) -> None:
        self._index = index

    def size_bytes(self, executor: Executor) -> int:
        counted = select(func.count()).select_from(self._index.table)
        return int(executor.execute(counted).scalar_one()) * BYTES_OF_ROW

    def empty(self) -> Postings:
        return Postings(list(self._index.weights.values()), MOST_RANKED_CHARACTERS)

    def read(self, executor: Executor, behind: int, among: Sequence[int] | None) -> list[Any]:
        key = self._index.key
        statement = select(key, *self._index.columns).order_by(key)
        part = statement.where(key > behind).limit(self.part) if among is None else statement.where(key.in_(among))
        return list(executor.execute(part).all())

    def put(self, index: Postings, rows: Sequence[Any]) -> None:
        index.put([row[0] for row in rows], [[plain_text(value) for value in row[1:]] for row in rows])

    def remove(self, index: Postings, numbers: AbstractSet[int]) -> None:
        index.remove(numbers)


class WordSearch:
    """Searches the words of one table whose keys are numbers.

    Args:
        search: The search by the database's own index.
        engine: The name of SQLAlchemy's dialect.
    """

    def __init__(self, search: TextSearch, engine: str) -> None:
        self._search = search
        self._index = search.index
        log = change_log(self._index.table_name, engine)
        self._postings: Follower[Postings] = Follower(log, _Texts(self._index), settle=Postings.settle)
        self._waited = 0.0

    @property
    def used_bytes(self) -> int:
        """How much memory the postings take; 0 while there are none."""
        return 0 if self._postings.index is None else self._postings.index.used_bytes

    def note(self, seconds: float) -> None:
        """Note how long a search of many rows has waited for the database."""
        self._waited += seconds

    async def warm(self, db: DatabaseManager) -> None:
        """Read all texts now, unless that takes more memory than there is to be."""
        await self._postings.use(db, len, on_loop=lambda _: True)

    def words_of(self, db: DatabaseManager, query: Query) -> list[str]:
        """The words to ask for here, of which any will do; none when it has to be asked elsewhere.

        That is when a query wants something else, and when words are neither in memory nor worth it.
        """
        rows = self._search.rows
        is_worth_it = rows >= LEAST_ROWS and self._waited > rows * SECONDS_OF_ROW
        is_here = (is_worth_it or self._postings.index is not None) and not db.in_transaction
        return _words(query) if is_here else []

    async def best(self, db: DatabaseManager, words: Sequence[str], count: int) -> Best | None:
        """The keys of the rows that fit best, the best first, and how well; None when there is nothing in memory."""
        return await self._postings.use(
            db, lambda postings: postings.best(words, count), on_loop=lambda postings: postings.cost(words) < QUICK
        )

    async def best_among(
        self, db: DatabaseManager, words: Sequence[str], own: Sequence[Any], count: int
    ) -> Best | None:
        """The same of the rows of a scope, in which it counts how rare a word is."""
        return await self._postings.use(
            db, lambda postings: postings.best_among(words, own, count), on_loop=lambda _: len(own) < QUICK_SCOPE
        )


def _words(query: Query) -> list[str]:
    """The words of a query of which any will do; none when it wants something else."""
    if query.plain:
        return list(query.plain)
    if not query.is_bag or query.excluded:
        return []
    found = [one.required[0] for one in query.alternatives]
    # Of a script without blanks pairs of characters are known, and no single ones.
    if any(len(term.words) > 1 or term.is_prefix or (term.is_run and len(term.words[0]) == 1) for term in found):
        return []
    return [term.words[0] for term in found]
