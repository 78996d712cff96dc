"""Tool calls and their results: which belongs to which, and what of a history a model accepts.

A model's API refuses a history in which a tool call has no result right behind it, or a result no call right before it.
Two shapes are known, as they come from the APIs:

| | call, in what an assistant or agent says | result |
|---|---|---|
| OpenAI | `tool_calls`: `[{"id": "c", "function": ...}]` | role `tool` with `tool_call_id` |
| OpenAI, responses | block `function_call` with `call_id` | block `function_call_output` with `call_id` |
| Anthropic | block `tool_use` with `id` | block `tool_result` with `tool_use_id` |

Blocks stand in `parts`; those of calls may also stand in `tool_calls`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.models import Message
from agent_system.types import MessageRole, StreamingState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "NO_RESULT",
    "SYNTHETIC",
    "ToolCall",
    "calls_of",
    "is_synthetic",
    "missing_result",
    "only",
    "results_of",
    "says_something",
    "without",
]

NO_RESULT = "The tool call was interrupted; there is no result."
"""What a result that was made up says."""
SYNTHETIC = "synthetic"
"""The key in a message's metadata that tells that it was made up, because a result was missing."""

CALLERS = frozenset({MessageRole.ASSISTANT, MessageRole.AGENT})
# The type of a block that calls: the key of its id, and the type and keys of what answers it.
USE, FUNCTION = "tool_use", "function_call"
CALL_KEYS = {USE: "id", FUNCTION: "call_id"}
RESULT_KEYS = {"tool_result": "tool_use_id", "function_call_output": "call_id"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a message asks for."""

    id: str
    kind: str | None
    """The type of the block that it is; None for an entry of OpenAI's `tool_calls`."""


def calls_of(message: Message) -> list[ToolCall]:
    """The calls that a message asks for, each once; those without an id are not known."""
    if message.role not in CALLERS or not (message.tool_calls or message.parts):
        return []
    calls: dict[str, ToolCall] = {}
    for entry in _objects(message.tool_calls):
        id_ = entry.get("call_id") or entry.get("id")
        if isinstance(id_, str):
            calls[id_] = ToolCall(id_, _kind(entry, CALL_KEYS))
    for block in _objects(message.parts):
        kind = _kind(block, CALL_KEYS)
        id_ = None if kind is None else block.get(CALL_KEYS[kind])
        if isinstance(id_, str):
            calls[id_] = ToolCall(id_, kind)
    return list(calls.values())


def results_of(message: Message) -> list[str]:
    """The ids of the calls that a message has results of."""
    if message.role == MessageRole.TOOL and message.tool_call_id is not None:
        return [message.tool_call_id]
    if message.role in CALLERS or not message.parts:
        return []
    return [id_ for block in _objects(message.parts) if (id_ := _answered(block)) is not None]


def without(message: Message, unwanted: Iterable[str]) -> Message | None:
    """A message without its results of some calls, a copy if it had any; None when it says nothing besides."""
    gone = set(unwanted)
    if message.tool_call_id is not None and message.role == MessageRole.TOOL:
        return None if message.tool_call_id in gone else message
    blocks = _blocks(message)
    kept = [block for block in blocks if _answered(block) not in gone]
    if len(kept) == len(blocks):
        return message
    return _copy(message, parts=kept) if kept else None


def only(message: Message, wanted: Iterable[str]) -> Message:
    """A copy of a message with its results of some calls alone, each once."""
    left = set(wanted)
    kept = []
    for block in _blocks(message):
        id_ = _answered(block)
        if id_ in left:
            left.remove(id_)
            kept.append(block)
    return _copy(message, parts=kept, content="")


def says_something(message: Message) -> bool:
    """Whether there is anything in a message that a model could be given."""
    if message.streaming_state == StreamingState.STREAMING:
        return False
    if message.role == MessageRole.TOOL:
        return bool(results_of(message))
    return bool(message.content or message.parts or message.tool_calls)


def is_synthetic(message: Message) -> bool:
    """Whether a message was made up because a result was missing."""
    meta: Any = message.meta
    # A row whose JSON is malformed has the text.
    return isinstance(meta, dict) and meta.get(SYNTHETIC) is True


def missing_result(call: ToolCall) -> dict[str, Any]:
    """The data of a message that says that a call has no result, in the shape of the call."""
    meta = {SYNTHETIC: True}
    if call.kind == USE:
        block = {"type": "tool_result", "tool_use_id": call.id, "content": NO_RESULT, "is_error": True}
        return {"role": MessageRole.USER, "parts": [block], "meta": meta}
    if call.kind == FUNCTION:
        output = {"type": "function_call_output", "call_id": call.id, "output": NO_RESULT}
        return {"role": MessageRole.TOOL, "parts": [output], "meta": meta}
    return {"role": MessageRole.TOOL, "tool_call_id": call.id, "content": NO_RESULT, "meta": meta}


def _answered(block: Any) -> str | None:
    """The id of the call that a block of content is a result of; None when it is none."""
    kind = _kind(block, RESULT_KEYS) if isinstance(block, dict) else None
    id_ = None if kind is None else block.get(RESULT_KEYS[kind])
    return id_ if isinstance(id_, str) else None


def _kind(block: Mapping[str, Any], known: Mapping[str, str]) -> str | None:
    """The type of a block of content, if it is one of these."""
    kind = block.get("type")
    return kind if isinstance(kind, str) and kind in known else None


def _blocks(message: Message) -> Sequence[Any]:
    return message.parts if isinstance(message.parts, list) else ()


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    """The objects of a JSON array; whatever else the column holds has none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else ()


def _copy(message: Message, **changes: Any) -> Message:
    values = {key: getattr(message, key) for key in Message.model_fields}
    return Message(**values | changes)
