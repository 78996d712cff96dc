"""Repairing conversations that a crash has left with tool calls without results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from agent_system.errors import ConflictError
from agent_system.managers.conversations.model_history import ModelHistory
from agent_system.managers.conversations.tool_calls import missing_result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from agent_system.managers.conversations.messages import MessageManager
    from agent_system.models import Message

__all__ = ["Repair", "repaired", "until_nobody_is_faster"]

T = TypeVar("T")

# Each time somebody has appended something in between; with so many at once, they are at work and not at a repair.
TRIES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Repair:
    """What a repair has found."""

    answered: list[Message] = field(default_factory=list)
    """The results that were written for calls that had none."""
    orphans: list[Message] = field(default_factory=list)
    """The messages with results that belong to no call, as they were found."""


async def repaired(
    messages: MessageManager, conversation_id: UUID, head: str | None, *, delete_orphans: bool
) -> Repair:
    """Do what `MessageManager.repair` promises."""

    async def attempt() -> tuple[Repair, list[Message]]:
        revision = await messages.revision(conversation_id)
        found = ModelHistory(await messages.history(conversation_id, head=head))
        missing = [missing_result(call) for call in found.unanswered]
        rows: list[Message] = []
        if missing:
            rows = await messages.append_many(conversation_id, missing, expected_revision=revision, head=head)
        return Repair(answered=rows, orphans=found.orphans), found.superfluous

    result, superfluous = await until_nobody_is_faster(attempt)
    if delete_orphans:
        for orphan in superfluous:
            # What is shared with another conversation belongs to that one.
            if orphan.conversation_id == conversation_id:
                await messages.delete(orphan.id)
    return result


async def until_nobody_is_faster(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try something that expects a revision until the conversation has not gone on in between.

    Raises:
        ConflictError: It went on every time, or the conflict is another one.
    """
    for remaining in range(TRIES, 0, -1):
        try:
            return await attempt()
        except ConflictError as exc:
            if exc.expected_version is None or remaining == 1:
                raise
    raise AssertionError
