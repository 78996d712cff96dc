"""`WholePages`: pages of a table there become pages of columns that can be written here; off the event loop.

It says the same of every row as `Understanding`, in a fifth of the time. What does not fit, such as a value
that a table here refuses, or a row that stands for another one, is left to be understood row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.errors import ValidationError
from agent_system.importers.legacy.columns import SourcePage, whole
from agent_system.importers.legacy.conflicts import InPages
from agent_system.importers.legacy.converters import OWN_ID
from agent_system.importers.legacy.description import Placeholder
from agent_system.importers.legacy.pages import Fate, ReadyRow
from agent_system.importers.legacy.rows import LEGACY
from agent_system.importers.legacy.understanding import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.importers.legacy.description import Table
    from agent_system.importers.legacy.rows import Reading, SourceRow
    from agent_system.importers.legacy.targets import Target
    from agent_system.importers.legacy.understanding import Understanding

__all__ = ["WholePage", "WholePages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePage:
    """Rows that are understood and complete, in columns."""

    source: SourcePage
    """All rows as they stand in the file."""
    positions: Sequence[int]
    """Where those stand there that can be brought over; everything below has one entry for each of them."""
    keys: Sequence[str]
    """The digests that they are known by in the books, as texts of UUIDs."""
    values: dict[str, Sequence[Any]]
    """Their values by attribute of our table."""
    cells: dict[str, Sequence[Any]]
    """The same, encoded for the driver; without those that the database would put there itself."""
    rejected: Sequence[Fate]
    """What became of the others."""
    by_rows: Callable[[], list[ReadyRow | Fate]]
    """Understands all of them row by row instead."""

    def row(self, place: int) -> SourceRow:
        """One of the rows by its place among those that can be brought over."""
        return self.source.row(self.positions[place])


class WholePages:
    """Understands pages of one table.

    Args:
        table: The table's description.
        target: Our table.
        reading: What is known while the file is read.
        understanding: Understands single rows.
    """

    def __init__(self, table: Table, target: Target, reading: Reading, understanding: Understanding) -> None:
        self._table = table
        self._target = target
        self._reading = reading
        self._understanding = understanding
        self._columns = [(name, convert) for name, convert in table.columns.items() if convert is not OWN_ID]

        # Others are understood by columns, too, and become rows again.
        self._are_written = (
            not table.links and target.is_alike and all(isinstance(rule, InPages) for rule in table.conflicts or ())
        )

    @staticmethod
    def fit(table: Table) -> bool:
        """Whether rows of a table can be understood column by column: each of its rows is one row here."""
        return table.only is None and table.expand is None

    def page(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> WholePage | list[ReadyRow | Fate]:
        """Understand rows of these columns; row by row where it cannot be done otherwise."""
        source = SourcePage(names, rows, self._reading)
        try:
            found = self._understand(source)
        except (ValidationError, ValueError, TypeError, RecursionError):
            # Which row it was is told by what comes now.
            found = None
        return self._by_rows(source) if found is None else found

    def _by_rows(self, page: SourcePage) -> list[ReadyRow | Fate]:
        return self._understanding.page(page.named_rows())

    def _understand(self, page: SourcePage) -> WholePage | list[ReadyRow | Fate] | None:
        data = {name: whole(convert, page) for name, convert in self._columns}
        positions: Sequence[int] = range(len(page))
        digests = self._understanding.digests([page.column(name) for name in self._table.identity])
        rejected: list[Fate] = []
        if page.rejected:
            refused = [page.named_row(position) for position in sorted(page.rejected)]
            rejected = [each for each in self._understanding.page(refused) if isinstance(each, Fate)]
            if len(rejected) != len(refused):
                return None
            kept = [position not in page.rejected for position in positions]
            positions, digests = list(compress(positions, kept)), list(compress(digests, kept))
            if not positions:
                return [*rejected]
            data = {name: list(compress(values, kept)) for name, values in data.items()}
        if any(Placeholder in set(map(type, values)) for values in data.values()):
            # Rows that stand for others are made one by one.
            return None
        own = self._understanding.own
        if own:
            numbers = [page.numbers[position] for position in positions]
            moments = data.get("created_at", [None] * len(positions))
            ids = self._understanding.own_ids(moments, numbers, digests)
            data.update(dict.fromkeys(own, ids))
        if not self._are_written:
            return [*rejected, *self._rows(page, positions, digests, data)]
        self._keep(page, positions, data)
        values = self._target.complete_columns(data, len(positions))
        return WholePage(
            source=page,
            positions=positions,
            keys=list(map(_canonical, digests)),
            values=values,
            cells=self._target.encode_columns(values),
            rejected=rejected,
            by_rows=partial(self._by_rows, page),
        )

    def _rows(
        self, page: SourcePage, positions: Sequence[int], digests: Sequence[bytes], data: dict[str, Sequence[Any]]
    ) -> list[ReadyRow]:
        """Complete rows of what was understood in columns."""
        columns = [page.column(link.source) for link in self._table.links]
        links = {position for position in positions if any(column[position] is not None for column in columns)}
        complete = self._target.complete_rows(data, len(positions))
        return [
            ReadyRow(page.row(position), UUID(bytes=digest), values, position in links, NOTHING)
            for position, digest, values in zip(positions, digests, complete, strict=True)
        ]

    def _keep(self, page: SourcePage, positions: Sequence[int], data: dict[str, Sequence[Any]]) -> None:
        """Add what the columns could not hold to the metadata."""
        if not (self._target.has_metadata and self._table.keeps_metadata):
            return
        kept = {position: row.kept for position, row in page.looked_at if row.kept}
        if not kept:
            return
        found = data.get("meta", [{}] * len(positions))
        data["meta"] = [
            {**value, LEGACY: kept[position]} if position in kept else value
            for position, value in zip(positions, found, strict=True)
        ]


def _canonical(digest: bytes) -> str:
    """The text of a UUID, which both drivers take; through a UUID it takes three times as long."""
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
