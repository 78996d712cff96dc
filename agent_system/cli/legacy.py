"""`agent-system import legacy`: databases of older systems into this one, with a report of every row."""

from __future__ import annotations

import csv
import json
import os
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path  # noqa: TC003 (typer reads it at run time)
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent_system.cli.context import Options, await_, facade, options_of
from agent_system.cli.exit_codes import exit_code
from agent_system.cli.output import console, fail_line, one_line, print_json, progress_console, table
from agent_system.database.manager import DatabaseManager
from agent_system.doctor.examination import FILE_CHECKS
from agent_system.errors import ConfigurationError, ImportFileError
from agent_system.importers.legacy import import_legacy
from agent_system.importers.legacy.values import plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy import FileReport, TableReport

__all__ = ["legacy"]

COUNTS = ("read", "written", "merged", "skipped", "rejected", "repaired", "orphaned")
SKIPPED = "skipped"
MOST_REASONS = 12
"""Reasons of a table that are shown; the JSON has them all."""
MOST_SHOWN_ROWS = 5
REJECTED_COLUMNS = ("file", "table", "row", "reason", "values")


def legacy(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Databases of older systems (*.db).", show_default=False)],
    database: Annotated[
        str | None,
        typer.Option(
            "--url", "--database", help="The database that gets the rows; also before the command.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; the database stays as it is.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="Write the rows that are rejected into this CSV file.", show_default=False)
    ] = None,
    timezone: Annotated[str, typer.Option(help="Where the clocks stood that wrote times without a zone.")] = "UTC",
) -> None:
    """Bring databases of older systems over: each is recognised by its tables, read in a copy, and never changed.

    What was imported before is not imported again, so that an import that was interrupted is simply repeated.
    """
    options = options_of(context) if database is None else Options(url=database)
    with _rejected_rows(rejected) as write_rejected:
        reports, failures = await_(
            _import_files(options, files, dry_run=dry_run, zone=_zone(timezone), rejected=write_rejected)
        )
    if as_json:
        print_json([report.as_dict() for report in reports])
    else:
        for report in reports:
            _show(report)
    for failure in failures:
        fail_line(str(failure))
    if failures:
        raise typer.Exit(exit_code(failures[0]))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        message = f"{name!r} is no time zone; write it as in Europe/Paris"
        raise ConfigurationError(message) from exc


async def _import_files(
    options: Options, files: Sequence[Path], *, dry_run: bool, zone: ZoneInfo, rejected: Callable[..., None]
) -> tuple[list[FileReport], list[ImportFileError]]:
    reports: list[FileReport] = []
    failures: list[ImportFileError] = []
    async with _target(options, dry_run=dry_run) as em:
        for path in files:
            try:
                with _progress(path) as advance:
                    report = await import_legacy(
                        em,
                        path,
                        dry_run=dry_run,
                        zone=zone,
                        progress=advance,
                        rejected=lambda *row, path=path: rejected(path, *row),
                    )
                reports.append(report)
            except ImportFileError as error:
                failures.append(error)
    return reports, failures


@asynccontextmanager
async def _target(options: Options, *, dry_run: bool) -> AsyncIterator[EntityManager]:
    """The database; a preview of an import into a file that is not there yet goes into one that is thrown away."""
    url = DatabaseManager(options.url).url
    # A file that is not there yet would be made by looking at it; a server's database is no file of ours.
    is_file = url.get_backend_name() in FILE_CHECKS and url.database is not None
    is_missing = dry_run and is_file and not os.path.exists(str(url.database))  # noqa: ASYNC240, PTH110 (nothing waits)
    if not is_missing:
        async with facade(options, auto_migrate=False if dry_run else None) as em:
            yield em
        return
    with TemporaryDirectory(prefix="agent_system_preview_") as folder:
        async with facade(Options(url=f"{folder}/preview.db")) as em:
            yield em


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[str, int, int], None]]:
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=progress_console(),
        disable=not progress_console().is_terminal,
    )
    name = one_line(path.name, 30)
    job = bar.add_task(name, total=None)

    def advance(table_name: str, done: int, total: int) -> None:
        # Begun with the first page: a file that is refused has no bar, only its line.
        bar.start()
        bar.update(job, description=f"{name} {one_line(table_name, 24)}", completed=done, total=total)

    try:
        yield advance
    finally:
        bar.stop()


@contextmanager
def _rejected_rows(path: Path | None) -> Iterator[Callable[..., None]]:
    """Give what writes rejected rows into a CSV file as they come; without a file, nothing is written."""
    if path is None:
        yield lambda *_: None
        return
    try:
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(REJECTED_COLUMNS)

            def write(source: Path, name: str, number: int, reason: str, values: Mapping[str, Any]) -> None:
                shown = json.dumps({key: plain(value) for key, value in values.items()}, ensure_ascii=False)
                writer.writerow((str(source), name, number, reason, shown))

            yield write
    except OSError as exc:
        message = f"{path}: {exc.strerror or exc}"
        raise ConfigurationError(message) from exc


def _show(report: FileReport) -> None:
    filled = [each for each in report.tables if each.read or each.losses]
    rows = [(each.table, each.target, *(each.counts()[name] for name in COUNTS)) for each in filled]
    title = f"{one_line(report.path)}: {report.system}"
    if report.is_preview:
        title += " (preview, nothing was written)"
    console().print(table(title, ("table", "becomes", *COUNTS), rows, right=COUNTS))
    notes = [note for each in report.tables for note in _notes(each)]
    if notes:
        console().print(
            table("what happened to single rows", ("table", "what", "rows", "which"), notes, right=("rows",))
        )
    for name, reason in report.left_out.items():
        console().print(f"left out: {one_line(name)}: {one_line(reason)}", markup=False)
    if not report.is_unchanged:
        fail_line(f"{report.path}: was changed by another program while it was imported; import it again")


def _notes(report: TableReport) -> Iterator[tuple[object, ...]]:
    for kind, reasons in report.reasons.items():
        if kind == SKIPPED:
            # They are counted; the reason is the same for all of them.
            continue
        for reason, each in list(reasons.items())[:MOST_REASONS]:
            rows = ", ".join(map(str, each.rows[:MOST_SHOWN_ROWS])) + (", …" if each.count > MOST_SHOWN_ROWS else "")
            yield report.table, f"{kind}: {one_line(reason, 160)}", each.count, rows
        if len(reasons) > MOST_REASONS:
            yield report.table, f"{kind}: {len(reasons) - MOST_REASONS} more reasons (--json shows them)", "", ""
    for loss in report.losses:
        yield report.table, "lost: the file is damaged and does not give these rows away", "", loss.shown
