"""The messages of a run, every key of them kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.importers.trajectory.run import RunMessage
from agent_system.types import MESSAGE_ROLE_LEGACY, MessageRole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.importers.trajectory.shape import Fields
    from agent_system.importers.trajectory.steps import Executed

__all__ = ["messages_from_steps", "read_messages"]

MESSAGE_ROLES = tuple(str(role) for role in MessageRole)
READ_KEYS = frozenset(
    {
        "role",
        "content",
        "agent",
        "message_type",
        "thought",
        "action",
        "tool_calls",
        "tool_call_ids",
        "is_demo",
    }
)


def read_messages(entries: Sequence[Fields]) -> list[RunMessage]:
    """Read the entries of `history`."""
    return [_read_message(position, entry) for position, entry in enumerate(entries)]


def messages_from_steps(executed: Sequence[Executed]) -> list[RunMessage]:
    """Return the conversation of a file that has only its trajectory: each response and what came of it."""
    messages: list[RunMessage] = []
    for item in executed:
        response = RunMessage(
            position=len(messages),
            role="assistant",
            content=item.response,
            thought=item.thought,
            action=item.action,
        )
        messages.append(response)
        if item.observation is not None:
            messages.append(RunMessage(position=len(messages), role="tool", content=item.observation))
    return messages


def _read_message(position: int, entry: Fields) -> RunMessage:
    written = entry.required_text("role")
    role = MESSAGE_ROLE_LEGACY.get(written, written)
    if role not in MESSAGE_ROLES:
        raise entry.wrong(name="role", wanted=f"one of {', '.join(MESSAGE_ROLES)}", value=role)
    content, parts = _content(entry)
    extra = {key: value for key, value in entry.values.items() if key not in READ_KEYS}
    return RunMessage(
        position=position,
        role=role,
        content=content,
        agent=entry.text("agent"),
        message_type=entry.text("message_type"),
        thought=entry.text("thought"),
        action=entry.text("action"),
        tool_calls=_tool_calls(entry),
        tool_call_ids=entry.texts("tool_call_ids"),
        is_demonstration=entry.flag("is_demo"),
        extra=extra | parts,
    )


def _content(entry: Fields) -> tuple[str, dict[str, object]]:
    """Return the text of a message, and its parts where it is made of parts (text, images, cache marks)."""
    value = entry.values.get("content")
    if not isinstance(value, list):
        # An assistant message that only calls a tool may have no content at all.
        return entry.text("content") or "", {}
    texts = [part.text("text") or "" for part in entry.children("content")]
    return "\n".join(text for text in texts if text), {"content_parts": value}


def _tool_calls(entry: Fields) -> tuple[Mapping[str, object], ...]:
    calls = entry.children("tool_calls")
    for call in calls:
        function = call.child("function")
        if function is None:
            raise call.wrong(name="function", wanted="an object", value=None)
        function.required_text("name")
    return tuple(call.values for call in calls)
