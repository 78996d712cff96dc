"""What the work that waits has in common in the older systems: a type, a payload, a status and attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.importers.legacy.converters import count, future, json_value, text, word
from agent_system.types import JOB_STATUS_LEGACY, JobStatus

if TYPE_CHECKING:
    from agent_system.importers.legacy.rows import Converter

__all__ = ["JOB_STATUS", "OVER", "job_columns"]

JOB_STATUS = word("status", JobStatus, JobStatus.PENDING, JOB_STATUS_LEGACY)
OVER = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


def job_columns(*, payload: str, retries: str, max_retries: str) -> dict[str, Converter]:
    """The columns of a job here, by what those are called there that differ."""
    return {
        "task_type": text("task_type", "unknown", empty=False),
        "payload": json_value(payload),
        "status": JOB_STATUS,
        "retries": count(retries, 0),
        "max_retries": count(max_retries, 3),
        "error_message": text("error_message"),
        "scheduled_for": future("scheduled_for"),
    }
