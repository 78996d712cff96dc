"""When something was done follows from where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

__all__ = ["date_change", "date_new"]

# The word is the same in every enumeration of those that use this.
COMPLETED = "completed"


def date_new(values: dict[str, Any], clock: Callable[[], datetime]) -> None:
    """Date a new row that is completed already."""
    if values["status"] == COMPLETED and values["completed_at"] is None:
        values["completed_at"] = clock()


def date_change(before: Mapping[str, Any], changes: dict[str, Any], clock: Callable[[], datetime]) -> None:
    """Set the moment of completion with the status, and take it away when the row is open again."""
    status = changes.get("status", before["status"])
    if status == before["status"]:
        return
    if status != COMPLETED:
        changes["completed_at"] = None
    elif changes.get("completed_at") is None:
        changes["completed_at"] = clock()
