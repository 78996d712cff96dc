"""Where a tool call stands."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TOOL_CALL_STATE_LEGACY", "ToolCallState", "ToolErrorCategory"]


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


class ToolErrorCategory(StrEnum):
    """What kind of error ended a tool call: seed 002's nine classes, and one for what fits none of them."""

    PERMISSION = "permission_error"
    FILE_NOT_FOUND = "file_not_found"
    TIMEOUT = "timeout"
    SYNTAX = "syntax_error"
    NETWORK = "network_error"
    GIT = "git_error"
    VALIDATION = "validation_error"
    RESOURCE = "resource_error"
    COMMAND_NOT_FOUND = "command_not_found"
    UNKNOWN = "unknown_error"
