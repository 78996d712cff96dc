"""`agent-system queue`: what waits, what runs and what is dead, and to intervene."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from agent_system.cli.context import await_, facade, options_of
from agent_system.cli.output import all_lines, cell, console, empty_table, moment, print_json, table
from agent_system.managers.queue.upkeep import OVER
from agent_system.types import JobStatus  # noqa: TC001 (typer reads annotations when it runs)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from agent_system.cli.context import Options
    from agent_system.managers.queue.statistics import QueueStatistics
    from agent_system.models import Job

__all__ = ["app", "jobs_table", "statistics_view", "watch"]

app = typer.Typer(help="Look at the queue, and intervene.", no_args_is_help=True)

COLUMNS = ("id", "type", "status", "priority", "retries", "scheduled for (UTC)", "worker", "error")
SHORTEST_INTERVAL = 0.2

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobIds = Annotated[list[int], typer.Argument(metavar="ID...", help="Ids of jobs.")]
TaskType = Annotated[str, typer.Argument(metavar="TYPE", help="A type of jobs.")]


@app.command("ls")
def list_jobs(
    context: typer.Context,
    status: Annotated[JobStatus | None, typer.Option(help="Only in this status; failed: the dead letters.")] = None,
    task_type: Annotated[str | None, typer.Option("--type", help="Only of this type.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List jobs, the newest first."""
    where = {key: value for key, value in {"status": status, "task_type": task_type}.items() if value is not None}
    jobs = await_(_list(options_of(context), where, limit))
    if as_json:
        print_json([job.model_dump() for job in jobs])
        return
    console().print(jobs_table(jobs))


@app.command()
def show(
    context: typer.Context,
    job_id: Annotated[int, typer.Argument(metavar="ID", help="Id of the job.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one job in full."""
    job = await_(_require(options_of(context), job_id))
    if as_json:
        print_json(job.model_dump())
        return
    shown = empty_table(f"Job {job.id}")
    shown.add_column("field")
    shown.add_column("value", overflow="fold")
    for name, value in job.model_dump().items():
        if value not in (None, {}, []):
            shown.add_row(cell(name), Text(all_lines(str(value))))
    console().print(shown)


@app.command()
def retry(
    context: typer.Context,
    job_ids: Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Ids of jobs.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All dead letters, or those of --type.")] = False,
    task_type: Annotated[str | None, typer.Option("--type", help="With --dead: only of this type.")] = None,
) -> None:
    """Let jobs that failed or were cancelled begin anew."""
    if bool(job_ids) == dead:
        message = "give either ids or --dead"
        raise typer.BadParameter(message)
    count = await_(_retry(options_of(context), job_ids or [], task_type))
    typer.echo(f"{count} {_jobs(count)} begin anew")


@app.command()
def cancel(
    context: typer.Context,
    job_ids: JobIds,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever looks at the job.")] = None,
) -> None:
    """End jobs that wait or are being done; their workers are told."""
    await_(_cancel(options_of(context), job_ids, reason))
    typer.echo(f"{len(job_ids)} {_jobs(len(job_ids))} cancelled")


@app.command()
def pause(
    context: typer.Context,
    task_type: TaskType,
    by: Annotated[str | None, typer.Option(help="Who does it.")] = None,
) -> None:
    """Begin no more jobs of a type; those that run go on."""
    await_(_pause(options_of(context), task_type, by=by, is_paused=True))
    typer.echo(f"{task_type} is paused")


@app.command()
def resume(context: typer.Context, task_type: TaskType) -> None:
    """Let jobs of a type begin again."""
    await_(_pause(options_of(context), task_type, by=None, is_paused=False))
    typer.echo(f"{task_type} goes on")


@app.command()
def purge(
    context: typer.Context,
    days: Annotated[float, typer.Option(min=0, help="Jobs that ended more than so many days ago.")],
    status: Annotated[list[JobStatus] | None, typer.Option(help="Only in this status; may be repeated.")] = None,
) -> None:
    """Delete jobs that ended a while ago."""
    count = await_(_purge(options_of(context), days, status))
    typer.echo(f"{count} {_jobs(count)} deleted")


@app.command()
def stats(
    context: typer.Context,
    live: Annotated[bool, typer.Option("--live", help="Go on showing, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=SHORTEST_INTERVAL, help="Seconds between two looks.")] = 1.0,
    as_json: JsonFlag = False,
) -> None:
    """Count what waits, what runs and what is dead."""
    if live:
        await_(watch(options_of(context), interval))
        return
    counted = await_(_stats(options_of(context)))
    if as_json:
        print_json(asdict(counted) | {"ready": counted.ready, "total": counted.total})
        return
    console().print(statistics_view(counted))


def jobs_table(jobs: Sequence[Job]) -> Table:
    """Return jobs for people."""
    rows = [
        (
            job.id,
            job.task_type,
            job.status,
            job.priority,
            f"{job.retries}/{job.max_retries}",
            moment(job.scheduled_for),
            job.assigned_to,
            job.error_message,
        )
        for job in jobs
    ]
    return table("Jobs", COLUMNS, rows, right=("id", "priority", "retries"))


def statistics_view(counted: QueueStatistics) -> RenderableType:
    """Return the figures for people."""
    figures: list[tuple[str, Any]] = [(status.value, count) for status, count in counted.by_status.items()]
    figures += [
        ("ready", counted.ready),
        ("scheduled", counted.scheduled),
        ("stalled", counted.stalled),
        ("oldest ready (UTC)", moment(counted.oldest_ready_at)),
    ]
    types = [(one.task_type, one.ready, one.running, "yes" if one.is_paused else "no") for one in counted.types]
    return Group(
        table("Queue", ("figure", "value"), figures, right=("value",)),
        table("Not over", ("type", "ready", "running", "paused"), types, right=("ready", "running")),
    )


def _jobs(count: int) -> str:
    return "job" if count == 1 else "jobs"


async def _list(options: Options, where: dict[str, Any], limit: int) -> list[Job]:
    async with facade(options, auto_migrate=False) as em:
        return (await em.queue.list(where, "-id", limit)).items


async def _require(options: Options, job_id: int) -> Job:
    async with facade(options, auto_migrate=False) as em:
        return await em.queue.require(job_id)


async def _retry(options: Options, job_ids: Sequence[int], task_type: str | None) -> int:
    async with facade(options, auto_migrate=False) as em:
        for job_id in job_ids:
            await em.queue.retry(job_id)
        count = len(job_ids)
        while not job_ids and (more := await em.queue.redrive(task_type=task_type)):
            count += more
        return count


async def _cancel(options: Options, job_ids: Sequence[int], reason: str | None) -> None:
    async with facade(options, auto_migrate=False) as em:
        for job_id in job_ids:
            await em.queue.cancel(job_id, reason)


async def _pause(options: Options, task_type: str, *, by: str | None, is_paused: bool) -> None:
    async with facade(options, auto_migrate=False) as em:
        await (em.queue.pause(task_type, by=by) if is_paused else em.queue.resume(task_type))


async def _purge(options: Options, days: float, statuses: Sequence[JobStatus] | None) -> int:
    async with facade(options, auto_migrate=False) as em:
        return await em.queue.purge(timedelta(days=days), statuses=statuses or OVER)


async def _stats(options: Options) -> QueueStatistics:
    async with facade(options, auto_migrate=False) as em:
        return await em.queue.stats()


async def watch(options: Options, interval: float) -> None:
    """Show the figures again and again, for ever.

    Args:
        interval: Seconds between two looks.
    """
    async with facade(options, auto_migrate=False) as em:
        with Live(statistics_view(await em.queue.stats()), console=console(), screen=console().is_terminal) as view:
            while True:
                await asyncio.sleep(interval)
                view.update(statistics_view(await em.queue.stats()), refresh=True)
