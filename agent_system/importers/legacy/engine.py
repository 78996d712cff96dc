"""`FileImport`: one file of an older system, table by table and page by page, in constant memory."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.linking import Linking
from agent_system.importers.legacy.pages import (
    BEFORE,
    REJECTED,
    SKIPPED,
    WRITTEN,
    Fate,
    PageWriter,
    ReadyRow,
    WholeFate,
)
from agent_system.importers.legacy.recognition import fits
from agent_system.importers.legacy.references import References, reference_key
from agent_system.importers.legacy.report import FileReport, TableReport
from agent_system.importers.legacy.rows import Reading
from agent_system.importers.legacy.tables import TableReader, count_rows
from agent_system.importers.legacy.understanding import Understanding
from agent_system.importers.legacy.whole_pages import WholePage, WholePages
from agent_system.managers.core.steps import uncollected
from agent_system.managers.imports.book import ImportBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy.description import Placeholder, System, Table
    from agent_system.importers.legacy.source import LegacyFile

__all__ = ["FileImport", "Progress", "RejectedRow"]

PAGE = 2_048
"""Rows that are written, and forgotten, together; so many that SQLite gets them in few and large statements."""

Progress = "Callable[[str, int, int], None]"
RejectedRow = "Callable[[str, int, str, Mapping[str, Any]], None]"


class FileImport:
    """The import of one file.

    Args:
        em: The facade over the database that gets the rows.
        file: The copy of the file.
        system: The system that it belongs to.
        tables: The columns of its tables.
        zone: Where the clocks stood that wrote moments without a zone.
        clock: Tells the present.
        progress: Called with the table, the rows of the file that are done, and all of them.
        rejected: Called with the table, the rowid, the reason and the values of every row that is rejected.
    """

    def __init__(
        self,
        em: EntityManager,
        file: LegacyFile,
        system: System,
        tables: Mapping[str, Sequence[str]],
        *,
        zone: tzinfo,
        clock: Callable[[], datetime],
        progress: Callable[[str, int, int], None] | None = None,
        rejected: Callable[[str, int, str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._em = em
        self._file = file
        self._system = system
        self._tables = tables
        self._progress = progress
        self._rejected = rejected
        self._references = References(file.folder)
        self._reading = Reading(now=clock(), zone=zone, references=self._references, tables=frozenset(tables))
        self._book = ImportBook(em.db.dialect, clock, system=system.name, file_name=file.path.name, digest=file.digest)
        self._stand_ins: dict[Placeholder, Any] = {}
        self._done = 0
        self._all = 0

    async def run(self) -> FileReport:
        """Import all tables and say what became of them."""
        report = FileReport(path=str(self._file.path), system=self._system.name, digest=self._file.digest)
        wanted = [table for table in self._system.tables if fits(table, self._tables.get(table.source, ()))]
        report.left_out = await asyncio.to_thread(self._left_out, {table.source for table in wanted})
        self._all = await asyncio.to_thread(self._count, {table.source for table in wanted})
        try:
            for table in wanted:
                report.tables.append(await self._import_table(table))
        finally:
            self._references.close()
        await self._em.db.write(lambda executor: self._book.finish(executor, {"tables": _counts(report)}))
        report.is_unchanged = await self._file.is_unchanged()
        return report

    def _left_out(self, wanted: set[str]) -> dict[str, str]:
        found = {}
        for name in self._tables:
            if name not in wanted:
                reason = self._system.left_out.get(name, "not a table that is known of this system")
                rows = count_rows(self._file.connection, name)
                found[name] = f"{reason} ({'?' if rows is None else rows} rows)"
        return found

    def _count(self, wanted: set[str]) -> int:
        return sum(count_rows(self._file.connection, name) or 0 for name in wanted)

    async def _import_table(self, table: Table) -> TableReport:
        label = f"{self._system.name}.{table.label}"
        writer = PageWriter(self._em, table, self._book, label)
        report = TableReport(table=table.label, target=writer.target.name)
        understanding = Understanding(self._system.name, table, writer.target, self._reading)
        linking = Linking(table, writer.target, self._references, self._book) if table.links else None
        pages = WholePages(table, writer.target, self._reading, understanding) if WholePages.fit(table) else None
        reader = self._reader(table)
        await writer.begin(*understanding.keys)

        def next_page() -> WholePage | list[ReadyRow | Fate] | None:
            with uncollected():
                return read_page() if pages is None else read_columns(pages)

        def read_columns(pages: WholePages) -> WholePage | list[ReadyRow | Fate] | None:
            rows = reader.rows(PAGE)
            found = pages.page(reader.columns, rows) if rows else None
            if linking is not None and isinstance(found, list):
                linking.remember(each.row.raw for each in found)
            return found

        def read_page() -> list[ReadyRow | Fate]:
            found: list[ReadyRow | Fate] = []
            while not found:
                rows = reader.page(PAGE)
                if not rows:
                    break
                mine = table.rows(rows)
                if linking is not None:
                    linking.remember(raw for _, raw in mine)
                found = understanding.page(mine)
            return found

        coming = asyncio.create_task(asyncio.to_thread(next_page))
        try:
            while page := await coming:
                # The next page is read and understood while this one is written.
                coming = asyncio.create_task(asyncio.to_thread(next_page))
                await self._write_page(page, writer, report, table)
        finally:
            # Whatever happened, nobody reads on when the file is closed.
            await asyncio.wait([coming])
        report.losses = reader.losses
        if linking is not None:
            await self._link(table, label, linking, understanding, report)
        return report

    def _reader(self, table: Table) -> TableReader:
        return TableReader(self._file.connection, table.source, self._tables[table.source])

    async def _write_page(
        self, page: WholePage | Sequence[ReadyRow | Fate], writer: PageWriter, report: TableReport, table: Table
    ) -> None:
        if isinstance(page, WholePage):
            fate = await writer.write_whole(page)
            if fate is not None:
                self._note_whole(page, fate, report, table)
                return
            page = await asyncio.to_thread(page.by_rows)
        await self._write(page, writer, report, table)

    async def _write(
        self, page: Sequence[ReadyRow | Fate], writer: PageWriter, report: TableReport, table: Table
    ) -> None:
        ready = [each for each in page if isinstance(each, ReadyRow)]
        for each in ready:
            for name, placeholder in each.standing.items():
                each.values[name] = await self._stand_in(placeholder)
        fates = [each for each in page if isinstance(each, Fate)] + await writer.write(ready)
        pairs = [(fate, fate.target) for fate in fates if fate.target is not None]
        for source, name in self._known_as(table):
            self._references.add(source, [(reference_key(fate.row.raw.get(name)), key) for fate, key in pairs])
        report.read += len(fates)
        for fate in fates:
            self._note(report, fate, table.secrets)
        self._advance(table, len(page))

    def _note_whole(self, page: WholePage, fate: WholeFate, report: TableReport, table: Table) -> None:
        for source, name in self._known_as(table):
            theirs = page.source.column(name)
            keys = [reference_key(theirs[position]) for position in page.positions]
            self._references.add(source, list(zip(keys, fate.targets, strict=True)))
        report.read += len(page.source)
        for each in page.rejected:
            self._note(report, each, table.secrets)
        if fate.kind == SKIPPED:
            report.skipped += len(page.positions)
            for position in page.positions:
                report.note(SKIPPED, BEFORE, page.source.numbers[position])
        else:
            looked_at = {position for position, row in page.source.looked_at if row.repairs or row.orphans}
            telling = [
                place for place, position in enumerate(page.positions) if place in fate.notes or position in looked_at
            ]
            report.written += len(page.positions) - len(telling)
            for place in telling:
                self._note(report, Fate(page.row(place), WRITTEN, notes=fate.notes.get(place, ())), table.secrets)
        self._advance(table, len(page.source))

    def _known_as(self, table: Table) -> Iterator[tuple[str, str]]:
        """The names by which other tables refer to rows of a table, each with the column there."""
        known_as = table.known_as or table.source
        for position, name in enumerate(table.key if table.is_referenced else ()):
            # Other names of a row are told from its key by the column in the table's name.
            yield known_as if position == 0 else f"{known_as}.{name}", name

    def _advance(self, table: Table, rows: int) -> None:
        self._done += rows
        if self._progress is not None:
            self._progress(table.label, self._done, max(self._all, self._done))

    async def _stand_in(self, placeholder: Placeholder) -> Any:
        if placeholder not in self._stand_ins:
            self._stand_ins[placeholder] = await placeholder.make(self._em)
        return self._stand_ins[placeholder]

    def _note(self, report: TableReport, fate: Fate, secrets: Collection[str]) -> None:
        row, number = fate.row, fate.row.number
        if fate.kind == WRITTEN and not (row.repairs or row.orphans or fate.notes):
            # Nearly all of them.
            report.written += 1
            return
        setattr(report, fate.kind, getattr(report, fate.kind) + 1)
        if fate.why is not None:
            report.note(fate.kind, fate.why, number)
        if fate.kind == REJECTED and self._rejected is not None:
            shown = {name: "(secret)" if name in secrets else value for name, value in row.raw.items()}
            self._rejected(report.table, number, fate.why or "", shown)
        if fate.kind == SKIPPED:
            return
        if row.orphans:
            report.orphaned += 1
            report.note_all("orphaned", row.orphans, number)
        repairs = [*row.repairs, *fate.notes]
        if repairs and fate.kind != REJECTED:
            report.repaired += 1
            report.note_all("repaired", repairs, number)

    async def _link(
        self, table: Table, label: str, linking: Linking, understanding: Understanding, report: TableReport
    ) -> None:
        """Set the references of a table to itself, unless all of them are set already."""
        if not await self._em.db.read(lambda executor: self._book.count_unlinked(executor, label)):
            return
        reader = self._reader(table)
        while page := await asyncio.to_thread(reader.page, PAGE):
            mine = table.rows(page)
            rows = [(understanding.key(raw), raw) for _, raw in mine]
            await self._em.db.write(partial(linking.work, rows=rows))
            for number, raw in mine:
                lost = linking.lost(raw)
                report.orphaned += bool(lost)
                report.note_all("orphaned", lost, number)


def _counts(report: FileReport) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for table in report.tables:
        known = counts.setdefault(table.table, {})
        for name, value in table.counts().items():
            known[name] = known.get(name, 0) + value
    return counts
