"""`HashingEmbedder`: vectors without a model, the same on every machine, for tests and for trying things out."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from agent_system.search.embedding.embedder import FORMAT, normalised
from agent_system.search.text import terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent_system.search.embedding.embedder import Vectors

__all__ = ["HashingEmbedder"]

# How much a part of a word counts beside the word itself; parts make `walk` and `walking` alike.
OF_PART = 0.5


class HashingEmbedder:
    """Puts words and their parts of three characters into places that a hash tells (feature hashing).

    Weinberger and others, "Feature Hashing for Large Scale Multitask Learning", 2009. It knows nothing of meanings:
    texts are alike that share words.

    Args:
        dimensions: How many numbers a vector has, from 8.

    Example:
        >>> em = EntityManager(db, embedder=HashingEmbedder())
    """

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = max(dimensions, 8)
        self.name = f"agent_system/hashing-{self.dimensions}"

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector for each text, in order: (texts, dimensions) float32 of length 1."""
        vectors = np.zeros((len(texts), self.dimensions), FORMAT)
        for row, text in zip(vectors, texts, strict=True):
            for feature, weight in _features(text):
                place = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                row[(place >> 1) % self.dimensions] += weight if place & 1 else -weight
        return normalised(vectors)


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in terms(text):
        yield word, 1.0
        framed = f"<{word}>"
        for at in range(len(framed) - 2):
            yield framed[at : at + 3], OF_PART
