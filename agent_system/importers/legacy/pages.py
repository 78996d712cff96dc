"""`PageWriter`: a page of rows of one table, written with its entries in the books in one unit of work."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from agent_system.errors import DatabaseError, IntegrityError, ValidationError
from agent_system.importers.legacy.conflicts import InPages, Pending
from agent_system.importers.legacy.rows import LEGACY
from agent_system.importers.legacy.targets import Target
from agent_system.managers.core.steps import uncollected
from agent_system.managers.imports.book import BookEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.database.executor import Executor
    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy.description import Placeholder, Table
    from agent_system.importers.legacy.rows import SourceRow
    from agent_system.importers.legacy.whole_pages import WholePage
    from agent_system.managers.imports.book import ImportBook

__all__ = ["Fate", "PageWriter", "ReadyRow", "WholeFate"]

BEFORE = "imported before"
WRITTEN, MERGED, SKIPPED, REJECTED = "written", "merged", "skipped", "rejected"


class ReadyRow(NamedTuple):
    """A row that is understood and complete."""

    row: SourceRow
    key: UUID
    """The digest that it is known by."""
    values: dict[str, Any]
    links: bool
    """Whether it refers to rows of its own table."""
    standing: Mapping[str, Placeholder]
    """The columns that get the key of a row that stands for one that is not there."""


@dataclass(slots=True)
class Fate:
    """What became of a row."""

    row: SourceRow
    kind: str
    """written, merged, skipped or rejected."""
    target: Any = None
    """Its key here, as the driver of the older system's references keeps it; None when it is not here."""
    why: str | None = None
    notes: Sequence[tuple[str, str]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class WholeFate:
    """What became of a page of columns: the same of all of its rows."""

    kind: str
    """written or skipped."""
    targets: Sequence[Any]
    """Their keys here."""
    notes: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """What had to be changed in rows, by their place in the page."""


class PageWriter:
    """Writes pages of one table."""

    def __init__(self, em: EntityManager, table: Table, book: ImportBook, label: str) -> None:
        self._em = em
        self._table = table
        self._book = book
        self._label = label
        self._is_first = False
        self.target = Target(em, table.target, table.columns)

    async def begin(self, first: UUID, last: UUID) -> None:
        """Ask once whether any row of the table may be here already, so that a first import need not ask for each.

        Args:
            first: The smallest key that a row of the table can have in the books.
            last: The largest one.
        """
        self._is_first = not await self._em.db.read(partial(self._book.holds_any, first=first, last=last))

    async def write(self, rows: Sequence[ReadyRow], *, again: bool = True) -> list[Fate]:
        """Write rows, and tell what became of each.

        A page with a row that the database refuses is written in halves, until the row is alone and rejected.
        """
        if not rows:
            return []
        try:
            return await self._em.db.write(partial(self._work, rows=rows))
        except DatabaseError as exc:
            # A row may be here after all, from an import that runs beside this one or from a page that was read twice.
            self._is_first = False
            if not isinstance(exc, IntegrityError) and type(exc) is not DatabaseError:
                # A full disk, a lost server: no row is to blame for it, and the next import goes on here.
                raise
            if again:
                return await self.write(rows, again=False)
            if len(rows) == 1:
                return [Fate(rows[0].row, REJECTED, why=f"refused by the database: {exc}")]
        except (ValidationError, ValueError, TypeError, RecursionError) as exc:
            # What the codec cannot store is a ValueError, such as a JSON number that is infinite.
            if len(rows) == 1:
                return [Fate(rows[0].row, REJECTED, why=str(exc))]
        middle = len(rows) // 2
        return [*await self.write(rows[:middle], again=False), *await self.write(rows[middle:], again=False)]

    async def write_whole(self, page: WholePage) -> WholeFate | None:
        """Write a page of columns, and tell what became of it; None when that has to be done row by row."""
        try:
            return await self._em.db.write(partial(self._whole_work, page=page))
        except DatabaseError as exc:
            self._is_first = False
            if not isinstance(exc, IntegrityError) and type(exc) is not DatabaseError:
                raise
        except (ValidationError, ValueError, TypeError, RecursionError):
            pass
        return None

    def _whole_work(self, executor: Executor, page: WholePage) -> WholeFate | None:
        with uncollected():
            return self._write_whole(executor, page)

    def _write_whole(self, executor: Executor, page: WholePage) -> WholeFate | None:
        if not page.keys:
            return WholeFate(WRITTEN, [])
        known = {} if self._is_first else self._book.find(executor, list(map(UUID, page.keys)))
        if known:
            if len(known) < len(page.keys):
                # What becomes of each is told row by row.
                return None
            return WholeFate(SKIPPED, [self._parse(known[UUID(key)][0]) for key in page.keys])
        if len(set(page.keys)) < len(page.keys):
            # A row stands in the file twice.
            return None
        cells = page.cells.copy()
        notes: dict[int, list[tuple[str, str]]] = {}
        for rule in self._table.conflicts or ():
            if isinstance(rule, InPages):
                notes |= rule.settle_page(executor, self.target, cells)
        numbers = self.target.write_columns(executor, cells)
        targets: Sequence[Any] = page.values[self.target.key] if numbers is None else numbers
        texts = None if self._table.forgets_keys else list(map(str, targets))
        self._book.write_written(executor, page.keys, self._label, self.target.name, texts)
        return WholeFate(WRITTEN, targets, notes)

    def _work(self, executor: Executor, rows: Sequence[ReadyRow]) -> list[Fate]:
        with uncollected():
            return self._write_new(executor, rows)

    def _write_new(self, executor: Executor, rows: Sequence[ReadyRow]) -> list[Fate]:
        known = {} if self._is_first else self._book.find(executor, [each.key for each in rows])
        fates: list[Fate] = []
        fresh: dict[UUID, Pending] = {}
        for row, key, values, links, _ in rows:
            if key in known:
                fates.append(Fate(row, SKIPPED, self._parse(known[key][0]), BEFORE))
            elif key in fresh:
                fates.append(Fate(row, SKIPPED, fresh[key], "stands in the file twice"))
            else:
                fresh[key] = Pending(row, key, values.copy(), links)
        new = list(fresh.values())
        for rule in self._table.conflicts or ():
            rule.settle(executor, self.target, new)
        self._write_rows(executor, [pending for pending in new if pending.merged_into is None])
        if new:
            self._book.write(executor, [self._entry(pending) for pending in new])
        for fate in fates:
            if isinstance(fate.target, Pending):
                fate.target = self._key_of(fate.target)
        return fates + [self._fate(pending) for pending in new]

    def _write_rows(self, executor: Executor, rows: Sequence[Pending]) -> None:
        if self.target.has_metadata and self._table.keeps_metadata:
            for pending in rows:
                if pending.row.kept:
                    pending.values["meta"] = {**pending.values["meta"], LEGACY: pending.row.kept}
        self.target.write(executor, [pending.values for pending in rows])

    def _entry(self, pending: Pending) -> BookEntry:
        is_merged = pending.merged_into is not None
        unlinked = self._label if pending.links and not is_merged else None
        key = None if self._table.forgets_keys else str(self._key_of(pending))
        return BookEntry(pending.key, self._label, self.target.name, key, is_merged, unlinked)

    def _fate(self, pending: Pending) -> Fate:
        if pending.merged_into is not None:
            return Fate(pending.row, MERGED, self._key_of(pending), "the same thing is here already", pending.notes)
        return Fate(pending.row, WRITTEN, pending.values[self.target.key], None, pending.notes)

    def _key_of(self, pending: Pending) -> Any:
        merged = pending.merged_into
        if merged is None:
            return pending.values[self.target.key]
        return self._key_of(merged) if isinstance(merged, Pending) else merged

    def _parse(self, key: str | None) -> Any:
        """The key of a row from its text in the books."""
        if key is None or self.target.is_counted:
            return None if key is None else int(key)
        kind = self.target.columns[self.target.key].type.python_type
        return key if kind is str else kind(key)
