"""What a caller can say about a call to a model: one vocabulary for every verb that records one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from agent_system.errors import ValidationError
from agent_system.types import UsageState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from agent_system.managers.ledger.names import GivenHost, GivenModel, GivenProject
    from agent_system.managers.ledger.usage import Usage

__all__ = ["TOKEN_CLASSES", "UsageFields", "check_tokens", "known_fields"]

TOKEN_CLASSES = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens",
    "reasoning_output_tokens",
)
"""The counts of a ledger entry."""


class UsageFields(TypedDict, total=False):
    """One call to a model; everything may be left out, and what is not known should be.

    Token counts are totals as OpenTelemetry counts them: the cached ones are parts of `input_tokens`, reasoning is a
    part of `output_tokens`. Providers count differently; `usage=Usage.from_anthropic(...)` and its like translate.
    """

    project: GivenProject
    """Who pays: the name of a shared project, made if it is not there, or any project's key. None: none of them."""
    host: GivenHost
    """Who ran the model: the name of a provider, made if it is not there, or its key. None: `unknown`."""
    model: GivenModel | None
    """The model: its name at that host, made if it is not there, or its key. None: `unknown`."""
    usage: Usage | None
    """Counts, and the provider's own words, in one; single counts given beside it win."""
    input_tokens: int | None
    output_tokens: int | None
    cache_read_input_tokens: int | None
    cache_creation_input_tokens: int | None
    cache_creation_5m_input_tokens: int | None
    cache_creation_1h_input_tokens: int | None
    reasoning_output_tokens: int | None
    usage_state: UsageState | str
    """What the counts are worth. Not said: reported; partial when one total is lacking, missing when both are."""
    cost_usd: Decimal | float | str | None
    """What the provider says that it cost, in dollars; it wins over what our prices say. None: computed."""
    cost_nano_usd: int | None
    """The same in nano-dollars."""
    request_id: str | None
    """Id of the request. A second entry with the same id and attempt updates the first one. None: always a new row."""
    attempt: int
    """Which attempt at the request it was, from 1."""
    timestamp: datetime
    """When the model was called, aware; it decides which price holds. Not said: now."""
    user_id: str | None
    agent_id: UUID | None
    task_id: UUID | None
    conversation_id: UUID | None
    message_id: int | None
    session_uuid: str | None
    role: str | None
    response_time_ms: float | None
    success: bool
    error_type: str | None
    raw_usage: Any
    meta: dict[str, Any]
    metadata: dict[str, Any]


def known_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with their `usage` spread out.

    Raises:
        ValidationError: There is no such field, or `usage` is no `Usage`.
    """
    unknown = fields.keys() - UsageFields.__annotations__.keys()
    if unknown:
        name = min(unknown)
        message = f"token_usage.{name}: unknown field"
        raise ValidationError(message, field=name, entity="TokenUsage")
    known = dict(fields)
    if "metadata" in known:
        known["meta"] = known.pop("metadata")
    usage = known.pop("usage", None)
    if usage is None:
        return known
    spread = getattr(usage, "as_fields", None)
    if spread is None:
        message = f"usage: {type(usage).__name__} is no Usage; Usage.from_anthropic and its like make one"
        raise ValidationError(message, field="usage", entity="TokenUsage")
    counted: dict[str, Any] = spread()
    return counted | known


def check_tokens(values: dict[str, Any], *, state_given: bool) -> None:
    """Complete the counts of an entry, and refuse those that contradict each other.

    Raises:
        ValidationError: A part is larger than its whole, or the state does not go with the counts.
    """
    five_minutes, hour = values["cache_creation_5m_input_tokens"], values["cache_creation_1h_input_tokens"]
    split = (five_minutes or 0) + (hour or 0)
    if values["cache_creation_input_tokens"] is None and (five_minutes is not None or hour is not None):
        values["cache_creation_input_tokens"] = split
    created = values["cache_creation_input_tokens"] or 0
    cached = (values["cache_read_input_tokens"] or 0) + created
    _refuse_larger(values, "cache_creation_input_tokens", split, created)
    _refuse_larger(values, "input_tokens", cached, values["input_tokens"] or 0)
    reasoning = values["reasoning_output_tokens"] or 0
    _refuse_larger(values, "output_tokens", reasoning, values["output_tokens"] or 0)
    unknown = [values["input_tokens"], values["output_tokens"]].count(None)
    if not state_given:
        values["usage_state"] = (UsageState.REPORTED, UsageState.PARTIAL, UsageState.MISSING)[unknown]
    elif (values["usage_state"] == UsageState.MISSING) != (unknown == 2):  # noqa: PLR2004 (both)
        message = f"token_usage.usage_state: {values['usage_state']} does not go with these counts"
        raise ValidationError(message, field="usage_state", entity="TokenUsage")


def _refuse_larger(values: Mapping[str, Any], field: str, parts: int, whole: int) -> None:
    if parts > whole:
        message = (
            f"token_usage.{field}: {values[field]} is the total of a class, and its parts alone are {parts}; where a "
            "provider counts cached tokens beside the input, as Anthropic does, Usage.from_anthropic adds them up"
        )
        raise ValidationError(message, field=field, entity="TokenUsage")
