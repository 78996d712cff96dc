"""What a trajectory file says, as values: no database, no clock, nothing invented.

A file tells a run twice. `history` is the conversation as the model saw it; `trajectory` is what was executed, one
entry a step, with durations in newer files. They are paired here: a step knows which message asked for it and which
one answered. What a file does not say is None, never 0 and never a guess without its source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

__all__ = [
    "UNKNOWN",
    "ModelUsage",
    "Outcome",
    "OutcomeSource",
    "RunMessage",
    "Step",
    "ToolCall",
    "ToolSpec",
    "TrajectoryRun",
]

UNKNOWN = "unknown"
"""The name of a model or a host that the file does not name."""


class OutcomeSource(StrEnum):
    """How the success of a tool call is known; the files hold no exit codes."""

    EXIT_STATUS = "exit_status"
    """The run's own exit status says that its submission was accepted."""
    ERROR_MARKER = "error_marker"
    """The output begins with, or contains at the start of a line, the text of a known failure."""
    NO_ERROR_MARKER = "no_error_marker"
    """Inferred: there is an output, and no known failure in it."""
    UNKNOWN = "unknown"
    """There is no output to judge by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Whether a tool call worked, and how that is known."""

    success: bool | None
    source: OutcomeSource
    category: str | None = None
    """The kind of failure, such as `timeout`; None unless `success` is False."""
    error: str | None = None
    """The line of the output that shows the failure; None unless `success` is False."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSpec:
    """A tool that the run declared or used."""

    name: str
    description: str | None = None
    signature: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """One call of one tool."""

    tool: str
    command: str
    """The command line that was executed."""
    arguments: Mapping[str, object] | None = None
    """The arguments of the model's function call; None where the agent wrote its command as text."""
    call_id: str | None = None
    """The id that the model gave. Replayed runs repeat ids, so it is no key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMessage:
    """One message of the conversation, in the order of the file."""

    position: int
    """From 0."""
    role: str
    content: str
    agent: str | None = None
    message_type: str | None = None
    thought: str | None = None
    action: str | None = None
    tool_calls: tuple[Mapping[str, object], ...] = ()
    """As the model sent them."""
    tool_call_ids: tuple[str, ...] = ()
    """The calls that a tool message answers."""
    is_demonstration: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)
    """Every other key of the file's message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One turn of the agent: it thought, called a tool and saw what came of it."""

    number: int
    """From 1."""
    agent: str | None
    thought: str
    response: str
    calls: tuple[ToolCall, ...]
    observation: str | None
    execution_time_seconds: float | None
    state: Mapping[str, object] | None
    """Open file and working directory after the step."""
    outcome: Outcome
    message_position: int | None
    """The message that asked for it; None when the step is not part of the history."""
    observation_position: int | None
    """The message that answered it; None when the history ends before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelUsage:
    """The tokens and the cost of the whole run."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    """None when nothing priced the run; a file's 0 beside no tokens says nothing and is None too."""
    api_calls: int | None = None

    @property
    def is_reported(self) -> bool:
        """Whether the file says how many tokens were used."""
        return self.input_tokens is not None or self.output_tokens is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrajectoryRun:
    """One agent run, read from one file."""

    digest: str
    """SHA-256 of the file's bytes in hexadecimal: the run's identity, whatever the file is called."""
    name: str
    """The file's name without its suffix."""
    file_name: str
    project: str
    agents: tuple[str, ...]
    """Everyone who speaks in the run, the main agent first; never empty."""
    model: str
    host: str
    instruction: str
    """The task that the run was given: its first real user message."""
    system_prompt: str
    messages: tuple[RunMessage, ...]
    steps: tuple[Step, ...]
    tools: tuple[ToolSpec, ...]
    usage: ModelUsage
    environment: str | None = None
    exit_status: str | None = None
    submission: str | None = None
    configuration: Mapping[str, object] = field(default_factory=dict)
    """What the file says of its model, repository and problem, without secrets."""
