"""Fusion by reciprocal rank: one order of the rows that several searches found.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods", 2009:
a row's score is the sum of `weight / (k + rank)` over the searches that found it, with their k = 60. Scores of BM25 and
of vectors cannot be compared; ranks can.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["K", "fused"]

K = 60


def fused(sides: Mapping[str, Sequence[Any]], weights: Mapping[str, float]) -> dict[Any, dict[str, float]]:
    """What each search contributes to the score of each row that one of them found; the sum is the score.

    Args:
        sides: The keys that each search found, the best first.
        weights: How much each search counts; one that is not named counts 1.
    """
    parts: dict[Any, dict[str, float]] = defaultdict(dict)
    for side, keys in sides.items():
        weight = weights.get(side, 1.0)
        for rank, key in enumerate(keys, 1):
            if weight > 0:
                parts[key][side] = weight / (K + rank)
    return dict(parts)
