"""Text search: which rows match, ranked, in pages.

Of a scope with few rows all are read and looked at one by one, so that somebody with fifty memories among a hundred
thousand pays for fifty, and nobody else's words have a say in the ranking. Otherwise the engine's index finds the
candidates and the best of them are ranked by BM25:

1. Of many words the rare ones are looked for, as long as they stand in few rows altogether: a row that has only the
   common ones would hardly be among the best. On 100,000 rows it saves FTS5 nine tenths of the time.
2. The engine gives the 100 rows that it finds best.
3. They are ranked anew by all words of the query.

When that finds nothing, and the query has no operators, rows are looked for that contain its words as parts of words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text as SqlText
from sqlalchemy import cast, or_, select

from agent_system.database.dialects.substrings import contains_text
from agent_system.models.codec import encode_text
from agent_system.search.bm25 import Statistics, idf
from agent_system.search.matching import Row
from agent_system.search.postgresql import PostgresText
from agent_system.search.query import parse
from agent_system.search.sqlite import SqliteText
from agent_system.search.text import canonical, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from agent_system.database.executor import Executor
    from agent_system.search.index import TextBackend, TextIndex
    from agent_system.search.query import Query, Term

__all__ = ["FEW_ROWS", "LEAST_SCORE", "MOST_RANKED_CHARACTERS", "Found", "TextSearch", "is_plain"]

# Reading and cutting a row takes 10 µs; asking FTS5 for common words of 100,000 rows takes as long as 300 rows do.
FEW_ROWS = 300
FEW_CHARACTERS = 200_000
# How many of the engine's candidates are ranked anew, and so how many hits there are at most.
WINDOW = 100
# Beyond these a document's words tell nothing new; cutting 100 long documents would take seconds.
MOST_RANKED_CHARACTERS = 20_000
# A word that so many rows have is common. FTS5 ranks a row in 2 µs, so this is also how many rows are to be ranked.
COMMON_SHARE = 0.05
LEAST_COMMON = 2_000
# How many rows, from the newest, are looked through for parts of words, and for how many of them.
MOST_LOOKED_THROUGH = 20_000
MOST_PARTS = 8
LONGEST_PART = 100
# Among how many rows, from the newest, a scoped facade searches; SQLite allows 32,766 parameters in a statement.
MOST_OF_SCOPE = 30_000
# FTS5 and we may disagree on a letter of a rare script; what it found has been found.
LEAST_SCORE = 1e-9
MOST_REMEMBERED = 10_000

_BACKENDS: Mapping[str, Callable[[TextIndex], TextBackend]] = {"sqlite": SqliteText, "postgresql": PostgresText}


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was found."""

    key: Any
    score: float
    """How well it fits; higher is better."""
    parts: Mapping[str, float]
    """What the score is made of, by the side that found the row: `text`, `vector`, or `substring` when only parts of
    words were found."""

    @classmethod
    def by(cls, side: str, key: Any, score: float) -> Found:
        """A row that one side found."""
        return cls(key, score, {side: score})


class TextSearch:
    """Searches one table.

    Args:
        index: Its full-text index.
        engine: The name of SQLAlchemy's dialect.
    """

    def __init__(self, index: TextIndex, engine: str) -> None:
        self.index = index
        self.backend = _BACKENDS[engine](index)
        # How large a share of the rows has a common word; it hardly changes, and to count them takes milliseconds.
        self._shares: dict[Term, float] = {}
        self.rows = 0
        """About how many rows the table had when it was last searched by its index."""

    def find(
        self,
        executor: Executor,
        text: str,
        condition: ColumnElement[bool],
        *,
        is_scoped: bool,
        finds_parts: bool = True,
    ) -> list[Found]:
        """Find rows, the best first.

        Args:
            executor: The unit of work's.
            text: What somebody typed.
            condition: What must hold for a row, as a condition on its table.
            is_scoped: Whether an index leads to the rows for which the condition holds.
            finds_parts: Whether to look for parts of words when no word is found.
        """
        query = parse(text)
        # In a scoped facade the index, which knows no owners, is only asked about rows of the scope.
        is_scoped = is_scoped or executor.trusted is not executor
        found: list[Found] = []
        if query:
            few = self._find_few(executor, query, condition) if is_scoped else None
            found = self._find(executor, query, condition, is_scoped=is_scoped) if few is None else few
        if not found and finds_parts and is_plain(text, query):
            found = self._parts(executor, text, condition)
        found.sort(key=lambda one: (one.score, one.key), reverse=True)
        return found

    def _find_few(self, executor: Executor, query: Query, condition: ColumnElement[bool]) -> list[Found] | None:
        """What is found among the rows of a scope if they are few; None if they are not."""
        rows = self._read(executor, condition, FEW_ROWS + 1)
        if len(rows) > FEW_ROWS or sum(len(text) for _, texts in rows for text in texts) > FEW_CHARACTERS:
            return None
        return self._look_through(query, rows)

    def _find(
        self, executor: Executor, query: Query, condition: ColumnElement[bool], *, is_scoped: bool
    ) -> list[Found]:
        trusted = executor.trusted
        if trusted is not executor:
            condition = self.index.key.in_(self.own_keys(executor, condition))
        size = self.rows = self.backend.size(trusted)
        with_term = self._frequencies(trusted, query.terms, size)
        narrowed = query.only(_rarest(with_term, _common(size))) if query.is_bag else query
        tells = {term: idf(size, with_term[term]) for term in narrowed.terms}
        keys = self.backend.candidates(trusted, narrowed, tells, condition, WINDOW, is_scoped=is_scoped)
        read = self._read(executor, self.index.key.in_(keys), WINDOW) if keys else []
        ranked = {key: self._row([text[:MOST_RANKED_CHARACTERS] for text in texts]) for key, texts in read}
        return self._ranked(ranked, size, with_term)

    def own_keys(self, executor: Executor, condition: ColumnElement[bool], most: int = MOST_OF_SCOPE) -> list[Any]:
        """The keys of the rows for which a condition holds, the newest first, at most so many."""
        key = self.index.key
        own = select(key).where(condition).order_by(key.desc()).limit(most)
        return list(executor.execute(own).scalars())

    def _look_through(self, query: Query, rows: Sequence[tuple[Any, list[str]]]) -> list[Found]:
        """Look at the rows one by one."""
        if query.is_bag and not query.excluded:
            return self._look_for_any(query.terms, rows)
        all_rows = {key: self._row(texts) for key, texts in rows}
        matching = {key: row for key, row in all_rows.items() if row.matches(query)}
        with_term = {term: sum(row.has((term,)) for row in all_rows.values()) for term in query.terms}
        return self._ranked(matching, len(all_rows), with_term)

    def _look_for_any(self, terms: Sequence[Term], rows: Sequence[tuple[Any, list[str]]]) -> list[Found]:
        """Look at the rows one by one for any of these terms; a row without their letters is not cut into words."""
        found: list[tuple[Any, int, dict[Term, float]]] = []
        with_term = dict.fromkeys(terms, 0)
        letters = [(term, term.words[-1]) for term in terms]
        for key, texts in rows:
            plain = canonical("\n".join(texts))
            likely = [term for term, word in letters if word in plain]
            if not likely:
                continue
            row = self._row(texts)
            frequencies = {term: often for term in likely if (often := row.frequency(term))}
            for term in frequencies:
                with_term[term] += 1
            if frequencies:
                found.append((key, row.length, frequencies))
        average = sum(length for _, length, _ in found) / len(found) if found else 0.0
        statistics = Statistics({term: idf(len(rows), count) for term, count in with_term.items()}, average)
        return [
            Found.by("text", key, max(statistics.of(frequencies, length), LEAST_SCORE))
            for key, length, frequencies in found
        ]

    def _ranked(self, rows: Mapping[Any, Row], size: int, with_term: Mapping[Term, int]) -> list[Found]:
        # Of those that match: how long a row is, compared with these, is what decides between them.
        average = sum(row.length for row in rows.values()) / len(rows) if rows else 0.0
        statistics = Statistics({term: idf(size, count) for term, count in with_term.items()}, average)
        return [Found.by("text", key, max(statistics.score(row), LEAST_SCORE)) for key, row in rows.items()]

    def _parts(self, executor: Executor, text: str, condition: ColumnElement[bool]) -> list[Found]:
        """Rows that contain words of the text as parts of words, by how many of them."""
        parts = list(
            dict.fromkeys(part for word in text.split() if (part := word.strip('"*')) and len(part) <= LONGEST_PART)
        )
        parts = parts[:MOST_PARTS]
        if not parts:
            return []
        key = self.index.key
        newest = select(key).where(condition).order_by(key.desc()).limit(MOST_LOOKED_THROUGH)
        # A list of tags is looked through as its JSON.
        texts = [cast(column, SqlText) for column in self.index.columns]
        has_part = or_(*(contains_text(one, encode_text(part)) for one in texts for part in parts))
        rows = self._read(executor, key.in_(newest) & has_part, WINDOW)
        wanted = [canonical(part) for part in parts]
        return [
            Found.by("substring", key, max(_share(wanted, canonical("\n".join(texts))), LEAST_SCORE))
            for key, texts in rows
        ]

    def _read(self, executor: Executor, condition: ColumnElement[bool], limit: int) -> list[tuple[Any, list[str]]]:
        """Keys and texts of rows, the newest first."""
        columns = self.index.columns
        statement = select(self.index.key, *columns).where(condition).order_by(self.index.key.desc()).limit(limit)
        rows: Sequence[Any] = executor.execute(statement).all()
        return [(key, [plain_text(value) for value in values]) for key, *values in rows]

    def _row(self, texts: Sequence[str]) -> Row:
        return Row(texts, list(self.index.weights.values()))

    def _frequencies(self, executor: Executor, terms: Sequence[Term], size: int) -> dict[Term, int]:
        """How many rows have each term; of common ones about how many."""
        known = {term: int(self._shares[term] * size) for term in terms if term in self._shares}
        unknown = [term for term in terms if term not in known]
        counts = self.backend.count(executor, unknown, _common(size))
        common = [term for term, count in counts.items() if count >= _common(size)]
        counts |= self.backend.count(executor, common, None)
        if len(self._shares) > MOST_REMEMBERED:
            self._shares.clear()
        self._shares.update((term, counts[term] / max(size, 1)) for term in common)
        return {term: known[term] if term in known else counts[term] for term in terms}


def is_plain(text: str, query: Query) -> bool:
    """Whether a text is words without operators and phrases, which nobody insists on."""
    return query.is_bag and not query.excluded and '"' not in text


def _common(size: int) -> int:
    return max(LEAST_COMMON, int(size * COMMON_SHARE))


def _rarest(with_term: Mapping[Term, int], most: int) -> list[Term]:
    """The rarest terms, as many as stand in so many rows together; one at least."""
    taken: list[Term] = []
    total = 0
    for term in sorted(with_term, key=with_term.__getitem__):
        total += with_term[term]
        if taken and total > most:
            break
        taken.append(term)
    return taken


def _share(parts: Sequence[str], text: str) -> float:
    return sum(part in text for part in parts) / len(parts)
