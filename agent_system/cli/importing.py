"""`agent-system import`: foreign data into the database."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads it at run time)
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.exit_codes import exit_code
from agent_system.cli.legacy import legacy
from agent_system.cli.output import console, fail_line, one_line, print_json, progress_console, short_id, table
from agent_system.errors import ImportFileError
from agent_system.importers.trajectory import import_trajectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.cli.context import Options
    from agent_system.entity_manager import EntityManager
    from agent_system.importers.trajectory import ImportedRun

__all__ = ["app"]

app = typer.Typer(help="Bring foreign data into the database.", no_args_is_help=True)


app.command()(legacy)


@app.callback()
def _group() -> None:
    """Bring foreign data into the database."""


@app.command()
def trajectory(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Runs of SWE-agent (*.traj).", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was imported as JSON.")] = False,
) -> None:
    """Store agent runs, each in one transaction; a run that is stored already adds nothing.

    A file that cannot be read is told in one line and leaves nothing behind; the others are imported all the same.
    """
    runs, failures = await_(_import_files(options_of(context), files))
    if as_json:
        print_json([_as_dict(run) for run in runs])
    elif runs:
        console().print(_summary(runs))
    for failure in failures:
        fail_line(str(failure))
    if failures:
        raise typer.Exit(exit_code(failures[0]))


async def _import_files(options: Options, files: Sequence[Path]) -> tuple[list[ImportedRun], list[ImportFileError]]:
    runs: list[ImportedRun] = []
    failures: list[ImportFileError] = []
    progress = _progress()
    async with facade(options) as em:
        try:
            for path in files:
                try:
                    runs.append(await _import_file(em, path, progress))
                except ImportFileError as error:
                    failures.append(error)
        finally:
            if progress.live.is_started:
                progress.stop()
    return runs, failures


async def _import_file(em: EntityManager, path: Path, progress: Progress) -> ImportedRun:
    bar = progress.add_task(one_line(path.name, 40), total=1)

    def advance(done: int, total: int) -> None:
        # Begun with the first row: a file that is refused has no bar, only its line.
        progress.start()
        progress.update(bar, completed=done, total=total)

    try:
        run = await import_trajectory(em, path, progress=advance)
    except ImportFileError:
        progress.remove_task(bar)
        raise
    if not run.is_new:
        advance(1, 1)
    return run


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=progress_console(),
    )


def _summary(runs: Sequence[ImportedRun]) -> object:
    rows = [
        (
            short_id(run.run_id),
            run.name,
            run.project,
            "imported" if run.is_new else "already there",
            run.messages,
            run.steps,
            run.tool_calls,
        )
        for run in runs
    ]
    added = sum(run.is_new for run in runs)
    return table(
        f"{added} of {len(runs)} runs added",
        ("run", "name", "project", "", "messages", "steps", "tool calls"),
        rows,
        right=("messages", "steps", "tool calls"),
    )


def _as_dict(run: ImportedRun) -> dict[str, object]:
    return {
        "run_id": str(run.run_id),
        "name": run.name,
        "project": run.project,
        "is_new": run.is_new,
        "messages": run.messages,
        "steps": run.steps,
        "tool_calls": run.tool_calls,
    }
