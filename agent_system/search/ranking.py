"""Ranking the rows of a scope by the words that they have, where it counts how rare a word is in the scope alone.

Of somebody's hundred rows Python adds up what arrays have found: an operation on an array that nothing has called for
a while takes 20 to 60 µs instead of 3, because its code and its tables have left the processor's caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent_system.search.bm25 import K1, B, idf
from agent_system.search.segments import Span, norms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.search.segments import Floats, Places, Segment

__all__ = ["LEAST_SCORE", "in_order", "nth_best", "ranked_in_scope"]

# What has been found is above nothing, also when every row has the word.
LEAST_SCORE = 1e-9
# So many rows, times words, are added up one by one.
FEW_LOOKUPS = 4_096


def ranked_in_scope(
    segments: Sequence[Segment], lengths: Floats, words: Sequence[str], places: Places, size: int
) -> tuple[Places, list[float]]:
    """Those of some rows that have one of the words, and how well they fit.

    Args:
        segments: The postings of all rows.
        lengths: How many words each row of all has.
        words: The words, each once.
        places: The rows of the scope.
        size: How many rows the scope has.
    """
    if len(words) * len(places) > FEW_LOOKUPS:
        return _by_arrays(segments, lengths, words, places, size)
    found: dict[int, list[tuple[int, float]]] = {}
    with_word = [0] * len(words)
    for segment in segments:
        for word, row, often in segment.find(words, places):
            with_word[word] += 1
            found.setdefault(row, []).append((word, often))
    there = places.take(list(found)) if found else places[:0]
    sizes: list[float] = lengths.take(there).tolist()
    average = max(sum(sizes) / max(len(sizes), 1), 1.0)
    tells = [idf(size, number) * (K1 + 1) for number in with_word]
    scores = []
    for own, length in zip(found.values(), sizes, strict=True):
        norm = K1 * (1 - B + B * length / average)
        scores.append(max(sum([tells[word] * often / (often + norm) for word, often in own]), LEAST_SCORE))
    return there, scores


def _by_arrays(
    segments: Sequence[Segment], lengths: Floats, words: Sequence[str], places: Places, size: int
) -> tuple[Places, list[float]]:
    frequencies = np.zeros((len(words), len(places)), np.float32)
    for segment in segments:
        for at, (start, end) in enumerate(map(segment.span, words)):
            if start < end:
                span = Span(segment.postings, start, end)
                frequencies[at] += span.values_of(places, segment.postings.frequencies)
    with_word = np.count_nonzero(frequencies, axis=1).tolist()
    # Only rows that have one of the words are looked at any further.
    found = np.flatnonzero(frequencies.any(axis=0))
    there, frequencies = places[found], frequencies[:, found]
    sizes = lengths[there]
    lengthy = norms(sizes, max(float(sizes.sum()) / max(len(found), 1), 1.0))
    tells = np.asarray([idf(size, number) * (K1 + 1) for number in with_word], np.float32)
    scores = tells @ (frequencies / (frequencies + lengthy))
    return there, np.maximum(scores, LEAST_SCORE).tolist()


def nth_best(scores: Floats, count: int) -> float:
    """The score of the last of the best rows, of which there are at least so many."""
    place = len(scores) - count
    by_size = np.array(scores)
    by_size.partition(place)
    return float(by_size[place])


def in_order(scores: Sequence[float], ids: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    """The best of some rows, the best first, of equal ones the higher number.

    Args:
        scores: How well each fits.
        ids: The number of each.
        count: At most so many.
    """
    best = sorted(zip(scores, ids, strict=True), reverse=True)[:count]
    return [id_ for _, id_ in best], [score for score, _ in best]
