"""`agent-system stats`: what tools did, and what models used and cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import console, duration, print_json, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from agent_system.cli.context import Options
    from agent_system.managers.ledger.reports import ModelTokens, TokenSummary
    from agent_system.managers.telemetry.call_figures import ToolStatistics

__all__ = ["stats"]


def stats(
    context: typer.Context,
    sizes: Annotated[bool, typer.Option("--sizes", help="The size of each table; reads the whole file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Add up tool calls, tokens and cost; what nobody measured, reported or priced is counted apart."""
    if sizes:
        _show_sizes(await_(_sizes(options_of(context))), as_json=as_json)
        return
    tools, total, models = await_(_read(options_of(context)))
    if as_json:
        print_json(
            {
                "tools": [{**asdict(tool), "unknown": tool.unknown} for tool in tools],
                "tokens": _tokens_as_dict(total),
                "models": [{"host": one.host, "model": one.model, **_tokens_as_dict(one.summary)} for one in models],
            }
        )
        return
    out = console()
    out.print(tools_table(tools))
    out.print(tokens_table(models, total))


async def _read(options: Options) -> tuple[list[ToolStatistics], TokenSummary, list[ModelTokens]]:
    async with facade(options, auto_migrate=False) as em:
        return await em.tool_usage.statistics(), await em.token_usage.summary(), await em.token_usage.by_model()


async def _sizes(options: Options) -> dict[str, int | None]:
    async with facade(options, auto_migrate=False) as em:
        return await em.db.sizes()


def _show_sizes(sizes: Mapping[str, int | None], *, as_json: bool) -> None:
    largest = sorted(sizes.items(), key=lambda item: (-(item[1] or 0), item[0]))
    if as_json:
        print_json({"tables": dict(largest)})
        return
    known = [size for size in sizes.values() if size is not None]
    rows = [*largest, ("all", sum(known) if known else None)]
    console().print(table("Tables with their indexes", ("table", "bytes"), rows, right=("bytes",)))


def tools_table(tools: Sequence[ToolStatistics]) -> Table:
    """Return tool calls for people; durations are those of the measured calls."""
    columns = ("tool", "calls", "success", "failure", "unknown", "timed", "min", "avg", "max")
    rows = [
        (
            tool.tool_name,
            tool.calls,
            tool.succeeded,
            tool.failed,
            tool.unknown,
            tool.timed,
            duration(tool.min_duration_ms),
            duration(tool.average_duration_ms),
            duration(tool.max_duration_ms),
        )
        for tool in tools
    ]
    return table(f"Tools ({sum(tool.calls for tool in tools)} calls)", columns, rows, right=columns[1:])


def tokens_table(models: Sequence[ModelTokens], total: TokenSummary) -> Table:
    """Return tokens and cost for people, by model and in all."""
    columns = ("host", "model", "requests", "without tokens", "input tokens", "output tokens", "cost", "unpriced")
    rows = [(one.host, one.model, *_token_cells(one.summary)) for one in models]
    rows.append(("all", "", *_token_cells(total)))
    return table("Tokens and cost", columns, rows, right=columns[2:])


def _token_cells(summary: TokenSummary) -> tuple[object, ...]:
    # Where nothing was reported a 0 would be a lie.
    reported = summary.requests > summary.missing
    priced = summary.requests > summary.unpriced
    return (
        summary.requests,
        summary.missing,
        summary.input_tokens if reported else None,
        summary.output_tokens if reported else None,
        f"${summary.cost_usd:.6f}" if priced else None,
        summary.unpriced,
    )


def _tokens_as_dict(summary: TokenSummary) -> dict[str, object]:
    return {**asdict(summary), "cost_usd": summary.cost_usd}
