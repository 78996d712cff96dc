"""`agent-system backup` and `agent-system restore`: copies that are verified, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.backup import Backup, create_backup, list_backups, restore_backup, verify_backup
from agent_system.backup.service import backup_folder
from agent_system.cli.context import await_, options_of
from agent_system.cli.output import console, moment, print_json, table
from agent_system.database.engine import resolve_url
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "restore"]

app = typer.Typer(help="Back the database up while it is in use; list and verify the backups.")

Folder = Annotated[Path | None, typer.Option("--folder", help="Where the backups are; `backups` beside the file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def create(
    context: typer.Context,
    folder: Folder = None,
    compress: Annotated[bool, typer.Option("--compress", help="Pack it with gzip.")] = False,
    keep: Annotated[int | None, typer.Option(help="How many backups stay; all by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a backup; it is verified before it gets its name."""
    if context.invoked_subcommand is not None:
        return
    url = options_of(context).url
    _show([await_(create_backup(url, folder, compress=compress, keep=keep))], "Backup", as_json=as_json)


@app.command("list")
def list_(context: typer.Context, folder: Folder = None, as_json: AsJson = False) -> None:
    """List the backups, the newest first."""
    place = folder or backup_folder(resolve_url(options_of(context).url, DatabaseSettings()))
    _show(list_backups(place), f"Backups in {place}", as_json=as_json)


@app.command()
def verify(path: Path, as_json: AsJson = False) -> None:
    """Check that a backup is what was written, and that it is sound."""
    _show([await_(verify_backup(path))], "Verified", as_json=as_json)


def restore(
    context: typer.Context,
    path: Path,
    migrate: Annotated[bool, typer.Option(help="Bring an older backup to the newest revision.")] = True,
) -> None:
    """Put a backup in the place of the database, which nobody may have open; the old one is kept."""
    kept = await_(restore_backup(path, options_of(context).url, migrate=migrate))
    console().print(f"restored {path.name}", markup=False, soft_wrap=True)
    if kept is not None:
        console().print(f"what was there before: {kept}", markup=False, soft_wrap=True)


def _show(backups: Sequence[Backup], title: str, *, as_json: bool) -> None:
    if as_json:
        print_json([backup.as_json() for backup in backups])
        return
    rows = [
        (backup.path.name, moment(backup.created_at), backup.revision, sum(backup.tables.values()), backup.size)
        for backup in backups
    ]
    console().print(table(title, ("file", "made at (UTC)", "revision", "rows", "bytes"), rows, right=("rows", "bytes")))
