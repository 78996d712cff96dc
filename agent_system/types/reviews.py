"""The words of reviews: what is counted, when a review is due, and what becomes of an opportunity."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CounterType", "Effort", "OpportunityStatus", "ReviewFrequency"]


class CounterType(StrEnum):
    """What a review counter counts."""

    USAGE = "usage"
    CREATION = "creation"
    MODIFICATION = "modification"
    ERROR = "error"
    SUCCESS = "success"
    FAILURE = "failure"


class ReviewFrequency(StrEnum):
    """When a review is due: at a count, after a time, or at whichever comes first."""

    THRESHOLD = "threshold"
    PERIODIC = "periodic"
    HYBRID = "hybrid"


class OpportunityStatus(StrEnum):
    """What becomes of an opportunity to do something better."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    REJECTED = "rejected"


class Effort(StrEnum):
    """How much work something would be."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
