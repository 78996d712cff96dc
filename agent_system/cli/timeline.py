"""A run as it is stored: its task tree, its conversation, its tool calls and what it cost, read through the facade."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlmodel import col

from agent_system.errors import NotFoundError, ValidationError
from agent_system.models import Task, TokenUsage, ToolUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_system.entity_manager import EntityManager
    from agent_system.managers.ledger.reports import TokenSummary
    from agent_system.models import Message

__all__ = ["StoredRun", "find_run", "load_run"]

UUID_DIGITS = 32
SHOWN_CANDIDATES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """Everything that `show run` tells of a run."""

    root: Task
    steps: list[Task]
    """The other tasks of the tree, in the order of their keys."""
    messages: list[Message]
    """In the order in which they were said."""
    calls: list[ToolUsage]
    """In the order in which they were made."""
    tokens: TokenSummary
    project: str | None
    agent: str | None

    @property
    def duration_ms(self) -> float | None:
        """How long the measured calls took; None when nothing was measured."""
        measured = [call.duration_ms for call in self.calls if call.duration_ms is not None]
        return sum(measured) if measured else None

    def timeline(self) -> Iterator[Message | ToolUsage]:
        """Yield each message and behind it the calls that it asked for; calls of no message come last."""
        asked: dict[int | None, list[ToolUsage]] = {}
        said = {message.id for message in self.messages}
        for call in self.calls:
            asked.setdefault(call.message_id if call.message_id in said else None, []).append(call)
        for message in self.messages:
            yield message
            yield from asked.get(message.id, [])
        yield from asked.get(None, [])


async def find_run(em: EntityManager, text: str) -> Task:
    """Return the root task that a text means: its id, its title (the stem of its file), or how one of them begins.

    Raises:
        NotFoundError: there is no such run.
        ValidationError: several runs are meant; the message lists them.
    """
    prefix = text.lower().replace("-", "")
    is_prefix = 0 < len(prefix) <= UUID_DIGITS and not set(prefix) - set(string.hexdigits)
    found: list[Task] = []
    if is_prefix and len(prefix) == UUID_DIGITS:
        task = await em.tasks.get_by_id(UUID(prefix))
        found = [task] if task is not None and task.parent_task_id is None else []
    if not found:
        found = await em.tasks.find(title=text, parent_task_id=None)
    if not found and is_prefix:
        found = await _with_id_from(em, prefix)
    if not found:
        found = await _with_title_from(em, text)
    if not found:
        raise NotFoundError(entity="run", entity_id=text)
    if len(found) > 1:
        several = ", ".join(str(task.id) for task in found[:SHOWN_CANDIDATES])
        message = f"{text!r} means several runs: {several}{' ...' if len(found) > SHOWN_CANDIDATES else ''}"
        raise ValidationError(message, field="id", entity="run")
    return found[0]


async def _with_id_from(em: EntityManager, prefix: str) -> list[Task]:
    lowest, highest = UUID(prefix.ljust(UUID_DIGITS, "0")), UUID(prefix.ljust(UUID_DIGITS, "f"))
    in_range = [col(Task.id).between(lowest, highest), col(Task.parent_task_id).is_(None)]
    return (await em.tasks.list(where=in_range, limit=SHOWN_CANDIDATES + 1)).items


async def _with_title_from(em: EntityManager, text: str) -> list[Task]:
    if not text:
        return []
    matching = [col(Task.title).startswith(text, autoescape=True), col(Task.parent_task_id).is_(None)]
    return (await em.tasks.list(where=matching, limit=SHOWN_CANDIDATES + 1)).items


async def load_run(em: EntityManager, text: str) -> StoredRun:
    """Read everything of the run that a text means; see `find_run`."""
    root = await find_run(em, text)
    tasks = await em.tasks.find(tree_id=root.id)
    ids = [task.id for task in tasks]
    messages = []
    if root.conversation_id is not None:
        messages = [message async for message in em.messages.iter(where={"conversation_id": root.conversation_id})]
    project = None if root.project_id is None else await em.projects.get_by_id(root.project_id)
    agent = None if root.agent_id is None else await em.agents.get_by_id(root.agent_id)
    return StoredRun(
        root=root,
        steps=[task for task in tasks if task.id != root.id],
        messages=messages,
        calls=[call async for call in em.tool_usage.iter(where=[col(ToolUsage.task_id).in_(ids)])],
        tokens=await em.token_usage.summary(where=[col(TokenUsage.task_id).in_(ids)]),
        project=None if project is None else project.name,
        agent=None if agent is None else agent.name,
    )
