"""`agent-system vectors`: how many vectors there are, how they are searched, and PostgreSQL's own indexes of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import console, print_json, table

if TYPE_CHECKING:
    from agent_system.cli.context import Options
    from agent_system.managers.embeddings.coverage import Coverage

__all__ = ["app"]

app = typer.Typer(help="The vectors of texts, and the indexes of them that PostgreSQL keeps.", no_args_is_help=True)

Model = Annotated[
    str | None, typer.Option(help="Only of this model; else of each with more vectors than are all compared.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("show")
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell how many vectors each model has by table, and how those are found that are alike."""
    models = await_(_coverage(options_of(context)))
    if as_json:
        print_json({"models": [asdict(one) for one in models]})
        return
    rows = [
        (one.model, one.dimensions, name, count, one.ways[name])
        for one in models
        for name, count in one.vectors.items()
    ]
    columns = ("model", "dimensions", "table", "vectors", "search")
    console().print(table("Vectors", columns, rows, right=("dimensions", "vectors")))


@app.command("index")
def index(context: typer.Context, model: Model = None, as_json: AsJson = False) -> None:
    """Build PostgreSQL's indexes, for which it needs pgvector; others read and write meanwhile."""
    _show(await_(_build(options_of(context), model)), "built or there already", as_json=as_json)


@app.command("drop")
def drop(context: typer.Context, model: Model = None, as_json: AsJson = False) -> None:
    """Drop PostgreSQL's indexes, and no vector."""
    _show(await_(_drop(options_of(context), model)), "dropped", as_json=as_json)


async def _coverage(options: Options) -> list[Coverage]:
    async with facade(options, auto_migrate=False) as em:
        return await em.embeddings.coverage()


async def _build(options: Options, model: str | None) -> list[str]:
    async with facade(options, auto_migrate=False) as em:
        return await em.embeddings.build_index(model)


async def _drop(options: Options, model: str | None) -> list[str]:
    async with facade(options, auto_migrate=False) as em:
        return await em.embeddings.drop_index(model)


def _show(names: list[str], what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"indexes": names})
        return
    for name in names:
        console().print(f"{name}: {what}", markup=False, soft_wrap=True)
    if not names:
        console().print("no index", markup=False)
