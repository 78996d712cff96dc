"""`Postings`: which rows have which word, in arrays in memory, so that BM25 ranks a hundred thousand in a millisecond.

FTS5 reads its postings from pages and calls a function for each row that matches, 1 to 2 µs each; a query of common
words matches half the table. Here a word is a slice of some arrays: the rows, and what BM25 makes of how often it
stands in each of them. A search adds these up.

The rare words of a query come first. Once they have found so many rows that no other row can be among the best, the
common words are looked up for those rows alone (the idea of Turtle and Flood, "Query evaluation: strategies and
optimizations", 1995), and the result is still exact. Nothing is done that takes all rows: on a machine that does other
things the memory that a search has to fetch is what takes the time.

The rows are in segments, each with a vocabulary of its own; new rows make small ones, which are merged when there are
many. A row that changes is taken in anew at the end, and its old place is marked as gone. What a row with `w` different
words takes is `10 * w + 17` bytes: 0.4 kB for a memory of 40 words.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent_system.search.bm25 import K1, idf
from agent_system.search.ranking import in_order, nth_best, ranked_in_scope
from agent_system.search.segments import BYTES_OF_POSTING, Span, merged
from agent_system.search.word_counts import segment_of_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from agent_system.search.segments import Floats, Places, Segment

    Numbers = npt.NDArray[np.int64]

__all__ = ["Postings"]

# More than any of the sums of float32 may be wrong.
ROUNDED = 1.0001

# Of more segments than these the small ones are merged: a word is looked up in each.
MOST_SEGMENTS = 8
BYTES_OF_ROW = 17
# Adding up a list of fewer postings than these takes no longer than finding out whether it has to be.
SHORT_LIST = 1_500
# Rows are so many times as many as are wanted before it is worth looking which of them still can be among these.
MANY = 4
# How long a row is on average may change by such a share before all postings are weighed anew, which takes 30 ms of
# 100,000 rows; it hardly changes an order.
DRIFT = 0.02
# When so large a share of the rows is gone, everything is merged.
MOST_GONE = 0.25
LEAST_GONE = 1_000


class _Word(NamedTuple):
    """A word of a query."""

    tells: float
    """How much it tells: its idf, times what BM25 multiplies with. No row gets more for the word."""
    size: int
    """How many postings there are."""
    spans: list[Span]
    """They, in each segment that has some."""


class Postings:
    """The words of rows by number.

    Args:
        weights: How much a word counts in each text of a row.
        longest: Characters of a text that count.
    """

    def __init__(self, weights: Sequence[float], longest: int) -> None:
        self._weights = weights
        self._longest = longest
        self._segments: list[Segment] = []
        self._ids: Numbers = np.empty(0, np.int64)
        self._lengths: Floats = np.empty(0, np.float32)
        self._is_there: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._order: Numbers | None = None
        # Whether each number is higher than the one before it.
        self._rises = True
        self._count = 0
        # How many words all rows have, and how many a row had on average when the postings were weighed.
        self._all_words = 0.0
        self._average = 0.0
        # Nothing but zeros, while no search uses it.
        self._sums: Floats | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def used_bytes(self) -> int:
        """How much memory the rows take."""
        return sum(map(len, self._segments)) * BYTES_OF_POSTING + len(self._ids) * BYTES_OF_ROW

    def put(self, ids: Sequence[int], texts: Sequence[Sequence[str]]) -> None:
        """Take rows in; those that are there are replaced.

        Args:
            ids: Their numbers, each once.
            texts: The texts of each, in the order of the weights.
        """
        if not ids:
            return
        self.remove(ids)
        segment, lengths = segment_of_texts(texts, self._weights, self._longest, len(self._ids))
        new = np.asarray(ids, np.int64)
        self._rises = self._rises and bool((np.diff(new, prepend=self._ids[-1:]) > 0).all())
        self._ids = np.concatenate([self._ids, new])
        self._lengths = np.concatenate([self._lengths, lengths])
        self._is_there = np.concatenate([self._is_there, np.ones(len(ids), np.bool_)])
        self._order = None
        self._count += len(ids)
        self._all_words += float(lengths.sum())
        self._segments.append(segment)
        gone = len(self._ids) - len(self)
        if gone > LEAST_GONE and gone > MOST_GONE * len(self._ids):
            self._merge(0)
        elif len(self._segments) > MOST_SEGMENTS:
            # The large one at the beginning stays as it is until the others are half as large.
            others = sum(map(len, self._segments[1:]))
            self._merge(0 if others * 2 > len(self._segments[0]) else 1)
        else:
            self._weigh(len(self._segments) - 1)

    def remove(self, ids: Iterable[int]) -> None:
        """Let go of rows; a number without a row is no error."""
        places = np.unique(self._places(np.fromiter(ids, np.int64)))
        if len(places):
            self._is_there[places] = False
            self._count -= len(places)
            self._all_words -= float(self._lengths[places].sum())

    def cost(self, words: Iterable[str]) -> int:
        """How many postings these words have, which tells how long a search for them takes at most."""
        spans = [segment.span(word) for word in set(words) for segment in self._segments]
        return sum([end - start for start, end in spans])

    def best(self, words: Iterable[str], count: int) -> tuple[list[int], list[float]]:
        """The numbers of the rows that fit best, the best first, and how well they fit.

        Args:
            words: What to look for: any of these.
            count: At most so many.
        """
        wanted = self._words(words)
        if not wanted:
            return [], []
        places, scores, line, rest = self._added_up(wanted, count)
        left = sum([word.tells for word in rest])
        for word in rest:
            if len(places) > MANY * count:
                stays = scores >= (line or nth_best(scores, count)) - left * ROUNDED
                places, scores = places[stays], scores[stays]
            line = 0.0
            for span in word.spans:
                got = span.values_of(places, span.postings.shares)
                got *= np.float32(word.tells)
                scores = scores + got
            left -= word.tells
        if len(places) > MANY * count:
            stays = scores >= nth_best(scores, count)
            places, scores = places[stays], scores[stays]
        return in_order(scores.tolist(), self._ids.take(places).tolist(), count)

    def _added_up(self, wanted: list[_Word], count: int) -> tuple[Places, Floats, float, list[_Word]]:
        """Rows and what they got for the first words; the score of the last of the best, or 0; and the other words.

        Rows that none of the first words leads to cannot be among the best.
        """
        # Another search may go on that nobody waits for any more.
        sums, self._sums = self._sums, None
        if sums is None or len(sums) != len(self._ids):
            sums = np.zeros(len(self._ids), np.float32)
        # What a row can still get.
        left = sum([word.tells for word in wanted])
        # Who has got anything.
        parts: list[Places] = []
        for done, word in enumerate(wanted):
            if done and word.size > SHORT_LIST:
                parts = _together(parts)
                places, scores = self._there(parts[0], sums.take(parts[0]))
                above = scores[scores > left * ROUNDED]
                if len(above) >= count:
                    line, rest = nth_best(above, count), wanted[done:]
                    break
            _give(sums, parts, word)
            left -= word.tells
        else:
            parts = _together(parts)
            places, scores = self._there(parts[0], sums.take(parts[0]))
            line, rest = 0.0, []
        sums[parts[0]] = 0
        self._sums = sums
        return places, scores, line, rest

    def _there(self, places: Places, scores: Floats) -> tuple[Places, Floats]:
        """Rows and their scores without those that are gone."""
        if len(self._ids) == self._count:
            return places, scores
        stays = self._is_there[places]
        return places[stays], scores[stays]

    def best_among(self, words: Iterable[str], ids: Sequence[int], count: int) -> tuple[list[int], list[float]]:
        """The numbers of the rows of a scope that fit best; how rare a word is counts in the scope alone.

        Args:
            words: What to look for: any of these.
            ids: The numbers of the rows of the scope.
            count: At most so many.
        """
        places = self._places_among(ids)
        if not len(places):
            return [], []
        found, scores = ranked_in_scope(self._segments, self._lengths, list(dict.fromkeys(words)), places, len(ids))
        return in_order(scores, self._ids.take(found).tolist(), count)

    def settle(self) -> None:
        """Make one segment of all, so that each word is looked up once; for when everything has been taken in."""
        if len(self._segments) > 1:
            self._merge(0)

    def _words(self, words: Iterable[str]) -> list[_Word]:
        """The words that stand anywhere, what tells most first."""
        found, rows = [], len(self)
        for word in dict.fromkeys(words):
            spans, size = [], 0
            for segment in self._segments:
                start, end = segment.span(word)
                if start < end:
                    spans.append(Span(segment.postings, start, end))
                    size += end - start
            if size:
                found.append(_Word(idf(rows, size) * (K1 + 1), size, spans))
        found.sort(key=itemgetter(0), reverse=True)
        return found

    def _weigh(self, first: int) -> None:
        """Weigh the postings of the segments from one on, or of all when rows have become longer or shorter."""
        average = self._all_words / max(len(self), 1)
        if abs(average - self._average) > DRIFT * self._average:
            self._average, first = average, 0
        self._segments[first:] = [one.weighed(self._lengths, self._average) for one in self._segments[first:]]

    def _places(self, ids: Numbers) -> Numbers:
        """Where the rows of these numbers are; numbers without one are left out."""
        if not len(self._ids) or not len(ids):
            return np.empty(0, np.int64)
        first = int(self._ids[0])
        if self._rises and int(self._ids[-1]) - first == len(self._ids) - 1:
            # Without a gap, as they are where hardly anything is deleted: to look them up would take 17 steps each.
            inside = ids - first
            if int(inside.min()) < 0 or int(inside.max()) >= len(self._ids):
                inside = inside[(inside >= 0) & (inside < len(self._ids))]
            return inside if len(self) == len(self._ids) else inside[self._is_there[inside]]
        order = self._order
        if order is None and not self._rises:
            # Of one number the last place counts. Most numbers rise, which this way of sorting takes advantage of.
            order = self._order = np.argsort(self._ids, kind="stable")
        found = np.searchsorted(self._ids, ids, side="right", sorter=order) - 1
        places = np.maximum(found, 0) if order is None else order[np.maximum(found, 0)]
        known: Numbers = places[(found >= 0) & (self._ids[places] == ids) & self._is_there[places]]
        return known

    def _places_among(self, ids: Sequence[int]) -> Places:
        """The same as the postings have them, of the numbers in a list."""
        if not len(self._ids) or not ids:
            return np.empty(0, np.int32)
        first, last = int(self._ids[0]), int(self._ids[-1])
        has_gaps = not self._rises or last - first != len(self._ids) - 1 or len(self) != len(self._ids)
        if has_gaps or min(ids) < first or max(ids) > last:
            return self._places(np.asarray(ids, np.int64)).astype(np.int32)
        return (np.asarray(ids, np.int64) - first).astype(np.int32)

    def _merge(self, start: int) -> None:
        """Make one segment of those from one on, without what is gone."""
        made = merged(self._segments[start:], self._is_there)
        if start == 0:
            made = self._move_together(made)
            self._average = 0.0
        self._segments = [*self._segments[:start], made]
        self._weigh(start)

    def _move_together(self, segment: Segment) -> Segment:
        """Let go of the places of rows that are gone."""
        stays = self._is_there
        moved = np.cumsum(stays, dtype=np.int32) - 1
        self._ids, self._lengths, self._is_there = self._ids[stays], self._lengths[stays], stays[stays]
        self._order = None
        return segment.moved(moved)


def _give(sums: Floats, parts: list[Places], word: _Word) -> None:
    """Give the rows with a word what they get for it, and note which had got nothing."""
    for postings, start, end in word.spans:
        places = postings.places[start:end]
        shares = postings.shares[start:end] * np.float32(word.tells)
        if parts:
            before = sums.take(places)
            shares += before
            parts.append(places[before == 0])
        else:
            parts.append(places)
        sums[places] = shares


def _together(parts: list[Places]) -> list[Places]:
    return parts if len(parts) == 1 else [np.concatenate(parts)]
