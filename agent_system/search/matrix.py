"""`Matrix`: the vectors of one table in one model, one below the other in memory, so that one product compares all.

It is exact: to find the best of 100,000 vectors of 256 numbers takes 3.5 ms on two idle processors and 6 on one, where
an approximate index has to be built for tens of seconds and misses some. A row takes `4 * dimensions + 9` bytes, and
while the matrix grows up to one and a half times as much.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from agent_system.search.embedding.embedder import FORMAT
from agent_system.search.numbered import Numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.search.embedding.embedder import Vectors
    from agent_system.search.numbered import Numbers

__all__ = ["MANY", "Matrix", "best_of", "likeness_of", "roughly_like", "vectors_from"]

# Of more rows than these every so-manieth is looked at to see how good the best ones are.
MANY = 10_000
STRIDE = 16
SAFETY = 5
# OpenBLAS divides a product of a matrix with a vector among threads from 9,216 numbers on.
BLOCK_NUMBERS = 8_192
# What a thread takes at once, 0.5 ms; to start another one takes a tenth.
PART_NUMBERS = 2**21
PARTS_OF_ONE_THREAD = 2


class Matrix(Numbered):
    """Vectors by number.

    Args:
        dimensions: How many numbers a vector has.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions, FORMAT)

    def put(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add vectors, or replace those of these numbers.

        Args:
            ids: Their numbers, each once.
            vectors: (ids, dimensions) float32, of length 1.
        """
        if ids:
            self._put(ids, vectors)

    def best(self, query: Vectors, count: int, among: Numbers | None = None) -> tuple[list[int], list[float]]:
        """The numbers of the vectors that are most like one, the most alike first, and how alike they are (-1 to 1).

        Args:
            query: (dimensions,) float32, of length 1.
            count: At most so many.
            among: Numbers to which the search is bound; nothing is computed for others. None: all.
        """
        if among is None:
            rough = roughly_like(self._rows[: self._count], query)
            if self._gone:
                rough[~self._is_there[: self._count]] = -np.inf
            places = _near_the_best(rough, count, 2 * len(query) * float(np.finfo(np.float32).eps))
        else:
            places = self.places(among)
        return best_of(self._ids[places], likeness_of(self._rows[places], query), count)


def likeness_of(rows: Vectors, query: Vectors) -> Any:
    """The product of each row with a vector, the same for rows that are the same: (rows,) float32."""
    return _by_parts(_multiply_alike, rows, query)


def roughly_like(rows: Vectors, query: Vectors) -> Any:
    """The product of each row with a vector, in which equal rows may differ by their place: (rows,) float32.

    A product by BLAS takes all processors, and on busy ones its threads wait for each other: 38 ms against 11 ms for
    100,000 rows of 256 numbers on two busy cores. So it gets blocks that are too small for more than one thread. Of
    vectors of length 1 it differs from the exact product by less than the number of their dimensions times 6e-8, the
    bound of float32 sums (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
    """
    return _by_parts(_multiply_blocks, rows, query)


def _by_parts(multiply: Callable[[Vectors, Vectors, Any], None], rows: Vectors, query: Vectors) -> Any:
    """Go from part to part; of many rows a second thread takes those that this one has not come to."""
    likeness = np.empty(len(rows), np.float32)
    size = max(1, PART_NUMBERS // max(1, rows.shape[1]))
    parts = deque(slice(start, start + size) for start in range(0, len(rows), size))

    def compute() -> None:
        with suppress(IndexError):
            while True:
                part = parts.popleft()
                multiply(rows[part], query, likeness[part])

    if len(parts) <= PARTS_OF_ONE_THREAD:
        compute()
        return likeness
    with ThreadPoolExecutor(1, "agent_system-likeness") as second:
        helper = second.submit(compute)
        compute()
        helper.result()
    return likeness


def _multiply_alike(rows: Vectors, query: Vectors, likeness: Any) -> None:
    np.einsum("ij,j->i", rows, query, out=likeness, casting="same_kind")


def _multiply_blocks(rows: Vectors, query: Vectors, likeness: Any) -> None:
    count, dimensions = rows.shape
    size = max(1, BLOCK_NUMBERS // max(1, dimensions))
    whole = count - count % size
    blocks = rows[:whole].reshape(-1, size, dimensions)
    np.matmul(blocks, query, out=likeness[:whole].reshape(-1, size), casting="same_kind")
    np.matmul(rows[whole:], query, out=likeness[whole:], casting="same_kind")


def _near_the_best(rough: Any, count: int, margin: float) -> Any:
    """The places of those that can be among the best so many, when each differs by less than the margin."""
    least = _least_of_best(rough, count) if len(rough) > count else -np.inf
    return np.flatnonzero(rough >= least - margin) if np.isfinite(least) else np.flatnonzero(np.isfinite(rough))


def _least_of_best(likeness: Any, count: int) -> Any:
    """What the last of the best so many has; there are more than so many."""
    if len(likeness) > MANY:
        # As a sample says, these are some times as many as are wanted; to sort them out of all takes ten times as long.
        sample = likeness[::STRIDE]
        place = len(sample) - (count // STRIDE + 1) * SAFETY
        near = likeness[likeness >= np.partition(sample, place)[place]] if place > 0 else likeness[:0]
        likeness = near if len(near) >= count else likeness
    return np.partition(likeness, len(likeness) - count)[len(likeness) - count]


def best_of(ids: Numbers, likeness: Any, count: int) -> tuple[list[int], list[float]]:
    """The numbers with the highest likeness, the highest first; of equal ones the higher number. -inf is left out."""
    if len(ids) > count:
        # Everything that is as good as the last of them, so that the order of equal ones does not depend on chance.
        chosen = np.flatnonzero(likeness >= _least_of_best(likeness, count))
        ids, likeness = ids[chosen], likeness[chosen]
    order = np.lexsort((-ids, -likeness))[:count]
    order = order[np.isfinite(likeness[order])]
    return ids[order].tolist(), likeness[order].tolist()


def vectors_from(rows: Sequence[tuple[int, bytes]], dimensions: int) -> tuple[list[int], Vectors]:
    """Numbers and vectors of stored rows; what has another length than the model's vectors is left out.

    Args:
        rows: Number and bytes of each.
        dimensions: How many numbers a vector has.
    """
    length = dimensions * np.dtype(FORMAT).itemsize
    sound = [row for row in rows if len(row[1]) == length]
    vectors = np.frombuffer(b"".join(row[1] for row in sound), FORMAT).reshape(len(sound), dimensions)
    return [row[0] for row in sound], vectors
