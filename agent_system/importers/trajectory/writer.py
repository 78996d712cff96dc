"""Storing a run through the facade: one transaction for a file, and nothing for a file that is stored already."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.clock import utc_now
from agent_system.errors import DuplicateKeyError, ImportFileError
from agent_system.importers.trajectory.reader import read_trajectory
from agent_system.importers.trajectory.rows import Owners, RunRows, run_id
from agent_system.managers.core.audit import audit_context
from agent_system.types import EventOutcome, TaskStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.trajectory.run import ToolSpec, TrajectoryRun

__all__ = ["ImportedRun", "import_trajectory", "store_run"]

ACTOR = "importer:trajectory"
"""Who did it, in the audit trail."""
BATCH = 50
"""Rows per step of the progress; each batch is one unit of work of the transaction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedRun:
    """What an import did."""

    run_id: UUID
    """The key of the run's root task."""
    name: str
    project: str
    is_new: bool
    """False: a file of the same content is stored already, and nothing was written."""
    messages: int
    steps: int
    tool_calls: int


async def import_trajectory(
    em: EntityManager,
    path: str | os.PathLike[str],
    *,
    clock: Callable[[], datetime] = utc_now,
    progress: Callable[[int, int], None] | None = None,
) -> ImportedRun:
    """Read a `.traj` file and store it, all or nothing; a file whose content is stored already adds nothing.

    Args:
        em: the facade over a connected database.
        path: the file.
        clock: where the time of the import comes from.
        progress: called with the rows written so far and the rows in all.

    Raises:
        ImportFileError: the file cannot be read or is no trajectory.
        DatabaseError: the database refused; nothing is stored.
    """
    path = Path(path)
    _refuse_open_database(em, path)
    run = await asyncio.to_thread(read_trajectory, path)
    return await store_run(em, run, clock=clock, progress=progress)


async def store_run(
    em: EntityManager,
    run: TrajectoryRun,
    *,
    clock: Callable[[], datetime] = utc_now,
    progress: Callable[[int, int], None] | None = None,
) -> ImportedRun:
    """Store a run that was read, all or nothing; see `import_trajectory`."""
    imported = ImportedRun(
        run_id=run_id(run.digest),
        name=run.name,
        project=run.project,
        is_new=True,
        messages=len(run.messages),
        steps=len(run.steps),
        tool_calls=sum(len(step.calls) for step in run.steps),
    )
    total = imported.messages + imported.steps + imported.tool_calls
    writer = _Writer(em, RunRows(run, imported_at=clock()), lambda done: progress and progress(done, total))
    try:
        async with em.db.transaction():
            is_new = await writer.write()
    except DuplicateKeyError:
        # Another process may have imported the same file since we looked; then its run is there now.
        if not await em.tasks.exists(id=imported.run_id):
            raise
        is_new = False
    return imported if is_new else replace(imported, is_new=False)


def _refuse_open_database(em: EntityManager, path: Path) -> None:
    """Closing any descriptor of an open SQLite file drops its locks, so a mistaken argument must not be opened."""
    database = em.db.url.database
    if database is None:
        return
    for suffix in ("", "-wal", "-shm"):
        other = Path(database + suffix)
        if path.exists() and other.exists() and path.samefile(other):
            message = f"{path}: is the open database itself"
            raise ImportFileError(message, path=str(path))


class _Writer:
    """Writes one run inside the open transaction."""

    def __init__(self, em: EntityManager, rows: RunRows, progress: Callable[[int], object]) -> None:
        self.em = em
        self.rows = rows
        self.run = rows.run
        self._progress = progress
        self._done = 0

    async def write(self) -> bool:
        """Write the run; False when it is there already."""
        if await self.em.tasks.exists(id=self.rows.id):
            return False
        event = await self._import_event()
        with audit_context(actor=ACTOR, parent_event_id=event, tree_id=self.rows.id):
            owners = await self._owners()
            # Whoever deleted the run's tasks may have kept its conversation, its calls and its ledger entry: those are
            # found by their keys again.
            if not await self.em.conversations.exists(id=self.rows.conversation_id):
                await self.em.conversations.create(self.rows.conversation(owners))
            await self.em.tasks.create(self.rows.root_task(owners))
            await self._write_steps(owners)
            message_ids = await self._write_messages(owners)
            await self._write_calls(owners, message_ids)
            await self.em.token_usage.upsert(self.rows.token_usage(owners), on=("request_id", "attempt"))
        return True

    async def _import_event(self) -> int:
        run = self.run
        failed = self.rows.status is TaskStatus.FAILED
        seconds = [step.execution_time_seconds for step in run.steps if step.execution_time_seconds is not None]
        event = await self.em.events.create(
            {
                "event_type": "trajectory.imported",
                "entity_type": "task",
                "entity_id": str(self.rows.id),
                "actor": ACTOR,
                "tree_id": self.rows.id,
                "outcome": EventOutcome.FAILURE if failed else EventOutcome.SUCCESS,
                "duration_ms": sum(seconds) * 1000 if seconds else None,
                "data": {
                    "file": run.file_name,
                    "digest": run.digest,
                    "messages": len(run.messages),
                    "steps": len(run.steps),
                    "exit_status": run.exit_status,
                },
            }
        )
        return event.id

    async def _owners(self) -> Owners:
        em, run = self.em, self.run
        project = await em.projects.ensure(run.project)
        agent_ids = {name: await self._agent(name) for name in run.agents}
        tool_ids = {tool.name: await self._tool(tool) for tool in run.tools}
        for agent_id in agent_ids.values():
            await em.projects.add_agent(project.id, agent_id)
        main_agent = agent_ids[run.agents[0]]
        known = {tool.id for tool in await em.agents.tools_of(main_agent)}
        for tool_id in tool_ids.values():
            if tool_id not in known:
                await em.agents.add_tool(main_agent, tool_id, granted_by=ACTOR)
        model = await em.models.ensure(run.model, run.host)
        return Owners(project_id=project.id, agent_ids=agent_ids, tool_ids=tool_ids, model_id=model.id)

    async def _agent(self, name: str) -> UUID:
        """Return the agent of this name; one that is there keeps its instruction, whatever this run's prompt says."""
        agent = await self.em.agents.upsert({"name": name, "user_id": None}, on=("name", "user_id"))
        if not agent.instruction and self.run.system_prompt:
            agent = await self.em.agents.update(agent.id, {"instruction": self.run.system_prompt})
        return agent.id

    async def _tool(self, spec: ToolSpec) -> UUID:
        tool = await self.em.tools.upsert({"name": spec.name}, on=("name",))
        if tool.description is None and spec.description is not None:
            meta = {**tool.meta, "signature": spec.signature}
            tool = await self.em.tools.update(tool.id, {"description": spec.description, "meta": meta})
        return tool.id

    async def _write_steps(self, owners: Owners) -> None:
        rows = [self.rows.step_task(step, owners) for step in self.run.steps]
        await self.em.tasks.create_many(rows)
        self._advance(len(rows))

    async def _write_messages(self, owners: Owners) -> dict[int, int]:
        """Append the messages and return their keys by position."""
        rows = [self.rows.message(message, owners) for message in self.run.messages]
        ids: dict[int, int] = {}
        for start in range(0, len(rows), BATCH):
            stored = await self.em.messages.append_many(self.rows.conversation_id, rows[start : start + BATCH])
            ids |= {start + n: message.id for n, message in enumerate(stored)}
            self._advance(len(stored))
        return ids

    async def _write_calls(self, owners: Owners, message_ids: dict[int, int]) -> None:
        for step in self.run.steps:
            for number in range(len(step.calls)):
                row = self.rows.tool_call(step, number, owners, message_ids)
                await self.em.tool_usage.upsert(row, on=("call_id",))
                self._advance(1)

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done)
