"""`agent-system show`: one stored thing in full."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import (
    all_lines,
    cell,
    console,
    duration,
    empty_table,
    moment,
    one_line,
    print_json,
    short_id,
    table,
)
from agent_system.cli.timeline import load_run
from agent_system.models import Message, ToolUsage

if TYPE_CHECKING:
    from agent_system.cli.context import Options
    from agent_system.cli.timeline import StoredRun
    from agent_system.models import Task

__all__ = ["app", "run_tables"]

app = typer.Typer(help="Show one stored thing in full.", no_args_is_help=True)

SHORT = 200
"""The most characters of a text in a timeline that is not shown in full; a narrow terminal shows fewer."""


@app.callback()
def _group() -> None:
    """Show one stored thing in full."""


@app.command()
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of the run, its beginning, or the stem of its file.")],
    full: Annotated[bool, typer.Option("--full", help="Do not shorten texts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, everything in full.")] = False,
) -> None:
    """Show the timeline of a run: messages, tool calls, durations, tokens and cost."""
    stored = await_(_load(options_of(context), name))
    if as_json:
        print_json(_as_dict(stored))
        return
    out = console()
    for part in run_tables(stored, length=None if full else SHORT):
        out.print(part)


@app.command()
def runs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List runs, the newest first."""
    found = await_(_list(options_of(context), limit))
    if as_json:
        print_json([{"run_id": task.id, "title": task.title, "status": task.status} for task in found])
        return
    rows = [(short_id(task.id), task.title, task.status, moment(task.created_at)) for task in found]
    console().print(table("Runs", ("run", "title", "status", "stored at (UTC)"), rows))


async def _load(options: Options, name: str) -> StoredRun:
    async with facade(options, auto_migrate=False) as em:
        return await load_run(em, name)


async def _list(options: Options, limit: int) -> list[Task]:
    async with facade(options, auto_migrate=False) as em:
        page = await em.tasks.list(where={"parent_task_id": None}, order_by="-created_at", limit=limit)
        return page.items


def run_tables(stored: StoredRun, *, length: int | None) -> tuple[Table, Table]:
    """Return a run for people: what it was, and what happened.

    Args:
        length: the longest text in characters; None: nothing is shortened.
    """
    return _head(stored), _timeline(stored, length)


def _head(stored: StoredRun) -> Table:
    root, tokens = stored.root, stored.tokens
    failed = sum(call.success is False for call in stored.calls)
    # Where nothing was reported a 0 would be a lie.
    is_reported, is_priced = tokens.requests > tokens.missing, tokens.requests > tokens.unpriced
    facts = {
        "run": root.id,
        "title": root.title,
        "status": root.status + (f" ({root.error})" if root.error else ""),
        "project": stored.project,
        "agent": stored.agent,
        "model": root.model,
        "steps": len(stored.steps),
        "tool calls": f"{len(stored.calls)}, {failed} failed",
        "measured time": duration(stored.duration_ms),
        "tokens": f"{tokens.input_tokens} in, {tokens.output_tokens} out" if is_reported else "not reported",
        "cost": f"${tokens.cost_usd:.6f}" if is_priced else "unpriced",
        "ended (UTC)": moment(root.completed_at) + (" estimated" if root.meta.get("times") == "estimated" else ""),
    }
    made = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        made.add_row(Text(name, style="bold"), cell(value))
    return made


def _timeline(stored: StoredRun, length: int | None) -> Table:
    made = empty_table("Timeline")
    for name in ("", "who", "what", "time", "success"):
        # Only the texts give way where the line is too narrow for all.
        made.add_column(name, justify="right" if name in {"", "time"} else "left", no_wrap=name != "what")
    number = 0
    for entry in stored.timeline():
        if isinstance(entry, ToolUsage):
            made.add_row("", cell(f"> {entry.tool_name}"), _call(entry, length), *_measures(entry))
        else:
            number += 1
            made.add_row(str(number), cell(entry.role), _text(entry.content, length), "", "")
    return made


def _text(text: str, length: int | None) -> Text:
    """Return a text that takes one line of whatever width there is, or in full all the lines that it has."""
    return Text(all_lines(text)) if length is None else Text(one_line(text, length), no_wrap=True, overflow="ellipsis")


def _call(call: ToolUsage, length: int | None) -> Text:
    parameters = call.parameters if isinstance(call.parameters, dict) else {"": call.parameters}
    text = _text(", ".join(f"{key}={value}" if key else str(value) for key, value in parameters.items()), length)
    if call.error is not None:
        text.append("\n! ").append_text(_text(call.error, length))
    return text


def _measures(call: ToolUsage) -> tuple[Text, Text]:
    words = {True: "yes", False: "no", None: "unknown"}
    source = f" ({call.success_source})" if call.success is not None and call.success_source else ""
    style = "red" if call.success is False else ""
    return Text(duration(call.duration_ms)), Text(words[call.success] + source, style=style)


def _as_dict(stored: StoredRun) -> dict[str, Any]:
    return {
        "run_id": str(stored.root.id),
        "title": stored.root.title,
        "status": stored.root.status,
        "project": stored.project,
        "agent": stored.agent,
        "tokens": {**asdict(stored.tokens), "cost_usd": stored.tokens.cost_usd},
        "task": stored.root.model_dump(),
        "steps": [step.model_dump() for step in stored.steps],
        "timeline": [_entry(entry) for entry in stored.timeline()],
    }


def _entry(entry: Message | ToolUsage) -> dict[str, Any]:
    kind = "message" if isinstance(entry, Message) else "tool_call"
    return {"kind": kind, **entry.model_dump()}
