"""`Postings`: which rows have which word, in arrays in memory, so that BM25 ranks a hundred thousand in a millisecond.

FTS5 reads its postings from pages and calls a function for each row that matches, 1 to 2 µs each; a query of common
words matches half the table. Here a word is a slice of two arrays: the rows, and how often it stands in each of them. A
search adds up what BM25 makes of these (`bm25.py` has the formula).

The rare words of a query come first. Once they have found so many rows that no other row can be among the best, the
common words are looked up for those rows alone (the idea of Turtle and Flood, "Query evaluation: strategies and
optimizations", 1995), and the result is still exact.

The rows are in segments, each with a vocabulary of its own; new rows make small ones, which are merged when there are
many. A row that changes is taken in anew at the end, and its old place is marked as gone. What a row with `w` different
words takes is `8 * w + 17` bytes: 0.3 kB for a memory of 40 words.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agent_system.search.bm25 import K1, B, idf
from agent_system.search.matrix import best_of
from agent_system.search.text import terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

__all__ = ["LEAST_SCORE", "Postings"]

# What has been found is above nothing, also when every row has the word.
LEAST_SCORE = 1e-9
# More than any of the sums of float32 may be wrong.
ROUNDED = 1.0001

# Of more segments than these the small ones are merged: a word is looked up in each.
MOST_SEGMENTS = 8
BYTES_OF_POSTING = 8
BYTES_OF_ROW = 17
# Adding up a list of fewer postings than these takes no longer than finding out whether it has to be.
SHORT_LIST = 2_000
# When so large a share of the rows is gone, everything is merged.
MOST_GONE = 0.25
LEAST_GONE = 1_000


@dataclass(frozen=True, slots=True)
class _Segment:
    """Rows that follow each other, and their words."""

    vocabulary: Mapping[str, int]
    starts: npt.NDArray[np.int64]
    """Where the postings of each word begin, and at the end where the last ones end."""
    places: npt.NDArray[np.int32]
    """In which row of all the word stands."""
    frequencies: npt.NDArray[np.float32]
    """How often, by the weights of the texts."""

    def of(self, word: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] | None:
        """The rows with a word, and how often it stands in them."""
        number = self.vocabulary.get(word)
        if number is None:
            return None
        part = slice(self.starts[number], self.starts[number + 1])
        return self.places[part], self.frequencies[part]


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a query: its postings in each segment that has it, and how much it tells."""

    lists: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]
    tells: float
    """Its idf, times what BM25 multiplies with; no row gets more for the word."""
    size: int
    """How many postings there are."""

    def frequencies(self, places: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """How often it stands in some rows; of the type of the postings, or all of these would be converted."""
        found = np.zeros(len(places), np.float32)
        for known, frequencies in self.lists:
            at = known.searchsorted(places)
            at[at == len(known)] = 0
            found += np.where(known[at] == places, frequencies[at], np.float32(0))
        return found


class Postings:
    """The words of rows by number.

    Args:
        weights: How much a word counts in each text of a row.
        longest: Characters of a text that count.
    """

    def __init__(self, weights: Sequence[float], longest: int) -> None:
        self._weights = weights
        self._longest = longest
        self._segments: list[_Segment] = []
        self._ids: Numbers = np.empty(0, np.int64)
        self._lengths: npt.NDArray[np.float32] = np.empty(0, np.float32)
        self._is_there: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._order: Numbers | None = None
        # Whether each number is higher than the one before it.
        self._rises = True
        self._known_norms: npt.NDArray[np.float32] | None = None
        self._count = 0

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def used_bytes(self) -> int:
        """How much memory the rows take."""
        postings = sum(len(segment.places) for segment in self._segments)
        return postings * BYTES_OF_POSTING + len(self._ids) * BYTES_OF_ROW

    def put(self, ids: Sequence[int], texts: Sequence[Sequence[str]]) -> None:
        """Take rows in; those that are there are replaced.

        Args:
            ids: Their numbers, each once.
            texts: The texts of each, in the order of the weights.
        """
        if not ids:
            return
        self.remove(ids)
        first = len(self._ids)
        segment, lengths = self._segment(texts, first)
        new = np.asarray(ids, np.int64)
        self._rises = self._rises and bool((np.diff(new, prepend=self._ids[-1:]) > 0).all())
        self._ids = np.concatenate([self._ids, new])
        self._lengths = np.concatenate([self._lengths, lengths])
        self._is_there = np.concatenate([self._is_there, np.ones(len(ids), np.bool_)])
        self._order, self._known_norms = None, None
        self._count += len(ids)
        self._segments.append(segment)
        gone = len(self._ids) - len(self)
        if gone > LEAST_GONE and gone > MOST_GONE * len(self._ids):
            self._merge(0)
        elif len(self._segments) > MOST_SEGMENTS:
            # The large one at the beginning stays as it is until the others are half as large.
            others = sum(len(one.places) for one in self._segments[1:])
            self._merge(0 if others * 2 > len(self._segments[0].places) else 1)

    def remove(self, ids: Iterable[int]) -> None:
        """Let go of rows; a number without a row is no error."""
        places = self._places(np.fromiter(ids, np.int64))
        if len(places):
            self._is_there[places] = False
            self._count = int(self._is_there.sum())
            self._known_norms = None

    def cost(self, words: Iterable[str]) -> int:
        """How many postings these words have, which tells how long a search for them takes at most."""
        return sum(word.size for word in self._words(words))

    def best(self, words: Iterable[str], count: int) -> tuple[list[int], list[float]]:
        """The numbers of the rows that fit best, the best first, and how well they fit.

        Args:
            words: What to look for: any of these.
            count: At most so many.
        """
        wanted = self._words(words)
        scores = np.zeros(len(self._ids), np.float32)
        # What a row can still get for the words from each on.
        outlook = np.cumsum([word.tells for word in reversed(wanted)])[::-1]
        norms = self._norms
        chosen: npt.NDArray[np.int32] | None = None
        for position, word in enumerate(wanted):
            if chosen is None and position and word.size > SHORT_LIST:
                least = _nth_best(scores, count) - float(outlook[position]) * ROUNDED
                chosen = np.flatnonzero(scores >= least).astype(np.int32) if least > 0 else None
            if chosen is None:
                for places, frequencies in word.lists:
                    scores[places] += word.tells * frequencies / (frequencies + norms[places])
            else:
                frequencies = word.frequencies(chosen)
                scores[chosen] += word.tells * frequencies / (frequencies + norms[chosen])
        found: Any = np.flatnonzero(scores) if chosen is None else chosen
        return best_of(self._ids[found], scores[found].astype(np.float64), count)

    def best_among(self, words: Iterable[str], ids: Numbers, count: int) -> tuple[list[int], list[float]]:
        """The numbers of the rows of a scope that fit best; how rare a word is counts in the scope alone.

        Args:
            words: What to look for: any of these.
            ids: The numbers of the rows of the scope.
            count: At most so many.
        """
        places = self._places(ids).astype(np.int32)
        wanted = self._words(words)
        frequencies = np.empty((len(wanted), len(places)), np.float32)
        for row, word in zip(frequencies, wanted, strict=True):
            row[:] = word.frequencies(places)
        with_word = np.count_nonzero(frequencies, axis=1).tolist()
        # Only rows that have one of the words are looked at any further.
        found = np.flatnonzero(frequencies.any(axis=0))
        places, frequencies = places[found], frequencies[:, found]
        lengths = self._lengths[places]
        norms = K1 * (1 - B + B * lengths / max(float(lengths.sum()) / max(len(found), 1), 1.0))
        tells = np.asarray([idf(len(ids), number) * (K1 + 1) for number in with_word], np.float32)
        scores = tells @ (frequencies / (frequencies + norms))
        return best_of(self._ids[places], np.maximum(scores, LEAST_SCORE).astype(np.float64), count)

    def settle(self) -> None:
        """Make one segment of all, so that each word is looked up once; for when everything has been taken in."""
        if len(self._segments) > 1:
            self._merge(0)

    def _words(self, words: Iterable[str]) -> list[_Word]:
        """The words that stand anywhere, what tells most first."""
        found = []
        for word in dict.fromkeys(words):
            lists = [one for segment in self._segments if (one := segment.of(word)) is not None]
            size = sum(len(places) for places, _ in lists)
            if size:
                found.append(_Word(lists, idf(len(self), size) * (K1 + 1), size))
        return sorted(found, key=lambda one: one.tells, reverse=True)

    @property
    def _norms(self) -> npt.NDArray[np.float32]:
        """What the length of each row does to its score; a row that is gone gets none."""
        if self._known_norms is None:
            average = float(self._lengths[self._is_there].mean()) if len(self) else 0.0
            share = self._lengths / np.float32(average) if average else np.ones_like(self._lengths)
            self._known_norms = (K1 * (1 - B + B * share)).astype(np.float32)
            self._known_norms[~self._is_there] = np.inf
        return self._known_norms

    def _places(self, ids: Numbers) -> Numbers:
        """Where the rows of these numbers are; numbers without one are left out."""
        if not len(self._ids) or not len(ids):
            return np.empty(0, np.int64)
        order = self._order
        if order is None and not self._rises:
            # Of one number the last place counts. Most numbers rise, which this way of sorting takes advantage of.
            order = self._order = np.argsort(self._ids, kind="stable")
        found = np.searchsorted(self._ids, ids, side="right", sorter=order) - 1
        places = np.maximum(found, 0) if order is None else order[np.maximum(found, 0)]
        known: Numbers = places[(found >= 0) & (self._ids[places] == ids) & self._is_there[places]]
        return known

    def _segment(self, texts: Sequence[Sequence[str]], first: int) -> tuple[_Segment, npt.NDArray[np.float32]]:
        vocabulary: dict[str, int] = {}
        words: list[int] = []
        frequencies: list[float] = []
        sizes, lengths = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.float32)
        for at, row in enumerate(texts):
            counted, lengths[at] = self._counted(row)
            sizes[at] = len(counted)
            words += [vocabulary.setdefault(word, len(vocabulary)) for word in counted]
            frequencies += counted.values()
        places = np.repeat(np.arange(first, first + len(texts), dtype=np.int32), sizes)
        made = _sorted(vocabulary, np.asarray(words, np.int32), places, np.asarray(frequencies, np.float32))
        return made, lengths

    def _counted(self, row: Sequence[str]) -> tuple[dict[str, float], int]:
        """How often each word stands in a row, by the weights, and how many words it has."""
        counted: dict[str, float] = {}
        length = 0
        for text, weight in zip(row, self._weights, strict=True):
            found = terms(text[: self._longest])
            length += len(found)
            for word, count in Counter(found).items():
                counted[word] = counted.get(word, 0.0) + weight * count
        return counted, length

    def _merge(self, start: int) -> None:
        """Make one segment of those from one on, without what is gone."""
        merged = self._segments[start:]
        vocabulary: dict[str, int] = {}
        words, places, frequencies = [], [], []
        for segment in merged:
            numbers = np.fromiter(
                (vocabulary.setdefault(word, len(vocabulary)) for word in segment.vocabulary), np.int32
            )
            words.append(np.repeat(numbers, np.diff(segment.starts)))
            places.append(segment.places)
            frequencies.append(segment.frequencies)
        all_words, all_places = np.concatenate(words), np.concatenate(places)
        stays = self._is_there[all_places]
        made = _sorted(vocabulary, all_words[stays], all_places[stays], np.concatenate(frequencies)[stays])
        if start == 0:
            made = self._move_together(made)
        self._segments = [*self._segments[:start], made]

    def _move_together(self, segment: _Segment) -> _Segment:
        """Let go of the places of rows that are gone."""
        stays = self._is_there
        moved = np.cumsum(stays, dtype=np.int32) - 1
        self._ids, self._lengths, self._is_there = self._ids[stays], self._lengths[stays], stays[stays]
        self._order, self._known_norms = None, None
        return _Segment(segment.vocabulary, segment.starts, moved[segment.places], segment.frequencies)


def _sorted(vocabulary: Mapping[str, int], words: Any, places: Any, frequencies: Any) -> _Segment:
    """A segment of postings, in the order of the words and of the rows."""
    order = np.argsort(words, kind="stable")
    starts = np.zeros(len(vocabulary) + 1, np.int64)
    np.cumsum(np.bincount(words, minlength=len(vocabulary)), out=starts[1:])
    return _Segment(vocabulary, starts, places[order], frequencies[order])


def _nth_best(scores: npt.NDArray[np.float32], count: int) -> float:
    """The score of the last of the best rows; 0 when fewer have any."""
    found = scores[scores > 0]
    if len(found) < count:
        return 0.0
    return float(np.partition(found, len(found) - count)[len(found) - count])
