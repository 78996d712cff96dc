"""What a runtime can tell of a tool call: when it begins, and when it ends."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypedDict

from agent_system.errors import ValidationError
from agent_system.managers.telemetry.secrets import redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

__all__ = [
    "LONGEST_ERROR",
    "LONGEST_PARAMETER",
    "LONGEST_RESULT",
    "CallContext",
    "CallEnd",
    "checked",
    "parameter_hash",
    "recorded_parameters",
    "recorded_text",
]

LONGEST_PARAMETER = 500
"""Characters that are kept of each text among the parameters of a call that `start` records, as seed 002 keeps."""
LONGEST_ERROR = 2_000
"""Characters that are kept of an error that `finish` records."""
LONGEST_RESULT = 10_000
"""Characters that are kept of a result that `finish` records."""


class CallContext(TypedDict, total=False):
    """Where a call belongs; what is left out follows from the task where it can."""

    task_id: UUID | str | None
    """The task; one that is gone is kept in `meta` as `task_id`."""
    session_uuid: str | None
    """The runtime's session; without `task_id` the newest task of this session is meant."""
    agent_id: UUID | str | None
    """Who calls; by default the agent of the task."""
    user_id: UUID | str | None
    """Whose call it is; by default the owner of the task."""
    conversation_id: UUID | str | None
    message_id: int | None
    """The message that asked for the call."""
    operation: str | None
    tool_id: UUID | str | None
    """The tool in the registry; by default the one of this name."""
    timestamp: datetime | None
    """When the call was asked for or began; by default now."""
    meta: Mapping[str, Any]


class CallEnd(CallContext, total=False):
    """How a call ended; everything may be left out."""

    tool_name: str
    """The tool, where the beginning of the call may not have been recorded."""
    parameters: Any
    """What it was called with, for the same case."""
    result: Any
    """What the tool answered; what is no text is written as JSON."""
    error: str | None
    success: bool | None
    """Whether it succeeded; by default, when there is no error."""
    success_source: str | None
    """How that is known, such as exit_code; by default `reported` or `error`."""
    error_category: str | None
    """By default told by the error."""
    duration_ms: float | None
    """By default the time from the beginning to the end."""
    screenshot_path: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_input_tokens: int | None
    cache_creation_input_tokens: int | None
    completed_at: datetime | None
    """When it ended; by default now."""


_CONTEXT = frozenset(CallContext.__annotations__)
_END = frozenset(CallEnd.__annotations__) | _CONTEXT


def checked(fields: Mapping[str, Any], *, is_end: bool) -> dict[str, Any]:
    """Return the fields that were given.

    Raises:
        ValidationError: One is unknown.
    """
    known = _END if is_end else _CONTEXT
    for key in fields:
        if key not in known:
            message = f"tool_usage.{key}: unknown field of {'the end' if is_end else 'the beginning'} of a call"
            raise ValidationError(message, field=key, entity="ToolUsage")
    return {key: value for key, value in fields.items() if value is not None}


def recorded_parameters(parameters: Any) -> Any:
    """The parameters as they are written: without secrets, and without the ends of long texts."""
    return redact(parameters, LONGEST_PARAMETER)


def recorded_text(value: Any, longest: int) -> str | None:
    """A result or an error as it is written: a text without secrets and without its end when it is long.

    Raises:
        ValidationError: It can be no text.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        try:
            value = json.dumps(redact(value), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as exc:
            message = f"tool_usage.result: {exc}"
            raise ValidationError(message, field="result", entity="ToolUsage") from exc
    return redact_text(value, longest)


def parameter_hash(parameters: Any) -> str | None:
    """A digest by which calls with equal parameters are found; None when there are none, or no JSON.

    It is made of what is written, so that it tells nothing about a secret.
    """
    if parameters is None:
        return None
    try:
        text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
