"""`agent-system upgrade`, `downgrade`, `current` and `check`: the schema of the database and its revisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.cli.context import await_, options_of
from agent_system.cli.output import console, one_line, print_json
from agent_system.database.dialects.migration import guard_for, migration_engine
from agent_system.database.engine import resolve_url
from agent_system.database.migrations import check_schema, run_migrations
from agent_system.database.refusals import refuse_unusable, refuse_waiting
from agent_system.database.revisions import BASE, HEAD, resolve_target, revision_history
from agent_system.errors import MigrationError
from agent_system.settings import DatabaseSettings

if TYPE_CHECKING:
    from sqlalchemy import URL

    from agent_system.cli.context import Options
    from agent_system.database.dialects.migration import SchemaState

__all__ = ["check", "current", "downgrade", "upgrade"]

Revision = Annotated[str, typer.Argument(metavar="REV", help="n for revision 000n, head, or base.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """Which revision a database is at, and which ones there are."""

    url: URL
    settings: DatabaseSettings
    state: SchemaState
    history: list[str]

    @property
    def shown(self) -> str:
        """The revision for people."""
        return self.state.revision or "empty"

    def position(self, revision: str | None) -> int:
        """Return how many revisions lie between a revision and an empty database."""
        return 0 if revision in {None, BASE} else self.history.index(str(revision)) + 1


def upgrade(context: typer.Context, revision: Revision = HEAD) -> None:
    """Bring the schema up to a revision, the newest by default, in one transaction."""
    await_(_move(options_of(context), revision, is_upgrade=True))


def downgrade(context: typer.Context, revision: Revision) -> None:
    """Take the schema back to a revision, in one transaction; what later revisions stored is lost."""
    await_(_move(options_of(context), revision, is_upgrade=False))


def current(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell which revision the database is at; nothing is changed, not even made."""
    schema = await_(_read(options_of(context)))
    if as_json:
        print_json({"revision": schema.state.revision, "head": schema.history[-1]})
        return
    is_head = schema.state.revision == schema.history[-1]
    console().print(f"{schema.shown} (head)" if is_head else f"{schema.shown}, head is {schema.history[-1]}")


def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell whether the database is at the newest revision, with its schema and foreign keys as they have to be."""
    schema = await_(_read(options_of(context)))
    refuse_waiting(schema.state, schema.history[-1])
    faults = await_(_find_faults(schema))
    if as_json:
        print_json({"revision": schema.state.revision, "faults": faults})
    else:
        for fault in faults or [f"{schema.shown} (head): the schema and the foreign keys are as they have to be"]:
            console().print(one_line(fault), markup=False, soft_wrap=True)
    if faults:
        message = f"the database has {len(faults)} faults"
        raise MigrationError(message)


async def _read(options: Options) -> Schema:
    """Read the revision without changing anything.

    Raises:
        MigrationError: The database is somebody else's, or was written by a newer version.
    """
    settings = DatabaseSettings()
    url = resolve_url(options.url, settings)
    history = revision_history()
    state = await guard_for(url.get_backend_name()).peek(url, settings)
    refuse_unusable(state, history)
    return Schema(url=url, settings=settings, state=state, history=history)


async def _move(options: Options, revision: str, *, is_upgrade: bool) -> None:
    before = await _read(options)
    target = resolve_target(revision, before.history)
    steps = before.position(target) - before.position(before.state.revision)
    if (steps < 0) if is_upgrade else (steps > 0):
        # A downgrade loses data: it has to be asked for by its name.
        other = "downgrade" if is_upgrade else "upgrade"
        message = f"the database is at {before.shown}, and {target} lies the other way: use `agent-system {other}`"
        raise MigrationError(message)
    await run_migrations(options.url, target)
    after = await _read(options)
    same = after.state.revision == before.state.revision
    console().print(f"{after.shown} already" if same else f"{before.shown} -> {after.shown}")


async def _find_faults(schema: Schema) -> list[str]:
    guard = guard_for(schema.url.get_backend_name())
    engine = migration_engine(schema.url, schema.settings)
    try:
        async with engine.connect() as connection:
            return await check_schema(connection) + await connection.run_sync(guard.violations)
    finally:
        await engine.dispose()
