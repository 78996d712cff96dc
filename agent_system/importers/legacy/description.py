"""How a system is described: which of its tables become which of ours, column by column, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy.conflicts import Conflicts
    from agent_system.importers.legacy.converters import Converter

__all__ = ["Link", "Placeholder", "System", "Table"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A row here that stands for one that is not there, made when the first row needs it."""

    make: Callable[[EntityManager], Awaitable[Any]]
    """Returns the key of the row, which it makes if need be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A reference of a table to itself: set when all rows of the table are here."""

    column: str
    """The column here."""
    source: str
    """The column there."""
    tree: str | None = None
    """A column here that gets the key of the root; the links then form trees, and one that closes a circle is cut."""
    may_circle: bool = False
    """Whether links may lead in a circle, as those of messages that answer each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What becomes of the rows of one table.

    Args:
        source: The table there.
        target: The facade's attribute of our table (`token_usage`), or its class where the facade has none.
        columns: What each column here is made of; see `converters.py`. Columns that are left out get their defaults.
        identity: The columns there by which a row is known again, in this file or another: those that are never
            changed once the row is written. A column that older files lack may be among them.
        key: The columns there that other tables refer to it by; the first one is the table's own key.
        needs: Columns that a table must have to be this one.
        conflicts: What happens to a row that is not unique here.
        links: References of the table to itself.
        expand: What makes several rows of one, such as the items of a list in a column; each is counted by itself.
        part: What such rows are called in reports, behind the name of the table. Two descriptions of one table need
            different ones.
        only: Which rows this description is for; None is all. The rows of a table may have several descriptions.
        keeps_metadata: Whether our table has a column `metadata` for what the others cannot hold.
        is_referenced: Whether other tables refer to its rows; what nobody refers to need not be remembered.
        known_as: The table there whose rows these are too, under the same keys; None: its own.
        secrets: Columns there whose values are shown to nobody, such as passwords.
        forgets_keys: Whether the keys here are the same texts as there, so that the books need not repeat them.
    """

    source: str
    target: str | type[Any]
    columns: Mapping[str, Converter]
    identity: tuple[str, ...]
    key: tuple[str, ...] = ("id",)
    needs: frozenset[str] = frozenset()
    conflicts: Conflicts | None = None
    links: tuple[Link, ...] = ()
    expand: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]] | None = None
    part: str = ""
    only: Callable[[Mapping[str, Any]], bool] | None = None
    keeps_metadata: bool = True
    is_referenced: bool = True
    known_as: str | None = None
    secrets: frozenset[str] = frozenset()
    forgets_keys: bool = False

    @property
    def label(self) -> str:
        """The table for people, with the part of its rows that this is about."""
        return f"{self.source}.{self.part}" if self.part else self.source

    def rows(self, page: Iterable[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, Mapping[str, Any]]]:
        """Those of the rows that this description is for, made several where it says so."""
        mine = [row for row in page if self.only is None or self.only(row[1])]
        if self.expand is None:
            return mine
        return [(number, item) for number, raw in mine for item in self.expand(raw)]


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """An older system: its tables in the order in which they are imported, what is referred to first."""

    name: str
    """In one word, as the books and reports have it."""
    title: str
    """For people."""
    tables: tuple[Table, ...]
    left_out: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Tables that are known and not imported, with the reason."""
