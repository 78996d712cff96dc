"""Ranking by BM25: rare words count more, repetitions less and less, and long texts are no better for their length.

The formula is Robertson and Zaragoza's ("The Probabilistic Relevance Framework: BM25 and Beyond", 2009), with their
b = 0.75, and with Lucene's idf, which is never negative: a word that stands in more than half of somebody's few
memories still tells those apart that have it.

Their k1 = 1.2, which is FTS5's too, is for long documents, where a word that is repeated is the subject. In texts of a
few lines that a word stands there says nearly everything. Of 1,500 questions about 100,000 memories that are not those
of `scripts/bench search`, 0.857 are answered by one of the ten best with 0.6, and 0.829 with 1.2; also when the words
asked for are drawn as often as they stand in the text (0.825, 0.813), or follow each other in it (0.799, 0.786).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_system.search.matching import Row
    from agent_system.search.query import Term

__all__ = ["Statistics", "idf"]

K1 = 0.6
B = 0.75


def idf(rows: int, with_term: int) -> float:
    """How much a term tells: 0 when every row has it, more the fewer do."""
    with_term = min(with_term, rows)
    return math.log1p((rows - with_term + 0.5) / (with_term + 0.5))


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of the rows among which one is ranked."""

    tells: Mapping[Term, float]
    """How much each term tells, see `idf`."""
    average_length: float
    """Words of a row on average."""

    def score(self, row: Row) -> float:
        """How well a row fits; higher is better, and 0 is not at all."""
        return self.of({term: row.frequency(term) for term in self.tells}, row.length)

    def of(self, frequencies: Mapping[Term, float], length: int) -> float:
        """How well a row fits of which it is known how often each term stands in it, and how many words it has."""
        norm = K1 * (1 - B + B * length / self.average_length) if self.average_length else K1
        return sum(
            self.tells[term] * frequency * (K1 + 1) / (frequency + norm)
            for term, frequency in frequencies.items()
            if frequency
        )
