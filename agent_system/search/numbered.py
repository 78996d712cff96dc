"""`Numbered`: rows of an array by number, which come and go while somebody searches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

__all__ = ["BYTES_BESIDE", "Numbered"]

BYTES_BESIDE = 9
"""What a row takes beside its values: its number, and whether it is there."""

GROWTH = 1.5
LEAST_ROWS = 256
# When so large a share of the rows is gone, the rest is moved together.
MOST_GONE = 0.25


class Numbered:
    """An array of which each row has a number.

    Args:
        width: How many values a row has.
        kind: What the values are.
        by_column: Whether the values of a column lie together, rather than those of a row.
    """

    def __init__(self, width: int, kind: str, *, by_column: bool = False) -> None:
        self._order: Literal["C", "F"] = "F" if by_column else "C"
        self._rows: npt.NDArray[Any] = np.empty((0, width), kind, self._order)
        self._width_bytes = width * int(self._rows.itemsize)
        self._ids: Numbers = np.empty(0, np.int64)
        self._is_there: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._count = 0
        self._gone = 0
        self._is_sorted = True

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count - self._gone

    @property
    def used_bytes(self) -> int:
        """How much memory the rows take."""
        return self._count * (self._width_bytes + BYTES_BESIDE)

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, with room to grow."""
        return self._rows.nbytes + self._ids.nbytes + self._is_there.nbytes

    def remove(self, ids: Iterable[int]) -> None:
        """Remove the rows of these numbers; a number without one is no error."""
        places = self.places(np.fromiter(ids, np.int64))
        self._is_there[places] = False
        self._gone += len(places)
        if self._gone > LEAST_ROWS and self._gone > MOST_GONE * self._count:
            self._move_together()

    def places(self, ids: Numbers) -> Numbers:
        """Where the rows of these numbers stand; numbers without one are left out."""
        if not self._count or not len(ids):
            return np.empty(0, np.int64)
        if not self._is_sorted:
            self._sort()
        known = self._ids[: self._count]
        found = np.minimum(np.searchsorted(known, ids), self._count - 1)
        places: Numbers = found[(known[found] == ids) & self._is_there[found]]
        return places

    def _put(self, ids: Any, rows: npt.NDArray[Any]) -> None:
        """Add rows, or replace those of these numbers, each of which is there once."""
        self.remove(ids)
        end = self._count + len(ids)
        self._make_room(end)
        new = np.asarray(ids, np.int64)
        last = self._ids[self._count - 1] if self._count else -1
        self._is_sorted = self._is_sorted and bool(new[0] > last) and bool((np.diff(new) > 0).all())
        self._rows[self._count : end] = rows
        self._ids[self._count : end] = new
        self._is_there[self._count : end] = True
        self._count = end

    def _make_room(self, rows: int) -> None:
        if rows <= len(self._ids):
            return
        # New arrays, so that whoever computes with the old ones on another thread goes on undisturbed.
        room = max(rows, LEAST_ROWS, int(len(self._ids) * GROWTH))
        self._rows = self._larger(self._rows, (room, self._rows.shape[1]))
        self._ids = self._larger(self._ids, (room,))
        self._is_there = self._larger(self._is_there, (room,))

    def _larger(self, values: Any, shape: tuple[int, ...]) -> Any:
        made = np.zeros(shape, values.dtype, self._order)
        made[: self._count] = values[: self._count]
        return made

    def _move_together(self) -> None:
        self._keep(np.flatnonzero(self._is_there[: self._count]))

    def _sort(self) -> None:
        # Without those that are gone: a number that was replaced is there once.
        self._move_together()
        self._keep(np.argsort(self._ids[: self._count], kind="stable"))
        self._is_sorted = True

    def _keep(self, places: Numbers) -> None:
        self._rows = np.asarray(self._rows[places], order=self._order)
        self._ids, self._is_there = self._ids[places], self._is_there[places]
        self._count = len(places)
        self._gone = int(self._count - self._is_there.sum())
