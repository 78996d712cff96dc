"""The command `agent-system`: its name, its options, its commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from agent_system.cli import (
    audit,
    backups,
    doctor,
    importing,
    queue,
    schema,
    search,
    seed,
    show,
    state,
    stats,
    vectors,
    worker,
)
from agent_system.cli.context import Options
from agent_system.cli.exit_codes import exit_code
from agent_system.cli.output import fail_line
from agent_system.errors import AgentSystemError

__all__ = ["app", "run"]

app = typer.Typer(
    name="agent-system",
    help="The memory of an agent system: one database, seen from the shell.",
    no_args_is_help=True,
    # A traceback with local variables would show passwords; ours are one line, others are Python's own.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(importing.app, name="import")
app.add_typer(show.app, name="show")
app.add_typer(backups.app, name="backup")
app.add_typer(queue.app, name="queue")
app.add_typer(audit.app, name="audit")
app.add_typer(vectors.app, name="vectors")
app.command()(worker.worker)
app.command()(backups.restore)
app.command()(search.search)
app.command()(seed.seed)
app.command()(stats.stats)
app.command()(state.health)
app.command()(doctor.doctor)
app.command()(schema.upgrade)
app.command()(schema.downgrade)
app.command()(schema.current)
app.command()(schema.check)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("agent_system"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            help="Path of a SQLite file, or a sqlite:// or postgresql:// URL.",
            envvar="AGENT_SYSTEM_DATABASE_URL",
            show_envvar=True,
        ),
    ] = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    del show_version  # its callback has done the work
    context.obj = Options(url=url or None)


def run() -> None:
    """Run the command line of this process and exit; an error of ours is one line on stderr and a code of the table."""
    try:
        app()
    except AgentSystemError as error:
        fail_line(str(error))
        sys.exit(exit_code(error))
