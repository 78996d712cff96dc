"""`SourcePage`: rows as they stand in the file, understood column by column.

Nearly all values of a column are what they should be, and one look at all of them costs a tenth of a look at each. A
converter that knows how is `InColumns`; it hands every value that is not as usual to the same converter by row, so that
both ways say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.rows import Converter, RejectedError, SourceRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent_system.importers.legacy.rows import Reading

__all__ = ["InColumns", "SourcePage", "are", "whole"]


class SourcePage:
    """Rows of one table as they stand in the file.

    Args:
        names: The columns that this version of the file has.
        rows: For each row its rowid and the values of these columns; at least one.
        reading: What is known while the file is read.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[Sequence[Any]], reading: Reading) -> None:
        self.names = names
        self.reading = reading
        self.rejected: set[int] = set()
        """The positions of rows that cannot be brought over."""
        self._rows = rows
        self.numbers, *columns = zip(*rows, strict=True)
        self._columns: dict[str, Sequence[Any]] = dict(zip(names, columns, strict=True))
        self._looked_at: dict[int, SourceRow] = {}

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column; all of them None when this version of the file lacks it."""
        found = self._columns.get(name)
        return (None,) * len(self._rows) if found is None else found

    def named_row(self, position: int) -> tuple[int, dict[str, Any]]:
        """The rowid and the values of one row."""
        number, *values = self._rows[position]
        return number, dict(zip(self.names, values, strict=True))

    def named_rows(self) -> list[tuple[int, dict[str, Any]]]:
        """The rowid and the values of every row."""
        return [self.named_row(position) for position in range(len(self._rows))]

    def row(self, position: int) -> SourceRow:
        """One row, with all that was said about it."""
        found = self._looked_at.get(position)
        if found is None:
            found = self._looked_at[position] = SourceRow(*self.named_row(position), self.reading)
        return found

    @property
    def looked_at(self) -> Iterable[tuple[int, SourceRow]]:
        """The rows that were looked at by themselves, in order."""
        return sorted(self._looked_at.items())

    def convert(self, convert: Converter, position: int) -> Any:
        """Convert a value by its row; None when the row is rejected for it."""
        try:
            return convert(self.row(position))
        except RejectedError:
            self.rejected.add(position)
            return None


@dataclass(frozen=True, slots=True)
class InColumns:
    """A converter that also takes the column of a page at once."""

    convert: Converter
    whole: Callable[[SourcePage], Sequence[Any]]
    """Returns the values of all rows, the same as `convert` of each."""

    def __call__(self, row: SourceRow) -> Any:
        """Convert the value of one row."""
        return self.convert(row)


def whole(convert: Converter, page: SourcePage) -> Sequence[Any]:
    """Convert a column at once, by whatever converter."""
    if isinstance(convert, InColumns):
        return convert.whole(page)
    return [page.convert(convert, position) for position in range(len(page))]


def are(values: Sequence[Any], kind: type, low: float, high: float) -> bool:
    """Whether all values are of exactly one type, none of them None, and within limits."""
    return {kind}.issuperset(map(type, values)) and (not values or (low <= min(values) and max(values) <= high))
