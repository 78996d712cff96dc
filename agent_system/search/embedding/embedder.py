"""`Embedder`: what search asks for when it wants vectors; anything with a name, a size and one coroutine is one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from agent_system.errors import EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Vectors: TypeAlias = npt.NDArray[np.float32]

__all__ = ["FORMAT", "Embedder", "embedded", "normalised"]

FORMAT = "<f4"
"""How a number is stored: float32, little-endian, on every machine."""


class Embedder(Protocol):
    """Turns texts into vectors.

    Example:
        >>> class Mine:
        ...     name = "mine/one"
        ...     dimensions = 2
        ...
        ...     async def embed(self, texts):
        ...         return [[1.0, 0.0] for _ in texts]
    """

    @property
    def name(self) -> str:
        """Name of the model, as `provider/model`; vectors of two names are never compared."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""

    async def embed(self, texts: Sequence[str]) -> Vectors | Sequence[Sequence[float]]:
        """Return one vector for each text, in order: (texts, dimensions) float32, of any length.

        Raises:
            EmbeddingError: The vectors could not be had.
        """


async def embedded(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """The vectors of texts: (texts, dimensions) float32, each of length 1, or of length 0 when there is nothing in it.

    Raises:
        EmbeddingError: The embedder failed, or what it returned are not such vectors.
    """
    if not texts:
        return np.empty((0, embedder.dimensions), FORMAT)
    given = await embedder.embed(texts)
    try:
        vectors = np.asarray(given, FORMAT)
    except (TypeError, ValueError, OverflowError) as exc:
        message = f"{embedder.name} returned something that are no vectors"
        raise EmbeddingError(message, model=embedder.name) from exc
    wanted = (len(texts), embedder.dimensions)
    if vectors.shape != wanted:
        message = f"{embedder.name} returned numbers of the shape {vectors.shape}, not {wanted}"
        raise EmbeddingError(message, model=embedder.name)
    if len(vectors) == 1:
        # As questions and new rows have it: a quarter of the time.
        alone = _normalised_alone(vectors)
        if alone is not None:
            return alone
    if not np.isfinite(vectors).all():
        message = f"{embedder.name} returned numbers that are not finite"
        raise EmbeddingError(message, model=embedder.name)
    return normalised(vectors)


def _normalised_alone(vectors: Vectors) -> Vectors | None:
    """One vector of length 1; None when it is none that is as simple as that. (1, dimensions) float32."""
    # Neither 0 nor anything that is not finite; then all its numbers are finite, too.
    squared = float(np.vdot(vectors, vectors))
    return np.ascontiguousarray(vectors / math.sqrt(squared), FORMAT) if 0.0 < squared < math.inf else None


def normalised(vectors: Vectors) -> Vectors:
    """Vectors of length 1, so that their product is the cosine of the angle between them; (n, dimensions) float32."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0.0] = 1.0
    return np.ascontiguousarray(vectors / lengths, FORMAT)
