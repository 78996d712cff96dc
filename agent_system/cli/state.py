"""`agent-system health`: whether the database answers, and how it is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import console, print_json, table

if TYPE_CHECKING:
    from rich.table import Table

    from agent_system.cli.context import Options
    from agent_system.managers.health import SystemHealth

__all__ = ["health", "health_table"]


def health(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks of --watch.", min=0.1)] = 2.0,
) -> None:
    """Tell whether the database answers, and how it is."""
    options = options_of(context)
    if watch:
        # Ctrl-C is how this ends.
        with suppress(KeyboardInterrupt):
            await_(_watch(options, every))
        return
    measured = await_(_measure(options))
    if as_json:
        print_json({"database": options.shown, **measured.as_dict()})
        return
    console().print(health_table(measured, options.shown))


async def _measure(options: Options) -> SystemHealth:
    async with facade(options, auto_migrate=False) as em:
        return await em.health()


async def _watch(options: Options, every: float) -> None:
    async with facade(options, auto_migrate=False) as em:
        with Live(console=console(), auto_refresh=False) as live:
            while True:
                live.update(health_table(await em.health(), options.shown), refresh=True)
                await asyncio.sleep(every)


def health_table(measured: SystemHealth, shown: str) -> Table:
    """Return the figures for people.

    Args:
        measured: the figures.
        shown: the database, its password masked.
    """
    rows = [("database", shown), *((name.replace("_", " "), value) for name, value in measured.as_dict().items())]
    return table("Health", ("figure", "value"), rows)
