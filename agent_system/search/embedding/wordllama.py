"""`WordLlamaEmbedder`: vectors from the average of word vectors, in 0.05 ms a text, without a network."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_system.errors import MissingExtraError
from agent_system.search.embedding.embedder import normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.search.embedding.embedder import Vectors

__all__ = ["WordLlamaEmbedder"]

EXTRA = "embeddings-local"
# So many texts take about a millisecond, which the event loop can do without.
ON_THE_LOOP = 16


class WordLlamaEmbedder:
    """Averages the vectors of a text's tokens, which a large language model has learned (https://github.com/dleemiller/WordLlama).

    Its weights come with its package. It is fast and knows English words; `MiniLmEmbedder` understands sentences.

    Raises:
        MissingExtraError: The package is not installed.

    Example:
        >>> em = EntityManager(db, embedder=WordLlamaEmbedder())
    """

    name = "wordllama/l2_supercat_256"
    dimensions = 256

    def __init__(self) -> None:
        try:
            wordllama: Any = importlib.import_module("wordllama")
        except ImportError as exc:
            raise MissingExtraError(EXTRA, "a local embedder") from exc
        # Without its folder it looks for the tokenizer elsewhere, and then in the network.
        folder = Path(wordllama.__file__).parent
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, dim=self.dimensions, disable_download=True)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector for each text, in order: (texts, 256) float32 of length 1."""
        if len(texts) <= ON_THE_LOOP:
            return self._embed(texts)
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        # The tokenizer takes no lone surrogates.
        plain = [text.encode("utf-8", "replace").decode() for text in texts]
        return normalised(self._model.embed(plain, norm=False))
