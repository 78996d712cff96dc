"""`agent-system seed`: what the systems behind the seeds begin with; what is there already is left as it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import console, print_json, table
from agent_system.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent_system.cli.context import Options
    from agent_system.entity_manager import EntityManager

__all__ = ["SEEDERS", "seed"]


async def _models(em: EntityManager) -> dict[str, int]:
    return asdict(await em.models.seed_defaults())


async def _flags(em: EntityManager) -> dict[str, int]:
    return {"flags": await em.flags.seed_defaults()}


async def _permissions(em: EntityManager) -> dict[str, int]:
    return asdict(await em.agents.seed_permissions())


SEEDERS: dict[str, Callable[[EntityManager], Awaitable[dict[str, int]]]] = {
    "models": _models,
    "flags": _flags,
    "permissions": _permissions,
}
"""By name, in the order in which they run: each makes what is lacking and tells how many rows of what it made."""


def seed(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of: {', '.join(SEEDERS)}. All of them by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make what a new database begins with, such as hosts and priced models; to do it again changes nothing."""
    made = await_(_seed(options_of(context), names or list(SEEDERS)))
    if as_json:
        print_json(made)
        return
    rows = [(name, what, count) for name, counts in made.items() for what, count in counts.items()]
    console().print(table("Seeded", ("seeder", "what", "made"), rows, right=("made",)))


async def _seed(options: Options, names: Sequence[str]) -> dict[str, Any]:
    unknown = [name for name in names if name not in SEEDERS]
    if unknown:
        message = f"there is no seeder {unknown[0]!r}; there are: {', '.join(SEEDERS)}"
        raise ValidationError(message, field="names")
    async with facade(options) as em:
        return {name: await SEEDERS[name](em) for name in SEEDERS if name in names}
