"""Where jobs, promises and effects stand."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "JOB_STATUS_LEGACY",
    "PROMISE_STATUS_LEGACY",
    "EffectState",
    "Fraction",
    "JobStatus",
    "PositiveCount",
    "PositiveSeconds",
    "PromiseStatus",
    "PromiseType",
]

Fraction = Annotated[float, Field(ge=0, le=1)]
"""How much of something is done: from 0 to 1."""

PositiveCount = Annotated[int, Field(ge=1, le=2**63 - 1)]
"""A number of things: one or more."""

PositiveSeconds = Annotated[float, Field(gt=0)]
"""A span of time that is not nothing."""


class JobStatus(StrEnum):
    """Where a job of the queue stands (seed 003)."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


# Seed 000's server tasks and missed messages, and what other queues call the same.
JOB_STATUS_LEGACY: Mapping[str, JobStatus] = spellings(
    queued=JobStatus.PENDING,
    scheduled=JobStatus.PENDING,
    processing=JobStatus.IN_PROGRESS,
    running=JobStatus.IN_PROGRESS,
    complete=JobStatus.COMPLETED,
    done=JobStatus.COMPLETED,
    error=JobStatus.FAILED,
    abandoned=JobStatus.FAILED,
    canceled=JobStatus.CANCELLED,
)


class PromiseStatus(StrEnum):
    """Where a promise stands (seed 000, with the two that its document leaves out)."""

    PENDING = "pending"
    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


PROMISE_STATUS_LEGACY: Mapping[str, PromiseStatus] = spellings(
    processing=PromiseStatus.IN_PROGRESS,
    running=PromiseStatus.IN_PROGRESS,
    done=PromiseStatus.COMPLETED,
    canceled=PromiseStatus.CANCELLED,
)


class PromiseType(StrEnum):
    """What kind of work was promised (seed 000)."""

    CODE = "code"
    SEARCH = "search"
    ANALYSIS = "analysis"


class EffectState(StrEnum):
    """What is known of an effect outside of the database."""

    PENDING = "pending"
    """It was about to be made; whether it was, nobody has said yet."""
    DONE = "done"
    """It was made, and its result is stored."""
    UNKNOWN = "unknown"
    """Whoever was about to make it is gone: somebody has to look."""
