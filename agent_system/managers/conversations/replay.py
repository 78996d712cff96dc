"""Taking over a history that was said elsewhere, or is sent whole with every turn: only what is new is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_system.errors import ConflictError, ValidationError
from agent_system.managers.conversations.repair import until_nobody_is_faster
from agent_system.managers.conversations.tool_calls import is_synthetic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from agent_system.managers.conversations.messages import MessageManager
    from agent_system.models import Message

__all__ = ["replayed"]

# What two messages have in common when they say the same.
SAID = ("role", "content", "parts", "tool_calls", "tool_call_id")


async def replayed(
    messages: MessageManager, conversation_id: UUID, rows: Sequence[Mapping[str, Any]], start: int, head: str | None
) -> list[Message]:
    """Do what `MessageManager.append_history` promises."""
    if start < 0:
        message = f"start must not be negative, not {start}"
        raise ValidationError(message, field="start", entity="Message")
    said = [_said(messages.new_values(data)) for data in rows]

    async def attempt() -> list[Message]:
        revision = await messages.revision(conversation_id)
        stored = await messages.history(conversation_id, head=head)
        new = _new(stored, rows, said, start)
        if not new:
            return []
        return await messages.append_many(conversation_id, new, expected_revision=revision, head=head)

    return await until_nobody_is_faster(attempt)


def _new(
    stored: Sequence[Message], rows: Sequence[Mapping[str, Any]], said: Sequence[tuple[Any, ...]], start: int
) -> list[Mapping[str, Any]]:
    """Those of the rows that are not stored yet.

    Raises:
        ConflictError: A row without a uid says something else than what is stored at its place.
    """
    places = {str(message.uid): place for place, message in enumerate(stored)}
    place = start
    new: list[Mapping[str, Any]] = []
    for position, (row, what) in enumerate(zip(rows, said, strict=True)):
        if "uid" in row:
            known = places.get(str(row["uid"]))
            if known is None:
                new.append(row)
            else:
                place = known + 1
            continue
        while place < len(stored) and _of(stored[place]) != what and is_synthetic(stored[place]):
            # A result that was made up here is known to nobody else.
            place += 1
        if new or place >= len(stored):
            new.append(row)
        elif _of(stored[place]) != what:
            raise _parted(stored[place], position)
        else:
            place += 1
    return new


def _of(message: Message) -> tuple[Any, ...]:
    return _said({key: getattr(message, key) for key in SAID})


def _said(values: Mapping[str, Any]) -> tuple[Any, ...]:
    # JSON has one spelling here, whatever the order of its keys and whether its arrays were lists.
    return tuple(
        value if isinstance(value, str) or value is None else json.dumps(value, sort_keys=True, default=str)
        for value in (values[key] for key in SAID)
    )


def _parted(stored: Message, position: int) -> ConflictError:
    message = (
        f"the history says something else than the conversation: its message {position} is not message {stored.id} "
        f"({stored.uid}); fork the conversation before that one, or give the messages the uids of those that they are"
    )
    return ConflictError(message, entity="Message", entity_id=stored.id)
