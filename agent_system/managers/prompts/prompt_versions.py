"""What the manager of the prompts returns besides prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["PromptCategory", "PromptVersion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptVersion:
    """A prompt as it was, or is."""

    name: str
    version: int
    content: str
    description: str | None
    category: str
    meta: dict[str, Any]
    author: str | None
    """Who wrote the content; None when nobody said."""
    reason: str | None
    """Why it was written; None for the first one."""
    written_at: datetime
    """When it was written, in UTC."""
    is_current: bool
    """Whether it is what the prompt says now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptCategory:
    """How many prompts a category has."""

    category: str
    prompts: int
    active: int
    """Those of them that are in use."""
