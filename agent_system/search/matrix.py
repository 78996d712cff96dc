"""`Matrix`: the vectors of one table in one model, one below the other in memory, so that one product compares all.

It is exact: the product of 100,000 vectors of 256 numbers with one takes 5 ms, where an approximate index has to be
built for tens of seconds and misses some. A row takes `4 * dimensions + 9` bytes, and while the matrix grows up to one
and a half times as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agent_system.search.embedding.embedder import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from agent_system.search.embedding.embedder import Vectors

    Numbers = npt.NDArray[np.int64]

__all__ = ["BYTES_BESIDE", "Matrix", "best_of", "likeness_of", "vectors_from"]

BYTES_BESIDE = 9
"""What a row takes beside its vector: its number, and whether it is there."""

GROWTH = 1.5
LEAST_ROWS = 256
# When so large a share of the rows is gone, the rest is moved together.
MOST_GONE = 0.25


class Matrix:
    """Vectors by number.

    Args:
        dimensions: How many numbers a vector has.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._rows: Vectors = np.empty((0, dimensions), FORMAT)
        self._ids: Numbers = np.empty(0, np.int64)
        self._is_there: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._count = 0
        self._gone = 0
        self._is_sorted = True

    def __len__(self) -> int:
        """How many vectors there are."""
        return self._count - self._gone

    @property
    def used_bytes(self) -> int:
        """How much memory the vectors take."""
        return self._count * (4 * self.dimensions + BYTES_BESIDE)

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, with room to grow."""
        return self._rows.nbytes + self._ids.nbytes + self._is_there.nbytes

    def put(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add vectors, or replace those of these numbers.

        Args:
            ids: Their numbers, each once.
            vectors: (ids, dimensions) float32, of length 1.
        """
        if not ids:
            return
        self.remove(ids)
        end = self._count + len(ids)
        self._make_room(end)
        new = np.asarray(ids, np.int64)
        last = self._ids[self._count - 1] if self._count else -1
        self._is_sorted = self._is_sorted and bool(new[0] > last) and bool((np.diff(new) > 0).all())
        self._rows[self._count : end] = vectors
        self._ids[self._count : end] = new
        self._is_there[self._count : end] = True
        self._count = end

    def remove(self, ids: Iterable[int]) -> None:
        """Remove the vectors of these numbers; a number without one is no error."""
        places = self.places(np.fromiter(ids, np.int64))
        self._is_there[places] = False
        self._gone += len(places)
        if self._gone > LEAST_ROWS and self._gone > MOST_GONE * self._count:
            self._move_together()

    def places(self, ids: Numbers) -> Numbers:
        """The rows in which vectors of these numbers stand; numbers without one are left out."""
        if not self._count or not len(ids):
            return np.empty(0, np.int64)
        if not self._is_sorted:
            self._sort()
        known = self._ids[: self._count]
        found = np.minimum(np.searchsorted(known, ids), self._count - 1)
        places: Numbers = found[(known[found] == ids) & self._is_there[found]]
        return places

    def best(self, query: Vectors, count: int, among: Numbers | None = None) -> tuple[list[int], list[float]]:
        """The numbers of the vectors that are most like one, the most alike first, and how alike they are (-1 to 1).

        Args:
            query: (dimensions,) float32, of length 1.
            count: At most so many.
            among: Numbers to which the search is bound; nothing is computed for others. None: all.
        """
        if among is None:
            rows, ids, is_there = self._rows[: self._count], self._ids[: self._count], self._is_there[: self._count]
            likeness = likeness_of(rows, query)
            if self._gone:
                likeness[~is_there] = -np.inf
        else:
            places = self.places(among)
            ids, likeness = self._ids[places], likeness_of(self._rows[places], query)
        return best_of(ids, likeness, count)

    def _make_room(self, rows: int) -> None:
        if rows <= len(self._ids):
            return
        # New arrays, so that whoever computes with the old ones on another thread goes on undisturbed.
        room = max(rows, LEAST_ROWS, int(len(self._ids) * GROWTH))
        self._rows = _larger(self._rows, (room, self.dimensions), self._count)
        self._ids = _larger(self._ids, (room,), self._count)
        self._is_there = _larger(self._is_there, (room,), self._count)

    def _move_together(self) -> None:
        self._keep(np.flatnonzero(self._is_there[: self._count]))

    def _sort(self) -> None:
        # Without those that are gone: a number that was replaced is there once.
        self._move_together()
        self._keep(np.argsort(self._ids[: self._count], kind="stable"))
        self._is_sorted = True

    def _keep(self, places: Numbers) -> None:
        self._rows, self._ids, self._is_there = self._rows[places], self._ids[places], self._is_there[places]
        self._count = len(places)
        self._gone = int(self._count - self._is_there.sum())


def likeness_of(rows: Vectors, query: Vectors) -> Any:
    """The product of each row with a vector, on one thread: (rows,) float32.

    A product by BLAS takes all processors, and on busy ones its threads wait for each other: 38 ms against 11 ms for
    100,000 rows of 256 numbers on two busy cores, and 24 against 5 ms at best.
    """
    return np.einsum("ij,j->i", rows, query)


def best_of(ids: Numbers, likeness: Any, count: int) -> tuple[list[int], list[float]]:
    """The numbers with the highest likeness, the highest first; of equal ones the higher number. -inf is left out."""
    if len(ids) > count:
        # Everything that is as good as the last of them, so that the order of equal ones does not depend on chance.
        least = np.partition(likeness, len(ids) - count)[len(ids) - count]
        chosen = np.flatnonzero(likeness >= least)
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


def _larger(values: Any, shape: tuple[int, ...], count: int) -> Any:
    made = np.zeros(shape, values.dtype)
    made[:count] = values[:count]
    return made
