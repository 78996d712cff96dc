"""Whether a project is worked on."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ProjectStatus"]


class ProjectStatus(StrEnum):
    """Whether a project is worked on; `deleted` is the soft delete."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"
