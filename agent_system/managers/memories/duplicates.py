"""Finding memories that say nearly the same.

Two texts are as similar as the share of their words that both have (Jaccard). To compare each with each would take
12.5 million comparisons for 5,000 memories; two that are similar enough have one of their rarest words in common, so
that only those are compared (prefix filtering, Bayardo, Ma and Srikant, "Scaling up all pairs similarity search",
WWW 2007).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from agent_system.search.text import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["near_duplicates"]


def near_duplicates(texts: Mapping[Any, str], threshold: float) -> list[list[Any]]:
    """Group the keys of texts that are alike, directly or by a third one; texts that are like no other are left out.

    Args:
        texts: Texts by key.
        threshold: The least share of common words, above 0 and up to 1.
    """
    bags = {key: frozenset(terms(text)) for key, text in texts.items()}
    groups: dict[Any, list[Any]] = {}
    for one, other in _similar(bags, threshold):
        first, second = groups.setdefault(one, [one]), groups.setdefault(other, [other])
        if first is not second:
            first.extend(second)
            groups.update(dict.fromkeys(second, first))
    order = {key: position for position, key in enumerate(texts)}
    unique = {id(group): sorted(group, key=order.__getitem__) for group in groups.values()}
    return sorted(unique.values(), key=lambda group: order[group[0]])


def _similar(bags: Mapping[Any, frozenset[str]], threshold: float) -> Iterator[tuple[Any, Any]]:
    frequency = Counter(word for bag in bags.values() for word in bag)
    seen: dict[str, list[Any]] = defaultdict(list)
    for key, bag in bags.items():
        rarest_first = sorted(bag, key=lambda word: (frequency[word], word))
        # Of two bags whose likeness reaches the threshold, so many of the rarest words must have one in common.
        prefix = rarest_first[: len(bag) - math.ceil(threshold * len(bag)) + 1]
        for other in {other for word in prefix for other in seen[word]}:
            if len(bag & bags[other]) >= threshold * len(bag | bags[other]):
                yield other, key
        for word in prefix:
            seen[word].append(key)
