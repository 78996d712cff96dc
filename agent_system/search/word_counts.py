"""Counting the words of texts: what a segment is made of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from agent_system.search.segments import segment_of
from agent_system.search.text import terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.search.segments import Floats, Segment

__all__ = ["segment_of_texts"]


def segment_of_texts(
    rows: Sequence[Sequence[str]], weights: Sequence[float], longest: int, first: int
) -> tuple[Segment, Floats]:
    """The segment of some rows, which has to be weighed, and how many words each has.

    Args:
        rows: The texts of each row, in the order of the weights.
        weights: How much a word counts in each text.
        longest: Characters of a text that count.
        first: The place of the first row among all.
    """
    vocabulary: dict[str, int] = {}
    words: list[int] = []
    frequencies: list[float] = []
    sizes, lengths = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.float32)
    for at, texts in enumerate(rows):
        counted, lengths[at] = _counted(texts, weights, longest)
        sizes[at] = len(counted)
        words += [vocabulary.setdefault(word, len(vocabulary)) for word in counted]
        frequencies += counted.values()
    places = np.repeat(np.arange(first, first + len(rows), dtype=np.int32), sizes)
    made = segment_of(vocabulary, np.asarray(words, np.int32), places, np.asarray(frequencies, np.float32))
    return made, lengths


def _counted(texts: Sequence[str], weights: Sequence[float], longest: int) -> tuple[dict[str, float], int]:
    """How often each word stands in a row, by the weights, and how many words it has."""
    counted: dict[str, float] = {}
    length = 0
    for text, weight in zip(texts, weights, strict=True):
        found = terms(text[:longest])
        length += len(found)
        for word, count in Counter(found).items():
            counted[word] = counted.get(word, 0.0) + weight * count
    return counted, length
