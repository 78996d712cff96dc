"""`agent-system health`: whether the database answers, and how it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import console, print_json, table

if TYPE_CHECKING:
    from rich.table import Table

    from agent_system.cli.context import Options
    from agent_system.database.dialects.base import EngineHealth

__all__ = ["health", "health_table"]


def health(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell whether the database answers, and how it is."""
    options = options_of(context)
    measured = await_(_measure(options))
    if as_json:
        print_json({"database": options.shown, **asdict(measured)})
        return
    console().print(health_table(measured, options.shown))


async def _measure(options: Options) -> EngineHealth:
    async with facade(options, auto_migrate=False) as em:
        return await em.health()


def health_table(measured: EngineHealth, shown: str) -> Table:
    """Return the figures for people.

    Args:
        measured: the figures.
        shown: the database, its password masked.
    """
    rows = [("database", shown), *((name.replace("_", " "), value) for name, value in asdict(measured).items())]
    return table("Health", ("figure", "value"), rows)
