"""Where a tool call stands."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TOOL_CALL_STATE_LEGACY", "ToolCallState"]


class ToolCallState(StrEnum):
    """Where a tool call stands; the row exists from before it runs."""

    REQUESTED = "requested"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


# What seed 002's nullable success column says; it also holds 2 and 'true'.
TOOL_CALL_STATE_LEGACY: Mapping[str, ToolCallState] = MappingProxyType(
    {
        "": ToolCallState.RUNNING,
        "0": ToolCallState.FAILED,
        "false": ToolCallState.FAILED,
        "1": ToolCallState.DONE,
        "2": ToolCallState.DONE,
        "true": ToolCallState.DONE,
    }
)
