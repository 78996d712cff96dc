"""What the columns of our tables have no room for: it goes to the metadata of the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.columns import InColumns, SourcePage
from agent_system.importers.legacy.converters import Converter, json_object
from agent_system.importers.legacy.items import ITEM, POSITION
from agent_system.importers.legacy.rows import LEGACY
from agent_system.importers.legacy.values import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["metadata"]

EMPTY = frozenset({None, ""})


def metadata(used: Iterable[str], source: str | None = None) -> Converter:
    """The metadata of a row: those that it had, and what no column here holds, as that of a newer version of the file.

    Args:
        used: The columns there that have become columns here.
        source: The column there that holds the metadata as JSON; None when there is none.
    """
    had = None if source is None else json_object(source)
    known = frozenset(used) | {source}

    def convert(row: SourceRow) -> dict[str, Any]:
        found: dict[str, Any] = {} if had is None else had(row)
        for name, value in row.raw.items():
            if name not in known and value not in EMPTY and not name.startswith((ITEM, POSITION)):
                row.kept[name] = plain(value)
        if LEGACY in found:
            # The importer has a use of its own for the key.
            row.kept[LEGACY] = found[LEGACY]
        return found

    def column(page: SourcePage) -> Sequence[dict[str, Any]]:
        others = [name for name in page.names if name == source or name not in known]
        telling: set[int] = set()
        for name in others:
            values = page.column(name)
            if not EMPTY.issuperset(values):
                telling.update(position for position, value in enumerate(values) if value not in EMPTY)
        return [page.convert(convert, position) if position in telling else {} for position in range(len(page))]

    return InColumns(convert, column)
