"""`Segment`: the postings of rows that follow each other, word by word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agent_system.search.bm25 import K1, B

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    Places = npt.NDArray[np.int32]
    Floats = npt.NDArray[np.float32]

__all__ = ["BYTES_OF_POSTING", "PostingList", "Segment", "Span", "merged", "norms", "segment_of"]

BYTES_OF_POSTING = 10
"""What a word of a row takes: the row, how often, and what BM25 makes of it."""


def norms(lengths: Floats, average: float) -> Floats:
    """What the length of rows does to their scores."""
    share = lengths / np.float32(average) if average else np.ones_like(lengths)
    return np.float32(K1) * (np.float32(1 - B) + np.float32(B) * share)


class PostingList(NamedTuple):
    """The postings of words in one segment, word by word and in the order of the rows."""

    places: Places
    """In which row of all the word stands."""
    frequencies: npt.NDArray[np.float16]
    """How often, by the weights of the texts; exact up to a thousand times."""
    shares: Floats
    """What BM25 makes of it: above 0, and below 1."""


class Span(NamedTuple):
    """The postings of one word in one segment."""

    postings: PostingList
    """Those of all words."""
    start: int
    """Where those of the word begin."""
    end: int
    """Where they end; behind the beginning."""

    @property
    def places(self) -> Places:
        """In which rows the word stands."""
        return self.postings.places[self.start : self.end]

    @property
    def shares(self) -> Floats:
        """What BM25 makes of how often it stands there."""
        return self.postings.shares[self.start : self.end]

    def values_of(self, places: Places, values: npt.NDArray[Any]) -> Floats:
        """What some rows have of the postings' frequencies or shares, 0 of those without the word.

        Args:
            places: Of the type of the postings, or all of these would be converted.
            values: Those of all words.
        """
        own = self.places
        at = own.searchsorted(places)
        # Behind the last one there is none; the last one is of another row, then.
        found: Floats = values[self.start : self.end].take(at, mode="clip") * (own.take(at, mode="clip") == places)
        return found


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that follow each other, and their words."""

    vocabulary: Mapping[str, int]
    starts: memoryview[int]
    """Where the postings of each word begin, and at the end where the last ones end; a view gives a number in a third
    of the time that an array takes."""
    postings: PostingList
    """Those of all words."""

    def __len__(self) -> int:
        """How many postings there are."""
        return len(self.postings.places)

    def span(self, word: str) -> tuple[int, int]:
        """Where the postings of a word begin and end; a word whose rows are gone may still have a number."""
        number = self.vocabulary.get(word)
        return (0, 0) if number is None else (self.starts[number], self.starts[number + 1])

    def find(self, words: Sequence[str], places: Places) -> Iterator[tuple[int, int, float]]:
        """Which words stand in which rows, by their positions in these sequences, and how often.

        Args:
            words: The words.
            places: The rows, of the type of the postings.
        """
        every, often, _ = self.postings
        spans = [self.span(word) for word in words]
        at = np.empty((len(words), len(places)), np.int64)
        for row, (start, end) in zip(at, spans, strict=True):
            row[:] = every[start:end].searchsorted(places) + start
        # Behind a word's last posting stands the first one of the next word, which may be of the row.
        which, rows = (every.take(at, mode="clip") == places).nonzero()
        found = at[which, rows]
        values = often.take(found, mode="clip").tolist()
        for word, row, position, value in zip(which.tolist(), rows.tolist(), found.tolist(), values, strict=True):
            if position < spans[word][1]:
                yield word, row, value

    def weighed(self, lengths: Floats, average: float) -> Segment:
        """The same with what BM25 makes of the words.

        Args:
            lengths: How many words each row of all has.
            average: How many a row has on average.
        """
        places, frequencies, _ = self.postings
        often = frequencies.astype(np.float32)
        return replace(
            self, postings=PostingList(places, frequencies, often / (often + norms(lengths, average)[places]))
        )

    def moved(self, places: Places) -> Segment:
        """The same with each row at another place.

        Args:
            places: The new one of each.
        """
        before, frequencies, shares = self.postings
        return replace(self, postings=PostingList(places[before], frequencies, shares))


def segment_of(vocabulary: Mapping[str, int], words: Any, places: Any, frequencies: Any) -> Segment:
    """A segment of postings, in the order of the words and of the rows; it has to be weighed.

    Args:
        vocabulary: The number of each word.
        words: The word of each posting.
        places: Its row.
        frequencies: How often the word stands in it.
    """
    order = np.argsort(words, kind="stable")
    starts = np.zeros(len(vocabulary) + 1, np.int64)
    np.cumsum(np.bincount(words, minlength=len(vocabulary)), out=starts[1:])
    postings = PostingList(places[order], frequencies[order].astype(np.float16), np.empty(0, np.float32))
    return Segment(vocabulary, starts.data, postings)


def merged(segments: Sequence[Segment], is_there: npt.NDArray[np.bool_]) -> Segment:
    """One segment of several without the rows that are gone; it has to be weighed."""
    vocabulary: dict[str, int] = {}
    words = []
    for segment in segments:
        numbers = np.fromiter((vocabulary.setdefault(word, len(vocabulary)) for word in segment.vocabulary), np.int32)
        words.append(np.repeat(numbers, np.diff(segment.starts)))
    places = np.concatenate([segment.postings.places for segment in segments])
    frequencies = np.concatenate([segment.postings.frequencies for segment in segments])
    stays = is_there[places]
    return segment_of(vocabulary, np.concatenate(words)[stays], places[stays], frequencies[stays])
