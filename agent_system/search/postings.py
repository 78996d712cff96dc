"""`Postings`: which rows have which word, in arrays in memory, so that BM25 ranks a hundred thousand in a millisecond.

FTS5 reads its postings from pages and calls a function for each row that matches, 1 to 2 µs each; a query of common
words matches half the table. Here a word is a slice of two arrays: the rows, and how often it stands in each of them. A
search adds up what BM25 makes of these (`bm25.py` has the formula).

The rows are in segments, each with a vocabulary of its own; new rows make small ones, which are merged when there are
many. A row that changes is taken in anew at the end, and its old place is marked as gone. What a row with `w` different
words takes is `8 * w + 13` bytes: 0.3 kB for a memory of 40 words.
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

__all__ = ["Postings"]

# Of more segments than these the small ones are merged: a word is looked up in each.
MOST_SEGMENTS = 8
BYTES_OF_POSTING = 8
BYTES_OF_ROW = 13
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

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._is_there.sum())

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
        self._ids = np.concatenate([self._ids, np.asarray(ids, np.int64)])
        self._lengths = np.concatenate([self._lengths, lengths])
        self._is_there = np.concatenate([self._is_there, np.ones(len(ids), np.bool_)])
        self._order = None
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
        self._is_there[self._places(np.fromiter(ids, np.int64))] = False

    def best(self, words: Iterable[str], count: int, among: Numbers | None = None) -> tuple[list[int], list[float]]:
        """The numbers of the rows that fit best, the best first, and how well they fit.

        Args:
            words: What to look for: any of these.
            count: At most so many.
            among: Numbers to which the search is bound; None: all.
        """
        rows = len(self)
        average = float(self._lengths[self._is_there].mean()) if rows else 0.0
        norms = K1 * (1 - B + B * self._lengths / average) if average else np.full(len(self._ids), K1, np.float32)
        scores = np.zeros(len(self._ids), np.float32)
        for word in dict.fromkeys(words):
            found = [one for segment in self._segments if (one := segment.of(word)) is not None]
            tells = idf(rows, sum(len(places) for places, _ in found)) * (K1 + 1)
            for places, frequencies in found:
                scores[places] += tells * frequencies / (frequencies + norms[places])
        scores[~self._is_there] = 0.0
        chosen = np.flatnonzero(scores) if among is None else self._places(among)
        likeness = scores[chosen].astype(np.float64)
        likeness[likeness <= 0.0] = -np.inf
        return best_of(self._ids[chosen], likeness, count)

    def _places(self, ids: Numbers) -> Numbers:
        """Where the rows of these numbers are; numbers without one are left out."""
        if not len(self._ids) or not len(ids):
            return np.empty(0, np.int64)
        if self._order is None:
            # Of one number the last place counts. Most numbers rise, which this way of sorting takes advantage of.
            self._order = np.argsort(self._ids, kind="stable")
        order = self._order
        found = np.searchsorted(self._ids, ids, side="right", sorter=order) - 1
        places = order[np.maximum(found, 0)]
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
        self._order = None
        return _Segment(segment.vocabulary, segment.starts, moved[segment.places], segment.frequencies)


def _sorted(vocabulary: Mapping[str, int], words: Any, places: Any, frequencies: Any) -> _Segment:
    """A segment of postings, in the order of the words and of the rows."""
    order = np.argsort(words, kind="stable")
    starts = np.zeros(len(vocabulary) + 1, np.int64)
    np.cumsum(np.bincount(words, minlength=len(vocabulary)), out=starts[1:])
    return _Segment(vocabulary, starts, places[order], frequencies[order])
