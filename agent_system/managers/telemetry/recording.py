"""Recording a tool call while it runs: the block is the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_system.models import ToolUsage

__all__ = ["ToolRecording"]


@dataclass(kw_only=True, slots=True)
class ToolRecording:
    """What a block tells of the call that it is; written when the block ends."""

    call: ToolUsage
    """The row as it was when the call began."""
    result: Any = None
    """What the tool answered; what is no text is written as JSON."""
    error: str | None = None
    """What went wrong, where the tool tells it without raising."""
    success: bool | None = None
    """Whether it succeeded; by default, when there is no error."""
    screenshot_path: str | None = None
    """Picture that was taken."""
    tokens: dict[str, int] = field(default_factory=dict)
    """Tokens of the model by their columns: input_tokens, output_tokens, cache_read_input_tokens ..."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Whatever else is to be kept with the call."""

    @property
    def call_id(self) -> str:
        """Id of the call."""
        return self.call.call_id or ""
